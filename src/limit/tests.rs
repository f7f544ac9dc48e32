use super::{Limits, Plan, Policy, Verdict};
use crate::model::{ClientId, ProgramName};
use governor::clock::FakeRelativeClock;
use proptest::prelude::*;
use std::time::Duration;

const HERE: &str = "https://here";

fn plan(text: &str) -> Plan {
    Plan::parse("limits.toml", text, HERE).unwrap_or_else(|faults| panic!("{}", faults[0]))
}

fn simple(rate: &str, burst: u32) -> Plan {
    plan(&format!("[default]\nrate = \"{rate}\"\nburst = {burst}\n"))
}

fn limits(plan: Plan) -> (Limits<FakeRelativeClock>, FakeRelativeClock) {
    let clock = FakeRelativeClock::default();
    (Limits::with_clock(plan, clock.clone(), 1_000), clock)
}

fn client(id: &str) -> ClientId {
    ClientId { issuer: HERE.into(), id: id.into() }
}

fn told(verdict: &Verdict) -> (bool, u32, u64, Option<u64>) {
    (verdict.allowed, verdict.remaining, verdict.reset_seconds, verdict.retry_after())
}

#[test]
fn a_bucket_empties_and_fills_by_the_rate() {
    let (limits, clock) = limits(simple("2/second", 3));
    let take = || limits.check(&client("a"), &[], 1);
    assert_eq!(told(&take()), (true, 2, 1, None));
    assert_eq!(told(&take()), (true, 1, 1, None));
    assert_eq!(told(&take()), (true, 0, 2, None));
    assert_eq!(told(&take()), (false, 0, 2, Some(1)));
    assert_eq!(take().wait, Duration::from_millis(500));
    clock.advance(Duration::from_millis(499));
    assert!(!take().allowed);
    clock.advance(Duration::from_millis(1));
    assert!(take().allowed);
    assert!(!take().allowed);
    assert!(limits.check(&client("b"), &[], 1).allowed, "another client has a bucket of its own");
    let elsewhere = ClientId { issuer: "https://elsewhere".into(), id: "a".into() };
    assert!(limits.check(&elsewhere, &[], 1).allowed, "the same id of another issuer, too");
}

#[test]
fn a_weight_above_the_burst_takes_a_full_bucket_and_is_not_refused_for_ever() {
    let (limits, clock) = limits(simple("1/second", 5));
    assert_eq!(told(&limits.check(&client("a"), &[], 50)), (true, 0, 5, None));
    assert_eq!(told(&limits.check(&client("a"), &[], 50)), (false, 0, 5, Some(5)));
    clock.advance(Duration::from_secs(2));
    let refused = limits.check(&client("a"), &[], 3);
    assert_eq!(told(&refused), (false, 2, 3, Some(1)), "what is left is told truly");
    assert!(limits.check(&client("a"), &[], 2).allowed, "a refusal takes nothing");
    clock.advance(Duration::from_secs(5));
    assert!(limits.check(&client("a"), &[], u32::MAX).allowed);
}

#[test]
fn headers_are_structured_fields() {
    let (limits, _) = limits(simple("5000/second", 10_000));
    let verdict = limits.check(&client("a"), &[], 1);
    assert_eq!(verdict.policy_header, "\"client\";q=10000;w=2");
    assert_eq!(verdict.rate_header(), "\"client\";r=9999;t=1");
    let widest = Verdict { remaining: u32::MAX, reset_seconds: u64::MAX, policy: Policy::Program, ..verdict };
    assert_eq!(widest.rate_header(), "\"program\";r=4294967295;t=18446744073709551615");
}

const TABLES: &str = r#"
[default]
rate = "1/second"
burst = 1
[group.slow]
rate = "2/second"
burst = 2
[group.fast]
rate = "3/second"
burst = 3
[client.shop]
rate = "1/second"
burst = 4
[client."shop@https://elsewhere"]
rate = "1/second"
burst = 5
[[program]]
program = "OIS100MI"
rate = "600/minute"
burst = 6
[[program]]
program = "OIS100MI"
client = "shop"
rate = "1/hour"
burst = 7
[[program]]
program = "OIS100MI"
group = "slow"
rate = "1/hour"
burst = 8
"#;

#[test]
fn the_table_that_speaks_of_a_client_most_closely_holds() {
    let plan = plan(TABLES);
    let groups = |names: &[&str]| names.iter().map(|name| Box::from(*name)).collect::<Vec<_>>();
    let own = |id: &str, names: &[&str]| plan.own(&client(id), &groups(names)).burst.get();
    assert_eq!(own("any", &[]), 1);
    assert_eq!(own("any", &["slow", "unknown"]), 2);
    assert_eq!(own("any", &["slow", "fast"]), 3);
    assert_eq!(own("shop", &["fast"]), 4);
    let elsewhere = ClientId { issuer: "https://elsewhere".into(), id: "shop".into() };
    assert_eq!(plan.own(&elsewhere, &[]).burst.get(), 5);
    let orders = ProgramName::parse("OIS100MI").expect("a program");
    let into = |id: &str, names: &[&str]| plan.program(&client(id), &groups(names), orders).map(|q| q.burst.get());
    assert_eq!((into("any", &[]), into("shop", &["slow"]), into("any", &["slow"])), (Some(6), Some(7), Some(8)));
    assert_eq!(plan.program(&client("any"), &[], ProgramName::parse("CRS610MI").expect("a program")), None);
}

#[test]
fn a_programs_bucket_is_its_own() {
    let (limits, _) = limits(plan(TABLES));
    let orders = ProgramName::parse("OIS100MI").expect("a program");
    let any = client("any");
    assert!(limits.check(&any, &[], 1).allowed);
    assert!(!limits.check(&any, &[], 1).allowed);
    let verdict = limits.check_program(&any, &[], orders, 6).expect("a limit");
    assert_eq!((verdict.policy, told(&verdict)), (Policy::Program, (true, 0, 1, None)));
    let refused = limits.check_program(&any, &[], orders, 1).expect("a limit");
    assert!(!refused.clone().tighter(verdict.clone()).allowed);
    assert!(!verdict.tighter(refused).allowed);
}

#[test]
fn new_limits_keep_the_level_of_buckets_they_dont_change() {
    let (limits, _) = limits(plan(TABLES));
    assert!(limits.check(&client("any"), &[], 1).allowed);
    assert_eq!(limits.check(&client("shop"), &[], 4).remaining, 0);
    limits.replace(plan(&TABLES.replace("burst = 4", "burst = 40")));
    assert!(!limits.check(&client("any"), &[], 1).allowed);
    assert_eq!(limits.check(&client("shop"), &[], 1).remaining, 39);
}

#[test]
fn the_number_of_buckets_is_bounded_and_newcomers_are_limited() {
    let limits = Limits::with_clock(simple("1/hour", 1), FakeRelativeClock::default(), 10);
    for n in 0..200 {
        let id = format!("c{n}");
        assert!(limits.check(&client(&id), &[], 1).allowed);
        assert!(!limits.check(&client(&id), &[], 1).allowed, "{id} has no lasting bucket");
    }
    assert!(limits.held() <= 10);
}

#[test]
fn every_fault_is_told_with_its_place() {
    let text = "[default]\nrate = \"fast\"\nburst = 0\n[client.\"@x\"]\nrate = \"1/day\"\nburst = 1\n[[program]]\n\
                program = \"ois\"\nclient = \"a\"\ngroup = \"b\"\nrate = \"1/second\"\nburst = 1\n";
    let faults = Plan::parse("limits.toml", text, HERE).expect_err("faults");
    let places: Vec<_> = faults.iter().map(|fault| (fault.spot.line, fault.spot.column)).collect();
    assert_eq!(places, [(2, 8), (3, 9), (4, 9), (5, 8), (8, 11), (10, 9)], "{faults:?}");
    let one = |text: &str| Plan::parse("limits.toml", text, HERE).expect_err("a fault")[0].to_string();
    assert!(one("[default]\nrate = \"1/second\"\nburst = 1\nbrust = 2\n").contains("limits.toml:4:1"));
    assert!(one("[default\n").contains("limits.toml:1:"));
    assert!(one("").contains("default"));
}

#[test]
fn the_shipped_limits_are_those_that_were_promised() {
    let plan = plan(include_str!("../../policies/limits.toml"));
    let of = |group: &str| plan.own(&client("any"), &[group.into()]);
    assert_eq!((of("demo").period, of("demo").burst.get()), (Duration::from_micros(200), 10_000));
    assert_eq!((of("readers").period, of("readers").burst.get()), (Duration::from_millis(10), 200));
}

proptest! {
    #[test]
    fn no_client_gets_more_than_burst_and_rate_allow(
        steps in prop::collection::vec((1u32..8, 0u64..2_000), 1..60), burst in 1u32..10, rate in 1u32..20,
    ) {
        let (limits, clock) = limits(simple(&format!("{rate}/second"), burst));
        let (mut taken, mut passed) = (0u64, 0u64);
        for (weight, millis) in steps {
            let verdict = limits.check(&client("a"), &[], weight);
            if verdict.allowed {
                taken += u64::from(weight.min(burst));
            } else {
                prop_assert!(verdict.remaining < weight.min(burst), "refused though enough was left");
                // Whoever waits as told is served.
                clock.advance(verdict.wait);
                passed += verdict.wait.as_nanos() as u64;
                prop_assert!(limits.check(&client("a"), &[], weight).allowed);
                taken += u64::from(weight.min(burst));
            }
            // One nanosecond a call is lost to the period's rounding.
            let most = u64::from(burst) + (u128::from(passed) * u128::from(rate) / 1_000_000_000) as u64 + 1;
            prop_assert!(taken <= most, "{taken} of {most}");
            clock.advance(Duration::from_millis(millis));
            passed += millis * 1_000_000;
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[\\[\\]a-z\"=/0-9 \n.@%é]{0,80}") {
        let _ = Plan::parse("limits.toml", &text, HERE);
    }
}
