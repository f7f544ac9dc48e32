//! Documents of divisions: rows of their own behind the one of their record.

use super::*;

fn made(division: &str, variation: u64) -> Made {
    Made {
        bod_id: format!("{division}-{variation}"),
        action: "Replace".into(),
        variation,
        tenant: String::new(),
        lid: "lid://x".into(),
        division: division.into(),
        entity: format!("100_{division}"),
        location: format!("in {division}"),
        document_id: "A0".into(),
        created: String::new(),
        xml: "<a/>".into(),
    }
}

fn has(point: &str) -> Has {
    Has { point: point.into(), stood: None }
}

fn edition(division: &str, variation: u64) -> Edition {
    let message =
        Message { made: Box::new(made(division, variation)), points: vec![("point".into(), None)], shadow: false };
    Edition { division: Some(division.into()), messages: vec![message], told_at: vec![has("point")], now: None }
}

async fn written(outbox: &Outbox) -> DueDocument {
    let mut pledge = new(outbox, &Intent { due: vec![item("Sync", false)], ..intent(None, "x") }).await;
    pledge.keyed = true;
    pledge.settle(&done("C1")).await;
    due(&outbox.ledger()).await.remove(0)
}

async fn told(ledger: &Ledger, due: &DueDocument, editions: Vec<Edition>) {
    ledger.ended(&[(due.clone(), Ending::Made { editions, seen: None })]).await.expect("kept");
}

#[tokio::test]
async fn each_division_has_an_order_and_a_memory_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let ledger = outbox.ledger();
    for round in [10, 20] {
        let due = written(&outbox).await;
        told(&ledger, &due, vec![edition("AAA", round), edition("BBB", round + 2)]).await;
    }
    let pending = async |busy: &[i64]| -> Vec<Delivery> { ledger.pending("point", busy, 10).await.expect("read") };
    let first = pending(&[]).await;
    let ids = |deliveries: &[Delivery]| -> Vec<String> {
        deliveries.iter().map(|one| one.kept.made.bod_id.clone()).collect()
    };
    assert_eq!(ids(&first), ["AAA-10", "BBB-12"], "one of each");
    let (wait, took, words) = (Duration::ZERO, Duration::ZERO, String::new());
    let arrived = Attempt {
        message: first[1].kept.id,
        state: State::Delivered,
        counts: true,
        wait,
        took,
        words,
        answer_within: None,
    };
    ledger.attempted("point", &[arrived]).await.expect("kept");
    let next = pending(&[first[0].record]).await;
    assert_eq!(ids(&next), ["BBB-22"], "the one of AAA that is stuck holds up none of BBB");
    let next = written(&outbox).await;
    let known = |division: &str| Known {
        division: division.into(),
        location: Some(format!("in {division}")),
        told_at: vec![has("point")],
    };
    assert_eq!(next.editions, [known("AAA"), known("BBB")]);
    assert_eq!(
        (next.variation, next.known_division, next.told_at.len()),
        (22, None, 0),
        "the record itself was not told"
    );
}

#[tokio::test]
async fn all_of_a_reading_are_kept_or_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let ledger = outbox.ledger();
    let due = written(&outbox).await;
    let mut write = ledger.store.write().await.expect("a transaction");
    let trigger = "CREATE TRIGGER full BEFORE INSERT ON messages WHEN NEW.division = 'BBB'
        BEGIN SELECT RAISE(ABORT, 'disk full'); END";
    sqlx::raw_sql(trigger).execute(&mut *write).await.expect("a trigger");
    write.commit().await.expect("commits");
    let both = || vec![edition("AAA", 10), edition("BBB", 12)];
    let ending = Ending::Made { editions: both(), seen: None };
    ledger.ended(&[(due.clone(), ending)]).await.expect_err("the second can't be written");
    assert!(ledger.pending("point", &[], 10).await.expect("read").is_empty(), "and so the first is not");
    let again = super::due(&ledger).await.remove(0);
    assert_eq!((again.id, again.variation, again.editions.len()), (due.id, 0, 0), "as if nothing had been made");
    let mut write = ledger.store.write().await.expect("a transaction");
    sqlx::raw_sql("DROP TRIGGER full").execute(&mut *write).await.expect("dropped");
    write.commit().await.expect("commits");
    told(&ledger, &again, both()).await;
    assert_eq!(ledger.pending("point", &[], 10).await.expect("read").len(), 2);
    assert!(super::due(&ledger).await.is_empty());
}

#[tokio::test]
async fn what_is_told_anew_of_one_division_is_read_once_and_told_to_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let ledger = outbox.ledger();
    let first = written(&outbox).await;
    told(&ledger, &first, vec![edition("AAA", 10), edition("BBB", 12)]).await;
    let who = somebody("the receiver lost it");
    ledger.replay("BBB-12", true, &who).await.expect("ordered");
    let anew = due(&ledger).await;
    assert_eq!(
        anew.iter().map(|due| (due.id, due.record.as_slice())).collect::<Vec<_>>(),
        [(first.id, &["A0".into()][..])]
    );
    told(&ledger, &anew[0], vec![edition("AAA", 20), edition("BBB", 22)]).await;
    let all = Selection { point: Some("point".into()), ..Selection::default() };
    assert_eq!(ledger.replay_all(&all, true, &who).await.expect("ordered"), 1, "one record is told anew");
    assert_eq!(due(&ledger).await.len(), 1);
    ledger.replay("BBB-22", false, &who).await.expect("ordered");
    assert_eq!(ledger.show("AAA-20").await.expect("known")["points"][0]["state"], "pending", "the bytes of one alone");
    assert_eq!(ledger.show("BBB-22").await.expect("known")["points"][0]["state"], "replayed");
}

#[tokio::test]
async fn who_has_a_record_is_a_name_as_ever_and_where_he_has_it_stands_with_it_where_that_is_elsewhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let ledger = outbox.ledger();
    let stood = Stood { division: "AAA".into(), location: "in AAA".into() };
    let keeps = Has { point: "keeps".into(), stood: Some(stood) };
    let now = Some(Stood { division: "CCC".into(), location: "in CCC".into() });
    let due = written(&outbox).await;
    let of_the_record =
        Edition { division: None, told_at: vec![has("point"), keeps.clone()], now, ..edition("BBB", 10) };
    told(&ledger, &due, vec![of_the_record]).await;
    let (kept,): (String,) = sqlx::query_as("SELECT told_at FROM documents WHERE told_at <> '[]'")
        .fetch_one(ledger.store.read())
        .await
        .expect("a row");
    assert_eq!(kept, r#"["point",["keeps","AAA","in AAA"]]"#, "a name is what earlier releases wrote");
    let next = written(&outbox).await;
    assert_eq!(next.told_at, [has("point"), keeps]);
    let known = (next.known_division.as_deref(), next.known_location.as_deref());
    assert_eq!(known, (Some("CCC"), Some("in CCC")), "where it is, and not where its message says");
}
