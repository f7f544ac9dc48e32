//! Sessions that die, are left, or come back: a write is never repeated, and nobody reads another's answer.

use super::fake::{Do, Event, FakeM3, PLAIN, change, get, list, ordinary, say, user};
use crate::m3::{Client, Error, Settings, may_repeat};
use crate::tasks::Tasks;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

#[tokio::test]
async fn a_session_that_m3_ended_is_not_used_again() {
    let fake = FakeM3::start(PLAIN, |ask| {
        let first = ask.connection == 0 && ask.text.starts_with("GetBasicData");
        first.then(|| vec![say("OK             100C0001     Smith"), Do::End])
    })
    .await;
    let client = fake.client(|_| {});
    client.call(&get()).await.expect("an answer");
    fake.until_ended(0).await;
    // M3's FIN is on its way; a call may only see it when the runtime has.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    client.call(&change()).await.expect("a new session");
    assert_eq!((fake.asked("ChgBasicData").len(), fake.connections()), (1, 2));
}

#[tokio::test]
async fn a_session_with_something_unasked_for_on_it_is_not_used_again() {
    let gate = Arc::new(Semaphore::new(0));
    let late = gate.clone();
    let fake = FakeM3::start(PLAIN, move |ask| {
        let first = ask.connection == 0 && ask.text.starts_with("GetBasicData");
        let steps = [say("OK             100C0001     Smith"), say("OK             100C0666     Evil")];
        first.then(|| steps.into_iter().chain([Do::Wait(late.clone())]).collect())
    })
    .await;
    let client = fake.client(|_| {});
    client.call(&get()).await.expect("an answer");
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let mut reply = client.call(&get()).await.expect("an answer");
    let record = reply.next().await.expect("a record").expect("one");
    assert_eq!(record.text(&get().layout.output.fields()[1]), "C0001");
    gate.add_permits(1);
    assert_eq!(fake.connections(), 2);
}

#[tokio::test]
async fn a_session_that_died_without_a_word_never_swallows_a_write() {
    // The first connection answers the read; to anything after that it is a machine that has forgotten it.
    let fake = FakeM3::start(PLAIN, |ask| {
        let later = ["GetServerTime", "ChgBasicData", "GetInLayout    ChgBasicData"];
        let dead = ask.connection == 0 && later.iter().any(|start| ask.text.starts_with(start));
        dead.then(|| vec![Do::Reset])
    })
    .await;
    let client = fake.client(|settings| settings.pool.fresh_for = Duration::ZERO);
    client.call(&get()).await.expect("an answer");
    client.call(&change()).await.expect("a new session");
    let first: Vec<_> = fake.connection(0);
    assert!(first.contains(&Event::Frame(b"GetServerTime  ".to_vec())));
    assert!(!first.iter().any(|event| matches!(event, Event::Frame(bytes) if bytes.starts_with(b"Chg"))));
    assert_eq!((fake.asked("ChgBasicData").len(), fake.connections()), (1, 2));
}

#[tokio::test]
async fn a_session_that_answered_just_now_takes_a_write_without_a_question() {
    let fake = FakeM3::ordinary().await;
    let client = fake.client(|_| {});
    client.call(&get()).await.expect("an answer");
    client.call(&change()).await.expect("an answer");
    assert_eq!((fake.asked("GetServerTime").len(), fake.connections()), (0, 1));
}

#[tokio::test]
async fn a_read_that_m3_cannot_have_seen_is_repeated_once_on_a_new_session() {
    let fake = FakeM3::start(PLAIN, |ask| {
        let dies = ask.connection < 1 && ask.text == "GetInLayout    GetBasicData";
        dies.then(|| vec![Do::Reset])
    })
    .await;
    fake.client(|_| {}).call(&get()).await.expect("an answer from the second");
    assert_eq!((fake.asked("GetBasicData").len(), fake.connections()), (1, 2));
}

#[tokio::test]
async fn a_read_is_not_repeated_on_another_session_that_may_be_dead_too() {
    let gate = Arc::new(Semaphore::new(0));
    let at = gate.clone();
    let fake = FakeM3::start(PLAIN, move |ask| {
        if ask.connection < 2 && ask.text == "GetInLayout    LstByNumber" {
            return Some(vec![Do::Reset]);
        }
        ask.text.starts_with("GetBasicData").then(|| vec![Do::Wait(at.clone()), say("OK             100C0001")])
    })
    .await;
    let client = fake.client(|_| {});
    let both = async {
        fake.until_asked("GetBasicData", 2).await;
        gate.add_permits(2);
    };
    let read = get();
    let (first, second, ()) = tokio::join!(client.call(&read), client.call(&read), both);
    assert!(first.is_ok() && second.is_ok());
    client.call(&list()).await.expect("a third session answers");
    assert_eq!((fake.asked("LstByNumber").len(), fake.connections()), (1, 3));
}

#[tokio::test]
async fn a_read_is_repeated_no_more_than_once() {
    let fake = FakeM3::start(PLAIN, |ask| (ask.text == "GetInLayout    GetBasicData").then(|| vec![Do::Reset])).await;
    let error = fake.client(|_| {}).call(&get()).await.expect_err("dead each time");
    assert!(matches!(error, Error::Lost { sent: false, .. }) && may_repeat(&error));
    assert_eq!(fake.connections(), 2);
}

#[tokio::test]
async fn what_m3_may_have_seen_is_not_repeated_read_or_write() {
    for (name, call) in [("GetBasicData", get()), ("ChgBasicData", change())] {
        let fake = FakeM3::start(PLAIN, move |ask| ask.text.starts_with(name).then(|| vec![Do::Reset])).await;
        let error = fake.client(|_| {}).call(&call).await.expect_err("lost");
        assert!(matches!(error, Error::Lost { sent: true, .. }) && error.may_have_been_seen() && !may_repeat(&error));
        assert_eq!((fake.asked(name).len(), fake.connections()), (1, 1), "{name}");
    }
}

#[tokio::test]
async fn a_write_whose_preparation_failed_was_not_seen() {
    let fake = FakeM3::start(PLAIN, |ask| (ask.text == "GetInLayout    ChgBasicData").then(|| vec![Do::Reset])).await;
    let error = fake.client(|_| {}).call(&change()).await.expect_err("lost");
    assert!(matches!(error, Error::Lost { sent: false, .. }) && !error.may_have_been_seen());
    assert_eq!(fake.asked("ChgBasicData"), [""; 0]);
}

#[tokio::test]
async fn a_call_that_is_dropped_takes_its_session_with_it() {
    // Each of these is a point at which a caller may go away.
    for point in ["GetInLayout    LstByNumber", "SetLstMaxRec", "LstByNumber"] {
        let gate = Arc::new(Semaphore::new(0));
        let closed = gate.clone();
        let fake = FakeM3::start(PLAIN, move |ask| {
            let here = ask.connection == 0 && ask.text.starts_with(point);
            here.then(|| vec![Do::Wait(closed.clone()), say("REP            100C0666     Evil"), say("OK")])
        })
        .await;
        let client = fake.client(|_| {});
        let list = list();
        tokio::select! {
            answer = client.call(&list) => panic!("{point}: {answer:?}"),
            () = fake.until_asked(point, 1) => {}
        }
        gate.add_permits(1);
        fake.until_ended(0).await;
        let mut reply = client.call(&get()).await.expect("an answer");
        let record = reply.next().await.expect("a record").expect("one");
        assert_eq!(record.text(&get().layout.output.fields()[1]), "C0001", "{point}");
        assert_eq!(fake.connections(), 2, "{point}");
        drop(reply);
        let busy = fake.metrics.m3_sessions.with_label_values(&["busy"]).get();
        assert_eq!(busy, 0, "{point}: no place is lost");
    }
}

#[tokio::test]
async fn a_session_that_is_being_opened_for_a_caller_who_goes_is_counted_and_serves_the_next() {
    for point in ["GetOutLayout   GetUserInfo", "GetUserInfo", "GetMIBuild"] {
        let gate = Arc::new(Semaphore::new(0));
        let closed = gate.clone();
        let fake = FakeM3::start(PLAIN, move |ask| {
            let here = ask.connection == 0 && ask.text.starts_with(point);
            here.then(|| vec![Do::Wait(closed.clone()), say(ordinary(ask.text))])
        })
        .await;
        let client = fake.client(|settings| {
            (settings.pool.max_sessions, settings.pool.wait) = (1, Duration::from_millis(20));
        });
        let get = get();
        tokio::select! {
            answer = client.call(&get) => panic!("{point}: {answer:?}"),
            () = fake.until_asked(point, 1) => {}
        }
        assert!(matches!(client.call(&get).await, Err(Error::Busy { .. })), "{point}: the one place is taken");
        gate.add_permits(1);
        fake.until_asked("GetMIBuild", 1).await;
        while fake.metrics.m3_sessions.with_label_values(&["idle"]).get() == 0 {
            tokio::task::yield_now().await;
        }
        client.call(&get).await.expect("an answer");
        assert_eq!((fake.asked("PWLOG").len(), fake.connections()), (1, 1), "{point}");
    }
}

#[tokio::test]
async fn sessions_end_with_close_in_sixteen_columns() {
    let fake = FakeM3::ordinary().await;
    let client = fake.client(|_| {});
    client.call(&get()).await.expect("an answer");
    client.close();
    fake.until_ended(0).await;
    let events = fake.connection(0);
    assert_eq!(events[events.len() - 2], Event::Frame(b"CLOSE           ".to_vec()));
}

#[tokio::test]
async fn a_session_that_is_idle_for_too_long_ends_by_itself() {
    let fake = FakeM3::ordinary().await;
    let client = fake.client(|settings| settings.pool.idle = Duration::from_millis(20));
    client.call(&get()).await.expect("an answer");
    fake.until_ended(0).await;
    assert_eq!(fake.asked("CLOSE").len(), 1);
    assert_eq!(fake.metrics.m3_sessions.with_label_values(&["idle"]).get(), 0);
}

#[tokio::test]
async fn when_the_house_stops_its_sessions_end() {
    let fake = FakeM3::ordinary().await;
    let house = Tasks::new();
    let mut settings = Settings::new(fake.address.to_string(), user());
    settings.users = [(user(), "secret-7".into())].into();
    let client = Client::new(settings, fake.metrics.clone(), house.clone()).expect("a client");
    client.call(&get()).await.expect("an answer");
    assert!(house.finish(Duration::from_secs(10)).await);
    fake.until_ended(0).await;
    assert_eq!(fake.asked("CLOSE").len(), 1);
}
