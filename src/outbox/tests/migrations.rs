//! An outbox that an earlier release left is read as it was meant.

use super::super::schema::STEPS;
use super::*;

#[tokio::test]
async fn what_waited_in_an_outbox_of_the_first_release_goes_out_in_the_order_of_its_record() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("outbox")).await.expect("opens");
    store.migrate("outbox", &STEPS[..1]).await.expect("the first release's tables");
    let mut write = store.write().await.expect("a transaction");
    // Of one order the state and the request to approve it, and of another one the state.
    for (id, verb, record) in [(1, "Sync", "P1"), (2, "Process", "P1"), (3, "Sync", "P2")] {
        let rows = format!(
            r#"INSERT INTO documents (id, noun, verb, company, record, division, deletes, cause)
               VALUES ({id}, 'PurchaseOrder', '{verb}', 100, '["{record}"]', 'AAA', 0, 'r');
               INSERT INTO messages (id, document, bod_id, noun, verb, action, variation, tenant, lid, company, division,
                   entity, location, document_id, created, cause, made, xml)
               VALUES ({id}, {id}, 'bod-{id}', 'PurchaseOrder', '{verb}', 'Replace', 1, '', 'lid://x', '100', 'AAA',
                   '100_AAA', '', '{record}', '', 'r', 1700000000000, '<a/>');
               INSERT INTO deliveries (message, point, document, state, changed, tries)
               VALUES ({id}, 'point', {id}, 'pending', 1700000000000, {tries});
               INSERT INTO attempts (message, point, at, took_ms, arrived, words)
               VALUES ({id}, 'point', 1700000000000, 5, 0, 'away');"#,
            tries = id % 2,
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(rows)).execute(&mut *write).await.expect("rows of then");
    }
    write.commit().await.expect("commits");
    store.close().await;
    let outbox = outbox(folder.path()).await;
    let ledger = outbox.ledger();
    let first = ledger.pending("point", &[], 10).await.expect("read");
    let ids = |all: &[Delivery]| all.iter().map(|one| (one.kept.id, one.record)).collect::<Vec<_>>();
    assert_eq!(ids(&first), [(1, 1), (3, 3)], "the request waits behind the state of its order");
    let arrived = Attempt {
        message: 1,
        state: State::Delivered,
        counts: true,
        wait: Duration::ZERO,
        took: Duration::ZERO,
        words: String::new(),
        answer_within: None,
    };
    ledger.attempted("point", &[arrived]).await.expect("kept");
    assert_eq!(ids(&ledger.pending("point", &[3], 10).await.expect("read")), [(2, 1)]);
    let shown = ledger.show("bod-1").await.expect("shown");
    assert_eq!(shown["points"][0]["attempts"].as_array().map(Vec::len), Some(2), "what was tried is kept: {shown}");
}

#[tokio::test]
async fn batches_that_were_being_entered_are_still_known() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("outbox")).await.expect("opens");
    let before = STEPS.iter().position(|step| step.contains("entries_before")).expect("the step that copies them");
    store.migrate("outbox", &STEPS[..before]).await.expect("an earlier release's tables");
    let mut write = store.write().await.expect("a transaction");
    let row = "INSERT INTO entries (id, noun, company, batch, record, at) VALUES (7, 'PurchaseOrder', 100, 'M1', '[\"P1\"]', 5)";
    sqlx::raw_sql(row).execute(&mut *write).await.expect("a row of then");
    write.commit().await.expect("commits");
    store.close().await;
    let _outbox = outbox(folder.path()).await;
    let store = Store::open(&folder.path().join("outbox")).await.expect("opens");
    let kept: Vec<(i64, String, String, String, i64)> =
        sqlx::query_as("SELECT id, batch, record, part, at FROM entries").fetch_all(store.read()).await.expect("rows");
    assert_eq!(kept, [(7, "M1".to_owned(), "[\"P1\"]".to_owned(), String::new(), 5)]);
}

#[tokio::test]
async fn what_was_handed_over_is_still_watched_and_its_id_is_never_used_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("outbox")).await.expect("opens");
    let before = STEPS.iter().position(|step| step.contains("watches_before")).expect("the step that copies them");
    store.migrate("outbox", &STEPS[..before]).await.expect("an earlier release's tables");
    let row = |id: &str, batch: &str| {
        format!(
            "INSERT INTO watches (id, noun, company, division, call, batch, record, asked, cause, since, state, tries,
                next_try, reason, parts, names) VALUES ({id}, 'PurchaseOrder', 100, 'AAA', 'PPS370MI/FinishEntry',
                '{batch}', '[\"P1\"]', '[\"P2\"]', 'x', 5, 'failed', 3, 6, 'why', '[\"1\"]', '[\"PUNO\"]')"
        )
    };
    let kept = async |store: &Store, row: String| {
        let mut write = store.write().await.expect("a transaction");
        sqlx::raw_sql(sqlx::AssertSqlSafe(row)).execute(&mut *write).await.expect("a row");
        write.commit().await.expect("commits");
    };
    kept(&store, row("7", "M1")).await;
    let all = async |store: &Store| {
        let rows =
            "SELECT json_array(id, noun, company, division, call, batch, record, asked, cause, since, state, tries,
            next_try, reason, parts, names) FROM watches";
        let rows: Vec<(String,)> = sqlx::query_as(rows).fetch_all(store.read()).await.expect("rows");
        rows
    };
    let as_it_was = all(&store).await;
    store.close().await;
    let outbox = outbox(folder.path()).await;
    let ledger = outbox.ledger();
    assert_eq!(all(&ledger.store).await, as_it_was);
    assert_eq!(ledger.watched(9).await.expect("read").len(), 1);
    ledger.discard(&Dropped::One("entry:7".into()), &somebody("nobody needs it")).await.expect("dropped");
    kept(&ledger.store, row("NULL", "M2")).await;
    assert_eq!(ledger.watched(9).await.expect("read")[0].id, 8);
}
