//! Out-box tables in a real PostgreSQL: an instance of the test's own, reached by a socket in its folder.

use mi_gateway::bod::{Action, Filter, Verb};
use mi_gateway::points::{Answers, DatabaseSettings, Failure, Message, Point, Settings, Target};
use sqlx::{Connection, PgConnection};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A server that ends with the test.
struct Postgres {
    folder: TempDir,
    programs: PathBuf,
}

const TABLES: &str = "
    CREATE TABLE cor_outbox_entry (c_id serial PRIMARY KEY, c_xml XML_TYPE, c_tenant_id varchar(22),
        c_logical_id varchar(250), c_message_priority smallint, c_created_date_time timestamp, c_was_processed smallint);
    CREATE TABLE cor_outbox_headers (c_id serial PRIMARY KEY, c_outbox_id int REFERENCES cor_outbox_entry (c_id),
        c_header_key varchar(50), c_header_value varchar(255) CHECK (c_header_value <> 'refused'));";

impl Postgres {
    fn start() -> Self {
        let versions = std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL's server; tests/run installs it");
        let newest = versions.map(|entry| entry.expect("an entry").path()).max().expect("a version");
        let folder = tempfile::tempdir().expect("a folder");
        // The server is not root's, wherever the tests are.
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).expect("a mode");
        let server = Self { folder, programs: newest.join("bin") };
        server.run("initdb", &["-A", "trust", "-U", "test", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"]);
        server.up();
        server
    }

    fn up(&self) {
        let options = format!("-k {} -c listen_addresses='' -c fsync=off", self.folder.path().display());
        let log = self.folder.path().join("log").display().to_string();
        self.run("pg_ctl", &["-w", "-l", &log, "-o", &options, "start"]);
    }

    fn down(&self) {
        self.run("pg_ctl", &["-m", "immediate", "stop"]);
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    #[track_caller]
    fn run(&self, program: &str, words: &[&str]) {
        let program = self.programs.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(&program);
            command
        } else {
            Command::new(&program)
        };
        command.arg("-D").arg(self.data()).args(words).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
        let status = command.status().expect("the program starts");
        assert!(status.success(), "{}: {status}; {}", program.display(), self.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn url(&self) -> String {
        let folder = self.folder.path().display().to_string().replace('/', "%2F");
        format!("postgres://test@{folder}/postgres")
    }

    async fn connection(&self) -> PgConnection {
        PgConnection::connect(&self.url()).await.expect("a connection")
    }

    async fn with_tables(of: &str) -> (Self, PgConnection) {
        let server = Self::start();
        let mut connection = server.connection().await;
        let tables = TABLES.replace("XML_TYPE", of);
        sqlx::raw_sql(sqlx::AssertSqlSafe(tables)).execute(&mut connection).await.expect("the tables");
        (server, connection)
    }

    fn point(&self) -> Point {
        let timeout = Duration::from_secs(10);
        let database = DatabaseSettings { url: self.url().into(), connections: 2, timeout, priority: 4 };
        let (filter, target) = (Filter::default(), Target::Database(database));
        Point::open(Settings {
            name: "tables".into(),
            filter,
            mask: mi_gateway::bod::Mask::default(),
            most_bytes: 5_000_000,
            receiver: None,
            answers: Answers::default(),
            target,
        })
        .expect("a point")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if Path::new(&self.data()).join("postmaster.pid").exists() {
            self.down();
        }
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn order<'a>(xml: &'a str, document_id: &'a str) -> Message<'a> {
    Message {
        id: "m-1",
        bod_id: "b-1",
        verb: Verb::Sync,
        noun: "PurchaseOrder",
        action: Action::Replace,
        tenant: "DEMO_TST",
        from: "lid://mi-gateway.m3",
        to: "lid://default",
        company: "100",
        division: "AAA",
        entity: "100_AAA",
        location: "",
        document_id,
        variation: 9,
        created: "2026-03-01T12:00:00.000Z",
        correlation: "r-1",
        xml,
    }
}

async fn rows(connection: &mut PgConnection) -> (i64, i64) {
    let count = "SELECT (SELECT count(*) FROM cor_outbox_entry), (SELECT count(*) FROM cor_outbox_headers)";
    sqlx::query_as(count).fetch_one(connection).await.expect("counts")
}

async fn failure(point: &Point, message: &Message<'_>) -> Failure {
    point.deliver(message).await.expect_err("no delivery")
}

#[tokio::test]
async fn a_document_and_its_headers_are_there_together_or_not_at_all() {
    let (server, mut connection) = Postgres::with_tables("text").await;
    let point = server.point();
    let delivered = point.deliver(&order("<a>ü</a>", "2000001")).await.expect("written");
    assert_eq!(delivered.reference, "C_ID 1");
    let entry = "SELECT c_xml, c_tenant_id, c_logical_id, c_message_priority, c_was_processed, \
        abs(extract(epoch FROM (now() AT TIME ZONE 'UTC') - c_created_date_time))::int FROM cor_outbox_entry";
    let entry: (String, String, String, i16, i16, i32) =
        sqlx::query_as(entry).fetch_one(&mut connection).await.expect("the entry");
    assert!(entry.5 < 60, "in UTC: {entry:?}");
    let told = (entry.0.as_str(), entry.1.as_str(), entry.2.as_str(), entry.3, entry.4);
    assert_eq!(told, ("<a>ü</a>", "DEMO_TST", "lid://mi-gateway.m3", 4, 0));
    let headers =
        "SELECT c_header_key || '=' || c_header_value FROM cor_outbox_headers WHERE c_outbox_id = 1 ORDER BY 1";
    let headers: Vec<(String,)> = sqlx::query_as(headers).fetch_all(&mut connection).await.expect("the headers");
    let headers: Vec<&str> = headers.iter().map(|(text,)| text.as_str()).collect();
    let expected = [
        "AccountingEntity=100_AAA",
        "BODId=b-1",
        "BODType=Sync.PurchaseOrder",
        "CreationDateTime=2026-03-01T12:00:00.000Z",
        "DocumentId=2000001",
        "FromLogicalId=lid://mi-gateway.m3",
        "MessageId=m-1",
        "TenantId=DEMO_TST",
        "ToLogicalId=lid://default",
        "VariationId=9",
    ];
    assert_eq!(headers, expected);
    // The database refuses a header: the entry does not stand alone.
    let refused = failure(&point, &order("<a/>", "refused")).await;
    assert!(!refused.lasting && refused.reason.contains("check constraint"), "{refused}");
    let long = "x".repeat(300);
    let refused = failure(&point, &order("<a/>", &long)).await;
    assert!(refused.lasting && refused.reason.contains("too long"), "{refused}");
    assert_eq!(rows(&mut connection).await, (1, 10));
}

#[tokio::test]
async fn tables_that_hold_bytes_get_bytes_and_missing_ones_are_named() {
    let (server, mut connection) = Postgres::with_tables("bytea").await;
    server.point().deliver(&order("<a>ü</a>", "1")).await.expect("written");
    let (xml,): (Vec<u8>,) =
        sqlx::query_as("SELECT c_xml FROM cor_outbox_entry").fetch_one(&mut connection).await.expect("the entry");
    assert_eq!(xml, "<a>ü</a>".as_bytes());
    sqlx::raw_sql("DROP TABLE cor_outbox_headers, cor_outbox_entry").execute(&mut connection).await.expect("gone");
    let point = server.point();
    let missing = failure(&point, &order("<a/>", "1")).await;
    assert!(!missing.lasting && missing.reason.contains("COR_OUTBOX_ENTRY"), "{missing}");
    // Once somebody has made them the same point goes on.
    sqlx::raw_sql(sqlx::AssertSqlSafe(TABLES.replace("XML_TYPE", "text")))
        .execute(&mut connection)
        .await
        .expect("tables");
    point.deliver(&order("<a/>", "1")).await.expect("written");
}

#[tokio::test]
async fn a_database_that_is_away_for_a_while_gets_the_document_afterwards() {
    let (server, _) = Postgres::with_tables("text").await;
    let point = server.point();
    point.deliver(&order("<a/>", "1")).await.expect("written");
    server.down();
    let away = failure(&point, &order("<a/>", "2")).await;
    assert!(!away.lasting, "{away}");
    server.up();
    point.deliver(&order("<a/>", "2")).await.expect("written");
    assert_eq!(rows(&mut server.connection().await).await.0, 2);
}
