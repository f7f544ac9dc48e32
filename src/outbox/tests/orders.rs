//! Orders of operators, and what is asked all the time.

use super::super::editions::EDITIONS;
use super::super::round;
use super::*;

#[tokio::test]
async fn a_point_is_looked_after_when_something_may_go_and_not_before() {
    let folder = tempfile::tempdir().expect("a folder");
    // 1, 4 and 7 are of one record, and so on.
    let (_outbox, ledger) = with_messages(folder.path(), 6).await;
    let first: Vec<(i64, i64)> =
        ledger.pending("point", &[], 10).await.expect("read").iter().map(|one| (one.kept.id, one.record)).collect();
    assert_eq!(first.iter().map(|one| one.0).collect::<Vec<_>>(), [1, 2, 3]);
    let busy: Vec<i64> = first.iter().map(|one| one.1).collect();
    assert_eq!(ledger.until_pending("point", &busy).await.expect("read"), None, "all are under way");
    let missed = |message, counts, seconds| Attempt {
        message,
        state: State::Pending,
        counts,
        wait: Duration::from_secs(seconds),
        took: Duration::ZERO,
        words: "x".into(),
        answer_within: None,
    };
    ledger.attempted("point", &[missed(1, true, 600), missed(2, false, 300)]).await.expect("kept");
    // 4 and 5 wait behind them, and may not go; 3 is under way.
    let next = ledger.until_pending("point", &busy[2..]).await.expect("read").expect("something waits");
    assert!(next > Duration::from_secs(250) && next <= Duration::from_secs(300), "{next:?}");
    assert!(ledger.pending("point", &busy[2..], 10).await.expect("read").is_empty());
    // Whether a point is back is asked with what was tried longest ago.
    let mut write = ledger.store.write().await.expect("a transaction");
    let earlier = "UPDATE deliveries SET next_try = 4 - message WHERE message IN (1, 3)";
    sqlx::raw_sql(earlier).execute(&mut *write).await.expect("both may go");
    write.commit().await.expect("commits");
    let probe = Room { most: 1, bytes: 1_000, probe: true, ..Room::default() };
    let (asked, _) = ledger.turn("point", &[], &[], &probe).await.expect("read");
    assert_eq!(asked[0].kept.id, 3, "and not the oldest");
    let tries =
        "SELECT group_concat(tries) FROM (SELECT tries FROM deliveries WHERE point = 'point' ORDER BY message LIMIT 2)";
    let (tries,): (String,) = sqlx::query_as(tries).fetch_one(ledger.store.read()).await.expect("a row");
    assert_eq!(tries, "1,0", "what does not count is not counted");
}

#[tokio::test]
async fn what_can_t_be_read_is_set_aside_and_holds_up_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let (outbox, ledger) = with_messages(folder.path(), 0).await;
    for at in 0..2 {
        let mut one = intent(None, &at.to_string());
        one.due = vec![Due { noun: format!("Noun{at}"), ..item("Sync", false) }];
        new(&outbox, &one).await.lose();
        let mut pledge = new(&outbox, &one).await;
        pledge.keyed = true;
        pledge.settle(&done("A0")).await;
    }
    let mut write = ledger.store.write().await.expect("a transaction");
    let damage =
        "UPDATE intents SET told = '{' WHERE name = 'intent-0'; UPDATE documents SET record = '{' WHERE noun = 'Noun0'";
    sqlx::raw_sql(damage).execute(&mut *write).await.expect("damaged");
    write.commit().await.expect("commits");
    let names: Vec<String> = asked(&ledger, 0).await.into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["intent-1"]);
    let nouns: Vec<String> = due(&ledger).await.into_iter().map(|one| one.noun).collect();
    assert_eq!(nouns, ["Noun1"]);
    assert_eq!(ledger.parked().await.expect("read"), (1, 1), "and is shown");
}

async fn column(ledger: &Ledger, query: &'static str) -> Vec<String> {
    let rows: Vec<(String,)> = sqlx::query_as(query).fetch_all(ledger.store.read()).await.expect("rows");
    rows.into_iter().map(|(text,)| text).collect()
}

const STATES: &str = "SELECT state FROM deliveries WHERE point = 'point' ORDER BY message";

/// All that may go goes, and ends so.
async fn end(ledger: &Ledger, ends: &[(i64, State)]) {
    ledger.pending("point", &[], 10).await.expect("taken");
    let zero = Duration::ZERO;
    let attempt = |(message, state): &(i64, State)| Attempt {
        message: *message,
        state: *state,
        counts: true,
        wait: zero,
        took: zero,
        words: "x".into(),
        answer_within: None,
    };
    let attempts: Vec<Attempt> = ends.iter().map(attempt).collect();
    ledger.attempted("point", &attempts).await.expect("kept");
}

#[tokio::test]
async fn what_is_asked_all_the_time_reads_no_table_from_end_to_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_outbox, ledger) = with_messages(folder.path(), 0).await;
    let held = [
        "intents_unsettled",
        "documents_due",
        "documents_due_of",
        "documents_parked",
        "deliveries_waiting",
        "deliveries_stuck",
        "deliveries_expired",
    ];
    for query in [
        ledger::QUESTIONS,
        ledger::UNTIL_ASKED,
        ready::DUE,
        ready::DUE_OF,
        ready::DUE_KINDS,
        ready::UNTIL_DUE,
        ready::UNTIL_DUE_OF,
        book::TELLING,
        EDITIONS,
        evidence::OTHERS,
        evidence::TOLD,
        depths::DEPTHS_WAITING,
        depths::DEPTHS_ENDED,
        ways::WAITING,
        ways::PROBE,
        ways::OF_KIND,
        ways::IN_ORDER,
        ways::KINDS,
        ways::NEXT,
        depths::PARKED,
        depths::UNSETTLED,
        depths::UNMADE,
        tidy::OLD_KEYS,
        tidy::OLD_INTENTS,
        tidy::OLD_MESSAGES,
        tidy::STUCK,
    ] {
        for step in plan(&ledger, query).await {
            let reads_all = step.starts_with("SCAN ") && step != "SCAN CONSTANT ROW";
            let of_little = held.iter().any(|index| step.contains(index))
                || step.contains("json_each")
                || step.contains("(subquery")
                || ["SCAN w", "SCAN e", "SCAN kinds"].contains(&step.as_str());
            assert!(!reads_all || of_little, "{query}: {step}");
        }
    }
}

/// Found by its state instead, each row of a round would be held against every write that M3 is at.
#[tokio::test]
async fn what_a_round_settles_is_found_by_its_id() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_outbox, ledger) = with_messages(folder.path(), 0).await;
    for (statement, values) in [(round::SETTLE, 4), (round::MARK, 7), (round::TELL, 5)] {
        let steps = plan(&ledger, &round::filled(statement, 16, values)).await;
        assert!(!steps.iter().any(|step| step.contains("intents_")), "{statement}: {steps:?}");
        assert!(steps.iter().any(|step| step.contains("INTEGER PRIMARY KEY")), "{statement}: {steps:?}");
    }
}

/// What SQLite does for the first of these statements, step by step.
async fn plan(ledger: &Ledger, statements: &str) -> Vec<String> {
    let explain =
        sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", statements.split(';').next().unwrap_or_default()));
    let steps: Vec<(i64, i64, i64, String)> =
        sqlx::query_as(explain).fetch_all(ledger.store.read()).await.expect("a plan");
    steps.into_iter().map(|(.., step)| step).collect()
}

#[tokio::test]
async fn what_waits_for_a_point_that_is_gone_is_parked_until_it_is_there_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_outbox, ledger) = with_messages(folder.path(), 2).await;
    end(&ledger, &[(1, State::Parked), (2, State::Pending)]).await;
    assert_eq!(ledger.only(&["elsewhere".into()]).await.expect("kept"), 1);
    assert_eq!(column(&ledger, STATES).await, ["parked", "parked"]);
    let depths = ledger.depths().await.expect("read");
    assert_eq!((depths.len(), depths[0].waiting, depths[0].parked), (1, 0, 2), "{depths:?}");
    assert_eq!(ledger.only(&["point".into()]).await.expect("kept"), 1);
    assert_eq!(column(&ledger, STATES).await, ["parked", "replayed"], "what was parked for its own sake stays so");
}

#[tokio::test]
async fn what_nobody_looks_after_is_given_up_and_then_forgotten() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_outbox, ledger) = with_messages(folder.path(), 3).await;
    end(&ledger, &[(1, State::Parked), (2, State::Failed), (3, State::Pending)]).await;
    let mut write = ledger.store.write().await.expect("a transaction");
    let older = "UPDATE messages SET made = 1; UPDATE deliveries SET changed = 1";
    sqlx::raw_sql(older).execute(&mut *write).await.expect("older");
    write.commit().await.expect("commits");
    let hour = Duration::from_secs(3_600);
    let since_1970 = Duration::from_millis(writer::now().cast_unsigned()) + hour;
    let ages = Ages { over: hour, stuck: since_1970, keys: hour, entries: hour };
    let nothing = ledger.tidy(ages).await.expect("tidied");
    assert_eq!((nothing.more, nothing.dropped.len()), (false, 0));
    assert_eq!(column(&ledger, STATES).await, ["parked", "failed", "pending"], "kept for somebody to look at");
    let over = ledger.tidy(Ages { stuck: hour, ..ages }).await.expect("tidied");
    assert_eq!(over.dropped.get("point"), Some(&2));
    ledger.tidy(ages).await.expect("tidied");
    assert_eq!(column(&ledger, STATES).await, ["pending"], "what is on its way is never given up");
}

#[tokio::test]
async fn an_operator_gives_up_one_message_or_all_of_a_point() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_outbox, ledger) = with_messages(folder.path(), 4).await;
    let who = somebody("the receiver doesn't know this noun");
    end(&ledger, &[(1, State::Failed), (2, State::Parked)]).await;
    assert_eq!(ledger.discard(&Dropped::One("bod-2".into()), &who).await.expect("dropped"), 1);
    assert_eq!(ledger.discard(&Dropped::Of("point".into()), &who).await.expect("dropped"), 2);
    assert_eq!(column(&ledger, STATES).await, ["dropped", "dropped", "dropped", "pending"]);
    for over in [Dropped::Of("point".into()), Dropped::One("bod-2".into()), Dropped::One("document:1".into())] {
        assert!(matches!(ledger.discard(&over, &who).await, Err(Error::Unfit { .. })), "{over:?}");
    }
    for nothing in [Dropped::Of("nowhere".into()), Dropped::One("bod-9".into()), Dropped::One("document:9".into())] {
        assert!(matches!(ledger.discard(&nothing, &who).await, Err(Error::Unknown { .. })), "{nothing:?}");
    }
    ledger.replay("bod-2", true, &who).await.expect("due again");
    assert_eq!(due(&ledger).await.len(), 1);
    let due_again = format!("document:{}", due(&ledger).await[0].id);
    ledger.discard(&Dropped::One(due_again), &who).await.expect("dropped");
    assert!(due(&ledger).await.is_empty());
}

#[tokio::test]
async fn a_write_with_a_lost_number_is_settled_with_the_number_or_expressly_without_a_document() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path()).await;
    let ledger = outbox.ledger();
    let who = somebody("looked it up in M3");
    let mut one = intent(None, "head");
    one.due = vec![Due { key: vec![("PUNO".into(), None)], ..item("Sync", false) }];
    let mut two = intent(None, "another");
    two.due.clone_from(&one.due);
    for one in [&one, &two] {
        new(&outbox, one).await.lose();
    }
    until("both are unknown", || async { count(folder.path(), "state = 'unknown'").await == 2 }).await;
    let committed = |key: &[(&str, &str)]| Resolution::Committed {
        key: key.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    };
    let refused = ledger.resolve("intent-head", &committed(&[]), &who).await;
    assert!(matches!(&refused, Err(Error::Unnamed { names }) if names == "PUNO"), "{refused:?}");
    for wrong in [&[("ITNO", "1")][..], &[("PUNO", "")], &[("PUNO", "1"), ("PUNO", "2")]] {
        let refused = ledger.resolve("intent-head", &committed(wrong), &who).await;
        assert!(matches!(refused, Err(Error::NoSuchPart { .. })), "{wrong:?}: {refused:?}");
    }
    assert_eq!(count(folder.path(), "state = 'unknown'").await, 2, "nothing was settled by that");
    ledger.resolve("intent-head", &committed(&[("PUNO", "4711")]), &who).await.expect("settled");
    assert_eq!(due(&ledger).await[0].record, ["4711"]);
    ledger.resolve("intent-another", &Resolution::Untold, &who).await.expect("settled");
    assert_eq!(due(&ledger).await.len(), 1);
    assert_eq!(count(folder.path(), "state = 'committed' AND reason = 'ann: looked it up in M3'").await, 2);
    // Both stand in the book of orders until the audit log has them.
    let orders = ledger.orders().await.expect("read");
    assert_eq!(orders.iter().map(|order| order.kind.as_str()).collect::<Vec<_>>(), ["outbox-resolve"; 2]);
    let said = |name: &str| orders[0].members[name].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        [said("intent"), said("outcome"), said("by"), said("reason")],
        ["intent-head", "committed", "ann", "looked it up in M3"]
    );
    ledger.noted(orders[0].id).await.expect("kept");
    assert_eq!(ledger.orders().await.expect("read").len(), 1);
}

#[tokio::test]
async fn what_is_known_of_a_record_is_where_it_is_and_not_where_those_whom_it_left_have_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (outbox, ledger) = with_messages(folder.path(), 0).await;
    let write = async || {
        let mut pledge = new(&outbox, &Intent { due: vec![item("Sync", false)], ..intent(None, "x") }).await;
        pledge.keyed = true;
        pledge.settle(&done("C1")).await;
        due(&ledger).await.remove(0)
    };
    let due = write().await;
    let made = |division: &str, variation| Made {
        bod_id: division.into(),
        action: "Replace".into(),
        variation,
        tenant: String::new(),
        lid: "lid://x".into(),
        division: division.into(),
        entity: "100".into(),
        location: format!("in {division}"),
        document_id: "A0".into(),
        created: String::new(),
        xml: "<a/>".into(),
    };
    let messages = [made("NEW", 7), made("OLD", 8)].map(|made| Message {
        made: Box::new(made),
        points: Vec::new(),
        shadow: false,
    });
    let ending = Ending::Made {
        editions: vec![Edition { division: None, messages: messages.to_vec(), told_at: Vec::new(), now: None }],
        seen: None,
    };
    ledger.ended(&[(due, ending)]).await.expect("kept");
    let next = write().await;
    assert_eq!((next.known_division.as_deref(), next.known_location.as_deref()), (Some("NEW"), Some("in NEW")));
    assert_eq!(next.variation, 8, "and the last number is the last");
}

/// A message of what is due first, for the point.
async fn tell_next(ledger: &Ledger) -> (String, u64) {
    let all = due(ledger).await;
    assert_eq!(all.len(), 1, "of one record one at a time");
    let one = &all[0];
    let (name, variation) = (format!("{}.{}", one.verb, one.noun), one.variation + 1);
    let text = |text: &str| text.to_owned();
    let made = Made {
        bod_id: name.clone(),
        action: text("Replace"),
        variation,
        tenant: String::new(),
        lid: text("lid://x"),
        division: String::new(),
        entity: text("100"),
        location: String::new(),
        document_id: text("A1"),
        created: String::new(),
        xml: text("<a/>"),
    };
    let messages = vec![Message { made: Box::new(made), points: vec![(text("point"), None)], shadow: false }];
    let ending = Ending::Made {
        editions: vec![Edition { division: None, messages, told_at: Vec::new(), now: None }],
        seen: None,
    };
    ledger.ended(&[(one.clone(), ending)]).await.expect("kept");
    (name, variation)
}

/// An order that was approved: its state and a request, in this order.
async fn approved(folder: &Path) -> (Outbox, Ledger, Vec<(String, u64)>) {
    let (outbox, ledger) = with_messages(folder, 0).await;
    let mut one = intent(None, "approval");
    one.due = vec![item("Sync", false), item("Process", false)];
    let mut pledge = new(&outbox, &one).await;
    pledge.keyed = true;
    pledge.settle(&done("C1")).await;
    let told = vec![tell_next(&ledger).await, tell_next(&ledger).await];
    (outbox, ledger, told)
}

#[tokio::test]
async fn the_state_of_a_record_and_a_request_about_it_are_numbered_and_sent_one_after_the_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_outbox, ledger, told) = approved(folder.path()).await;
    assert_eq!((told[0].0.as_str(), told[1].0.as_str()), ("Sync.ItemMaster", "Process.ItemMaster"));
    assert!(told[1].1 > told[0].1, "receivers look at the number, and not at the verb: {told:?}");
    for (at, (name, _)) in told.iter().enumerate() {
        let taken = ledger.pending("point", &[], 10).await.expect("read");
        assert_eq!(taken.iter().map(|one| one.kept.name()).collect::<Vec<_>>(), [name.as_str()], "{at}");
        assert!(ledger.pending("point", &[taken[0].record], 10).await.expect("read").is_empty());
        end(&ledger, &[(taken[0].kept.id, State::Delivered)]).await;
    }
}

#[tokio::test]
async fn a_kind_that_is_left_alone_holds_up_no_other_and_one_of_it_asks() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_outbox, ledger, told) = approved(folder.path()).await;
    let state = told[0].0.clone();
    let names = |taken: (Vec<Delivery>, bool)| taken.0.iter().map(|one| one.kept.name()).collect::<Vec<_>>();
    let room = |most, probes: &[&String]| Room {
        most,
        bytes: 1_000,
        held: vec![state.clone()],
        probes: probes.iter().map(|kind| (*kind).clone()).collect(),
        ..Room::default()
    };
    let alone = ledger.turn("point", &[], &[], &room(0, &[&state])).await.expect("read");
    assert_eq!(names(alone), ["Sync.ItemMaster"], "one of it alone");
    let others = ledger.turn("point", &[], &[], &room(10, &[])).await.expect("read");
    assert_eq!(names(others), ["Process.ItemMaster"], "of the same record, too");
}
