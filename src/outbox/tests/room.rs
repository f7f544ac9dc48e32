//! Room: what is over makes place for what comes, and what is owed does not.

use super::*;
use futures_util::FutureExt;
use std::sync::Arc;

const MOST: u64 = 1_024 * 1_024;

/// With more bytes of messages than it may hold.
async fn full(folder: &Path) -> Outbox {
    let settings = Settings { most_bytes: MOST, ..Settings::under(folder.join("outbox")) };
    let outbox = Outbox::start(settings, Coverage::default(), &Metrics::new(), &Tasks::new()).await.expect("starts");
    let large = "x".repeat(64 * 1_024);
    for at in 0..24 {
        message(&outbox, at, &large).await;
    }
    outbox
}

async fn deliver(ledger: &Ledger, messages: std::ops::RangeInclusive<i64>) {
    let arrived = |message| Attempt {
        message,
        state: State::Delivered,
        counts: true,
        wait: Duration::ZERO,
        took: Duration::ZERO,
        words: String::new(),
        answer_within: None,
    };
    let mut write = ledger.store.write().await.expect("a transaction");
    sqlx::raw_sql("UPDATE deliveries SET state = 'sent' WHERE point = 'point'")
        .execute(&mut *write)
        .await
        .expect("sent");
    write.commit().await.expect("commits");
    ledger.attempted("point", &messages.map(arrived).collect::<Vec<_>>()).await.expect("kept");
}

async fn kept(ledger: &Ledger) -> Vec<i64> {
    let rows: Vec<(i64,)> =
        sqlx::query_as("SELECT id FROM messages ORDER BY id").fetch_all(ledger.store.read()).await.expect("rows");
    rows.into_iter().map(|(id,)| id).collect()
}

#[tokio::test]
async fn an_outbox_that_is_damaged_while_it_is_open_refuses_writes_and_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let (outbox, _ledger) = with_messages(folder.path(), 3).await;
    let file = folder.path().join("outbox/gateway.db");
    let beside = Store::open(&folder.path().join("outbox")).await.expect("opens");
    sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(beside.read()).await.expect("all of it is in the file");
    let whole = std::fs::read(&file).expect("the file");
    let page = 4_096;
    let damaged: Vec<u8> = whole[..page].iter().copied().chain(std::iter::repeat_n(b'x', whole.len() - page)).collect();
    std::fs::write(&file, damaged).expect("written over");
    let refused = outbox.open(&intent(None, "after")).await.expect_err("nothing is taken on");
    assert!(matches!(refused, Error::Unwritten(_)), "{refused}");
    let told = outbox.status().expect_err("readiness says so");
    assert!(told.contains("is damaged") && told.contains("sqlite3 gateway.db .recover"), "{told}");
}

#[tokio::test]
async fn what_was_delivered_keeps_nobody_from_writing() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = full(folder.path()).await;
    let ledger = outbox.ledger();
    deliver(&ledger, 1..=24).await;
    outbox.make_room().await.expect("tidied");
    new(&outbox, &intent(None, "room")).await.withdraw();
    assert!(outbox.status().is_ok() && ledger.bytes().await.expect("weighed") < MOST);
    assert_eq!(
        ledger.list(&Wanted { state: Some("pending".into()), most: 9, ..Wanted::default() }).await.expect("read").len(),
        0
    );
}

#[tokio::test]
async fn an_outbox_that_starts_full_of_what_was_delivered_takes_on_writes_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let before = full(folder.path()).await;
    deliver(&before.ledger(), 1..=24).await;
    drop(before);
    let settings = Settings { most_bytes: MOST, ..Settings::under(folder.path().join("outbox")) };
    let after = Outbox::start(settings, Coverage::default(), &Metrics::new(), &Tasks::new()).await.expect("starts");
    new(&after, &intent(None, "room")).await.withdraw();
}

#[tokio::test]
async fn what_is_owed_is_never_taken_out_and_refuses_what_is_new_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = full(folder.path()).await;
    let ledger = outbox.ledger();
    let (settled, other) = (intent(Some("k1"), "a"), intent(Some("k1"), "b"));
    let mut pledge = new(&outbox, &settled).await;
    pledge.keyed = true;
    pledge.settle(&done("C1")).await;
    let _open = new(&outbox, &intent(Some("k2"), "a")).await;
    // Of what was delivered there is too little.
    deliver(&ledger, 1..=2).await;
    outbox.make_room().await.expect("tidied");
    assert_eq!(kept(&ledger).await, (3..=24).collect::<Vec<_>>());
    assert!(matches!(outbox.open(&intent(None, "new")).await, Err(Error::TooLarge(_))));
    assert!(matches!(outbox.open(&intent(Some("k3"), "new")).await, Err(Error::TooLarge(_))));
    // A word that was given is given again.
    assert!(matches!(outbox.open(&settled).await, Ok(Opened::Settled(outcome)) if outcome == done("C1")));
    assert!(matches!(outbox.open(&intent(Some("k2"), "a")).await, Ok(Opened::InFlight)));
    assert!(matches!(outbox.open(&other).await, Ok(Opened::OtherRequest)));
}

#[tokio::test]
async fn documents_that_are_only_compared_keep_nobody_from_writing_and_go_after_all_that_is_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = full(folder.path()).await;
    let ledger = outbox.ledger();
    deliver(&ledger, 1..=24).await;
    let large = "x".repeat(64 * 1_024);
    for at in 0..4 {
        theirs::arrives(&ledger, &format!("of-m3-{at}"), &large).await;
    }
    assert!(outbox.make_room().await.expect("tidied").is_empty(), "what is over made room");
    for at in 4..550 {
        theirs::arrives(&ledger, &format!("of-m3-{at}"), &large[..8 * 1_024]).await;
    }
    let given_up = outbox.make_room().await.expect("tidied");
    assert_eq!((given_up[0].bod_id.as_str(), given_up[0].result), ("of-m3-0", "given-up"), "the oldest first");
    new(&outbox, &intent(None, "room")).await.withdraw();
    assert!(outbox.status().is_ok() && ledger.bytes().await.expect("weighed") < MOST);
    ledger.show("of-m3-549").await.expect("no more than has to goes");
}

#[tokio::test]
async fn documents_that_are_given_up_when_an_outbox_starts_are_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let before = outbox(folder.path()).await;
    theirs::arrives(&before.ledger(), "of-m3", "<a/>").await;
    drop(before);
    let settings = Settings { most_bytes: 1, ..Settings::under(folder.path().join("outbox")) };
    let metrics = Metrics::new();
    let _after = Outbox::start(settings, Coverage::default(), &metrics, &Tasks::new()).await.expect("starts");
    assert_eq!(metrics.publishing.compared.with_label_values(&["Sync.ItemMaster", "given-up"]).get(), 1);
}

fn seeing(outbox: &Outbox, before: Before) {
    outbox.looks_with(Arc::new(move |_, _| {
        let before = before.clone();
        Box::pin(async move { before })
    }));
}

fn delete(value: &str) -> Intent {
    Intent { due: vec![item("Sync", true)], ..intent(None, value) }
}

async fn settled(outbox: &Outbox, intent: &Intent) {
    let mut pledge = new(outbox, intent).await;
    pledge.keyed = true;
    pledge.settle(&done("C1")).await;
}

#[tokio::test]
async fn what_was_seen_before_a_delete_is_on_the_disk_once_and_with_its_document_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    seeing(&outbox, Before::Image("[\"as it was\"]".into()));
    let mut pledge = new(&outbox, &delete("a")).await;
    assert_eq!(pledge.due[0].before, None, "it is not held while M3 is asked");
    assert_eq!(count(folder.path(), "told LIKE '%as it was%'").await, 1);
    pledge.keyed = true;
    pledge.settle(&done("C1")).await;
    assert_eq!(due(&outbox.ledger()).await[0].before.as_deref(), Some("[\"as it was\"]"));
    assert_eq!(count(folder.path(), "told = '[]'").await, 1);
    // What M3 refuses leaves nothing behind either.
    new(&outbox, &delete("b"))
        .await
        .settle(&Outcome::Refused { message: String::new(), id: String::new(), field: None })
        .await;
    until("it is settled", || async { count(folder.path(), "state = 'refused' AND told = '[]'").await == 1 }).await;
}

#[tokio::test]
async fn a_delete_that_was_lost_keeps_what_was_seen_before_it_until_it_is_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let ledger = outbox.ledger();
    seeing(&outbox, Before::Image("seen".into()));
    new(&outbox, &delete("a")).await.lose();
    until("it is unknown", || async { count(folder.path(), "state = 'unknown'").await == 1 }).await;
    let question = asked(&ledger, 0).await.remove(0);
    ledger.answer(&question, &Verdict::Committed).await.expect("kept");
    assert_eq!(due(&ledger).await[0].before.as_deref(), Some("seen"));
    assert_eq!(count(folder.path(), "told = '[]'").await, 1);
}

#[tokio::test]
async fn deletes_hold_no_more_than_so_many_bytes_of_what_they_saw() {
    let images = images::Images::default();
    let mebibyte = "x".repeat(1_024 * 1_024);
    images.look_with(Arc::new(move |_, _| {
        let seen = Before::Image(mebibyte.clone());
        Box::pin(async move { seen })
    }));
    let mut held = Vec::new();
    while let Some((intent, room)) = images.looked_at(delete("a")).now_or_never() {
        assert!(intent.due[0].before.is_some());
        held.push(room);
        assert!(held.len() <= 64, "there is an end to it");
    }
    assert!(held.len() > 32, "{}", held.len());
    // One that waits gets the room of one that is on the disk.
    held.truncate(32);
    assert!(images.looked_at(delete("b")).now_or_never().is_some_and(|(intent, _)| intent.due[0].before.is_some()));
}

#[tokio::test]
async fn what_was_not_there_is_told_as_gone_to_whom_it_was_told_and_to_nobody_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let ledger = outbox.ledger();
    seeing(&outbox, Before::Absent);
    settled(&outbox, &delete("nobody")).await;
    assert!(due(&ledger).await.is_empty());
    // Somebody deleted in M3 itself what receivers have.
    message(&outbox, 0, "<a/>").await;
    settled(&outbox, &delete("somebody")).await;
    let due = due(&ledger).await;
    assert!(due.len() == 1 && due[0].deletes && due[0].record == ["A0"], "{due:?}");
}

#[tokio::test]
async fn a_disk_that_is_full_refuses_what_is_new_loses_no_outcome_and_is_noticed_when_it_has_room_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let ledger = outbox.ledger();
    let pledge = new(&outbox, &intent(None, "before")).await;
    let pages = async |most: i64| {
        let mut write = ledger.store.write().await.expect("a transaction");
        let bound = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {most}"));
        sqlx::raw_sql(bound).execute(&mut *write).await.expect("bounded");
        write.commit().await.expect("commits");
    };
    // No less than there are.
    pages(1).await;
    let large = "x".repeat(16 * 1_024);
    let mut refused = None;
    for at in 0..64 {
        match outbox.open(&intent(Some(&format!("k{at}")), &large)).await {
            Ok(Opened::New(pledge)) => pledge.withdraw(),
            other => refused = refused.or(other.err()),
        }
    }
    assert!(matches!(&refused, Some(Error::Unwritten(why)) if why.contains("full")), "{refused:?}");
    assert!(outbox.status().is_err());
    pledge.settle(&done("C1")).await;
    pages(1_000_000).await;
    until("it is noticed", || async { outbox.status().is_ok() }).await;
    until("the outcome is kept", || async {
        count(folder.path(), "name = 'intent-before' AND state = 'committed'").await == 1
    })
    .await;
    new(&outbox, &intent(None, "after")).await.withdraw();
}

#[tokio::test]
async fn what_nobody_knows_and_what_is_not_made_is_counted_with_its_age() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let ledger = outbox.ledger();
    new(&outbox, &intent(None, "lost")).await.lose();
    let due = Intent { due: vec![item("Sync", false)], ..intent(None, "due") };
    settled(&outbox, &due).await;
    until("it is unknown", || async { count(folder.path(), "state = 'unknown'").await == 1 }).await;
    let mut write = ledger.store.write().await.expect("a transaction");
    let older = "UPDATE intents SET opened = opened - 60000; UPDATE documents SET since = since - 120000";
    sqlx::raw_sql(older).execute(&mut *write).await.expect("older");
    write.commit().await.expect("commits");
    let (writes, documents) = ledger.unsettled().await.expect("counted");
    assert!(writes.many == 1 && (60..120).contains(&writes.oldest), "{writes:?}");
    assert!(documents.many == 1 && (120..180).contains(&documents.oldest), "{documents:?}");
}
