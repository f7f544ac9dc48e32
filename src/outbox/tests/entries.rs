//! Batch entries: how long what was entered is known, and what is shown of what nobody watches.

use super::*;

const MESSAGE: &str = "4711";

fn step(kind: EntryKind, key: &[(&str, Option<&str>)], part: Option<&str>) -> Due {
    let key = key.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect();
    let part = part.map(|part| ("PNLI".to_owned(), Some(part.to_owned())));
    let names = if kind == EntryKind::HandsOver { vec!["PUNO".to_owned()] } else { Vec::new() };
    let entry = Entry { kind, batch: MESSAGE.into(), call: "PPS370MI/FinishEntry".into(), part, names };
    Due { noun: "PurchaseOrder".into(), key, entry: Some(entry), ..item("Sync", false) }
}

fn entered(order: &str, part: Option<&str>) -> Due {
    step(EntryKind::Enters, &[("PUNO", Some(order))], part)
}

fn handed_over() -> Due {
    step(EntryKind::HandsOver, &[], None)
}

async fn settle(outbox: &Outbox, due: Due, outcome: Outcome) {
    let mut pledge = new(outbox, &Intent { due: vec![due], ..intent(None, "x") }).await;
    pledge.keyed = true;
    pledge.settle(&outcome).await;
}

async fn run(ledger: &Ledger, statement: &'static str) {
    let mut write = ledger.store.write().await.expect("a transaction");
    sqlx::raw_sql(statement).execute(&mut *write).await.expect("runs");
    write.commit().await.expect("commits");
}

async fn entries(ledger: &Ledger) -> i64 {
    let count: (i64,) =
        sqlx::query_as("SELECT count(*) FROM entries").fetch_one(ledger.store.read()).await.expect("a row");
    count.0
}

fn ages(entries: Duration) -> Ages {
    Ages { over: Duration::ZERO, stuck: Duration::MAX, keys: Duration::ZERO, entries }
}

#[tokio::test]
async fn what_was_entered_is_known_as_long_as_somebody_works_on_its_batch_whatever_else_is_forgotten() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let ledger = outbox.ledger();
    let day = Duration::from_secs(86_400);
    settle(&outbox, entered("1", None), done("C1")).await;
    run(&ledger, "UPDATE entries SET at = 1").await;
    settle(&outbox, entered("2", Some("1")), done("C1")).await;
    ledger.tidy(ages(day)).await.expect("tidied");
    assert_eq!(entries(&ledger).await, 2, "the batch is open");
    run(&ledger, "UPDATE entries SET at = 1").await;
    settle(&outbox, handed_over(), done("C1")).await;
    ledger.tidy(ages(day)).await.expect("tidied");
    assert_eq!(entries(&ledger).await, 2, "it is watched");
    let watched = ledger.watched(9).await.expect("read");
    let of = |at: usize| (watched[at].record.join(""), watched[at].parts.join(""));
    assert_eq!([of(0), of(1)], [("1".into(), String::new()), ("2".into(), "1".into())]);
    for one in &watched {
        ledger.polled(one, &Polled::Created).await.expect("kept");
    }
    assert_eq!((entries(&ledger).await, due(&ledger).await.len()), (0, 2));
    settle(&outbox, entered("3", None), done("C1")).await;
    run(&ledger, "UPDATE entries SET at = 1").await;
    ledger.tidy(ages(day)).await.expect("tidied");
    assert_eq!(entries(&ledger).await, 0, "nobody handed it over");
}

#[tokio::test]
async fn what_is_entered_after_a_batch_was_handed_over_waits_for_the_next_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let ledger = outbox.ledger();
    settle(&outbox, entered("1", None), done("C1")).await;
    run(&ledger, "UPDATE entries SET at = at - 9").await;
    settle(&outbox, handed_over(), done("C1")).await;
    run(&ledger, "UPDATE watches SET since = since - 5").await;
    settle(&outbox, entered("2", None), done("C1")).await;
    let watched = ledger.watched(9).await.expect("read");
    ledger.polled(&watched[0], &Polled::Created).await.expect("kept");
    assert_eq!(entries(&ledger).await, 1, "what M3 did not get yet");
    settle(&outbox, handed_over(), done("C1")).await;
    let watched = ledger.watched(9).await.expect("read");
    assert_eq!(watched.iter().map(|one| one.record.join("")).collect::<Vec<_>>(), ["2"]);
}

#[tokio::test]
async fn a_batch_of_which_nothing_is_known_is_shown_and_counted_when_it_is_handed_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let ledger = outbox.ledger();
    settle(&outbox, handed_over(), done("C1")).await;
    let listed = ledger.list(&Wanted { most: 9, ..Wanted::default() }).await.expect("read");
    let reason = listed[0]["reason"].as_str().unwrap_or_default();
    assert!(listed.len() == 1 && listed[0]["batch"] == MESSAGE && reason.contains("nothing"), "{listed:?}");
    assert_eq!(ledger.stranded().await.expect("counted"), 1);
    assert!(ledger.watched(9).await.expect("read").is_empty(), "there is nothing to ask for");
    let id = listed[0]["id"].as_str().expect("an id").to_owned();
    ledger.resolve(&id, &Resolution::Untold, &somebody("looked in M3")).await.expect("settled");
    assert_eq!(ledger.stranded().await.expect("counted"), 0);
}

/// A batch that was handed over, and of which nothing is known here: its name.
async fn unknown_batch(outbox: &Outbox, ledger: &Ledger) -> String {
    settle(outbox, handed_over(), done("C1")).await;
    let listed = ledger.list(&Wanted { most: 9, ..Wanted::default() }).await.expect("read");
    listed.iter().find(|one| one["kind"] == "entry").and_then(|one| one["id"].as_str()).expect("an id").to_owned()
}

fn orders(numbers: &[(&str, &str)]) -> Resolution {
    Resolution::Committed { key: numbers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect() }
}

#[tokio::test]
async fn a_batch_of_which_nothing_is_known_is_resolved_with_the_names_of_all_that_came_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let ledger = outbox.ledger();
    let who = somebody("looked in M3");
    let id = unknown_batch(&outbox, &ledger).await;
    let refused = ledger.resolve(&id, &orders(&[]), &who).await;
    assert!(matches!(&refused, Err(Error::Unnamed { names }) if names == "PUNO"), "{refused:?}");
    for wrong in [&[("ORNO", "1")][..], &[("PUNO", "")]] {
        let refused = ledger.resolve(&id, &orders(wrong), &who).await;
        assert!(matches!(refused, Err(Error::NoSuchPart { .. })), "{wrong:?}: {refused:?}");
    }
    ledger.resolve(&id, &orders(&[("PUNO", "71"), ("PUNO", "72")]), &who).await.expect("settled");
    let told: Vec<String> = due(&ledger).await.iter().map(|one| one.record.join("")).collect();
    assert_eq!((told, ledger.stranded().await.expect("counted")), (vec!["71".to_owned(), "72".to_owned()], 0));
    // As a release wrote it down that did not say how its parts are called.
    let id = unknown_batch(&outbox, &ledger).await;
    run(&ledger, "UPDATE watches SET names = '[]'").await;
    ledger.resolve(&id, &orders(&[]), &who).await.expect_err("it has no name");
    ledger.resolve(&id, &orders(&[("PUNO", "73")]), &who).await.expect("settled");
    assert_eq!(due(&ledger).await.len(), 3);
}

#[tokio::test]
async fn a_batch_of_which_nothing_is_known_can_t_be_asked_for_and_may_be_given_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let ledger = outbox.ledger();
    let who = somebody("nobody knows");
    let id = unknown_batch(&outbox, &ledger).await;
    let refused = ledger.replay(&id, false, &who).await.expect_err("M3 would be asked for nothing").to_string();
    assert!(refused.contains("committed --key") && refused.contains("`drop`"), "{refused}");
    assert!(ledger.watched(9).await.expect("read").is_empty());
    assert_eq!(ledger.discard(&Dropped::One(id.clone()), &who).await.expect("dropped"), 1);
    assert_eq!((ledger.stranded().await.expect("counted"), due(&ledger).await.len()), (0, 0));
    assert!(matches!(ledger.discard(&Dropped::One(id), &who).await, Err(Error::Unknown { .. })));
}

#[tokio::test]
async fn an_entry_of_one_record_is_not_resolved_as_several() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let ledger = outbox.ledger();
    settle(&outbox, step(EntryKind::Confirms, &[("ORNO", None)], None), done("C1")).await;
    let several = ledger.resolve("entry:1", &orders(&[("ORNO", "1"), ("ORNO", "2")]), &somebody("both")).await;
    assert!(matches!(several, Err(Error::OneRecord)), "{several:?}");
    assert_eq!((ledger.watched(9).await.expect("read").len(), due(&ledger).await.len()), (1, 0));
}

#[tokio::test]
async fn why_m3_could_not_be_asked_stands_with_what_is_watched_until_it_can_be() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let ledger = outbox.ledger();
    settle(&outbox, entered("1", None), done("C1")).await;
    settle(&outbox, handed_over(), done("C1")).await;
    for why in [Some("M3 can't be reached".to_owned()), None] {
        let watched = ledger.watched(9).await.expect("read").remove(0);
        ledger.polled(&watched, &Polled::Later { why: why.clone(), wait: Duration::ZERO }).await.expect("kept");
        let shown = ledger.show("entry:1").await.expect("shown");
        assert_eq!((&shown["state"], shown["reason"].as_str()), (&"watched".into(), why.as_deref()), "{shown}");
    }
}

#[tokio::test]
async fn a_watch_that_can_t_be_read_holds_up_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let ledger = outbox.ledger();
    for order in ["1", "2"] {
        settle(&outbox, entered(order, None), done("C1")).await;
    }
    settle(&outbox, handed_over(), done("C1")).await;
    run(&ledger, "UPDATE watches SET asked = '{' WHERE record LIKE '%1%'").await;
    assert_eq!(ledger.watched(9).await.expect("read").len(), 1);
    assert_eq!(ledger.stranded().await.expect("counted"), 1, "it is shown");
}

#[tokio::test]
async fn what_m3_calls_by_its_batch_still_has_no_number() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let ledger = outbox.ledger();
    let confirms = || step(EntryKind::Confirms, &[("ORNO", None)], None);
    let said = |number: &str| Outcome::Done { reported: true, records: vec![vec![("ORNO".into(), number.into())]] };
    for (number, record) in [(MESSAGE, vec![]), ("", vec![]), ("99", vec!["99".to_owned()])] {
        settle(&outbox, confirms(), said(number)).await;
        let watched = ledger.watched(9).await.expect("read");
        assert_eq!((watched.len(), &watched[0].record), (1, &record), "{number:?}");
    }
}

#[tokio::test]
async fn what_becomes_known_after_its_batch_was_handed_over_is_watched_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let ledger = outbox.ledger();
    for others in [false, true] {
        let lost = Intent { due: vec![step(EntryKind::Enters, &[("PUNO", None)], None)], ..intent(None, "lost") };
        new(&outbox, &lost).await.lose();
        until("it is unknown", || async { count(folder.path(), "state = 'unknown'").await == 1 }).await;
        if others {
            settle(&outbox, entered("1", None), done("C1")).await;
        }
        settle(&outbox, handed_over(), done("C1")).await;
        // What else was entered is there, and forgotten.
        for one in ledger.watched(9).await.expect("read") {
            ledger.polled(&one, &Polled::Created).await.expect("kept");
        }
        let key = vec![("PUNO".to_owned(), "4711".to_owned())];
        ledger.resolve("intent-lost", &Resolution::Committed { key }, &somebody("seen")).await.expect("resolved");
        let watched = ledger.watched(9).await.expect("read");
        assert_eq!(watched.iter().map(|one| one.record.join("")).collect::<Vec<_>>(), ["4711"], "others: {others}");
        assert_eq!(ledger.stranded().await.expect("counted"), 0, "it is no longer a batch of which nothing is known");
        ledger.polled(&watched[0], &Polled::Created).await.expect("kept");
    }
    // What is entered from now on waits until it is handed over.
    settle(&outbox, entered("2", None), done("C1")).await;
    assert!(ledger.watched(9).await.expect("read").is_empty());
}

#[tokio::test]
async fn a_line_more_touches_no_other_line_of_its_batch() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let ledger = outbox.ledger();
    settle(&outbox, entered("1", Some("1")), done("C1")).await;
    run(&ledger, "CREATE TRIGGER touched BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'touched'); END").await;
    for line in ["2", "3"] {
        settle(&outbox, entered("1", Some(line)), done("C1")).await;
    }
    assert_eq!(entries(&ledger).await, 3);
}

async fn as_watched(ledger: &Ledger) -> Vec<String> {
    let rows = "SELECT json_array(id, record, state, since, tries, next_try, reason) FROM watches ORDER BY id";
    let rows: Vec<(String,)> = sqlx::query_as(rows).fetch_all(ledger.store.read()).await.expect("rows");
    rows.into_iter().map(|(row,)| row).collect()
}

#[tokio::test]
async fn what_m3_says_is_said_of_what_it_was_asked_about_and_of_nothing_that_came_meanwhile() {
    let wait = Duration::from_secs(60);
    for meanwhile in ["parked", "handed over anew", "dropped, and another one is handed over"] {
        for said in [Polled::Created, Polled::Failed { why: "of before".into(), wait }, Polled::Expired] {
            let folder = tempfile::tempdir().expect("a folder");
            let outbox = outbox(folder.path()).await;
            let ledger = outbox.ledger();
            let who = somebody("not this one");
            settle(&outbox, entered("1", None), done("C1")).await;
            settle(&outbox, handed_over(), done("C1")).await;
            run(&ledger, "UPDATE watches SET since = since - 5").await;
            let asked = ledger.watched(9).await.expect("read").remove(0);
            let id = format!("entry:{}", asked.id);
            match meanwhile {
                "parked" => ledger.park(&id, &who).await.expect("parked"),
                "handed over anew" => settle(&outbox, handed_over(), done("C1")).await,
                _ => {
                    ledger.discard(&Dropped::One(id.clone()), &who).await.expect("dropped");
                    settle(&outbox, entered("2", None), done("C1")).await;
                    settle(&outbox, handed_over(), done("C1")).await;
                    let again = ledger.discard(&Dropped::One(id.clone()), &who).await;
                    assert!(matches!(again, Err(Error::Unknown { .. })), "no other has its number: {again:?}");
                }
            }
            let before = as_watched(&ledger).await;
            ledger.polled(&asked, &said).await.expect("kept");
            assert_eq!(as_watched(&ledger).await, before, "{meanwhile}: {said:?}");
            assert!(due(&ledger).await.is_empty(), "{meanwhile}: {said:?}");
        }
    }
}
