//! What the outbox promises, over a store of its own.

mod answers;
mod beside;
mod causes;
mod editions;
mod entries;
mod intents;
mod keys;
mod migrations;
mod named;
mod orders;

mod room;
mod sealed;
mod theirs;

use super::*;
use crate::clock::unix_micros;
use crate::model::{ClientId, Company, Division, FieldName, M3User, Place, ProgramName, TransactionName};
use crate::store::Store;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use proptest::prelude::*;
use std::path::Path;
use std::time::Duration;

async fn outbox(folder: &Path) -> Outbox {
    let settings = Settings::under(folder.join("outbox"));
    Outbox::start(settings, Coverage::default(), &Metrics::new(), &Tasks::new()).await.expect("starts")
}

fn intent(key: Option<&str>, value: &str) -> Intent {
    let field = |name: &str| FieldName::parse(name).expect("a field");
    Intent {
        name: format!("intent-{value}"),
        bulk: None,
        client: ClientId { issuer: "https://own".into(), id: "shop".into() },
        key: key.map(|key| IdempotencyKey::parse(key).expect("a key")),
        user: M3User::parse("WEBSHOP").expect("a user"),
        program: ProgramName::parse("CRS610MI").expect("a program"),
        transaction: TransactionName::parse("ChgBasicData").expect("a transaction"),
        place: Place { company: Company::new(100).expect("a company"), division: Division::BLANK },
        fields: vec![(field("CUNO"), "C1".into()), (field("CUNM"), value.into()), (field("PWMT"), "1234".into())],
        due: Vec::new(),
    }
}

fn done(name: &str) -> Outcome {
    Outcome::Done { reported: true, records: vec![vec![("CUNO".into(), name.into())]] }
}

async fn new(outbox: &Outbox, intent: &Intent) -> Pledge {
    match outbox.open(intent).await.expect("opens") {
        Opened::New(pledge) => pledge,
        other => panic!("not new: {other:?}"),
    }
}

async fn count(folder: &Path, condition: &str) -> i64 {
    let store = Store::open(&folder.join("outbox")).await.expect("opens");
    let text = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM intents WHERE {condition}"));
    let (count,): (i64,) = sqlx::query_as(text).fetch_one(store.read()).await.expect("a row");
    count
}

#[tokio::test]
async fn a_key_names_one_write_until_it_is_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let first = intent(Some("k1"), "a");
    let pledge = new(&outbox, &first).await;
    assert!(matches!(outbox.open(&first).await, Ok(Opened::InFlight)));
    assert!(matches!(outbox.open(&intent(Some("k1"), "b")).await, Ok(Opened::OtherRequest)));
    pledge.settle(&done("C1")).await;
    assert!(matches!(outbox.open(&first).await, Ok(Opened::Settled(outcome)) if outcome == done("C1")));
    let mut of_another = first.clone();
    of_another.client.id = "other".into();
    new(&outbox, &of_another).await.withdraw();
    let mut of_a_bulk = first.clone();
    of_a_bulk.key = of_a_bulk.key.map(|key| key.item(1));
    new(&outbox, &of_a_bulk).await.withdraw();
}

#[tokio::test]
async fn what_did_not_reach_m3_may_be_asked_again_and_what_nobody_knows_may_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let first = intent(Some("k1"), "a");
    new(&outbox, &first).await.withdraw();
    // Its caller went away before anything was sent.
    drop(new(&outbox, &first).await);
    let pledge = new(&outbox, &first).await;
    pledge.lose();
    assert!(matches!(outbox.open(&first).await, Ok(Opened::Unknown(name)) if name == "intent-a"));
}

#[tokio::test]
async fn what_a_crash_left_open_is_unknown_and_what_was_settled_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let (open, settled) = (intent(Some("open"), "a"), intent(Some("settled"), "b"));
    let before = outbox(folder.path()).await;
    let pledge = new(&before, &open).await;
    new(&before, &settled).await.settle(&done("C1")).await;
    let after = outbox(folder.path()).await;
    assert!(matches!(after.open(&open).await, Ok(Opened::Unknown(_))));
    assert!(matches!(after.open(&settled).await, Ok(Opened::Settled(_))));
    std::mem::forget(pledge);
}

#[tokio::test]
async fn an_outcome_that_is_not_waited_for_is_kept_when_the_gateway_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    for at in 0..100 {
        new(&outbox, &intent(None, &at.to_string())).await.settle(&done("C1")).await;
    }
    assert!(outbox.finish(Duration::from_secs(10)).await);
    assert_eq!(count(folder.path(), "state = 'committed' AND fields = '[]'").await, 100);
}

#[tokio::test]
async fn what_stands_for_a_rid_is_of_this_outbox_alone_and_of_what_was_asked_with_it() {
    let (one, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let (ours, theirs) = (outbox(one.path()).await, outbox(other.path()).await);
    let key = |of: &Outbox, said| of.key_of_rid("r1", said).expect("a key");
    assert_eq!(key(&ours, "PWMT=1234"), key(&ours, "PWMT=1234"));
    assert_ne!(key(&ours, "PWMT=1234"), key(&ours, "PWMT=1235"));
    assert_ne!(key(&ours, "PWMT=1234"), key(&theirs, "PWMT=1234"), "nobody finds a PIN by trying");
}

#[tokio::test]
async fn secrets_are_not_written_down() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let open = new(&outbox, &intent(Some("k"), "a")).await;
    let keeps = |name| open.may_keep(FieldName::parse(name).expect("a field"));
    assert!(keeps("CUNO") && !keeps("PWMT"), "nor what M3 answers with");
    assert_eq!(count(folder.path(), "fields LIKE '%CUNM%' AND whole = 0").await, 1);
    assert_eq!(count(folder.path(), "fields LIKE '%PWMT%' OR fields LIKE '%1234%'").await, 0);
}

#[tokio::test]
async fn a_store_that_can_t_be_written_refuses_and_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let pledge = new(&outbox, &intent(None, "before")).await;
    let full = Store::open(&folder.path().join("outbox")).await.expect("opens");
    let trigger = "CREATE TRIGGER full BEFORE INSERT ON intents BEGIN SELECT RAISE(ABORT, 'disk full'); END;
        CREATE TRIGGER full_too BEFORE UPDATE ON intents BEGIN SELECT RAISE(ABORT, 'disk full'); END";
    let mut write = full.write().await.expect("a transaction");
    sqlx::raw_sql(trigger).execute(&mut *write).await.expect("a trigger");
    write.commit().await.expect("commits");
    assert!(matches!(outbox.open(&intent(None, "a")).await, Err(Error::Unwritten(_))));
    assert!(outbox.status().is_err_and(|why| why.contains("disk full")));
    pledge.settle(&done("C1")).await;
    let mut write = full.write().await.expect("a transaction");
    sqlx::raw_sql("DROP TRIGGER full; DROP TRIGGER full_too").execute(&mut *write).await.expect("dropped");
    write.commit().await.expect("commits");
    new(&outbox, &intent(None, "b")).await.withdraw();
    assert!(outbox.status().is_ok());
    assert_eq!(count(folder.path(), "name = 'intent-before' AND state = 'committed'").await, 1);
}

/// Condition by condition; a writer has its own pace.
async fn until<F: Future<Output = bool>>(what: &str, look: impl Fn() -> F) {
    let wait = async {
        while !look().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap_or_else(|_| panic!("{what}"));
}

async fn asked(ledger: &Ledger, rest: u64) -> Vec<Question> {
    ledger.questions(Duration::from_secs(rest), 10).await.expect("read")
}

fn item(verb: &str, deletes: bool) -> Due {
    let key = vec![("ITNO".to_owned(), Some("A0".to_owned()))];
    Due {
        noun: "ItemMaster".into(),
        verb: verb.into(),
        key,
        deletes,
        by_division: false,
        before: None,
        absent: false,
        entry: None,
    }
}

async fn due(ledger: &Ledger) -> Vec<DueDocument> {
    ledger.due(Duration::ZERO, Duration::ZERO, 10).await.expect("read")
}

/// A store with this many messages of three items for one point, and what the ledger says of them.
async fn with_messages(folder: &Path, messages: u64) -> (Outbox, Ledger) {
    let outbox = outbox(folder).await;
    let ledger = outbox.ledger();
    for at in 0..messages {
        message(&outbox, at, "<a/>").await;
    }
    (outbox, ledger)
}

/// One message of one of three items, caused by a write.
async fn message(outbox: &Outbox, at: u64, xml: &str) {
    let ledger = outbox.ledger();
    let mut one = intent(None, &at.to_string());
    let key = vec![("ITNO".to_owned(), Some(format!("A{}", at % 3)))];
    one.due = vec![Due { key, ..item("Sync", false) }];
    let mut pledge = new(outbox, &one).await;
    pledge.keyed = true;
    pledge.settle(&done("C1")).await;
    let due = ledger.due(Duration::ZERO, Duration::ZERO, 10).await.expect("read");
    let due = due.first().expect("the item is due");
    let made = Made {
        bod_id: format!("bod-{at}"),
        action: "Replace".into(),
        variation: due.variation + 1,
        tenant: String::new(),
        lid: "lid://x".into(),
        division: String::new(),
        entity: "100".into(),
        location: String::new(),
        document_id: due.record[0].clone(),
        created: String::new(),
        xml: xml.into(),
    };
    let points = vec![("point".into(), None), ("other".into(), Some("a rule".into()))];
    let messages = vec![Message { made: Box::new(made), points, shadow: false }];
    let ending = Ending::Made {
        editions: vec![Edition { division: None, messages, told_at: Vec::new(), now: None }],
        seen: None,
    };
    ledger.ended(&[(due.clone(), ending)]).await.expect("kept");
}

#[tokio::test]
async fn a_write_while_its_record_is_read_causes_another_document_with_a_higher_number() {
    let folder = tempfile::tempdir().expect("a folder");
    let (outbox, ledger) = with_messages(folder.path(), 1).await;
    assert!(ledger.due(Duration::ZERO, Duration::ZERO, 10).await.expect("read").is_empty());
    let mut one = intent(None, "again");
    one.due = vec![Due {
        noun: "ItemMaster".into(),
        verb: "Sync".into(),
        key: vec![("ITNO".into(), Some("A0".into()))],
        deletes: false,
        by_division: false,
        before: None,
        absent: false,
        entry: None,
    }];
    let mut marked = Vec::new();
    for _ in 0..2 {
        let mut pledge = new(&outbox, &one).await;
        pledge.keyed = true;
        pledge.settle(&done("C1")).await;
        marked.push(ledger.due(Duration::ZERO, Duration::ZERO, 10).await.expect("read")[0].clone());
    }
    // What was begun before the second write does not cover it.
    ledger.ended(&[(marked[0].clone(), Ending::Nothing("read before"))]).await.expect("kept");
    assert_eq!(ledger.due(Duration::ZERO, Duration::ZERO, 10).await.expect("read").len(), 1);
    ledger.ended(&[(marked[1].clone(), Ending::Nothing("read after"))]).await.expect("kept");
    assert!(ledger.due(Duration::ZERO, Duration::ZERO, 10).await.expect("read").is_empty());
    assert!(ledger.due(Duration::from_secs(60), Duration::from_secs(60), 10).await.expect("read").is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn however_attempts_end_the_messages_of_a_record_arrive_in_their_order(
        ends in proptest::collection::vec((0_usize..4, 0_u8..4), 40)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let arrived = runtime.block_on(async {
            let folder = tempfile::tempdir().expect("a folder");
            let (_outbox, ledger) = with_messages(folder.path(), 9).await;
            let (mut arrived, mut under_way): (Vec<(i64, i64)>, Vec<Delivery>) = (Vec::new(), Vec::new());
            // In the end everything arrives.
            let tail = std::iter::repeat_n((0, 0), 40);
            for (which, end) in ends.into_iter().chain(tail) {
                let busy: Vec<i64> = under_way.iter().map(|one| one.record).collect();
                under_way.extend(ledger.pending("point", &busy, 2).await.expect("read"));
                let mut documents: Vec<i64> = under_way.iter().map(|one| one.record).collect();
                documents.sort_unstable();
                documents.dedup();
                assert_eq!(documents.len(), under_way.len(), "one of a record at a time");
                if under_way.is_empty() {
                    break;
                }
                let one = under_way.remove(which % under_way.len());
                let state = match end {
                    0 | 1 => State::Delivered,
                    2 => State::Pending,
                    _ => State::Failed,
                };
                if state == State::Delivered {
                    arrived.push((one.record, one.kept.id));
                }
                let (wait, took) = (Duration::ZERO, Duration::ZERO);
                let attempt = Attempt { message: one.kept.id, state, counts: true, wait, took, words: "x".into(), answer_within: None };
                ledger.attempted("point", &[attempt]).await.expect("kept");
            }
            assert!(ledger.pending("point", &[], 10).await.expect("read").is_empty(), "nothing is left behind");
            assert!(ledger.pending("other", &[], 10).await.expect("read").is_empty(), "a filter keeps it away");
            arrived
        });
        for (document, message) in &arrived {
            let before = arrived.iter().take_while(|one| *one != &(*document, *message));
            prop_assert!(before.filter(|(of, _)| of == document).all(|(_, earlier)| earlier < message));
        }
    }
}

fn somebody(reason: &str) -> Operator {
    Operator { by: "ann".into(), reason: reason.into() }
}

#[test]
fn a_key_is_bare_or_quoted_printable_and_bounded() {
    let text = |given: &str| IdempotencyKey::parse(given).map(|key| key.text().to_owned());
    assert_eq!(text("8e03978e-40d5"), text("\"8e03978e-40d5\""));
    assert_eq!(text(r#""a\"b\\c""#).as_deref(), Some(r#"a"b\c"#));
    for bad in ["", "\"\"", "\"open", "\"a\"b\"", "\"a\\n\"", "caf\u{e9}", "a\u{7f}", &"x".repeat(256)] {
        assert_eq!(text(bad), None, "{bad:?}");
    }
}

proptest! {
    #[test]
    fn every_printable_key_is_read_back_from_its_quotes(key in "[ -~]{1,255}") {
        let quoted = format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""));
        prop_assert_eq!(IdempotencyKey::parse(&quoted).map(|read| read.text().to_owned()), Some(key));
    }
}
