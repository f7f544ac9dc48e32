//! Which documents are to be made now, beside what is left alone.

use super::*;

#[tokio::test]
async fn what_can_t_be_read_by_itself_is_not_among_what_is_due() {
    let folder = tempfile::tempdir().expect("a folder");
    let (outbox, ledger) = with_messages(folder.path(), 0).await;
    for (at, noun) in ["ItemMaster", "ItemMaster", "PurchaseOrder"].into_iter().enumerate() {
        let mut one = intent(None, &at.to_string());
        let key = vec![("ITNO".to_owned(), Some(format!("A{at}")))];
        one.due = vec![Due { key, noun: noun.into(), ..item("Sync", false) }];
        let mut pledge = new(&outbox, &one).await;
        pledge.keyed = true;
        pledge.settle(&done("C1")).await;
    }
    let company = due(&ledger).await[0].company;
    let (items, zero) = (format!("{company}/ItemMaster"), Duration::ZERO);
    let nouns = async |probes: Vec<String>| {
        let held = Held { held: vec![items.clone()], probes, ..Held::default() };
        let (due, _) = ledger.due_beside(zero, zero, 10, &held).await.expect("read");
        due.into_iter().map(|one| one.noun).collect::<Vec<_>>()
    };
    assert_eq!(nouns(Vec::new()).await, ["PurchaseOrder"]);
    assert_eq!(nouns(vec![items.clone()]).await, ["PurchaseOrder", "ItemMaster"], "and one that asks");
    let until = async |held: &[&str]| {
        let held = held.iter().map(|noun| format!("{company}/{noun}")).collect();
        let beside = Held { held, ..Held::default() };
        ledger.until_due(zero, zero, &beside).await.expect("read")
    };
    assert_eq!(until(&["ItemMaster"]).await, Some(zero));
    assert_eq!(until(&["ItemMaster", "PurchaseOrder"]).await, None, "nobody looks again and again for what is held");
}

#[tokio::test]
async fn what_is_parked_is_not_looked_through_for_what_is_due_and_is_listed_all_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_outbox, ledger) = with_messages(folder.path(), 0).await;
    let parked = "WITH RECURSIVE n (at) AS (SELECT 1 UNION ALL SELECT at + 1 FROM n WHERE at < 100)
        INSERT INTO documents (noun, verb, company, record, division, deletes, cause, since, last, parked, reason)
        SELECT 'ItemMaster', 'Sync', 100, json_array(at || ''), '', 0, 'c', at, at, at < 100, 'why' FROM n";
    do_all(&ledger, &[parked, "ANALYZE"]).await;
    // How much each index holds that is gone through for what is due: as the store counts it.
    let held =
        "SELECT idx, stat FROM sqlite_stat1 WHERE idx IN ('documents_due', 'documents_due_of', 'documents_parked')
        ORDER BY idx";
    let held: Vec<(String, String)> = sqlx::query_as(held).fetch_all(ledger.store.read()).await.expect("counted");
    let rows: Vec<_> = held.iter().map(|(index, stat)| (index.as_str(), stat.split(' ').next())).collect();
    let one = Some("1");
    assert_eq!(rows, [("documents_due", one), ("documents_due_of", one), ("documents_parked", Some("99"))]);
    assert_eq!(due(&ledger).await.iter().map(|one| one.since).collect::<Vec<_>>(), [100]);
    for (state, many) in [("parked", 99), ("due", 1)] {
        let wanted = Wanted { state: Some(state.into()), most: 1_000, ..Wanted::default() };
        assert_eq!(ledger.list(&wanted).await.expect("read").len(), many, "{state}");
    }
    let newest = ledger.list(&Wanted { most: 2, ..Wanted::default() }).await.expect("read");
    assert_eq!(newest.iter().map(|one| &one["state"]).collect::<Vec<_>>(), ["due", "parked"], "the newest first");
}

#[tokio::test]
async fn beside_what_is_left_alone_records_of_all_other_kinds_come_in_the_order_of_their_wait() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_outbox, ledger) = with_messages(folder.path(), 0).await;
    // By turns of three kinds, behind many of one that is left alone.
    let due = "WITH RECURSIVE n (at) AS (SELECT 1 UNION ALL SELECT at + 1 FROM n WHERE at < 30)
        INSERT INTO documents (noun, verb, company, record, division, deletes, cause, since, last)
        SELECT CASE WHEN at <= 15 THEN 'ItemMaster' ELSE 'Noun' || (at % 3) END, 'Sync', 100, json_array(at || ''), '', 0,
            'c', at, at FROM n";
    do_all(&ledger, &[due]).await;
    let beside = Held { held: vec!["100/ItemMaster".into()], ..Held::default() };
    let mut seen = Vec::new();
    for (most, more) in [(10, true), (5, true), (20, false)] {
        let (due, said) = ledger.due_beside(Duration::ZERO, Duration::ZERO, most, &beside).await.expect("read");
        assert_eq!(said, more, "{most}");
        seen.extend(due.iter().map(|one| one.since));
        let nothing: Vec<_> = due.into_iter().map(|one| (one, Ending::Nothing("told"))).collect();
        ledger.ended(&nothing).await.expect("kept");
    }
    assert_eq!(seen, (16..=30).collect::<Vec<_>>());
}

async fn do_all(ledger: &Ledger, statements: &[&'static str]) {
    let mut write = ledger.store.write().await.expect("a transaction");
    for statement in statements {
        sqlx::raw_sql(*statement).execute(&mut *write).await.expect("done");
    }
    write.commit().await.expect("commits");
}
