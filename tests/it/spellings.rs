//! What was authorised is what M3 executes, however a request spells company, division and key.

use crate::house::House;
use mi_gateway::mock_m3::Row;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use std::cell::Cell;
use tokio::runtime::Runtime;

/// A write: its transaction, the field of its key, and the field that it changes.
#[derive(Debug, Clone, Copy)]
struct Write {
    program: &'static str,
    transaction: &'static str,
    key: &'static str,
    number: &'static str,
    name: &'static str,
}

const WRITES: &[Write] = &[
    Write { program: "CRS610MI", transaction: "ChgBasicData", key: "CUNO", number: "C00007", name: "CUNM" },
    Write { program: "MMS200MI", transaction: "UpdItmBasic", key: "ITNO", number: "A00007", name: "ITDS" },
];
const COMPANY_NAMES: &[&str] = &["cono", "CONO", "C%4FNO", "%63ono", "Cono", "cOnO", "CONO%20", "_cono", "CONO%00"];
#[rustfmt::skip]
const COMPANIES: &[&str] = &[
    "200", "0200", "2%300", "%20200", "1e2", "+100", "100.0", "100,200", "100;200", "100;cono=200", "100%26CONO%3D200",
    "", "%20", "%EF%BC%92%EF%BC%90%EF%BC%90", "100%00", "999", "1000", "-100", "%3F", "65636", "0x64", "%zz",
];
const SAME_COMPANY: &[&str] = &["100", "0100", "%20100", "%31%30%30", "100%20", "+"];
const DIVISION_NAMES: &[&str] = &["divi", "DIVI", "D%49VI", "Divi"];
const DIVISIONS: &[&str] = &["AAA", "aaa", "BBB", "", "%20", "CCC", "AAAA", "A%3BB", "%41AA", "%3F"];

/// One parameter, in the path or in the query.
type Parameter = (bool, &'static str, &'static str);

fn parameter() -> impl Strategy<Value = Parameter> {
    let company = (select(COMPANY_NAMES), prop_oneof![select(COMPANIES), select(SAME_COMPANY)]);
    let usual = (select(&["cono", "CONO"][..]), select(SAME_COMPANY));
    let division = (select(DIVISION_NAMES), select(DIVISIONS));
    (any::<bool>(), prop_oneof![2 => company, 2 => usual, 1 => division])
        .prop_map(|(in_path, (name, value))| (in_path, name, value))
}

/// The key as its number, in other letters, or encoded.
fn spelled(number: &str, how: usize) -> String {
    match how {
        0 => number.to_ascii_lowercase(),
        1 => number.bytes().map(|byte| format!("%{byte:02X}")).collect(),
        2 => format!("{number}%20"),
        3 => format!("{number}+"),
        4 => format!("{number}%3Bcono%3D200"),
        _ => number.to_owned(),
    }
}

#[derive(Debug, Clone)]
struct Spelling {
    write: Write,
    prefix: &'static str,
    version: &'static str,
    parameters: Vec<Parameter>,
    key: String,
}

fn spelling() -> impl Strategy<Value = Spelling> {
    let prefix = select(&["/DEMO_TST/M3", "/M3", ""][..]);
    let version = select(&["/v2", ""][..]);
    let parameters = proptest::collection::vec(parameter(), 0..4);
    (select(WRITES), prefix, version, parameters, 0..9_usize).prop_map(|(write, prefix, version, parameters, how)| {
        Spelling { write, prefix, version, parameters, key: spelled(write.number, how) }
    })
}

impl Spelling {
    fn uri(&self, marker: &str) -> String {
        let Write { program, transaction, key, name, .. } = self.write;
        let mut path = format!("{}/m3api-rest{}/execute/{program}/{transaction}", self.prefix, self.version);
        let mut query = String::new();
        for (in_path, name, value) in &self.parameters {
            if *in_path { path += &format!(";{name}={value}") } else { query += &format!("{name}={value}&") }
        }
        format!("{path}?{query}{key}={}&{name}={marker}", self.key)
    }
}

/// The write's record as both companies have it.
fn records(house: &House, write: Write) -> [Option<Row>; 2] {
    [100, 200].map(|company| house.m3().record(write.program, company, &[(write.key, write.number)]))
}

#[test]
fn what_was_authorised_is_what_is_executed_in_any_spelling() {
    let runtime = Runtime::new().expect("a runtime");
    let (house, demo) = runtime.block_on(async {
        let house = House::start().await;
        let demo = house.demo().await;
        (house, demo)
    });
    let (executed, refused) = (Cell::new(0), Cell::new(0));
    let config = Config { cases: 150, failure_persistence: None, ..Config::default() };
    // The same cases every time: how many of them end how is asserted below.
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let outcome = runner.run(&spelling(), |spelling| {
        let write = spelling.write;
        let before = records(&house, write);
        house.m3().clear_calls();
        let marker = format!("Name-{}-{}", executed.get(), refused.get());
        let uri = spelling.uri(&marker);
        let reply = runtime.block_on(demo.get(&uri));
        let [here, there] = records(&house, write);
        prop_assert_eq!(&there, &before[1], "{} changed company 200", &uri);
        let calls = house.m3().calls();
        let calls: Vec<_> = calls.iter().filter(|c| !c.technical && c.program != "MRS001MI").collect();
        let [call] = calls[..] else {
            prop_assert!(calls.is_empty(), "{} was executed more than once: {:?}", &uri, calls);
            prop_assert_eq!(&here, &before[0], "{} changed what M3 was not asked to", &uri);
            refused.set(refused.get() + 1);
            return Ok::<(), TestCaseError>(());
        };
        executed.set(executed.get() + 1);
        prop_assert_eq!(call.company, 100, "the session of {}", &uri);
        prop_assert_eq!(call.fields.get("CONO").map(String::as_str), Some("100"), "{}", &uri);
        let key = call.fields.get(write.key).map(String::as_str);
        if spelling.key.contains("%3B") {
            // An encoded separator is a part of the value: another key, which no record has.
            prop_assert_eq!(key, Some(&*format!("{};CONO=200", write.number)), "{}", &uri);
            prop_assert_eq!(&here, &before[0], "{}", &uri);
            return Ok(());
        }
        prop_assert_eq!(key, Some(write.number), "{}", &uri);
        let name = here.as_ref().and_then(|row| row.get(write.name)).map(|name| name.trim_end());
        prop_assert_eq!(name, Some(&*marker), "{} answered {} {}", &uri, reply.status, reply.text());
        Ok(())
    });
    assert!(outcome.is_ok(), "{}", outcome.expect_err("just tested"));
    assert!(executed.get() >= 30 && refused.get() >= 30, "{executed:?} were executed, {refused:?} refused");
    runtime.block_on(house.stop());
}
