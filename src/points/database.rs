//! The out-box tables of a database that ION reads: a row for the document, rows for its headers, in one transaction.
//!
//! Source of the tables: Infor's public pages on the I/O box. Table and column names are theirs; they are made by their
//! scripts, and the column of the document may hold text or bytes.

use super::failure::{Blame, Failure};
use super::message::Message;
use super::settings::DatabaseSettings;
use secrecy::ExposeSecret;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use std::fmt;
use std::str::FromStr;
use tokio::sync::OnceCell;

pub(super) struct Tables {
    settings: DatabaseSettings,
    opened: OnceCell<Opened>,
}

struct Opened {
    pool: PgPool,
    /// The document's column holds bytes.
    bytes: bool,
}

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tables")
    }
}

const COLUMN: &str = "SELECT data_type FROM information_schema.columns \
    WHERE table_schema = ANY (current_schemas(false)) AND table_name = 'cor_outbox_entry' AND column_name = 'c_xml'";
const ENTRY_OF_TEXT: &str = "INSERT INTO cor_outbox_entry \
    (c_xml, c_tenant_id, c_logical_id, c_message_priority, c_created_date_time, c_was_processed) \
    VALUES ($1, $2, $3, $4, (now() AT TIME ZONE 'UTC'), 0) RETURNING c_id::bigint";
const ENTRY_OF_BYTES: &str = "INSERT INTO cor_outbox_entry \
    (c_xml, c_tenant_id, c_logical_id, c_message_priority, c_created_date_time, c_was_processed) \
    VALUES (convert_to($1, 'UTF8'), $2, $3, $4, (now() AT TIME ZONE 'UTC'), 0) RETURNING c_id::bigint";
const HEADERS: &str = "INSERT INTO cor_outbox_headers (c_outbox_id, c_header_key, c_header_value) \
    SELECT $1, * FROM UNNEST($2::text[], $3::text[])";

impl Tables {
    pub(super) fn new(settings: DatabaseSettings) -> Self {
        Self { settings, opened: OnceCell::new() }
    }

    pub(super) async fn deliver(&self, message: &Message<'_>) -> Result<String, Failure> {
        let written = async {
            let opened = self.opened.get_or_try_init(|| self.open()).await?;
            self.write(opened, message).await.map_err(|error| failure(&error))
        };
        let late = |_| Failure::passing(format!("the database took more than {:?}", self.settings.timeout));
        tokio::time::timeout(self.settings.timeout, written).await.map_err(late)?
    }

    async fn open(&self) -> Result<Opened, Failure> {
        let options = PgConnectOptions::from_str(self.settings.url.expose_secret());
        // What sqlx says of a URL may repeat its password.
        let options = options.map_err(|_| Failure::passing("the database's URL can't be read"))?;
        let pool = PgPoolOptions::new().max_connections(self.settings.connections);
        let pool = pool.acquire_timeout(self.settings.timeout);
        let pool = pool.connect_with(options).await.map_err(|error| failure(&error))?;
        let column: Option<(String,)> =
            sqlx::query_as(COLUMN).fetch_optional(&pool).await.map_err(|error| failure(&error))?;
        let missing =
            || Failure::passing("the database has no table COR_OUTBOX_ENTRY: run Infor's script that makes it");
        let (kind,) = column.ok_or_else(missing)?;
        Ok(Opened { pool, bytes: kind == "bytea" })
    }

    async fn write(&self, opened: &Opened, message: &Message<'_>) -> Result<String, sqlx::Error> {
        let mut transaction = opened.pool.begin().await?;
        let entry = if opened.bytes { ENTRY_OF_BYTES } else { ENTRY_OF_TEXT };
        let (id,): (i64,) = sqlx::query_as(entry)
            .bind(message.xml)
            .bind(message.tenant)
            .bind(message.from)
            .bind(self.settings.priority)
            .fetch_one(&mut *transaction)
            .await?;
        let (keys, values): (Vec<String>, Vec<String>) = headers(message).into_iter().unzip();
        sqlx::query(HEADERS).bind(id).bind(keys).bind(values).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(format!("C_ID {id}"))
    }
}

/// By the keys of the tables; what is blank is left out.
fn headers(message: &Message<'_>) -> Vec<(String, String)> {
    let all = [
        ("TenantId", message.tenant.to_owned()),
        ("MessageId", message.id.to_owned()),
        ("BODType", message.name()),
        ("FromLogicalId", message.from.to_owned()),
        ("ToLogicalId", message.to.to_owned()),
        ("AccountingEntity", message.entity.to_owned()),
        ("Location", message.location.to_owned()),
        ("DocumentId", message.document_id.to_owned()),
        ("VariationId", message.variation.to_string()),
        ("BODId", message.bod_id.to_owned()),
        ("CreationDateTime", message.created.to_owned()),
    ];
    all.into_iter().filter(|(_, text)| !text.is_empty()).map(|(key, text)| (key.to_owned(), text)).collect()
}

/// The database's own words about its tables: no row of ours stands in them.
fn failure(error: &sqlx::Error) -> Failure {
    let reason = match error {
        sqlx::Error::Database(said) => format!("the database says: {}", said.message()),
        sqlx::Error::PoolTimedOut => "the database can't be reached in time".to_owned(),
        other => format!("the database: {other}"),
    };
    // What doesn't fit a column never will.
    let code = error.as_database_error().and_then(|said| said.code().map(|code| code.into_owned()));
    match code {
        Some(code) if code.starts_with("22") => Failure::lasting(reason),
        // A connection, its account, a database that only reads or is out of order, its room or its table, or somebody who
        // shuts it down: nothing of this row.
        Some(code)
            if ["08", "25", "28", "3D", "42", "53", "55", "57", "58", "XX"]
                .iter()
                .any(|class| code.starts_with(class)) =>
        {
            Failure::passing(reason)
        }
        Some(_) => Failure::passing(reason).of(Blame::Unclear),
        None => Failure::passing(reason),
    }
}
