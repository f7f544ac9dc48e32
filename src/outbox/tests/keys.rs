//! For how long a key stands for its write.

use super::*;

/// As if it had been opened so much earlier.
async fn age(folder: &Path, name: &str, by: Duration) {
    let store = Store::open(&folder.join("outbox")).await.expect("opens");
    let mut write = store.write().await.expect("a transaction");
    sqlx::query("UPDATE intents SET opened = opened - ?, settled = settled - ? WHERE name = ?")
        .bind(i64::try_from(by.as_millis()).expect("fits"))
        .bind(i64::try_from(by.as_millis()).expect("fits"))
        .bind(name.to_owned())
        .execute(&mut *write)
        .await
        .expect("updated");
    write.commit().await.expect("commits");
    store.close().await;
}

fn of_rid(value: &str) -> Intent {
    let key = IdempotencyKey::of_rid("rid-1", || "tag".to_owned());
    Intent { key: Some(key.expect("a key")), ..intent(None, value) }
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_key_is_free_again_when_its_time_is_over_and_no_earlier() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let hours = Settings::under(folder.path().join("outbox")).key_lifetime;
    let (first, other) = (intent(Some("k"), "first"), intent(Some("k"), "other"));
    new(&outbox, &first).await.settle(&done("C1")).await;
    until("it is settled", || async { count(folder.path(), "state = 'committed'").await == 1 }).await;
    age(folder.path(), "intent-first", hours - MINUTE).await;
    assert!(matches!(outbox.open(&other).await, Ok(Opened::OtherRequest)));
    age(folder.path(), "intent-first", 2 * MINUTE).await;
    new(&outbox, &other).await.withdraw();
}

#[tokio::test]
async fn a_key_stands_for_the_write_of_one_user_and_for_what_an_earlier_release_kept_under_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let first = intent(Some("k"), "first");
    new(&outbox, &first).await.settle(&done("C1")).await;
    until("it is settled", || async { count(folder.path(), "state = 'committed'").await == 1 }).await;
    let as_another = Intent { user: M3User::parse("OTHER").expect("a user"), ..first.clone() };
    assert!(matches!(outbox.open(&as_another).await, Ok(Opened::OtherRequest)));
    let store = Store::open(&folder.path().join("outbox")).await.expect("opens");
    let mut write = store.write().await.expect("a transaction");
    sqlx::query("UPDATE intents SET fingerprint = ?")
        .bind(outbox.former_fingerprint(&first))
        .execute(&mut *write)
        .await
        .expect("as it was kept");
    write.commit().await.expect("commits");
    assert!(matches!(outbox.open(&first).await, Ok(Opened::Settled(_))));
}

#[tokio::test]
async fn a_key_whose_write_nobody_knows_of_is_never_free() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let first = intent(Some("k"), "first");
    new(&outbox, &first).await.lose();
    until("it is unknown", || async { count(folder.path(), "state = 'unknown'").await == 1 }).await;
    age(folder.path(), "intent-first", 1_000 * 60 * MINUTE).await;
    let ages = Ages { over: MINUTE, stuck: MINUTE, keys: MINUTE, entries: MINUTE };
    outbox.ledger().tidy(ages).await.expect("tidied");
    assert!(matches!(outbox.open(&first).await, Ok(Opened::Unknown(name)) if name == "intent-first"));
}

#[tokio::test]
async fn a_rid_stands_for_its_write_for_ten_minutes() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    new(&outbox, &of_rid("first")).await.settle(&done("C1")).await;
    until("it is settled", || async { count(folder.path(), "state = 'committed'").await == 1 }).await;
    age(folder.path(), "intent-first", 9 * MINUTE).await;
    assert!(matches!(outbox.open(&of_rid("first")).await, Ok(Opened::Settled(_))));
    age(folder.path(), "intent-first", 2 * MINUTE).await;
    new(&outbox, &of_rid("first")).await.withdraw();
}

#[tokio::test]
async fn what_nobody_asks_for_loses_its_key_and_then_goes() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    new(&outbox, &intent(Some("k"), "first")).await.settle(&done("C1")).await;
    until("it is settled", || async { count(folder.path(), "state = 'committed'").await == 1 }).await;
    age(folder.path(), "intent-first", 3 * MINUTE).await;
    let ages = |keys| Ages { over: MINUTE, stuck: MINUTE, keys, entries: MINUTE };
    outbox.ledger().tidy(ages(4 * MINUTE)).await.expect("tidied");
    assert_eq!(count(folder.path(), "idem_key IS NOT NULL").await, 1, "its key holds it");
    for _ in 0..2 {
        outbox.ledger().tidy(ages(2 * MINUTE)).await.expect("tidied");
    }
    assert_eq!(count(folder.path(), "true").await, 0);
}
