//! M3's answers: a record, a list, a refusal, and answers that stop half way.

use super::fake::{Ask, Do, FakeM3, PLAIN, change, framed, get, layout, list, say};
use crate::m3::{Client, Error, Reply, may_repeat};
use std::time::Duration;

const ROW_1: &str = "REP            100C0001     Smith; Sons, Ltd";
const ROW_2: &str = "REP            100C0002     M\u{fc}ller";

fn answers(transaction: &'static str, with: Vec<Do>) -> impl Fn(&Ask<'_>) -> Option<Vec<Do>> {
    move |ask| ask.text.starts_with(transaction).then(|| with.clone())
}

/// The names of all records, and how it ended.
async fn read(reply: &mut Reply) -> (Vec<String>, Option<Error>) {
    let layout = layout("LstByNumber");
    let mut names = Vec::new();
    loop {
        match reply.next().await {
            Ok(Some(record)) => names.push(record.text(&layout.output.fields()[2]).into_owned()),
            Ok(None) => return (names, None),
            Err(error) => return (names, Some(error)),
        }
    }
}

/// Another call gets its own answer over the session that is there.
async fn is_usable(client: &Client, fake: &FakeM3) {
    let connections = fake.connections();
    let (names, end) = read(&mut client.call(&get()).await.expect("an answer")).await;
    assert_eq!((names, end.is_none()), (vec!["Smith; Sons, Ltd".to_owned()], true));
    assert_eq!(fake.connections(), connections, "the session was still good");
}

#[tokio::test]
async fn a_list_ends_with_ok_whatever_stands_behind_it() {
    for end in ["OK", "OK             ", "OK             2 records"] {
        let fake = FakeM3::start(PLAIN, answers("LstByNumber", vec![say(ROW_1), say(ROW_2), say(end)])).await;
        let client = fake.client(|_| {});
        let (names, error) = read(&mut client.call(&list()).await.expect("an answer")).await;
        assert_eq!(names, ["Smith; Sons, Ltd", "Müller"], "{end:?}");
        assert!(error.is_none());
        is_usable(&client, &fake).await;
    }
}

#[tokio::test]
async fn an_empty_list_is_just_ok() {
    let fake = FakeM3::ordinary().await;
    let client = fake.client(|_| {});
    let (names, error) = read(&mut client.call(&list()).await.expect("an answer")).await;
    assert!(names.is_empty() && error.is_none());
    is_usable(&client, &fake).await;
}

#[tokio::test]
async fn records_are_the_same_however_they_arrive() {
    let mut whole = framed(ROW_1, false);
    whole.extend(framed(ROW_2, false));
    whole.extend(framed("OK", false));
    for cut in [1, 3, 5, 20, 60] {
        let pieces = whole.chunks(cut).map(|piece| Do::Raw(piece.to_vec())).collect();
        let fake = FakeM3::start(PLAIN, answers("LstByNumber", pieces)).await;
        let client = fake.client(|_| {});
        let (names, _) = read(&mut client.call(&list()).await.expect("an answer")).await;
        assert_eq!(names, ["Smith; Sons, Ltd", "Müller"], "{cut} bytes at a time");
    }
}

#[tokio::test]
async fn a_refusal_has_its_text_id_and_field() {
    let text = format!("{:<15}{:<241}{:<8}{:<10}", "NOK", "Customer C0001 does not exist", "WCU0203", "CUNO");
    let fake = FakeM3::start(PLAIN, answers("ChgBasicData", vec![say(&text)])).await;
    let client = fake.client(|_| {});
    let error = client.call(&change()).await.expect_err("refused");
    let Error::Refused(refusal) = &error else { panic!("{error:?}") };
    assert_eq!((refusal.message.as_str(), refusal.id.as_str()), ("Customer C0001 does not exist", "WCU0203"));
    assert_eq!(refusal.field.map(|field| field.to_string()).as_deref(), Some("CUNO"));
    assert!(!error.may_have_been_seen(), "its outcome is known");
    is_usable(&client, &fake).await;
}

#[tokio::test]
async fn a_refusal_after_records_is_the_end_of_the_list() {
    let steps = vec![say(ROW_1), say("NOK            Enough")];
    let fake = FakeM3::start(PLAIN, answers("LstByNumber", steps)).await;
    let client = fake.client(|_| {});
    let mut reply = client.call(&list()).await.expect("an answer");
    let (names, error) = read(&mut reply).await;
    assert_eq!(names.len(), 1);
    assert!(matches!(error, Some(Error::Refused(refusal)) if refusal.message == "Enough"));
    assert!(reply.next().await.expect("an end").is_none());
    is_usable(&client, &fake).await;
}

#[tokio::test]
async fn half_an_answer_is_a_lost_one_and_its_session_is_gone() {
    let mut half = framed("OK             100C0001     Smith", false);
    half.truncate(20);
    let fake = FakeM3::start(PLAIN, move |ask| {
        let first = ask.connection == 0 && ask.text.starts_with("GetBasicData");
        first.then(|| vec![Do::Raw(half.clone()), Do::End])
    })
    .await;
    let client = fake.client(|_| {});
    let error = client.call(&get()).await.expect_err("half");
    assert!(matches!(error, Error::Lost { sent: true, .. }) && !may_repeat(&error), "{error:?}");
    let (names, _) = read(&mut client.call(&get()).await.expect("an answer")).await;
    assert_eq!((names.len(), fake.connections()), (1, 2));
}

#[tokio::test]
async fn what_is_not_of_the_protocol_ends_the_session() {
    for garbage in [say("HTTP/1.1 400 Bad Request"), say(""), Do::Raw(vec![0x7f, 0xff, 0xff, 0xff])] {
        let answer = vec![garbage.clone()];
        let fake = FakeM3::start(PLAIN, move |ask| {
            (ask.connection == 0 && ask.text.starts_with("ChgBasicData")).then(|| answer.clone())
        })
        .await;
        let client = fake.client(|_| {});
        let error = client.call(&change()).await.expect_err("no answer of M3");
        assert!(matches!(error, Error::Protocol { sent: true, .. }), "{garbage:?}: {error:?}");
        assert!(error.may_have_been_seen());
        fake.until_ended(0).await;
        client.call(&change()).await.expect("an answer");
    }
}

#[tokio::test]
async fn a_call_without_an_answer_ends_in_time_and_with_it_the_session() {
    let fake =
        FakeM3::start(PLAIN, |ask| (ask.connection == 0 && ask.text.starts_with("ChgBasicData")).then(Vec::new)).await;
    let client = fake.client(|_| {});
    let mut write = change();
    write.patience = Duration::from_millis(50);
    let error = client.call(&write).await.expect_err("no answer");
    assert!(matches!(error, Error::TimedOut { sent: true, waited } if waited == write.patience), "{error:?}");
    fake.until_ended(0).await;
    client.call(&change()).await.expect("another session");
    assert_eq!(fake.asked("ChgBasicData").len(), 2);
}

#[tokio::test]
async fn a_list_that_stops_in_the_middle_says_so() {
    for (end, lost) in [(vec![say(ROW_1)], false), (vec![say(ROW_1), Do::End], true)] {
        let fake = FakeM3::start(PLAIN, answers("LstByNumber", end)).await;
        let client = fake.client(|_| {});
        let mut list = list();
        list.patience = Duration::from_millis(200);
        let (names, error) = read(&mut client.call(&list).await.expect("its beginning")).await;
        assert_eq!(names.len(), 1);
        match error {
            Some(Error::Lost { sent: true, .. }) => assert!(lost),
            Some(Error::TimedOut { sent: true, .. }) => assert!(!lost),
            other => panic!("{other:?}"),
        }
        fake.until_ended(0).await;
    }
}

#[tokio::test]
async fn a_short_rest_that_nobody_reads_is_read_off() {
    let rows = std::iter::repeat_n(say(ROW_1), 200).chain([say("OK")]).collect();
    let fake = FakeM3::start(PLAIN, answers("LstByNumber", rows)).await;
    let client = fake.client(|_| {});
    let mut reply = client.call(&list()).await.expect("an answer");
    assert!(reply.next().await.expect("a record").is_some());
    drop(reply);
    let idle = fake.metrics.m3_sessions.with_label_values(&["idle"]);
    let back = async {
        while idle.get() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), back).await.expect("the session comes back");
    is_usable(&client, &fake).await;
}

#[tokio::test]
async fn a_long_rest_that_nobody_reads_ends_the_session() {
    let rows = std::iter::repeat_n(say(ROW_1), 2_000).chain([say("OK")]).collect();
    let fake = FakeM3::start(PLAIN, answers("LstByNumber", rows)).await;
    let client = fake.client(|_| {});
    drop(client.call(&list()).await.expect("an answer"));
    fake.until_ended(0).await;
    let (names, _) = read(&mut client.call(&get()).await.expect("an answer")).await;
    assert_eq!((names, fake.connections()), (vec!["Smith; Sons, Ltd".to_owned()], 2));
}

#[test]
fn an_answer_dropped_after_the_runtime_ended_is_just_closed() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let reply = runtime.block_on(async {
        let fake = FakeM3::start(PLAIN, answers("LstByNumber", vec![say(ROW_1)])).await;
        fake.client(|_| {}).call(&list()).await.expect("an answer")
    });
    drop(runtime);
    drop(reply);
}
