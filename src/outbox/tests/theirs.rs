//! Documents of M3's own publisher, as long as they wait.

use super::*;

pub(super) async fn arrives(ledger: &Ledger, bod_id: &str, xml: &str) {
    let client = ClientId { issuer: "https://own".into(), id: "m3".into() };
    let arrival = Arrival {
        client: &client,
        message: bod_id,
        digest: bod_id,
        document: "Sync.ItemMaster",
        point: "",
        words: &[],
        outcome: "to-compare",
        own: None,
        theirs: Some(Theirs { document_id: "A1", entity: "100", bod_id, lid: "lid://infor.m3.m3", xml }),
    };
    assert!(matches!(ledger.receive(&arrival).await, Ok(Taken::Now(_))), "{bod_id}");
}

/// The one that waits, beside this message.
pub(super) async fn pair(ledger: &Ledger, message: i64) -> Pair {
    let (id,): (i64,) =
        sqlx::query_as("SELECT max(id) FROM theirs").fetch_one(ledger.store.read()).await.expect("one of theirs");
    let text = |text: &str| text.to_owned();
    let ours = vec![Ours { message, settled: false, xml: String::new() }];
    let (noun, verb, bod_id, lid) = (text("ItemMaster"), text("Sync"), text("of-m3"), text("lid://infor.m3.m3"));
    Pair { id, noun, verb, document_id: text("A1"), entity: text("100"), bod_id, lid, xml: String::new(), ours }
}

#[tokio::test]
async fn no_more_of_theirs_wait_than_may_and_the_oldest_go_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let ledger = outbox.ledger();
    let filled = async |statement: &'static str| {
        let mut write = ledger.store.write().await.expect("a transaction");
        sqlx::raw_sql(statement).execute(&mut *write).await.expect("filled");
        write.commit().await.expect("commits");
        let over = ledger.unmatched(Duration::from_secs(3_600), u64::MAX).await.expect("read");
        over.iter().map(|one| (one.bod_id.clone(), one.result)).collect::<Vec<_>>()
    };
    let many = "WITH RECURSIVE n(at) AS (SELECT 1 UNION ALL SELECT at + 1 FROM n WHERE at < 10002)
        INSERT INTO theirs (noun, verb, entity, document_id, bod_id, lid, at, bytes, xml)
        SELECT 'ItemMaster', 'Sync', '100', 'A1', 'b' || at, '', unixepoch() * 1000, 1, '' FROM n";
    assert_eq!(filled(many).await, [("b1".to_owned(), "given-up"), ("b2".to_owned(), "given-up")]);
    let large = "DELETE FROM theirs WHERE bod_id NOT IN ('b5', 'b6', 'b7');
        UPDATE theirs SET bytes = 200 * 1024 * 1024, result = 'different'";
    assert_eq!(filled(large).await, [("b5".to_owned(), "different"), ("b6".to_owned(), "different")]);
    let late = "UPDATE theirs SET at = at - 3700000";
    assert_eq!(filled(late).await, [("b7".to_owned(), "different")]);
}

#[tokio::test]
async fn theirs_have_a_small_share_of_the_outbox_and_the_oldest_are_beyond_it_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let ledger = outbox.ledger();
    for at in 0..8 {
        arrives(&ledger, &format!("of-m3-{at}"), &"x".repeat(1_000)).await;
    }
    let over = ledger.unmatched(Duration::from_secs(3_600), 16 * 3_500).await.expect("read");
    let names: Vec<&str> = over.iter().map(|one| one.bod_id.as_str()).collect();
    assert_eq!(names, ["of-m3-0", "of-m3-1", "of-m3-2", "of-m3-3", "of-m3-4"], "three of a thousand fit");
    assert!(over.iter().all(|one| one.result == "given-up"), "their time was not over: {over:?}");
    assert!(ledger.unmatched(Duration::from_secs(3_600), 16 * 3_500).await.expect("read").is_empty());
}

#[tokio::test]
async fn what_agrees_with_one_of_theirs_is_not_told_to_differ_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_outbox, ledger) = with_messages(folder.path(), 1).await;
    for (bod_id, found) in [
        ("of-m3-1", Compared::Same(1)),
        ("of-m3-2", Compared::Different { message: 1, many: 1, found: serde_json::json!([]) }),
    ] {
        arrives(&ledger, bod_id, "<a/>").await;
        let pair = pair(&ledger, 1).await;
        assert!(ledger.compared(&pair, &found).await.expect("kept"));
        assert_eq!(ledger.show("bod-0").await.expect("shown")["comparison"]["result"], "same");
    }
}
