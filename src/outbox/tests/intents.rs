//! Intents: who goes away, disks that are full, and what became of a write.

use super::*;
use futures_util::{FutureExt, poll};

#[tokio::test]
async fn an_intent_whose_opener_went_away_is_taken_back_wherever_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let first = intent(Some("k1"), "a");
    // Before the writer saw it.
    assert!(outbox.open(&first).now_or_never().is_none());
    new(&outbox, &first).await.withdraw();
    // While the disk is busy.
    let other = Store::open(&folder.path().join("outbox")).await.expect("opens");
    let lock = other.write().await.expect("a transaction");
    let mut opening = Box::pin(outbox.open(&first));
    for _ in 0..100 {
        assert!(poll!(&mut opening).is_pending());
        tokio::task::yield_now().await;
    }
    drop(opening);
    lock.rollback().await.expect("released");
    new(&outbox, &first).await.withdraw();
    // Written, and told to nobody.
    let second = intent(Some("k2"), "b");
    let mut opening = Box::pin(outbox.open(&second));
    assert!(poll!(&mut opening).is_pending());
    until("it is written", || async { count(folder.path(), "name = 'intent-b'").await == 1 }).await;
    drop(opening);
    new(&outbox, &second).await.withdraw();
    until("nothing is left", || async { count(folder.path(), "true").await == 0 }).await;
}

#[tokio::test]
async fn a_full_queue_loses_neither_who_went_away_nor_what_became_unknown() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let lost = new(&outbox, &intent(None, "lost")).await;
    let waits = (0..).take_while(|at| outbox.open(&intent(None, &at.to_string())).now_or_never().is_none()).count();
    assert!(waits > 1_000, "{waits}");
    lost.lose();
    until("what was lost is unknown", || async { count(folder.path(), "state = 'unknown'").await == 1 }).await;
    until("the others left nothing", || async { count(folder.path(), "state = 'open'").await == 0 }).await;
}

#[tokio::test]
async fn much_that_is_said_at_once_is_written_whole_and_before_the_end() {
    const MANY: usize = 1_201;
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let of = |at: usize| Due { key: vec![("ITNO".into(), Some(format!("A{}", at % 7)))], ..item("Sync", false) };
    let intents: Vec<Intent> =
        (0..MANY).map(|at| Intent { due: vec![of(at)], ..intent(None, &at.to_string()) }).collect();
    let pledges = futures_util::future::join_all(intents.iter().map(|intent| new(&outbox, intent))).await;
    let awaited = new(&outbox, &intent(Some("k1"), "awaited")).await;
    // While the disk is busy.
    let other = Store::open(&folder.path().join("outbox")).await.expect("opens");
    let lock = other.write().await.expect("a transaction");
    for (at, pledge) in pledges.into_iter().enumerate() {
        match at % 3 {
            0 => pledge.settle(&done(&format!("C{at}"))).await,
            1 => pledge.lose(),
            _ => pledge.withdraw(),
        }
    }
    let outcome = done("C9");
    let (released, ()) = tokio::join!(lock.rollback(), awaited.settle(&outcome));
    released.expect("released");
    let kept = "name = 'intent-awaited' AND state = 'committed'";
    assert_eq!(
        count(folder.path(), kept).await,
        1,
        "who waits is told when it is on the disk, however much is before it"
    );
    assert!(outbox.finish(Duration::from_secs(60)).await);
    for (state, many) in [("committed", 402), ("unknown", 400), ("open", 0)] {
        assert_eq!(count(folder.path(), &format!("state = '{state}'")).await, many, "{state}");
    }
    assert_eq!(count(folder.path(), "id IN (SELECT intent FROM told)").await, 401);
    let due = due(&outbox.ledger()).await;
    assert_eq!((due.len(), due.iter().map(|one| one.marks).sum::<i64>()), (7, 401));
}

#[tokio::test]
async fn a_store_that_can_be_written_again_says_so_though_nobody_writes() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let full = Store::open(&folder.path().join("outbox")).await.expect("opens");
    let mut write = full.write().await.expect("a transaction");
    let trigger = "CREATE TRIGGER full BEFORE INSERT ON intents BEGIN SELECT RAISE(ABORT, 'disk full'); END";
    sqlx::raw_sql(trigger).execute(&mut *write).await.expect("a trigger");
    write.commit().await.expect("commits");
    assert!(matches!(outbox.open(&intent(None, "a")).await, Err(Error::Unwritten(_))));
    // Once more without a word from anybody.
    tokio::time::timeout(Duration::from_millis(1_200), std::future::pending::<()>()).await.expect_err("never ends");
    assert!(outbox.status().is_err_and(|why| why.contains("disk full")));
    let mut write = full.write().await.expect("a transaction");
    sqlx::raw_sql("DROP TRIGGER full").execute(&mut *write).await.expect("dropped");
    write.commit().await.expect("commits");
    until("it is ready again", || async { outbox.status().is_ok() }).await;
    assert_eq!(count(folder.path(), "true").await, 0, "the trial leaves nothing");
}

#[tokio::test]
async fn a_bug_costs_a_round_and_not_the_writer_and_an_ended_writer_is_not_ready() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let pledge = new(&outbox, &intent(None, "before")).await;
    let with_it = intent(None, "with it");
    let mut opening = Box::pin(outbox.open(&with_it));
    assert!(poll!(&mut opening).is_pending());
    outbox.meet_bug();
    let with_it = opening.await;
    assert!(matches!(with_it, Err(Error::Unwritten(_))), "{with_it:?}");
    assert!(outbox.status().is_err_and(|why| why.contains("bug")));
    pledge.settle(&done("C1")).await;
    new(&outbox, &intent(None, "after")).await.withdraw();
    assert!(outbox.status().is_ok());
    until("it is settled", || async { count(folder.path(), "state = 'committed'").await == 1 }).await;
    assert!(outbox.finish(Duration::from_secs(10)).await);
    until("its end is seen", || async { outbox.status().is_err_and(|why| why.contains("ended")) }).await;
    assert!(matches!(outbox.open(&intent(None, "too late")).await, Err(Error::Unwritten(_))));
}

#[tokio::test]
async fn m3_is_left_alone_with_a_write_from_the_moment_that_it_became_unknown() {
    let folder = tempfile::tempdir().expect("a folder");
    let before = outbox(folder.path()).await;
    let store = Store::open(&folder.path().join("outbox")).await.expect("opens");
    let (lost, cut) = (new(&before, &intent(None, "lost")).await, new(&before, &intent(None, "cut")).await);
    // Both were begun long ago.
    let mut write = store.write().await.expect("a transaction");
    sqlx::query("UPDATE intents SET opened = 1").execute(&mut *write).await.expect("older");
    write.commit().await.expect("commits");
    lost.lose();
    until("it is unknown", || async { count(folder.path(), "state = 'unknown'").await == 1 }).await;
    let ledger = before.ledger();
    assert!(asked(&ledger, 30).await.is_empty(), "M3 may still be at it");
    assert_eq!(asked(&ledger, 0).await.len(), 1);
    let wait = ledger.until_asked(Duration::from_secs(30)).await.expect("read").expect("something waits");
    assert!(wait > Duration::from_secs(20), "{wait:?}");
    // What was put off has rested already.
    let later = Verdict::Later { why: "M3 is away".into(), wait: Duration::ZERO, counts: true };
    ledger.answer(&asked(&ledger, 0).await[0], &later).await.expect("kept");
    assert_eq!(asked(&ledger, 30).await.len(), 1);
    let after = outbox(folder.path()).await;
    assert_eq!(asked(&after.ledger(), 30).await.len(), 1, "what the end of the process cut off rests as well");
    assert_eq!(asked(&after.ledger(), 0).await.len(), 2);
    std::mem::forget(cut);
}

#[tokio::test]
async fn a_request_is_not_told_of_a_write_that_nobody_could_prove() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let mut approval = intent(None, "approval");
    approval.due = vec![item("Sync", false), item("Process", false)];
    let ledger = outbox.ledger();
    for (verdict, told) in [
        (Verdict::Parked { why: "it is there".into(), state: true }, vec!["Sync"]),
        (Verdict::Committed, vec!["Sync", "Process"]),
    ] {
        new(&outbox, &approval).await.lose();
        until("it is unknown", || async { count(folder.path(), "state = 'unknown'").await == 1 }).await;
        ledger.answer(&asked(&ledger, 0).await[0], &verdict).await.expect("kept");
        let (all,): (String,) = sqlx::query_as("SELECT group_concat(verb) FROM documents WHERE since IS NOT NULL")
            .fetch_one(ledger.store.read())
            .await
            .expect("a row");
        assert_eq!(all, told.join(","), "{verdict:?}");
    }
}

#[tokio::test]
async fn a_delete_stays_due_whichever_write_of_its_record_is_settled_last() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let ledger = outbox.ledger();
    let settled = async |deletes: bool| {
        let mut one = intent(None, "a");
        one.due = vec![item("Sync", deletes)];
        let mut pledge = new(&outbox, &one).await;
        pledge.keyed = true;
        pledge.settle(&done("A0")).await;
        due(&ledger).await.pop().expect("the item is due")
    };
    settled(true).await;
    let both = settled(false).await;
    assert!(both.deletes);
    ledger.ended(&[(both, Ending::Nothing("told"))]).await.expect("kept");
    assert!(!settled(false).await.deletes, "once it is told a new write is another matter");
}

#[tokio::test]
async fn how_a_record_stood_counts_only_where_it_was_read_before_the_write() {
    let folder = tempfile::tempdir().expect("a folder");
    let (outbox, ledger) = with_messages(folder.path(), 1).await;
    let mut one = intent(None, "lost");
    one.due = vec![item("Sync", false)];
    new(&outbox, &one).await.lose();
    until("it is unknown", || async { count(folder.path(), "state = 'unknown'").await == 1 }).await;
    let question = asked(&ledger, 0).await.pop().expect("a question");
    let due = &question.due[0];
    assert_eq!(ledger.seen(&question, due).await.expect("read"), None, "its document said no count");
    let store = Store::open(&folder.path().join("outbox")).await.expect("opens");
    for (at, known) in [(question.opened - 1, true), (question.opened, false), (question.opened + 1, false)] {
        let mut write = store.write().await.expect("a transaction");
        let read = sqlx::query("UPDATE documents SET seen_changes = '7', seen_at = ?").bind(at);
        read.execute(&mut *write).await.expect("kept");
        write.commit().await.expect("commits");
        let seen = ledger.seen(&question, due).await.expect("read");
        assert_eq!(seen.is_some_and(|seen| seen.changes == "7"), known, "{at}");
    }
}
