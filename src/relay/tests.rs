//! What a courier promises, over a store and a folder of its own.

use super::courier::Courier;
use super::start::set_aside;
use crate::bod::{Filter, Mask};
use crate::model::{ClientId, Company, Division, M3User, Place, ProgramName, TransactionName};
use crate::outbox::{Coverage, Due, Edition, Ending, Intent, Ledger, Made, Message, Opened, Outbox, Outcome, Settings};
use crate::points::{self, Answers, FileSettings, Pattern, Point, Target};
use crate::store::Store;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const POINT: &str = "folder";

/// One message that waits for the folder.
async fn waiting(folder: &Path) -> Ledger {
    let settings = Settings::under(folder.join("outbox"));
    let outbox = Outbox::start(settings, Coverage::default(), &Metrics::new(), &Tasks::new()).await.expect("starts");
    let key = vec![("ITNO".to_owned(), Some("A1".to_owned()))];
    let (noun, verb) = ("ItemMaster".to_owned(), "Sync".to_owned());
    let intent = Intent {
        name: "intent".into(),
        bulk: None,
        client: ClientId { issuer: "https://own".into(), id: "shop".into() },
        key: None,
        user: M3User::parse("WEBSHOP").expect("a user"),
        program: ProgramName::parse("MMS200MI").expect("a program"),
        transaction: TransactionName::parse("UpdItmBasic").expect("a transaction"),
        place: Place { company: Company::new(100).expect("a company"), division: Division::BLANK },
        fields: Vec::new(),
        due: vec![Due {
            noun,
            verb,
            key,
            deletes: false,
            by_division: false,
            before: None,
            absent: false,
            entry: None,
        }],
    };
    let Ok(Opened::New(pledge)) = outbox.open(&intent).await else { panic!("it is new") };
    pledge.settle(&Outcome::Done { reported: true, records: Vec::new() }).await;
    assert!(outbox.finish(Duration::from_secs(10)).await);
    let ledger = outbox.ledger();
    let due = ledger.due(Duration::ZERO, Duration::ZERO, 1).await.expect("read").pop().expect("the item is due");
    let text = |text: &str| text.to_owned();
    let made = Made {
        bod_id: text("bod"),
        action: text("Replace"),
        variation: 1,
        tenant: String::new(),
        lid: text("lid://x"),
        division: String::new(),
        entity: text("100"),
        location: String::new(),
        document_id: text("A1"),
        created: String::new(),
        xml: text("<a/>"),
    };
    let points = vec![(POINT.to_owned(), None)];
    ledger
        .ended(&[(
            due,
            Ending::Made {
                editions: vec![Edition {
                    division: None,
                    messages: vec![Message { made: Box::new(made), points, shadow: false }],
                    told_at: Vec::new(),
                    now: None,
                }],
                seen: None,
            },
        )])
        .await
        .expect("kept");
    ledger
}

fn courier(ledger: &Ledger, folder: &Path, metrics: &Arc<Metrics>, tasks: &Tasks) {
    let pattern = Pattern::parse("{document}.xml").expect("a pattern");
    let target = Target::File(FileSettings { folder: folder.join("bods"), pattern, keep: None });
    let (name, filter, most_bytes) = (POINT.to_owned(), Filter::default(), 1_000);
    let answers = Answers::default();
    let settings =
        points::Settings { name, filter, mask: Mask::default(), most_bytes, receiver: None, answers, target };
    let points = Arc::new(vec![Point::open(settings).expect("a point")]);
    let (ledger, made, metrics) = (ledger.clone(), Arc::new(vec![Notify::new()]), metrics.clone());
    let courier = Courier { ledger, points, at: 0, tries: 3, metrics, made };
    tasks.spawn_until_stop(async move { courier.run().await });
}

async fn run(store: &Store, statement: &'static str) {
    let mut write = store.write().await.expect("a transaction");
    sqlx::raw_sql(statement).execute(&mut *write).await.expect("done");
    write.commit().await.expect("commits");
}

#[tokio::test]
async fn no_courier_begins_before_what_waits_for_points_that_are_gone_or_back_is_set_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = waiting(folder.path()).await;
    let store = Store::open(&folder.path().join("outbox")).await.expect("opens");
    run(&store, "CREATE TRIGGER full BEFORE INSERT ON changes BEGIN SELECT RAISE(ABORT, 'disk full'); END").await;
    let (tasks, aside) = (Tasks::new(), CancellationToken::new());
    tasks.spawn_until_stop(set_aside(ledger, vec!["elsewhere".into()], aside.clone().drop_guard()));
    // For longer than it takes to try again.
    let early = tokio::time::timeout(Duration::from_millis(1_200), aside.cancelled()).await;
    early.expect_err("it can't be written yet");
    run(&store, "DROP TRIGGER full").await;
    tokio::time::timeout(Duration::from_secs(20), aside.cancelled()).await.expect("once it can be");
    let states = "SELECT state FROM deliveries";
    let (state,): (String,) = sqlx::query_as(states).fetch_one(store.read()).await.expect("a row");
    assert_eq!(state, "parked");
    assert!(tasks.finish(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn what_can_t_be_written_down_is_not_delivered_again_and_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = waiting(folder.path()).await;
    let store = Store::open(&folder.path().join("outbox")).await.expect("opens");
    run(&store, "CREATE TRIGGER full BEFORE INSERT ON attempts BEGIN SELECT RAISE(ABORT, 'disk full'); END").await;
    let (metrics, tasks) = (Arc::new(Metrics::new()), Tasks::new());
    courier(&ledger, folder.path(), &metrics, &tasks);
    let delivered = || metrics.publishing.deliveries.with_label_values(&[POINT, "Sync.ItemMaster", "delivered"]).get();
    // For longer than it takes to look again, twice.
    tokio::time::timeout(Duration::from_millis(2_500), std::future::pending::<()>()).await.expect_err("never ends");
    assert_eq!(delivered(), 1);
    run(&store, "DROP TRIGGER full").await;
    let written = async {
        loop {
            let states = "SELECT count(*) FROM deliveries WHERE state = 'delivered'";
            let (count,): (i64,) = sqlx::query_as(states).fetch_one(store.read()).await.expect("a row");
            if count == 1 {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), written).await.expect("written down once it can be");
    assert_eq!(delivered(), 1);
    assert!(tasks.finish(Duration::from_secs(5)).await);
}
