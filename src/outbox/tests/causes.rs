//! What operators find: which messages tell of a write, what waits for a word of theirs, and orders about much at once.

use super::*;

const MANY: i64 = 6_000;

async fn run(ledger: &Ledger, statement: &'static str) {
    let mut write = ledger.store.write().await.expect("a transaction");
    sqlx::raw_sql(statement).execute(&mut *write).await.expect("runs");
    write.commit().await.expect("commits");
}

async fn settled(outbox: &Outbox, name: &str, due: Vec<Due>) {
    let mut pledge = new(outbox, &Intent { due, ..intent(None, name) }).await;
    pledge.keyed = true;
    pledge.settle(&done("C1")).await;
}

async fn made(ledger: &Ledger, due: &DueDocument, bod_id: &str) {
    let text = |text: &str| text.to_owned();
    let made = Made {
        bod_id: text(bod_id),
        action: text("Replace"),
        variation: due.variation + 1,
        tenant: String::new(),
        lid: text("lid://x"),
        division: String::new(),
        entity: text("100"),
        location: String::new(),
        document_id: text("A0"),
        created: String::new(),
        xml: text("<a/>"),
    };
    let messages = vec![Message { made: Box::new(made), points: vec![(text("point"), None)], shadow: false }];
    let ending = Ending::Made {
        editions: vec![Edition { division: None, messages, told_at: Vec::new(), now: None }],
        seen: None,
    };
    ledger.ended(&[(due.clone(), ending)]).await.expect("kept");
}

#[tokio::test]
async fn each_write_names_the_message_that_tells_of_it_however_many_it_tells_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let ledger = outbox.ledger();
    for name in ["first", "second"] {
        settled(&outbox, name, vec![item("Sync", false)]).await;
    }
    let both = due(&ledger).await.remove(0);
    // While it is read: the next document tells of it.
    settled(&outbox, "third", vec![item("Sync", false)]).await;
    made(&ledger, &both, "one").await;
    let again = due(&ledger).await.remove(0);
    made(&ledger, &again, "two").await;
    settled(&outbox, "fourth", vec![item("Sync", false)]).await;
    for (name, told) in [("first", vec!["one"]), ("second", vec!["one"]), ("third", vec!["two"]), ("fourth", vec![])] {
        let shown = ledger.show(&format!("intent-{name}")).await.expect("shown");
        assert_eq!(shown["messages"], serde_json::json!(told), "{name}: {shown}");
    }
    let ages = Ages { over: Duration::ZERO, stuck: Duration::MAX, keys: Duration::ZERO, entries: Duration::MAX };
    run(&ledger, "UPDATE intents SET settled = 1").await;
    ledger.tidy(ages).await.expect("tidied");
    let (left,): (i64,) =
        sqlx::query_as("SELECT count(*) FROM told").fetch_one(ledger.store.read()).await.expect("a row");
    assert_eq!(left, 0, "it goes with its write");
}

#[tokio::test]
async fn a_write_that_was_done_to_nobody_knows_what_waits_for_somebody_who_says_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let ledger = outbox.ledger();
    let nameless = Due { key: vec![("ITNO".into(), None)], ..item("Sync", false) };
    let mut one = intent(Some("k"), "nameless");
    one.due = vec![nameless];
    new(&outbox, &one).await.settle(&done("C1")).await;
    assert_eq!(ledger.parked().await.expect("counted").0, 1);
    let listed =
        ledger.list(&Wanted { state: Some("parked".into()), most: 9, ..Wanted::default() }).await.expect("read");
    assert!(listed[0]["reason"].as_str().is_some_and(|why| why.contains("--key")), "{listed:?}");
    let again = outbox.open(&one).await;
    assert!(matches!(&again, Ok(Opened::Settled(outcome)) if *outcome == done("C1")), "{again:?}");
    let key = vec![("ITNO".to_owned(), "A7".to_owned())];
    ledger.resolve("intent-nameless", &Resolution::Committed { key }, &somebody("seen")).await.expect("resolved");
    assert_eq!(due(&ledger).await[0].record, ["A7"]);
    let again = outbox.open(&one).await;
    assert!(matches!(&again, Ok(Opened::Settled(outcome)) if *outcome == done("C1")), "{again:?}");
}

#[tokio::test]
async fn what_is_listed_can_be_parked_by_the_name_that_it_is_listed_under() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let ledger = outbox.ledger();
    settled(&outbox, "item", vec![item("Sync", false)]).await;
    run(
        &ledger,
        "INSERT INTO watches (noun, company, division, call, batch, record, asked, cause, since, state, next_try)
            VALUES ('PurchaseOrder', 100, '', 'PPS370MI/FinishEntry', '1', '[\"1\"]', '[\"1\"]', 'x', 1, 'watched', 1)",
    )
    .await;
    for kind in ["document", "entry"] {
        let listed = ledger.list(&Wanted { most: 9, ..Wanted::default() }).await.expect("read");
        let one = listed.iter().find(|one| one["kind"] == kind).expect("it is listed");
        ledger.park(one["id"].as_str().expect("an id"), &somebody("not now")).await.expect("parked");
    }
    assert!(due(&ledger).await.is_empty() && ledger.watched(9).await.expect("read").is_empty());
    let listed = ledger.list(&Wanted { most: 9, ..Wanted::default() }).await.expect("read");
    assert!(listed.iter().all(|one| one["reason"] == "not now"), "{listed:?}");
    assert!(ledger.park("document:4711", &somebody("x")).await.is_err());
}

#[tokio::test]
async fn an_order_about_much_is_carried_out_in_rounds_and_goes_on_where_it_was_interrupted() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_outbox, ledger) = with_messages(folder.path(), 1).await;
    run(
        &ledger,
        "WITH RECURSIVE n(at) AS (SELECT 2 UNION ALL SELECT at + 1 FROM n WHERE at < 6000)
         INSERT INTO messages SELECT at, document, bod_id || at, noun, verb, action, variation + at, tenant, lid, company,
            division, entity, location, document_id, created, cause, made, xml, marks, shadow FROM n, messages;
         INSERT INTO deliveries (message, point, document, record, state, changed)
            SELECT id, 'gone', document, document, 'parked', 1 FROM messages;
         CREATE TRIGGER full BEFORE INSERT ON changes WHEN NEW.message = 5500 BEGIN SELECT RAISE(ABORT, 'full'); END",
    )
    .await;
    let parked = async || {
        let count = "SELECT count(*) FROM deliveries WHERE point = 'gone' AND state = 'parked'";
        let (count,): (i64,) = sqlx::query_as(count).fetch_one(ledger.store.read()).await.expect("a row");
        count
    };
    let all = Dropped::Of("gone".into());
    ledger.discard(&all, &somebody("no longer")).await.expect_err("in the middle");
    assert_eq!(parked().await, MANY - 5_000, "nobody waits for all of it to write");
    assert_eq!(
        orders(&ledger).await.iter().map(|one| one.1).collect::<Vec<_>>(),
        [5_000],
        "what was done is written down"
    );
    run(&ledger, "DROP TRIGGER full").await;
    assert_eq!(ledger.discard(&all, &somebody("no longer")).await.expect("the rest"), 1_000);
    let orders = orders(&ledger).await;
    assert_eq!((parked().await, orders.iter().map(|one| one.1).sum::<u64>()), (0, 6_000));
    assert_ne!(orders[0].0, orders[1].0, "it was given twice");
}

/// By its name, and what each round of it changed.
async fn orders(ledger: &Ledger) -> Vec<(String, u64)> {
    let said = |order: Order| {
        let name = order.members["order"].as_str().expect("a name").to_owned();
        (name, order.members["changed"].as_u64().expect("a number"))
    };
    ledger.orders().await.expect("read").into_iter().map(said).collect()
}

/// So many messages of one record, each for three points, so that a round ends between the ways of one.
async fn many(folder: &Path) -> (Outbox, Ledger) {
    let (outbox, ledger) = with_messages(folder, 1).await;
    run(
        &ledger,
        "WITH RECURSIVE n(at) AS (SELECT 2 UNION ALL SELECT at + 1 FROM n WHERE at < 6000)
         INSERT INTO messages SELECT at, document, bod_id || at, noun, verb, action, variation + at, tenant, lid, company,
            division, entity, location, document_id, created, cause, at * 10, xml, marks, shadow FROM n, messages;
         DELETE FROM deliveries;
         INSERT INTO deliveries (message, point, document, record, state, changed)
            SELECT messages.id, value, document, document, 'delivered', 1 FROM messages, json_each('[\"one\", \"two\", \"three\"]')",
    )
    .await;
    (outbox, ledger)
}

async fn replayed(ledger: &Ledger) -> i64 {
    let count = "SELECT count(*) FROM deliveries WHERE state = 'replayed'";
    let (count,): (i64,) = sqlx::query_as(count).fetch_one(ledger.store.read()).await.expect("a row");
    count
}

#[tokio::test]
async fn all_that_is_meant_is_sent_again_however_many_looks_that_takes() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_outbox, ledger) = many(folder.path()).await;
    let who = somebody("they lost all of it");
    let of = |since, until, point: Option<&str>| Selection {
        noun: Some("ItemMaster".into()),
        since,
        until,
        point: point.map(str::to_owned),
        ..Selection::default()
    };
    // From an instant on, and up to another one that is not meant any more.
    let some = ledger.replay_all(&of(Some(100), Some(200), Some("one")), false, &who).await.expect("ordered");
    assert_eq!((some, replayed(&ledger).await), (10, 10));
    let all = ledger.replay_all(&of(None, None, None), false, &who).await.expect("ordered");
    assert_eq!((all, replayed(&ledger).await), (3 * 6_000 - 10, 3 * 6_000), "each way once");
    assert_eq!(ledger.replay_all(&of(Some(i64::MAX), None, None), true, &who).await.expect("ordered"), 0);
    assert_eq!(ledger.replay_all(&of(None, None, None), true, &who).await.expect("ordered"), 1, "it is one record");
    let mut changed: Vec<(String, u64)> = Vec::new();
    for (name, many) in orders(&ledger).await {
        match changed.last_mut().filter(|last| last.0 == name) {
            Some(last) => last.1 += many,
            None => changed.push((name, many)),
        }
    }
    assert_eq!(changed.iter().map(|one| one.1).collect::<Vec<_>>(), [some, all, 0, 1], "each by its name");
}

#[tokio::test]
async fn all_that_waits_for_a_point_that_is_gone_is_parked_however_many_looks_that_takes() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_outbox, ledger) = many(folder.path()).await;
    run(&ledger, "UPDATE deliveries SET state = CASE point WHEN 'one' THEN 'pending' ELSE 'sent' END").await;
    assert_eq!(ledger.only(&["two".into(), "three".into()]).await.expect("parked"), 6_000);
    assert_eq!(ledger.only(&["one".into(), "two".into(), "three".into()]).await.expect("taken up"), 6_000);
    assert_eq!(replayed(&ledger).await, 6_000);
}

#[tokio::test]
async fn a_record_that_is_written_again_and_again_is_told_after_its_longest_wait() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let ledger = outbox.ledger();
    settled(&outbox, "first", vec![item("Sync", false)]).await;
    run(&ledger, "UPDATE documents SET since = since - 60000").await;
    settled(&outbox, "just now", vec![item("Sync", false)]).await;
    let hour = Duration::from_secs(3_600);
    let waiting = async |longest: u64| {
        let due = ledger.due(hour, Duration::from_secs(longest), 9).await.expect("read").len();
        (
            due,
            ledger
                .until_due(hour, Duration::from_secs(longest), &Held::default())
                .await
                .expect("read")
                .expect("it waits"),
        )
    };
    assert_eq!(waiting(30).await, (1, Duration::ZERO), "it has waited for longer");
    let (due, next) = waiting(120).await;
    assert!(due == 0 && next > Duration::from_secs(50) && next <= Duration::from_secs(60), "{due} {next:?}");
}

#[tokio::test]
async fn a_record_is_told_once_every_bulk_call_that_has_written_to_it_is_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let ledger = outbox.ledger();
    let calls = ["a", "b"].map(|name| outbox.bulk(name));
    for (name, bulk) in [("a-1", calls.first()), ("b-1", calls.last()), ("alone", None), ("a-2", calls.first())] {
        let due = vec![item("Sync", false)];
        let mut pledge = new(&outbox, &Intent { bulk: bulk.cloned(), due, ..intent(None, name) }).await;
        pledge.keyed = true;
        pledge.settle(&done("C1")).await;
    }
    let zero = Duration::ZERO;
    let due = async |bulks: Vec<String>| {
        let beside = Held { bulks, ..Held::default() };
        let next = ledger.until_due(zero, zero, &beside).await.expect("read");
        let (due, _) = ledger.due_beside(zero, zero, 10, &beside).await.expect("read");
        assert_eq!(next.is_some(), !due.is_empty(), "nobody looks again and again for what waits");
        due
    };
    for call in calls {
        assert!(due(outbox.bulks().running()).await.is_empty(), "{call:?} runs");
        drop(call);
    }
    let over = due(outbox.bulks().running()).await;
    assert_eq!(over.iter().map(|due| due.marks).collect::<Vec<_>>(), [4], "one document tells of all of it");
    made(&ledger, &over[0], "bod-1").await;
    // A write of one that is over, of which nothing was known till now.
    let again = outbox.bulk("c");
    settled(&outbox, "later", vec![item("Sync", false)]).await;
    assert_eq!(due(outbox.bulks().running()).await.len(), 1, "{again:?} has not written to it");
    // Of many that came one after the other the last are known, and no list grows for ever.
    for at in 0..100 {
        let (bulk, due) = (Some(outbox.bulk(&format!("many-{at}"))), vec![item("Sync", false)]);
        let mut pledge = new(&outbox, &Intent { bulk, due, ..intent(None, &format!("many-{at}-1")) }).await;
        pledge.keyed = true;
        pledge.settle(&done("C1")).await;
    }
    assert!(due(vec!["many-99".into()]).await.is_empty());
    // However many come one after the other: after a while it is told all the same.
    let mut write = ledger.store.write().await.expect("a transaction");
    let earlier = "UPDATE documents SET since = since - 900000 WHERE since IS NOT NULL";
    sqlx::raw_sql(earlier).execute(&mut *write).await.expect("as if a quarter of an hour ago");
    write.commit().await.expect("commits");
    assert_eq!(due(vec!["many-99".into()]).await.len(), 1);
    let known = "SELECT json_array_length(bulks) FROM documents WHERE bulks IS NOT NULL";
    let (known,): (i64,) = sqlx::query_as(known).fetch_one(ledger.store.read()).await.expect("a row");
    assert_eq!(known, 64);
}
