//! Who gets a session, who waits, and who is told that too many wait.

use super::fake::{Ask, Do, FakeM3, PLAIN, client as named, get, layout, ordinary, program, say};
use crate::m3::{Client, Error, Reply};
use crate::model::{Call, ClientId};
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Reads wait at the gate.
async fn gated() -> (FakeM3, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let at = gate.clone();
    let fake = FakeM3::start(PLAIN, move |ask: &Ask<'_>| {
        let read = ask.text.starts_with("GetBasicData");
        read.then(|| vec![Do::Wait(at.clone()), say(ordinary("GetBasicData"))])
    })
    .await;
    (fake, gate)
}

fn of(client: &ClientId) -> Call {
    Call { client: client.clone(), ..get() }
}

fn spawn(fake: &FakeM3, client: &Client, call: Call) -> tokio::task::JoinHandle<Result<Reply, Error>> {
    let client = client.clone();
    fake.tasks.spawn(async move { client.call(&call).await })
}

#[tokio::test]
async fn sessions_are_shared_one_after_the_other() {
    let fake = FakeM3::ordinary().await;
    let client = fake.client(|_| {});
    for _ in 0..5 {
        client.call(&get()).await.expect("an answer");
    }
    assert_eq!((fake.connections(), fake.asked("GetBasicData").len()), (1, 5));
    let sessions = |state| fake.metrics.m3_sessions.with_label_values(&[state]).get();
    assert_eq!((sessions("idle"), sessions("busy")), (1, 0));
}

#[tokio::test]
async fn one_client_holds_at_most_half_and_another_is_not_kept_waiting() {
    let (fake, gate) = gated().await;
    let client = fake.client(|settings| settings.pool.max_per_key = 4);
    let (many, one) = (named("many"), named("one"));
    let crowd: Vec<_> = (0..6).map(|_| spawn(&fake, &client, of(&many))).collect();
    fake.until_asked("GetBasicData", 2).await;
    let other = spawn(&fake, &client, of(&one));
    fake.until_asked("GetBasicData", 3).await;
    assert_eq!(fake.connections(), 3, "two of the crowd, and the other");
    assert_eq!(fake.metrics.m3_waiting.get(), 4);
    gate.add_permits(7);
    other.await.expect("no panic").expect("an answer");
    for answer in join_all(crowd).await {
        answer.expect("no panic").expect("an answer");
    }
    assert_eq!(fake.metrics.m3_waiting.get(), 0);
}

#[tokio::test]
async fn one_client_holds_at_most_half_of_all_over_several_programs() {
    let (fake, gate) = gated().await;
    let client = fake.client(|settings| settings.pool.max_sessions = 4);
    let many = named("many");
    let in_program = |name: &str| {
        let mut layout = (*layout("GetBasicData")).clone();
        layout.program = program(name);
        Call { layout: Arc::new(layout), ..of(&many) }
    };
    let crowd: Vec<_> = ["AAA100MI", "BBB100MI", "CCC100MI"].map(|name| spawn(&fake, &client, in_program(name))).into();
    fake.until_asked("GetBasicData", 2).await;
    let other = spawn(&fake, &client, of(&named("one")));
    fake.until_asked("GetBasicData", 3).await;
    assert_eq!(fake.metrics.m3_waiting.get(), 1);
    gate.add_permits(4);
    other.await.expect("no panic").expect("an answer");
    for answer in join_all(crowd).await {
        answer.expect("no panic").expect("an answer");
    }
}

#[tokio::test]
async fn whoever_holds_less_is_served_first() {
    let (fake, gate) = gated().await;
    let client = fake.client(|settings| settings.pool.max_per_key = 2);
    // One session each for two; then the first client's crowd waits, and behind it a third who holds nothing.
    let first = spawn(&fake, &client, of(&named("first")));
    fake.until_asked("GetBasicData", 1).await;
    let second = spawn(&fake, &client, of(&named("second")));
    fake.until_asked("GetBasicData", 2).await;
    let crowd: Vec<_> = (0..3).map(|_| spawn(&fake, &client, of(&named("first")))).collect();
    while fake.metrics.m3_waiting.get() < 3 {
        tokio::task::yield_now().await;
    }
    let third = spawn(&fake, &client, of(&named("third")));
    while fake.metrics.m3_waiting.get() < 4 {
        tokio::task::yield_now().await;
    }
    gate.add_permits(1);
    fake.until_asked("GetBasicData", 3).await;
    gate.add_permits(20);
    third.await.expect("no panic").expect("an answer");
    for answer in join_all(crowd.into_iter().chain([first, second])).await {
        answer.expect("no panic").expect("an answer");
    }
    assert_eq!(fake.connections(), 2);
}

#[tokio::test]
async fn waiting_is_bounded_in_number_and_one_client_fills_half() {
    let (fake, gate) = gated().await;
    let client = fake.client(|settings| {
        settings.pool.max_per_key = 1;
        settings.pool.max_waiting = 4;
    });
    let holder = spawn(&fake, &client, of(&named("holder")));
    fake.until_asked("GetBasicData", 1).await;
    let mut waiting = Vec::new();
    for (at, name) in ["a", "a", "b", "b"].into_iter().enumerate() {
        waiting.push(spawn(&fake, &client, of(&named(name))));
        while fake.metrics.m3_waiting.get() <= at as i64 {
            tokio::task::yield_now().await;
        }
        if at == 1 {
            assert!(matches!(client.call(&of(&named("a"))).await, Err(Error::QueueFull)), "half is taken");
        }
    }
    assert!(matches!(client.call(&of(&named("c"))).await, Err(Error::QueueFull)), "all is taken");
    gate.add_permits(20);
    for answer in join_all(waiting.into_iter().chain([holder])).await {
        answer.expect("no panic").expect("an answer");
    }
}

#[tokio::test]
async fn waiting_is_bounded_in_time() {
    let (fake, gate) = gated().await;
    let client = fake.client(|settings| {
        settings.pool.max_per_key = 1;
        settings.pool.wait = Duration::from_millis(30);
    });
    let holder = spawn(&fake, &client, get());
    fake.until_asked("GetBasicData", 1).await;
    let error = client.call(&get()).await.expect_err("busy");
    assert!(matches!(error, Error::Busy { waited } if waited == Duration::from_millis(30)));
    assert!(!error.may_have_been_seen());
    gate.add_permits(2);
    holder.await.expect("no panic").expect("an answer");
    client.call(&get()).await.expect("room again");
}

#[tokio::test]
async fn who_waited_and_went_away_costs_no_session() {
    let (fake, gate) = gated().await;
    let client = fake.client(|settings| settings.pool.max_per_key = 1);
    let holder = spawn(&fake, &client, get());
    fake.until_asked("GetBasicData", 1).await;
    let gone = spawn(&fake, &client, get());
    while fake.metrics.m3_waiting.get() == 0 {
        tokio::task::yield_now().await;
    }
    gone.abort();
    assert!(gone.await.is_err_and(|error| error.is_cancelled()));
    assert_eq!(fake.metrics.m3_waiting.get(), 0);
    gate.add_permits(2);
    holder.await.expect("no panic").expect("an answer");
    client.call(&get()).await.expect("the session is free");
    assert_eq!(fake.connections(), 1);
}

#[tokio::test]
async fn an_idle_session_of_another_key_makes_room() {
    let fake = FakeM3::ordinary().await;
    let client = fake.client(|settings| settings.pool.max_sessions = 1);
    client.call(&get()).await.expect("an answer");
    let mut elsewhere = (*layout("GetBasicData")).clone();
    elsewhere.program = program("CRS620MI");
    client.call(&Call { layout: Arc::new(elsewhere), ..get() }).await.expect("an answer");
    fake.until_ended(0).await;
    assert_eq!((fake.connections(), fake.asked("CLOSE").len()), (2, 1));
}

#[tokio::test]
async fn forgetting_ends_what_is_idle_now_and_what_is_lent_later() {
    let (fake, gate) = gated().await;
    let client = fake.client(|_| {});
    let lent = spawn(&fake, &client, get());
    fake.until_asked("GetBasicData", 1).await;
    client.forget(Some(program("CRS610MI")));
    gate.add_permits(2);
    lent.await.expect("no panic").expect("its answer comes all the same");
    fake.until_ended(0).await;
    client.call(&get()).await.expect("an answer");
    client.forget(Some(program("CRS620MI")));
    gate.add_permits(1);
    client.call(&get()).await.expect("an answer");
    assert_eq!(fake.connections(), 2, "another program's are not touched");
}

#[tokio::test]
async fn calls_are_counted_by_program_effect_and_outcome() {
    let fake = FakeM3::start(PLAIN, |ask| ask.text.starts_with("ChgBasicData").then(|| vec![Do::Reset])).await;
    let client = fake.client(|_| {});
    client.call(&get()).await.expect("an answer");
    let lost = client.call(&super::fake::change()).await;
    assert!(lost.is_err_and(|error| error.may_have_been_seen()));
    let counted = |effect, outcome| fake.metrics.m3_calls.with_label_values(&["CRS610MI", effect, outcome]).get();
    assert_eq!((counted("read", "ok"), counted("write", "unknown")), (1, 1));
    assert_eq!(fake.metrics.m3_records.with_label_values(&["CRS610MI"]).get(), 1);
    assert_eq!(fake.metrics.m3_logons.with_label_values(&["ok"]).get(), 1);
}
