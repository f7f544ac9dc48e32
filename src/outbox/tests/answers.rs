//! What receivers say, their silence, and sending again.

use super::*;

/// What the ledger shows of a message at the point: its state, and those it had.
async fn shown(ledger: &Ledger, bod_id: &str) -> (String, Vec<String>) {
    let shown = ledger.show(bod_id).await.expect("a message");
    let points = shown["points"].as_array().expect("points");
    let way = points.iter().find(|way| way["point"] == "point").expect("the point");
    let word = |value: &serde_json::Value| value["state"].as_str().expect("a state").to_owned();
    (word(way), way["history"].as_array().expect("a history").iter().map(word).collect())
}

fn word(bod_id: &str, good: bool) -> Word {
    Word { bod_id: bod_id.into(), request: None, good, words: "E1: no such warehouse".into() }
}

async fn say(ledger: &Ledger, client: &str, message: &str, words: &[Word]) -> Taken {
    let client = ClientId { issuer: "https://own".into(), id: client.into() };
    let (digest, document, point, outcome) = (format!("{words:?}"), "Confirm.BOD", "point", "answered");
    let (own, theirs) = (None, None);
    let arrival = Arrival { client: &client, message, digest: &digest, document, point, words, outcome, own, theirs };
    ledger.receive(&arrival).await.expect("kept")
}

async fn arrived(ledger: &Ledger, answer_within: Option<Duration>) -> Vec<Delivery> {
    let taken = ledger.pending("point", &[], 10).await.expect("read");
    let (state, wait, took) = (State::Delivered, Duration::ZERO, Duration::from_millis(3));
    let attempt = |one: &Delivery| Attempt {
        message: one.kept.id,
        state,
        counts: true,
        wait,
        took,
        words: "202".into(),
        answer_within,
    };
    let attempts: Vec<Attempt> = taken.iter().map(attempt).collect();
    ledger.attempted("point", &attempts).await.expect("kept");
    taken
}

fn result(taken: Taken) -> String {
    match taken {
        Taken::Now(answered) => answered.iter().map(|one| one.result).collect::<Vec<_>>().join(" "),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn a_word_counts_for_what_was_sent_there_and_the_first_final_one_wins() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_outbox, ledger) = with_messages(folder.path(), 3).await;
    let refused = say(&ledger, "wms", "m-0", &[word("bod-0", true)]).await;
    assert_eq!(refused, Taken::NotTheirs { bod_id: "bod-0".into() }, "nothing was sent yet");
    arrived(&ledger, None).await;
    assert!(matches!(say(&ledger, "wms", "m-0", &[word("bod-9", true)]).await, Taken::NotTheirs { .. }));
    let both = [word("bod-0", true), word("bod-9", true)];
    assert!(matches!(say(&ledger, "wms", "m-0", &both).await, Taken::NotTheirs { .. }));
    assert_eq!(shown(&ledger, "bod-0").await.0, "delivered", "all of it or nothing");
    assert_eq!(result(say(&ledger, "wms", "m-1", &[word("bod-0", false)]).await), "failed");
    let again = say(&ledger, "wms", "m-1", &[word("bod-0", false)]).await;
    assert_eq!(again, Taken::Again { outcome: "answered".into() });
    assert_eq!(say(&ledger, "wms", "m-1", &[word("bod-1", false)]).await, Taken::Other);
    assert_eq!(
        result(say(&ledger, "other", "m-1", &[word("bod-1", true)]).await),
        "confirmed",
        "ids are each sender's own"
    );
    assert_eq!(result(say(&ledger, "wms", "m-2", &[word("bod-0", true)]).await), "late");
    let (state, history) = shown(&ledger, "bod-0").await;
    assert_eq!((state.as_str(), history.join(" ")), ("failed", "sent delivered failed failed".to_owned()));
    // Sent again, it may be answered again; a word on the first sending changes nothing before that.
    ledger.replay("bod-0", false, &somebody("it was lost")).await.expect("known");
    assert_eq!(result(say(&ledger, "wms", "m-3", &[word("bod-0", false)]).await), "late");
    arrived(&ledger, None).await;
    assert_eq!(result(say(&ledger, "wms", "m-4", &[word("bod-0", true)]).await), "confirmed");
    let (_, history) = shown(&ledger, "bod-0").await;
    assert_eq!(history.last().map(String::as_str), Some("confirmed"));
}

#[tokio::test]
async fn a_word_may_overtake_the_answer_of_its_receiver() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_outbox, ledger) = with_messages(folder.path(), 2).await;
    let taken = ledger.pending("point", &[], 10).await.expect("read");
    assert_eq!(shown(&ledger, "bod-0").await.0, "sent");
    assert_eq!(
        result(say(&ledger, "wms", "1", &[word("bod-0", true), word("bod-1", false)]).await),
        "confirmed failed"
    );
    for (one, state) in taken.iter().zip([State::Delivered, State::Pending]) {
        let (wait, took) = (Duration::ZERO, Duration::ZERO);
        let attempt =
            Attempt { message: one.kept.id, state, counts: true, wait, took, words: "x".into(), answer_within: None };
        ledger.attempted("point", &[attempt]).await.expect("kept");
    }
    assert_eq!(
        (shown(&ledger, "bod-0").await.0, shown(&ledger, "bod-1").await.0),
        ("confirmed".into(), "failed".into())
    );
    assert!(ledger.pending("point", &[], 10).await.expect("read").is_empty(), "neither is sent again");
}

#[tokio::test]
async fn what_had_to_be_answered_and_was_not_expires_and_a_late_word_does_not_help() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_outbox, ledger) = with_messages(folder.path(), 2).await;
    arrived(&ledger, Some(Duration::ZERO)).await;
    say(&ledger, "wms", "0", &[word("bod-1", true)]).await;
    let expired = ledger.expire().await.expect("written");
    assert_eq!(expired.iter().map(|one| one.bod_id.as_str()).collect::<Vec<_>>(), ["bod-0"]);
    assert!(ledger.expire().await.expect("nothing").is_empty());
    assert_eq!(result(say(&ledger, "wms", "1", &[word("bod-0", true)]).await), "late");
    assert_eq!(shown(&ledger, "bod-0").await.0, "expired");
    let depths = ledger.depths().await.expect("read");
    assert_eq!((depths[0].document.as_str(), depths[0].waiting, depths[0].expired), ("Sync.ItemMaster", 0, 1));
}

#[tokio::test]
async fn what_is_sent_again_is_chosen_by_noun_key_time_point_and_state() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_outbox, ledger) = with_messages(folder.path(), 3).await;
    arrived(&ledger, None).await;
    say(&ledger, "wms", "0", &[word("bod-1", false)]).await;
    let times = |meant: Selection| {
        let ledger = ledger.clone();
        async move {
            let many = ledger.replay_all(&meant, false, &somebody("")).await.expect("written");
            arrived(&ledger, None).await;
            many
        }
    };
    let all = Selection::default();
    let said = |text: &str| Some(text.to_owned());
    assert_eq!(times(Selection { state: said("failed"), ..all.clone() }).await, 1);
    assert_eq!(times(Selection { noun: said("ItemMaster"), key: said("A2"), ..all.clone() }).await, 1);
    assert_eq!(times(Selection { point: said("point"), ..all.clone() }).await, 3);
    assert_eq!(times(Selection { point: said("other"), ..all.clone() }).await, 0, "what is filtered stays so");
    let soon = unix_micros().cast_signed() / 1_000 + 60_000;
    assert_eq!(times(Selection { since: Some(soon), ..all.clone() }).await, 0);
    assert_eq!(times(Selection { since: Some(0), until: Some(soon), ..all.clone() }).await, 3);
    let fresh = Selection { key: said("A1"), ..all };
    assert_eq!(ledger.replay_all(&fresh, true, &somebody("")).await.expect("written"), 1);
    let due = ledger.due(Duration::ZERO, Duration::ZERO, 10).await.expect("read");
    assert_eq!(due.iter().map(|one| one.record[0].as_str()).collect::<Vec<_>>(), ["A1"]);
}
