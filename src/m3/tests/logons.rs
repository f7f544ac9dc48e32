//! Golden dialogues: what goes over the wire from the first byte on, and each answer that M3 has to a logon.

use super::fake::{Ask, Do, Event, FakeM3, Greeting, PLAIN, call, framed, get, layout, place, program, say, user};
use crate::m3::{Error, may_repeat};
use crate::model::{Charset, Effect, M3User};
use secrecy::SecretString;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// `secret-7` under its mask, in its sixteen columns.
const LOGON: &[u8] = b"PWLOG100AAA                          MIDEMO          \
    \x43\x54\x51\x41\x51\x41\x1b7\x18\x19      \
    CRS610MI                        mi-gateway                      127.0.0.1       ";

fn frames(events: &[Event]) -> Vec<&[u8]> {
    events.iter().filter_map(frame).collect()
}

fn frame(event: &Event) -> Option<&[u8]> {
    match event {
        Event::Frame(bytes) => Some(bytes),
        Event::Opened | Event::Bare(_) | Event::Ended => None,
    }
}

/// The requests of one read after the logon, as text.
const REQUESTS: [&str; 7] = [
    "GetOutLayout   GetUserInfo",
    "GetUserInfo    ",
    "GetOutLayout   GetMIBuild",
    "GetMIBuild     ",
    "GetInLayout    GetBasicData",
    "GetOutLayout   GetBasicData",
    "GetBasicData   100C0001",
];

/// The same in UCS-2: a zero before each of these letters.
fn wide(text: &str) -> Vec<u8> {
    text.bytes().flat_map(|byte| [0, byte]).collect()
}

#[tokio::test]
async fn the_first_bytes_are_a_length_and_the_logon() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let fake = FakeM3::ordinary().await;
    let address = listener.local_addr().expect("an address").to_string();
    let client = fake.client(|settings| settings.address = address);
    let mut first = [0; 153];
    let told = async {
        let (mut stream, _) = listener.accept().await.expect("the client dials");
        stream.read_exact(&mut first).await.expect("it speaks first");
        stream.write_all(b"\0\0\0\x0bNOK  go off").await.expect("it listens");
    };
    let get = get();
    let (refused, ()) = tokio::join!(client.call(&get), told);
    assert_eq!(first[..4], [0, 0, 0, 149]);
    assert_eq!(&first[4..], LOGON);
    assert!(matches!(refused, Err(Error::LogonRefused { message, .. }) if message == "go off"));
}

#[tokio::test]
async fn a_single_byte_server_is_spoken_to_in_bytes() {
    for greeting in [PLAIN, Greeting::Say("WIN"), Greeting::Say("")] {
        let fake = FakeM3::start(greeting, |_| None).await;
        let mut reply = fake.client(|_| {}).call(&get()).await.expect("an answer");
        let record = reply.next().await.expect("a record").expect("one");
        assert_eq!(record.text(&layout("GetBasicData").output.fields()[2]), "Smith; Sons, Ltd");
        assert!(reply.next().await.expect("an end").is_none());
        let events = fake.connection(0);
        let expected: Vec<&[u8]> = [LOGON].into_iter().chain(REQUESTS.map(str::as_bytes)).collect();
        assert_eq!(frames(&events), expected);
    }
}

#[tokio::test]
async fn what_says_ucs2_is_spoken_to_in_two_bytes_a_character() {
    for greeting in ["UCS2 ", "UCS2 WIN", "NGCONOK"] {
        let fake = FakeM3::start(Greeting::Say(greeting), |ask: &Ask<'_>| {
            ask.text.starts_with("GetBasicData").then(|| vec![say("OK             100C0001     Łódź Sp. z o.o.")])
        })
        .await;
        let mut reply = fake.client(|_| {}).call(&get()).await.expect("an answer");
        let record = reply.next().await.expect("a record").expect("one");
        assert_eq!(record.text(&layout("GetBasicData").output.fields()[2]), "Łódź Sp. z o.o.", "{greeting}");
        let events = fake.connection(0);
        let asked = frames(&events);
        assert_eq!(asked[0], LOGON, "the logon itself is single byte");
        assert_eq!(asked[1..], REQUESTS.map(wide), "{greeting}");
    }
}

#[tokio::test]
async fn a_name_beyond_latin_takes_its_columns_in_ucs2() {
    let fake = FakeM3::start(Greeting::Say("NGCONOK"), |_| None).await;
    let change = call(&layout("ChgBasicData"), &[("CUNO", "C1"), ("CUNM", "Łódź😀"), ("CRLM", "-12.5")]);
    fake.client(|_| {}).call(&change).await.expect("an answer");
    let mut expected = wide("ChgBasicData      C1        ");
    expected.extend([0x01, 0x41, 0x00, 0xf3, 0x00, 0x64, 0x01, 0x7a, 0xd8, 0x3d, 0xde, 0x00]);
    expected.extend(wide("              -12.5"));
    assert_eq!(fake.connection(0).last(), Some(&Event::Frame(expected)));
}

#[tokio::test]
async fn a_reroute_ends_the_first_connection_and_shows_the_port_id_on_the_second() {
    let greeting = Greeting::Reroute { host: "127.0.0.1", id: 0x0102_0304, answer: 0 };
    let fake = FakeM3::start(greeting, |_| None).await;
    let mut reply = fake.client(|_| {}).call(&get()).await.expect("an answer");
    assert!(reply.next().await.expect("a record").is_some());
    fake.until_ended(0).await;
    assert_eq!(fake.connection(0), [Event::Opened, Event::Frame(LOGON.to_vec()), Event::Ended]);
    let mut expected = vec![Event::Opened, Event::Bare(0x0102_0304)];
    expected.extend(REQUESTS.map(|request| Event::Frame(wide(request))));
    assert_eq!(fake.connection(1), expected, "no password a second time, and all of it in UCS-2");
}

#[tokio::test]
async fn the_answer_to_the_port_id_is_heard() {
    let fake = FakeM3::start(Greeting::Reroute { host: "127.0.0.1", id: 9_000_000, answer: 1 }, |_| None).await;
    let client = fake.client(|_| {});
    let answer = client.call(&get()).await;
    assert!(matches!(answer, Err(Error::NoSuchProgram(name)) if name == program("CRS610MI")));
    fake.greet(Greeting::Reroute { host: "127.0.0.1", id: 9_000_000, answer: 7 });
    let answer = client.call(&get()).await.expect_err("refused");
    assert!(matches!(answer, Error::Protocol { sent: false, .. }), "{answer:?}");
}

#[tokio::test]
async fn a_reroute_goes_only_where_the_settings_allow() {
    let fake = FakeM3::start(Greeting::Reroute { host: "m3.elsewhere", id: 9_000_000, answer: 0 }, |_| None).await;
    let refused = fake.client(|_| {}).call(&get()).await;
    assert!(matches!(refused, Err(Error::RerouteRefused { host }) if host == "m3.elsewhere"));
    let mapped = fake.client(|settings| {
        settings.reroute_map.insert("m3.elsewhere".into(), "127.0.0.1".into());
    });
    mapped.call(&get()).await.expect("the address behind the name is dialled");
}

#[tokio::test]
async fn an_answer_that_is_no_reroute_is_no_reason_to_dial() {
    for text in ["CHG ", "CHG 127.0.0.1", "CHG 127.0.0.1,99999,1", "CHG 127.0.0.1,80,-1", "CHG 127.0.0.1,80,x"] {
        let fake = FakeM3::start(Greeting::Say(text), |_| None).await;
        let error = fake.client(|_| {}).call(&get()).await.expect_err("nothing was agreed");
        assert!(matches!(error, Error::Protocol { sent: false, .. }), "{text}: {error:?}");
        assert!(!error.may_have_been_seen(), "{text}");
        assert_eq!(fake.connections(), 1, "{text}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_tried_once_however_many_wait() {
    let fake = FakeM3::ordinary().await;
    fake.change_password("another");
    let client = fake.client(|_| {});
    let get = get();
    let answers = futures_util::future::join_all((0..6).map(|_| client.call(&get))).await;
    let refused = answers.iter().filter(|answer| matches!(answer, Err(Error::LogonRefused { .. }))).count();
    let held = answers.iter().filter(|answer| matches!(answer, Err(Error::LogonHeld { .. }))).count();
    assert_eq!((refused, held), (1, 5));
    assert_eq!(fake.asked("PWLOG").len(), 1);
}

#[tokio::test]
async fn a_refused_user_is_tried_again_only_with_another_password() {
    let fake = FakeM3::ordinary().await;
    fake.change_password("another");
    let client = fake.client(|_| {});
    assert!(matches!(client.call(&get()).await, Err(Error::LogonRefused { .. })));
    let other = M3User::parse("MIOTHER").expect("a user");
    let users = |own: &str| [(user(), SecretString::from(own)), (other.clone(), SecretString::from("x"))].into();
    client.set_users(users("secret-7"));
    assert!(matches!(client.call(&get()).await, Err(Error::LogonHeld { .. })), "the same secret is no new one");
    client.set_users(users("another"));
    client.call(&get()).await.expect("let in");
    assert_eq!(fake.asked("PWLOG").len(), 2);
}

#[tokio::test]
async fn a_refused_user_is_tried_again_after_a_pause() {
    let fake = FakeM3::ordinary().await;
    fake.change_password("another");
    let client = fake.client(|settings| settings.logon_pause = Duration::from_millis(20));
    assert!(matches!(client.call(&get()).await, Err(Error::LogonRefused { .. })));
    fake.change_password("secret-7");
    let again = async { while client.call(&get()).await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(10), again).await.expect("the pause ends");
    assert_eq!(fake.asked("PWLOG").len(), 2, "and nothing was tried within it");
}

#[tokio::test]
async fn a_password_that_m3_changed_is_not_tried_by_a_crowd() {
    let fake = FakeM3::ordinary().await;
    let client = fake.client(|settings| settings.logon_trust = Duration::ZERO);
    client.call(&get()).await.expect("let in");
    fake.change_password("another");
    client.forget(None);
    let get = get();
    let answers = futures_util::future::join_all((0..6).map(|_| client.call(&get))).await;
    assert!(answers.iter().all(Result::is_err));
    assert_eq!(fake.asked("PWLOG").len(), 2, "one that was let in, one that was not");
}

#[tokio::test]
async fn a_user_without_a_password_is_not_asked_for() {
    let fake = FakeM3::ordinary().await;
    let mut stranger = get();
    stranger.user = M3User::parse("NOBODY").expect("a user");
    assert!(
        matches!(fake.client(|_| {}).call(&stranger).await, Err(Error::UnknownUser(user)) if user == stranger.user)
    );
    assert_eq!(fake.connections(), 0);
}

#[tokio::test]
async fn nobody_there_is_unreachable_and_says_so_to_all_who_wait() {
    let fake = FakeM3::ordinary().await;
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = closed.local_addr().expect("an address").to_string();
    drop(closed);
    let client = fake.client(|settings| settings.address = address);
    let error = client.call(&get()).await.expect_err("nobody listens");
    assert!(matches!(error, Error::Unreachable { .. }) && !may_repeat(&error) && !error.may_have_been_seen());
}

#[tokio::test]
async fn a_logon_that_is_never_answered_ends_in_time_and_was_not_sent() {
    let fake = FakeM3::start(PLAIN, |ask| ask.text.starts_with("GetUserInfo").then(Vec::new)).await;
    let client = fake.client(|settings| settings.logon_timeout = Duration::from_millis(50));
    let mut write = get();
    write.effect = Effect::Write;
    let error = client.call(&write).await.expect_err("no answer");
    assert!(matches!(error, Error::TimedOut { sent: false, .. }), "{error:?}");
    fake.until_ended(0).await;
}

#[tokio::test]
async fn a_code_page_is_the_settings_own() {
    let fake = FakeM3::start(PLAIN, |ask: &Ask<'_>| {
        let mut payload = b"OK             100C0001     Gda".to_vec();
        payload.extend([0xf1, b's', b'k']);
        let mut frame = framed("", false);
        frame[3] = u8::try_from(payload.len()).expect("a short frame");
        frame.extend(payload);
        ask.text.starts_with("GetBasicData").then(|| vec![Do::Raw(frame)])
    })
    .await;
    let client = fake.client(|settings| settings.charset = Charset::named("cp1250").expect("a name of the list"));
    let mut reply = client.call(&get()).await.expect("an answer");
    let record = reply.next().await.expect("a record").expect("one");
    assert_eq!(record.text(&layout("GetBasicData").output.fields()[2]), "Gdańsk");
}

#[tokio::test]
async fn the_gateways_own_user_is_asked_who_he_is_once() {
    let fake = FakeM3::ordinary().await;
    let client = fake.client(|_| {});
    let own = user();
    let homes = futures_util::future::join_all((0..5).map(|_| client.home(&own))).await;
    for home in homes {
        let home = home.expect("a home");
        assert_eq!((home.place, home.language.as_str()), (place(100, "AAA"), "GB"));
    }
    assert_eq!(fake.asked("GetUserInfo").len(), 1);
    let identity = client.probe().await.expect("M3 answers");
    assert_eq!((identity.user, identity.place, identity.build.as_str()), (user(), place(100, "AAA"), "1234"));
}
