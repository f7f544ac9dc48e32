//! Golden dialogues: bytes written from the protocol, not through anybody's encoder.

use super::*;
use crate::tasks::Tasks;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn mock(mode: ReplyMode) -> (Mock, Tasks) {
    with(Profile { reply_mode: mode, ..Profile::default() }).await
}

async fn with(profile: Profile) -> (Mock, Tasks) {
    let tasks = Tasks::new();
    let mock = Mock::start(Settings { profile, ..Settings::default() }, &tasks).await.expect("a free port");
    (mock, tasks)
}

/// `MIDEMO` with its development password, by hand: `midemo-dev` against `0123456789`.
fn logon(program: &str) -> Vec<u8> {
    let mut out = vec![0, 0, 0, 149];
    out.extend_from_slice(b"PWLOG100AAA                          MIDEMO          ");
    let masked = b"midemo-dev".iter().zip(b"0123456789").map(|(byte, digit)| byte ^ digit);
    out.extend(masked);
    out.extend_from_slice(b"      ");
    out.extend_from_slice(format!("{program:<32}{:<32}{:<16}", "golden", "127.0.0.1").as_bytes());
    out
}

async fn frame(stream: &mut TcpStream) -> Vec<u8> {
    let length = stream.read_u32().await.expect("a length") as usize;
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await.expect("a payload");
    payload
}

fn wide(text: &str) -> Vec<u8> {
    let mut out = ((text.len() * 2) as u32).to_be_bytes().to_vec();
    text.bytes().for_each(|byte| out.extend_from_slice(&[0, byte]));
    out
}

fn narrow(payload: &[u8]) -> String {
    payload.chunks(2).map(|pair| char::from_u32(u32::from(pair[0]) << 8 | u32::from(pair[1])).unwrap_or('?')).collect()
}

/// Through the reroute to a session in UCS-2.
async fn session(mock: &Mock, program: &str) -> TcpStream {
    let mut stream = TcpStream::connect(mock.address()).await.expect("the first port");
    stream.write_all(&logon(program)).await.expect("sent");
    let reply = String::from_utf8(frame(&mut stream).await).expect("single bytes");
    let words: Vec<&str> = reply.strip_prefix("CHG ").expect("a reroute").split(',').collect();
    let mut stream = TcpStream::connect(format!("{}:{}", words[0], words[1])).await.expect("the second port");
    let id: u32 = words[2].parse().expect("a port id");
    stream.write_all(&id.to_be_bytes()).await.expect("sent");
    assert_eq!(stream.read_u32().await.expect("a return code"), 0);
    stream
}

#[tokio::test]
async fn a_whole_conversation_in_bytes() {
    let (mock, _tasks) = mock(ReplyMode::Reroute).await;
    let mut stream = session(&mock, "CRS610MI").await;
    stream.write_all(&wide("GetInLayout    GetBasicData")).await.expect("sent");
    assert_eq!(narrow(&frame(&mut stream).await), "OK             ;CONO,16,3;CUNO,19,10");
    stream.write_all(&wide("GetBasicData   100C00001")).await.expect("sent");
    let reply = narrow(&frame(&mut stream).await);
    assert_eq!(&reply[..18], "OK             100");
    assert!(reply.contains("C00001"));
    // Sticky, and asked for twice in one write: requests queue.
    stream.write_all(&wide("SetLstMaxRec   2          ")).await.expect("sent");
    assert_eq!(narrow(&frame(&mut stream).await).trim_end(), "OK");
    let twice = [wide("LstByNumber    "), wide("LstByNumber    ")].concat();
    stream.write_all(&twice).await.expect("sent");
    let mut words = Vec::new();
    for _ in 0..6 {
        words.push(narrow(&frame(&mut stream).await)[..3].trim_end().to_owned());
    }
    assert_eq!(words, ["REP", "REP", "OK", "REP", "REP", "OK"]);
    stream.write_all(&wide("GetBasicData   100NOBODY")).await.expect("sent");
    let nok = narrow(&frame(&mut stream).await);
    assert_eq!((&nok[..3], &nok[256..263], nok[264..].trim_end()), ("NOK", "WCU0203", "CUNO"));
    stream.write_all(&wide("CLOSE           ")).await.expect("sent");
    assert_eq!(stream.read(&mut [0; 1]).await.expect("an orderly end"), 0);
}

#[tokio::test]
async fn every_kind_of_server_says_so_in_its_logon() {
    for (mode, expected) in [
        (ReplyMode::NgConOk, "NGCONOK"),
        (ReplyMode::Plain, "Connection accepted"),
        (ReplyMode::Ucs2, "UCS2 "),
        (ReplyMode::Win, "WIN"),
    ] {
        let (mock, _tasks) = mock(mode).await;
        let mut stream = TcpStream::connect(mock.address()).await.expect("a port");
        stream.write_all(&logon("CRS610MI")).await.expect("sent");
        assert_eq!(frame(&mut stream).await, expected.as_bytes());
        assert_eq!(mock.sessions(), 1);
    }
}

#[tokio::test]
async fn an_unknown_program_and_an_unknown_port_id_are_refused() {
    let (mock, _tasks) = mock(ReplyMode::Reroute).await;
    let mut stream = TcpStream::connect(mock.address()).await.expect("a port");
    stream.write_all(&logon("NOSUCHMI")).await.expect("sent");
    let reply = String::from_utf8(frame(&mut stream).await).expect("text");
    let words: Vec<&str> = reply.strip_prefix("CHG ").expect("a reroute").split(',').collect();
    for (id, expected) in [(words[2].parse().expect("an id"), 1), (999_999_u32, 2)] {
        let mut stream = TcpStream::connect(format!("{}:{}", words[0], words[1])).await.expect("the second port");
        stream.write_all(&id.to_be_bytes()).await.expect("sent");
        assert_eq!(stream.read_u32().await.expect("a return code"), expected);
    }
}

#[tokio::test]
async fn faults_befall_the_calls_they_name() {
    let (mock, _tasks) = mock(ReplyMode::Reroute).await;
    let rules = r#"{"rules":[{"transaction":"GetBasicData","times":1,"action":{"nok":{"id":"XIM0002","field":"CUNO","text":"on request"}}},
        {"transaction":"LstByNumber","times":1,"action":{"nok_after":{"records":1,"id":"XIM0003","field":"","text":"enough"}}},
        {"transaction":"GetFinancial","action":"half_answer"}]}"#;
    mock.set_faults(serde_json::from_str(rules).expect("faults"));
    let mut stream = session(&mock, "CRS610MI").await;
    stream.write_all(&wide("GetBasicData   100C00001")).await.expect("sent");
    assert!(narrow(&frame(&mut stream).await).contains("on request"));
    stream.write_all(&wide("GetBasicData   100C00001")).await.expect("sent");
    assert!(narrow(&frame(&mut stream).await).starts_with("OK"));
    stream.write_all(&wide("LstByNumber    ")).await.expect("sent");
    assert!(narrow(&frame(&mut stream).await).starts_with("REP"));
    assert!(narrow(&frame(&mut stream).await).contains("enough"));
    stream.write_all(&wide("GetFinancial   100AAAC00001")).await.expect("sent");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.expect("the end");
    let said = u32::from_be_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
    assert!(rest.len() < said, "half of what was announced");
}

#[tokio::test]
async fn what_was_asked_is_remembered() {
    let (mock, _tasks) = mock(ReplyMode::Reroute).await;
    let mut stream = session(&mock, "CRS610MI").await;
    stream.write_all(&wide("GetBasicData   100C00001")).await.expect("sent");
    frame(&mut stream).await;
    let calls: Vec<String> = mock.calls().iter().filter(|call| !call.technical).map(ToString::to_string).collect();
    assert_eq!(calls, ["CRS610MI/GetBasicData CONO=100 CUNO=C00001"]);
}

#[tokio::test]
async fn a_second_release_shifts_what_stands_behind() {
    let (mock, _tasks) = mock(ReplyMode::Reroute).await;
    mock.widen("CRS610MI", "GetBasicData", "CUNO", 5);
    let mut stream = session(&mock, "CRS610MI").await;
    stream.write_all(&wide("GetInLayout    GetBasicData")).await.expect("sent");
    assert_eq!(narrow(&frame(&mut stream).await), "OK             ;CONO,16,3;CUNO,19,15");
}

#[tokio::test]
async fn a_record_that_another_user_has_open_is_read_and_not_changed() {
    let (mock, _tasks) = mock(ReplyMode::Reroute).await;
    mock.lock_record("CRS610MI", 100, &[("CUNO", "C00001")]);
    let mut stream = session(&mock, "CRS610MI").await;
    let change = wide(&format!("ChgBasicData   100AAAC00001      {:<36}", "Changed"));
    stream.write_all(&change).await.expect("sent");
    let reply = narrow(&frame(&mut stream).await);
    assert!(reply.starts_with("NOK") && reply.contains("updated by another user"), "{reply}");
    stream.write_all(&wide("GetBasicData   100C00001")).await.expect("sent");
    assert!(narrow(&frame(&mut stream).await).starts_with("OK"));
    mock.unlock_records();
    stream.write_all(&change).await.expect("sent");
    assert!(narrow(&frame(&mut stream).await).starts_with("OK"));
    assert_eq!(mock.record("CRS610MI", 100, &[("CUNO", "C00001")]).expect("a customer")["CUNM"], "Changed");
}

#[tokio::test]
async fn a_session_whose_life_is_over_says_nothing_and_stays_open_until_the_peer_has_gone() {
    let (mock, _tasks) = with(Profile { session_life: Some(Duration::from_millis(100)), ..Profile::default() }).await;
    let mut stream = session(&mock, "CRS610MI").await;
    stream.write_all(&wide("GetBasicData   100C00001")).await.expect("sent");
    assert!(narrow(&frame(&mut stream).await).starts_with("OK"));
    let silent = async {
        loop {
            stream.write_all(&wide("GetBasicData   100C00001")).await.expect("it is open");
            let answer = tokio::time::timeout(Duration::from_millis(400), frame(&mut stream)).await;
            if answer.is_err() {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), silent).await.expect("it falls silent");
    assert_eq!(mock.sessions(), 1);
    drop(stream);
    let gone = async {
        while mock.sessions() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("it ends with its peer");
}

#[tokio::test]
async fn authority_and_the_shape_of_values_are_looked_at_first() {
    let tasks = Tasks::new();
    let mut settings = Settings::default();
    let demo = settings.users.iter_mut().find(|user| user.name == DEMO_USER).expect("a user");
    demo.allowed_companies = vec![100];
    demo.denied_programs = vec!["CRS620MI".to_owned()];
    let mock = Mock::start(settings, &tasks).await.expect("a free port");
    let mut stream = session(&mock, "CRS610MI").await;
    let mut ask = async |text: &str| {
        stream.write_all(&wide(text)).await.expect("sent");
        let reply = narrow(&frame(&mut stream).await);
        if reply.starts_with("OK") { "OK".to_owned() } else { reply[256..].trim_end().to_owned() }
    };
    assert_eq!(ask("GetBasicData   200C00001").await, "XAU0008 CONO");
    assert_eq!(ask("GetBasicData   1x0C00001").await, "XMI0005 CONO");
    assert_eq!(ask("GetBasicData   100C00001").await, "OK");
    let mut other = session(&mock, "CRS620MI").await;
    other.write_all(&wide("GetBasicData   S00001")).await.expect("sent");
    assert!(narrow(&frame(&mut other).await).contains("XAU0008"));
}

#[tokio::test]
async fn a_site_takes_its_time_and_cuts_what_is_blank() {
    let (mock, _tasks) = with(Profile::site()).await;
    let begun = std::time::Instant::now();
    let mut stream = session(&mock, "CRS610MI").await;
    assert!(begun.elapsed() >= Duration::from_millis(500));
    let begun = std::time::Instant::now();
    stream.write_all(&wide("GetBasicData   100C00001")).await.expect("sent");
    let reply = narrow(&frame(&mut stream).await);
    assert!(begun.elapsed() >= Duration::from_millis(20));
    assert!(!reply.ends_with(' '), "{reply:?}");
}
