//! A request target in any spelling: what M3 executes is what was decided, and what is no plain target never gets there.

use crate::house::{Caller, House};
use http::StatusCode;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use rustls::pki_types::ServerName;
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// One customer may be read, and one name changed: nothing else, so that whatever else runs was smuggled past a rule.
const RULES: &str = r#"
@id("reads") permit (principal, action == Action::"CRS610MI/GetBasicData", resource)
when { context.company == 100 && context.fields has CUNO && context.fields.CUNO == "C00001" };
@id("writes") permit (principal, action == Action::"CRS610MI/ChgBasicData", resource)
when { context.company == 100 && context.division == "" && context.fields has CUNO && context.fields.CUNO == "C00007" };
"#;

#[rustfmt::skip]
const PIECES: &[&str] = &[
    "%2f", "%2F", "%5c", "\\", "%00", "\0", "/", "//", "/./", "/../", "/%2e%2e/", "%2e", ".", "..", "...", ";", ";;", ";=", ";a=b",
    ";cono=200", "%3b", "%3Bcono=200", "%252f", "%252e%252e", "%25", "%", "%0", "%09", "\t", "%0a", "%0d%0a", "\r", "%20", " ", "+",
    "%EF%BC%8F", "%EF%BC%8E", "%EF%BC%9B", "\u{ff0f}", "\u{2044}", "%c0%af", "%c0%ae", "%u002f", "?", "#", "%3f", "%23", "&", "=", "*",
    "~", "@", ":", "|", "%7f", "%E2%80%AE", "%E2%80%8B", "%EF%BB%BF", "%CC%81", "&CUNO=C00002", "&CUNO=C00001", "&cono=200",
    "&CONO=200", "&divi=AAA", "&CONO%00=200", "&CONO;cono=200", "&%43UNO=C00002", "&CUNO%20=C00002", "&cuno=C00002", "&CUNO[]=C00002",
    "&CUNO=", "&m3user=MIREAD", "&_method=PUT", "/../../MMS200MI/GetItmBasic", "/MMS200MI", "/metadata", "/execute", "v2/",
];
const TARGETS: &[&str] = &[
    "/DEMO_TST/M3/m3api-rest/v2/execute/CRS610MI/GetBasicData?CUNO=C00001",
    "/M3/m3api-rest/execute/CRS610MI/GetBasicData;cono=100?CUNO=C00001",
    "/m3api-rest/v2/execute/CRS610MI/ChgBasicData;cono=100;divi=?CUNO=C00007&CUNM=Name",
    "/m3api-rest/execute/CRS610MI/ChgBasicData?CUNO=C00007&CUNM=Name&CONO=100&divi=",
];

/// What is done to a target at one place.
#[derive(Debug, Clone)]
enum Turn {
    Insert(&'static str),
    Replace(&'static str),
    Append(&'static str),
    /// The letter there in its other case, or percent-encoded once or twice, or in full width.
    Case,
    Encoded,
    Twice,
    Wide,
    /// The last of the path, before its query.
    BeforeQuery(&'static str),
}

fn turn() -> impl Strategy<Value = (usize, Turn)> {
    let piece = || select(PIECES);
    let turn = prop_oneof![
        4 => piece().prop_map(Turn::Insert),
        2 => piece().prop_map(Turn::Replace),
        3 => piece().prop_map(Turn::Append),
        2 => piece().prop_map(Turn::BeforeQuery),
        1 => Just(Turn::Case),
        2 => Just(Turn::Encoded),
        1 => Just(Turn::Twice),
        1 => Just(Turn::Wide),
    ];
    (0..120_usize, turn)
}

fn turned(target: &str, turns: &[(usize, Turn)]) -> String {
    let mut text = target.to_owned();
    for (at, turn) in turns {
        let places: Vec<(usize, char)> = text.char_indices().collect();
        let (at, letter) = places[at % places.len()];
        let end = at + letter.len_utf8();
        match turn {
            Turn::Insert(piece) => text.insert_str(at, piece),
            Turn::Replace(piece) => text.replace_range(at..end, piece),
            Turn::Append(piece) => text.push_str(piece),
            Turn::BeforeQuery(piece) => text.insert_str(text.find('?').unwrap_or(text.len()), piece),
            Turn::Case => {
                let other =
                    if letter.is_ascii_lowercase() { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() };
                text.replace_range(at..end, other.encode_utf8(&mut [0; 4]));
            }
            Turn::Encoded => text.replace_range(at..end, &encoded(letter, "%")),
            Turn::Twice => text.replace_range(at..end, &encoded(letter, "%25")),
            Turn::Wide => {
                let wide = char::from_u32(u32::from(letter) + 0xfee0).filter(|_| letter.is_ascii_graphic());
                let spelled: String = wide.into_iter().map(|wide| encoded(wide, "%")).collect();
                text.replace_range(at..end, &spelled);
            }
        }
    }
    text
}

fn encoded(letter: char, sign: &str) -> String {
    letter.encode_utf8(&mut [0; 4]).bytes().map(|byte| format!("{sign}{byte:02X}")).collect()
}

/// A connection to the public door that says what it is told, byte for byte.
struct Wire {
    stream: TlsStream<TcpStream>,
    held: Vec<u8>,
}

struct Answer {
    status: u16,
    decision: String,
    body: String,
}

impl Wire {
    async fn to(house: &House) -> Self {
        let config = crate::house::trusting(&house.running.authority);
        let stream = TcpStream::connect(house.running.addresses.public[0]).await.expect("the public door");
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("a handshake");
        Self { stream, held: Vec::new() }
    }

    /// `None`: the connection ended without an answer.
    async fn get(&mut self, target: &str, token: &str) -> Option<Answer> {
        let head = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n");
        self.stream.write_all(head.as_bytes()).await.ok()?;
        let end = loop {
            if let Some(end) = self.held.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            self.more().await?;
        };
        let head = String::from_utf8_lossy(&self.held[..end]).to_ascii_lowercase();
        self.held.drain(..end + 4);
        let of =
            |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned());
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let mut body = Vec::new();
        match of("content-length:").map(|length| length.parse::<usize>().expect("a length")) {
            Some(length) => {
                while self.held.len() < length {
                    self.more().await?;
                }
                body.extend(self.held.drain(..length));
            }
            // Chunks, of which the last has nothing in it and no trailers.
            None if of("transfer-encoding:").is_some() => {
                let end = loop {
                    if let Some(end) = self.held.windows(5).position(|window| window == b"0\r\n\r\n") {
                        break end + 5;
                    }
                    self.more().await?;
                };
                body.extend(self.held.drain(..end));
            }
            None => {}
        }
        Some(Answer {
            status,
            decision: of("mi-decision:").unwrap_or_default(),
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    async fn more(&mut self) -> Option<()> {
        let mut piece = [0; 4096];
        let got = self.stream.read(&mut piece).await.ok().filter(|got| *got > 0)?;
        self.held.extend_from_slice(&piece[..got]);
        Some(())
    }
}

/// What ran, and under which decision.
struct Ran {
    target: String,
    decision: String,
    company: u16,
    division: String,
    user: String,
    call: String,
    fields: BTreeMap<String, String>,
}

async fn house() -> (House, Caller) {
    let state = tempfile::tempdir().expect("a folder");
    let rules = state.path().join("rules");
    std::fs::create_dir(&rules).expect("a folder");
    std::fs::write(rules.join("rules.cedar"), RULES).expect("a file");
    std::fs::write(rules.join("limits.toml"), "[default]\nrate = \"100000/second\"\nburst = 100000\n").expect("a file");
    let house = House::again(state, |settings| settings.policies = rules).await;
    let demo = house.demo().await;
    // Rules over fields hold once the catalog has learnt what those are.
    let learnt = async {
        for target in [TARGETS[0], TARGETS[2]] {
            while demo.get(target).await.status != StatusCode::OK {
                crate::house::a_moment().await;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), learnt).await.expect("the layouts are learnt");
    (house, demo)
}

#[test]
fn what_is_executed_is_what_was_decided_in_any_spelling_of_the_target() {
    let runtime = Runtime::new().expect("a runtime");
    let (house, demo) = runtime.block_on(house());
    let token = demo.token.clone().expect("a token");
    let wire = RefCell::new(runtime.block_on(Wire::to(&house)));
    let (ran, refused, unanswered) = (RefCell::new(Vec::new()), Cell::new(0), Cell::new(0));
    let config = Config { cases: 600, failure_persistence: None, ..Config::default() };
    // The same cases every time: how many of them end how is asserted below.
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let targets = (select(TARGETS), prop::collection::vec(turn(), 0..4));
    let outcome = runner.run(&targets, |(target, turns)| {
        let target = turned(target, &turns);
        house.m3().clear_calls();
        let mut wire = wire.borrow_mut();
        let answer = runtime.block_on(async {
            let answer = wire.get(&target, &token).await;
            if answer.as_ref().is_none_or(|answer| answer.status == 400 || !wire.held.is_empty()) {
                // The server may have closed it, or seen two requests in it.
                *wire = Wire::to(&house).await;
            }
            answer
        });
        let calls = house.m3().calls();
        let calls: Vec<_> = calls.iter().filter(|c| !c.technical && c.program != "MRS001MI").collect();
        let Some(answer) = answer else {
            unanswered.set(unanswered.get() + 1);
            prop_assert!(calls.is_empty(), "{:?} was not answered and ran {:?}", target, calls);
            return Ok(());
        };
        let [call] = calls[..] else {
            prop_assert!(calls.is_empty(), "{:?} ran more than once: {:?}", target, calls);
            // v1 says 200 to everything, and in its body what was wrong.
            let wrong = (400..500).contains(&answer.status) || answer.body.contains("<ErrorMessage");
            prop_assert!(wrong, "{:?} was answered {} without M3: {}", target, answer.status, answer.body);
            refused.set(refused.get() + 1);
            return Ok::<(), TestCaseError>(());
        };
        prop_assert!(answer.status == 200, "{:?} ran {} and was answered {}", target, call, answer.status);
        ran.borrow_mut().push(Ran {
            target,
            decision: answer.decision,
            company: call.company,
            division: call.division.trim().to_owned(),
            user: call.user.clone(),
            call: format!("{}/{}", call.program, call.transaction),
            fields: call.fields.clone(),
        });
        Ok(())
    });
    assert!(outcome.is_ok(), "{}", outcome.expect_err("just tested"));
    let (ran, refused, unanswered) = (ran.into_inner(), refused.get(), unanswered.get());
    assert!(ran.len() >= 40 && refused >= 200, "{} ran, {refused} were refused, {unanswered} not answered", ran.len());
    let state = runtime.block_on(house.stop());
    held_against_the_log(&ran, &state.path().join("audit"));
}

/// Each that ran was decided: the log has its line, and every word of that is what M3 was asked.
fn held_against_the_log(ran: &[Ran], log: &Path) {
    let files = std::fs::read_dir(log).expect("the log").flatten().map(|entry| entry.path());
    let text: String = files.filter_map(|path| std::fs::read_to_string(path).ok()).collect();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let decided: BTreeMap<String, Value> = lines
        .filter(|line| line["kind"] == "decision")
        .map(|line| (line["id"].as_str().unwrap_or_default().to_owned(), line))
        .collect();
    for Ran { target, decision, company, division, user, call, fields } in ran {
        let line = decided.get(decision).unwrap_or_else(|| panic!("{target:?} ran without a decision"));
        let word = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        assert_eq!((word("verdict"), word("step")), ("allow".into(), "values".into()), "{target:?}");
        assert_eq!(&format!("{}/{}", word("program"), word("transaction")), call, "{target:?}");
        assert_eq!(
            (line["company"].as_u64(), word("m3_user")),
            (Some(u64::from(*company)), user.clone()),
            "{target:?}"
        );
        assert_eq!(word("division").trim(), division, "{target:?}");
        assert_eq!(*company, 100, "{target:?}");
        for (name, value) in fields {
            // Names of people and firms stand there as that they were sent, or as hashes.
            let told = line["fields"][name].as_str();
            let untold = line["untold"].as_array().is_some_and(|names| names.iter().any(|one| one == name));
            assert!(untold || told == Some(value.trim()), "{target:?}: {name}={value}, decided {line}");
        }
        let customer = fields.get("CUNO").map(|value| value.trim());
        let permitted = if call.ends_with("GetBasicData") { "C00001" } else { "C00007" };
        assert_eq!(customer, Some(permitted), "{target:?}");
    }
}
