//! What somebody is told who orders something that means nothing for what he names; and what is shown by its name.

use super::*;

async fn attempted(ledger: &Ledger, message: i64, state: State) {
    ledger.pending("point", &[], 10).await.expect("taken");
    let (wait, took, words) = (Duration::ZERO, Duration::ZERO, String::new());
    let attempt = Attempt { message, state, counts: true, wait, took, words, answer_within: None };
    ledger.attempted("point", &[attempt]).await.expect("kept");
}

/// It is there, and this says what it is and what fits.
fn unfit(order: &str, refused: Result<(), Error>, said: &[&str]) {
    let error = refused.expect_err(order);
    assert!(matches!(error, Error::Unfit { .. }) && error.is_of_the_order(), "{order}: {error}");
    let told = error.to_string();
    said.iter().for_each(|part| assert!(told.contains(part), "{order}: {part} in {told}"));
}

#[tokio::test]
async fn an_order_about_what_is_of_another_kind_or_state_says_what_it_is_and_what_fits() {
    let folder = tempfile::tempdir().expect("a folder");
    let (outbox, ledger) = with_messages(folder.path(), 1).await;
    let who = somebody("by mistake");
    attempted(&ledger, 1, State::Delivered).await;
    let committed = Resolution::Committed { key: Vec::new() };
    let resolve = async |id: &str| ledger.resolve(id, &committed, &who).await;
    let discard = async |id: &str| ledger.discard(&Dropped::One(id.into()), &who).await.map(drop);
    let way = ["a message (Sync.ItemMaster), filtered at other, delivered at point", "`replay`"];
    unfit("resolve a message", resolve("bod-0").await, &way);
    unfit("park what is delivered", ledger.park("bod-0", &who).await, &way);
    unfit("drop what is delivered", discard("bod-0").await, &way);
    let write = ["a write (CRS610MI/ChgBasicData) that is committed", "`outbox show`"];
    unfit("replay a write", ledger.replay("intent-0", false, &who).await, &write);
    unfit("resolve what is settled", resolve("intent-0").await, &write);
    let document = ["the document Sync.ItemMaster of [\"A0\"], and nothing of it is due", "`replay`"];
    unfit("drop what is not due", discard("document:1").await, &document);
    unfit("resolve a document", resolve("document:1").await, &document);
    new(&outbox, &intent(None, "lost")).await.lose();
    until("it is unknown", || async { count(folder.path(), "state = 'unknown'").await == 1 }).await;
    unfit("drop a write", discard("intent-lost").await, &["that is unknown", "`resolve`, `park`"]);
    let point = ledger.discard(&Dropped::Of("point".into()), &who).await.map(drop);
    unfit("drop at a point", point, &["a point", "nothing is parked, failed or expired"]);
    theirs::arrives(&ledger, "of-m3", "<a/>").await;
    unfit("drop one of M3's own", discard("of-m3").await, &["M3's own publisher", "`outbox show`"]);
    assert!(ledger.orders().await.expect("read").is_empty(), "nothing of it was done");
    for nothing in ["bod-7", "document:7", "entry:7", "intent-7"] {
        assert!(matches!(discard(nothing).await, Err(Error::Unknown { .. })), "{nothing}");
    }
}

#[tokio::test]
async fn what_has_a_number_of_the_outboxs_own_is_shown_by_it_as_it_is_listed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (outbox, ledger) = with_messages(folder.path(), 1).await;
    assert_eq!(ledger.show("document:1").await.expect("shown")["state"], "over");
    let mut pledge = new(&outbox, &Intent { due: vec![item("Sync", false)], ..intent(None, "x") }).await;
    pledge.keyed = true;
    pledge.settle(&done("C1")).await;
    let listed = ledger.list(&Wanted { state: Some("due".into()), most: 9, ..Wanted::default() }).await.expect("read");
    assert_eq!(ledger.show("document:1").await.expect("shown"), listed[0]);
    assert!(matches!(ledger.show("entry:1").await, Err(Error::Unknown { .. })));
}

#[tokio::test]
async fn what_is_listed_is_of_the_time_that_is_asked_for_whatever_kind_it_is_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let (outbox, ledger) = with_messages(folder.path(), 2).await;
    let mut pledge = new(&outbox, &Intent { due: vec![item("Sync", false)], ..intent(None, "due") }).await;
    pledge.keyed = true;
    pledge.settle(&done("C1")).await;
    new(&outbox, &intent(None, "lost")).await.lose();
    until("it is unknown", || async { count(folder.path(), "state = 'unknown'").await == 1 }).await;
    theirs::arrives(&ledger, "of-m3", "<a/>").await;
    let mut write = ledger.store.write().await.expect("a transaction");
    let times = "UPDATE messages SET made = id * 100; UPDATE documents SET since = 300 WHERE since IS NOT NULL;
        UPDATE intents SET opened = 400 WHERE state = 'unknown'; UPDATE theirs SET at = 500;
        INSERT INTO watches (noun, company, division, call, batch, record, asked, cause, since, state, next_try)
            VALUES ('PurchaseOrder', 100, '', 'PPS370MI/FinishEntry', '1', '[\"1\"]', '[\"1\"]', 'x', 600, 'watched', 1)";
    sqlx::raw_sql(times).execute(&mut *write).await.expect("at their times");
    write.commit().await.expect("commits");
    let kinds = async |since, until| {
        let wanted = Wanted { since, until, most: 99, ..Wanted::default() };
        let listed = ledger.list(&wanted).await.expect("read");
        listed.iter().map(|one| one["kind"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let all = kinds(None, None).await.len();
    assert_eq!(all, 8, "two messages, each at two points, and one of each other kind");
    for (at, kind) in [(300, "document"), (400, "write"), (500, "theirs"), (600, "entry")] {
        assert_eq!(kinds(Some(at), Some(at + 1)).await, [kind], "{at}");
    }
    assert_eq!(kinds(Some(200), Some(300)).await, ["message"; 2], "at, and before");
    assert_eq!(kinds(Some(601), None).await.len() + kinds(None, Some(100)).await.len(), 0);
}

#[tokio::test]
async fn a_filtered_delivery_is_shown_with_the_rule_that_keeps_it_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_outbox, ledger) = with_messages(folder.path(), 1).await;
    let shown = ledger.show("bod-0").await.expect("shown");
    let way = shown["points"].as_array().expect("ways").iter().find(|way| way["point"] == "other").expect("it");
    assert_eq!((&way["state"], &way["reason"]), (&"filtered".into(), &"a rule".into()), "{shown}");
    let wanted = Wanted { state: Some("filtered".into()), most: 9, ..Wanted::default() };
    let listed = ledger.list(&wanted).await.expect("read");
    assert_eq!((listed.len(), &listed[0]["reason"]), (1, &"a rule".into()), "{listed:?}");
}

#[tokio::test]
async fn a_number_that_is_found_under_another_name_than_its_documents_is_parked_and_never_dropped() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let ledger = outbox.ledger();
    let mut one = intent(Some("k"), "head");
    one.due = vec![Due { key: vec![("OAORNO".into(), None)], ..item("Sync", false) }];
    new(&outbox, &one).await.lose();
    until("it is unknown", || async { count(folder.path(), "state = 'unknown'").await == 1 }).await;
    let found = Verdict::Found { number: ("ORNO".into(), "4711".into()), by: "CUOR".into() };
    let question = asked(&ledger, 0).await.remove(0);
    ledger.answer(&question, &found).await.expect("kept");
    let shown = ledger.show("intent-head").await.expect("shown");
    let reason = shown["reason"].as_str().unwrap_or_default();
    assert!(shown["state"] == "parked" && reason.contains("ORNO 4711") && reason.contains("OAORNO"), "{shown}");
    let again = outbox.open(&one).await;
    assert!(matches!(&again, Ok(Opened::Settled(Outcome::Done { .. }))), "what became of it is known: {again:?}");
    assert!(due(&ledger).await.is_empty());
    let key = vec![("OAORNO".to_owned(), "4711".to_owned())];
    ledger.resolve("intent-head", &Resolution::Committed { key }, &somebody("as it says")).await.expect("resolved");
    assert_eq!(due(&ledger).await[0].record, ["4711"]);
}

#[tokio::test]
async fn of_a_write_that_was_found_by_a_part_of_its_name_somebody_says_the_parts_that_it_is_parked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let ledger = outbox.ledger();
    let mut one = intent(Some("k"), "line");
    one.due = vec![Due { key: vec![("ORNO".into(), None), ("PONR".into(), None)], ..item("Sync", false) }];
    new(&outbox, &one).await.lose();
    until("it is unknown", || async { count(folder.path(), "state = 'unknown'").await == 1 }).await;
    let found = Verdict::Found { number: ("ORNO".into(), "4711".into()), by: "CUOR".into() };
    let question = asked(&ledger, 0).await.remove(0);
    ledger.answer(&question, &found).await.expect("kept");
    let shown = ledger.show("intent-line").await.expect("shown");
    let reason = shown["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("has PONR, which"), "{shown}");
    let resolve = async |key: &[(&str, &str)]| {
        let key = key.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        ledger.resolve("intent-line", &Resolution::Committed { key }, &somebody("as it says")).await
    };
    let other = resolve(&[("ORNO", "4712"), ("PONR", "1")]).await;
    assert!(matches!(other, Err(Error::NoSuchPart { .. })), "M3 has it as another one: {other:?}");
    resolve(&[("PONR", "1")]).await.expect("resolved");
    assert_eq!(due(&ledger).await[0].record, ["4711", "1"]);
}
