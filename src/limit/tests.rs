use super::book::Book;
use super::{Caller, Charge, Known, Limits, Per, Plan, Policy, Said, Verdict, review};
use crate::model::{ClientId, Effect, ProgramName, TransactionName};
use crate::policy::Source;
use crate::store::Store;
use governor::clock::FakeRelativeClock;
use proptest::prelude::*;
use std::sync::Arc;
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

fn own(limits: &Limits<FakeRelativeClock>, id: &str, weight: u32) -> Verdict {
    limits.check(&client(id), &[], weight).verdict.expect("the default speaks of everybody")
}

fn told(verdict: &Verdict) -> (bool, u32, u64, Option<u64>) {
    (verdict.allowed, verdict.remaining, verdict.reset_seconds, verdict.retry_after())
}

#[test]
fn a_bucket_empties_and_fills_by_the_rate() {
    let (limits, clock) = limits(simple("2/second", 3));
    let take = || own(&limits, "a", 1);
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
    assert!(own(&limits, "b", 1).allowed, "another client has a bucket of its own");
    let elsewhere = ClientId { issuer: "https://elsewhere".into(), id: "a".into() };
    assert!(limits.check(&elsewhere, &[], 1).is_allowed(), "the same id of another issuer, too");
}

#[test]
fn a_weight_above_the_burst_takes_a_full_bucket_and_is_not_refused_for_ever() {
    let (limits, clock) = limits(simple("1/second", 5));
    assert_eq!(told(&own(&limits, "a", 50)), (true, 0, 5, None));
    assert_eq!(told(&own(&limits, "a", 50)), (false, 0, 5, Some(5)));
    clock.advance(Duration::from_secs(2));
    let refused = own(&limits, "a", 3);
    assert_eq!(told(&refused), (false, 2, 3, Some(1)), "what is left is told truly");
    assert!(own(&limits, "a", 2).allowed, "a refusal takes nothing");
    clock.advance(Duration::from_secs(5));
    assert!(own(&limits, "a", u32::MAX).allowed);
}

#[test]
fn headers_are_structured_fields() {
    let (limits, _) = limits(simple("5000/second", 10_000));
    let verdict = own(&limits, "a", 1);
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
fn new_limits_keep_the_level_of_buckets_they_dont_change() {
    let (limits, _) = limits(plan(TABLES));
    assert!(own(&limits, "any", 1).allowed);
    assert_eq!(own(&limits, "shop", 4).remaining, 0);
    limits.replace(plan(&TABLES.replace("burst = 4", "burst = 40")));
    assert!(!own(&limits, "any", 1).allowed);
    assert_eq!(own(&limits, "shop", 1).remaining, 39);
}

#[test]
fn the_number_of_buckets_is_bounded_and_newcomers_are_limited() {
    let limits = Limits::with_clock(simple("1/hour", 1), FakeRelativeClock::default(), 10);
    for n in 0..200 {
        let id = format!("c{n}");
        assert!(own(&limits, &id, 1).allowed);
        assert!(!own(&limits, &id, 1).allowed, "{id} has no lasting bucket");
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
            let verdict = own(&limits, "a", weight);
            if verdict.allowed {
                taken += u64::from(weight.min(burst));
            } else {
                prop_assert!(verdict.remaining < weight.min(burst), "refused though enough was left");
                // Whoever waits as told is served.
                clock.advance(verdict.wait);
                passed += verdict.wait.as_nanos() as u64;
                prop_assert!(own(&limits, "a", weight).allowed);
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

    #[test]
    fn who_waits_as_told_is_served_by_every_limit_and_none_gives_more_than_it_has(
        steps in prop::collection::vec((0u64..40, 0usize..4, 0u64..90_000), 1..40),
        bursts in (1u32..6, 1u32..4, 1u32..4), most in (1u32..12, 5u32..60), cost in 1u32..8,
    ) {
        let text = format!(
            "zone = \"UTC\"\n[default]\nrate = \"1/minute\"\nburst = {}\n[[program]]\nprogram = \"OIS100MI\"\n\
             rate = \"20/hour\"\nburst = {}\n[[effect]]\neffect = \"write\"\nrate = \"10/hour\"\nburst = {}\n\
             [[quota]]\nper = \"day\"\nunits = {}\n[[quota]]\nper = \"month\"\nunits = {}\n\
             [[cost]]\nprogram = \"OIS100MI\"\nunits = {cost}\n", bursts.0, bursts.1, bursts.2, most.0, most.1);
        let (limits, clock) = limits(plan(&text));
        let begin = 1_700_000_000;
        let mut now = begin;
        let mut days: std::collections::HashMap<u64, u64> = Default::default();
        for (pause, call, more) in steps {
            let (program, name) = [("OIS100MI", "GetHead"), ("OIS100MI", "AddBatchHead"), ("CRS610MI", "GetBasicData"),
                ("CRS610MI", "ChgBasicData")][call];
            clock.advance(Duration::from_secs(pause));
            now += pause;
            let mut said = once(&limits, "a", program, name, now);
            if let Some(refused) = said.verdict.as_ref().filter(|verdict| !verdict.allowed) {
                // Whoever waits as told is served: at most once more by the door, which knows no names, and then by all.
                let wait = refused.retry_after().expect("these limits know when");
                clock.advance(Duration::from_secs(wait));
                now += wait;
                said = once(&limits, "a", program, name, now);
                if let Some(refused) = said.verdict.as_ref().filter(|verdict| !verdict.allowed) {
                    let wait = refused.retry_after().expect("these limits know when");
                    clock.advance(Duration::from_secs(wait));
                    now += wait;
                    said = once(&limits, "a", program, name, now);
                }
            }
            let verdict = said.verdict.clone().expect("a limit speaks");
            prop_assert!(verdict.allowed, "{program}/{name} still refused by {:?}", verdict.policy);
            let units = if program == "OIS100MI" { u64::from(cost.min(most.0).min(most.1)) } else { 1 };
            *days.entry(now / 86_400).or_default() += units;
            prop_assert!(days[&(now / 86_400)] <= u64::from(most.0), "the day's quota was passed");
            clock.advance(Duration::from_secs(more));
            now += more;
        }
    }
}

/// One call on its whole way: the door, and then what its names cost.
fn once(limits: &Limits<FakeRelativeClock>, id: &str, program: &str, name: &str, now: u64) -> Said {
    let (client, groups) = (client(id), []);
    let caller = Caller { client: &client, groups: &groups };
    let door = wait_for(limits.door(caller, now)).expect("nothing is kept");
    if !door.is_allowed() {
        return door;
    }
    let (program, name) = (ProgramName::parse(program).unwrap(), TransactionName::parse(name).unwrap());
    let charge = Charge { caller, program, transaction: name, effect: Effect::of(program, name), all: false };
    let said = wait_for(limits.charge(&charge, now)).expect("nothing is kept");
    if said.verdict.is_none() { door } else { said }
}

/// Without a store nothing is waited for.
fn wait_for<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(future)
}

const MORE: &str = r#"
[default]
rate = "1000/second"
burst = 1000
[[program]]
program = "OIS100MI"
rate = "1/minute"
burst = 4
[[transaction]]
program = "OIS100MI"
transaction = "GetHead"
rate = "1/minute"
burst = 2
[[effect]]
effect = "read"
rate = "1/hour"
burst = 3
[[cost]]
effect = "write"
units = 2
"#;

fn verdict(said: Said) -> (bool, Policy, u32) {
    let verdict = said.verdict.expect("a limit speaks");
    (verdict.allowed, verdict.policy, verdict.remaining)
}

#[test]
fn the_tightest_limit_is_told_and_a_refusal_takes_nothing_from_the_others() {
    let (limits, _) = limits(plan(MORE));
    let call = |program, name| verdict(once(&limits, "a", program, name, 0));
    assert_eq!(call("OIS100MI", "GetHead"), (true, Policy::Transaction, 1));
    assert_eq!(call("OIS100MI", "GetHead"), (true, Policy::Transaction, 0));
    assert_eq!(call("OIS100MI", "GetHead"), (false, Policy::Transaction, 0));
    // Neither the program's bucket nor the reads' lost anything to the refusal.
    assert_eq!(call("CRS610MI", "GetBasicData"), (true, Policy::Effect, 0));
    assert_eq!(call("OIS100MI", "AddBatchHead"), (true, Policy::Program, 0));
    assert_eq!(call("OIS100MI", "AddBatchHead"), (false, Policy::Program, 0));
}

#[test]
fn raw_queries_count_as_reads_where_no_table_speaks_of_them() {
    let (limits, _) = limits(plan(MORE));
    for left in [2, 1, 0] {
        assert_eq!(verdict(once(&limits, "a", "EXPORTMI", "Select", 0)), (true, Policy::Effect, left));
    }
    assert_eq!(verdict(once(&limits, "a", "CRS610MI", "GetBasicData", 0)), (false, Policy::Effect, 0));
}

#[test]
fn a_call_that_costs_more_than_a_burst_waits_for_a_full_one_and_is_served() {
    let text = "[default]\nrate = \"1/second\"\nburst = 3\n[[cost]]\nprogram = \"CRS610MI\"\nunits = 50\nall = 70\n";
    let (limits, clock) = limits(plan(text));
    assert!(once(&limits, "a", "CRS610MI", "GetBasicData", 0).is_allowed());
    let refused = once(&limits, "a", "CRS610MI", "GetBasicData", 0).verdict.expect("a verdict");
    assert!(!refused.allowed);
    clock.advance(Duration::from_secs(1));
    let refused = once(&limits, "a", "CRS610MI", "GetBasicData", 0).verdict.expect("a verdict");
    assert_eq!((refused.allowed, refused.retry_after()), (false, Some(3)), "the door's unit is paid again");
    clock.advance(Duration::from_secs(3));
    assert!(once(&limits, "a", "CRS610MI", "GetBasicData", 0).is_allowed());
    let plan = plan(text);
    let (program, name) = (ProgramName::parse("CRS610MI").unwrap(), TransactionName::parse("LstByName").unwrap());
    assert_eq!(plan.cost(program, name, Effect::Read, true), 70);
}

#[test]
fn a_shadow_counts_and_refuses_nobody() {
    let text = "[default]\nrate = \"1000/second\"\nburst = 1000\n[client.a]\nrate = \"1/hour\"\nburst = 1\nshadow = true\n\
        [[quota]]\nper = \"day\"\nunits = 1\nshadow = true\n[[concurrent]]\ncalls = 1\nshadow = true\n";
    let (limits, _) = limits(plan(text));
    let (client, groups) = (client("a"), []);
    let caller = Caller { client: &client, groups: &groups };
    assert!(limits.check(&client, &groups, 1).shadows.is_empty());
    let door = limits.check(&client, &groups, 1);
    assert_eq!((door.is_allowed(), door.shadows), (true, vec![Policy::Client]));
    let (program, transaction) =
        (ProgramName::parse("CRS610MI").unwrap(), TransactionName::parse("GetBasicData").unwrap());
    let charge = Charge { caller, program, transaction, effect: Effect::Read, all: false };
    let first = wait_for(limits.charge(&charge, 0)).unwrap();
    assert!(first.shadows.is_empty() && first.verdict.is_none());
    let second = wait_for(limits.charge(&charge, 0)).unwrap();
    assert_eq!((second.is_allowed(), second.shadows), (true, vec![Policy::Daily, Policy::Concurrent]));
}

#[test]
fn what_the_real_limit_refuses_is_no_call_to_its_shadow() {
    let text = "[default]\nrate = \"1/hour\"\nburst = 1\n[client.a]\nrate = \"1/hour\"\nburst = 2\nshadow = true\n";
    let (limits, _) = limits(plan(text));
    let client = client("a");
    assert!(limits.check(&client, &[], 1).is_allowed());
    for _ in 0..5 {
        let said = limits.check(&client, &[], 1);
        assert_eq!((said.is_allowed(), said.shadows), (false, vec![]));
    }
}

#[test]
fn calls_in_flight_are_held_until_the_last_that_holds_them_lets_go() {
    let (limits, _) = limits(plan("[default]\nrate = \"1000/second\"\nburst = 1000\n[[concurrent]]\ncalls = 2\n"));
    let call = || once(&limits, "a", "CRS610MI", "GetBasicData", 0);
    let (one, two) = (call(), call());
    assert_eq!(
        (two.is_allowed(), two.verdict.as_ref().unwrap().rate_header()),
        (true, "\"concurrent\";r=0".parse().unwrap())
    );
    assert_eq!(two.verdict.as_ref().unwrap().policy_header, "\"concurrent\";q=2;qu=\"concurrent-requests\"");
    let three = call();
    assert_eq!((three.is_allowed(), three.verdict.unwrap().retry_after()), (false, None), "nobody knows when one ends");
    assert!(once(&limits, "b", "CRS610MI", "GetBasicData", 0).is_allowed(), "each client has its own");
    let held = one.held.clone();
    drop(one);
    assert!(!call().is_allowed(), "its task still runs");
    drop(held);
    assert!(call().is_allowed());
    drop(two);
    assert_eq!(limits.clients_in_flight(), 0);
}

const DAYS: &str = "zone = \"Europe/Stockholm\"\n[default]\nrate = \"1000/second\"\nburst = 1000\n\
    [[quota]]\nper = \"day\"\nunits = 3\n[[quota]]\nper = \"month\"\nunits = 5\n";

fn at(time: &str) -> u64 {
    time.parse::<jiff::Timestamp>().expect("a time of the test").as_second().cast_unsigned()
}

#[test]
fn a_day_ends_with_the_zones_midnight_and_a_month_with_its_last_day() {
    let (limits, _) = limits(plan(DAYS));
    let call = |time| once(&limits, "a", "CRS610MI", "GetBasicData", at(time)).verdict.expect("a verdict");
    for left in [2, 1, 0] {
        assert_eq!((call("2026-03-28T22:30:00Z").remaining, Policy::Daily), (left, Policy::Daily));
    }
    let refused = call("2026-03-28T22:30:00Z");
    assert_eq!((refused.policy, refused.retry_after()), (Policy::Daily, Some(1_800)));
    // The 29th has 23 hours there.
    let begun = call("2026-03-28T23:00:00Z");
    assert_eq!(
        (begun.allowed, begun.policy, begun.remaining),
        (true, Policy::Monthly, 1),
        "of the month fewer are left"
    );
    let month = at("2026-03-31T22:00:00Z") - at("2026-02-28T23:00:00Z");
    assert_eq!(begun.policy_header, format!("\"monthly\";q=5;w={month}"));
    assert!(call("2026-03-29T21:00:00Z").allowed);
    let month = call("2026-03-29T21:00:00Z");
    assert_eq!(
        (month.allowed, month.policy, month.retry_after()),
        (false, Policy::Monthly, Some(at("2026-03-31T22:00:00Z") - at("2026-03-29T21:00:00Z")))
    );
    assert!(!call("2026-03-31T21:59:59Z").allowed);
    assert!(call("2026-03-31T22:00:00Z").allowed);
}

#[test]
fn a_clock_that_jumps_about_refills_no_day_and_no_bucket() {
    let (limits, _) = limits(plan(DAYS));
    let call = |time| once(&limits, "a", "CRS610MI", "GetBasicData", at(time)).is_allowed();
    for time in ["2026-03-10T10:00:00Z", "2026-03-10T11:00:00Z", "2026-03-10T12:00:00Z"] {
        assert!(call(time));
    }
    assert!(!call("2026-03-10T12:00:00Z"));
    for back in ["2026-03-09T12:00:00Z", "2026-02-10T12:00:00Z", "1970-01-01T00:00:00Z"] {
        assert!(!call(back), "{back}");
    }
    // A day ahead and back again: that day's quota is spent once, and none of the days before has one left.
    assert!(call("2026-03-11T12:00:00Z") && call("2026-03-11T12:00:00Z"));
    assert!(!call("2026-03-10T12:00:00Z") && !call("2026-03-11T12:00:00Z"), "the month's five are spent");
    // The rate knows no wall clock at all: nothing of the bucket came back.
    let (limits, _) = self::limits(simple("1/hour", 2));
    let call = |now| once(&limits, "a", "CRS610MI", "GetBasicData", now).is_allowed();
    assert!(call(0) && call(1_000_000_000) && !call(2_000_000_000) && !call(0));
}

#[test]
fn a_name_spelt_otherwise_is_another_client_and_never_gets_the_tables_of_this_one() {
    let text = "[default]\nrate = \"1/hour\"\nburst = 1\n[client.shop]\nrate = \"1000/second\"\nburst = 1000\n";
    let plan = plan(text);
    for id in ["Shop", "SHOP", "shop ", " shop", "shop%20", "sh\u{43e}p", "shop@https://here", "shop\0"] {
        assert_eq!(plan.own(&client(id), &[]).burst.get(), 1, "{id:?}");
    }
}

#[tokio::test]
async fn what_was_used_survives_a_crash_a_restart_and_counts_a_block_too_much_at_most() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path()).await.expect("a store");
    let text = "[default]\nrate = \"1000000/second\"\nburst = 1000000\n[[quota]]\nper = \"day\"\nunits = 1000\n";
    let house = async || {
        let limits = Limits::with_clock(plan(text), FakeRelativeClock::default(), 1_000);
        let limits = limits.keep_in(Book::open(&store, 0).await.expect("a book"), 4);
        let usage = limits.usage();
        // The keeper of this house; it ends with it, as in a crash.
        let keeper = async move { usage.keep().await };
        (limits, keeper)
    };
    let id = client("a");
    let charge = call(&id);
    let (mut really, day) = (0u64, at("2026-03-10T10:00:00Z"));
    for crash in 0..6 {
        let (limits, keeper) = house().await;
        let calls = async {
            for _ in 0..37 {
                if limits.charge(&charge, day).await.expect("the store writes").is_allowed() {
                    really += 1;
                }
            }
        };
        tokio::select! { () = calls => {}, () = keeper => {} }
        let used = limits.used(Some(&id)).await.expect("reads")[0].used;
        assert!(used >= really && used <= really + 50 * (crash + 1), "{used} for {really}");
        if crash % 2 == 1 {
            limits.settle().await.expect("writes");
            let kept = Book::open(&store, 0).await.unwrap().list().await.unwrap();
            assert_eq!((kept[0].used, kept[0].reserved), (used, used));
        }
    }
    let (limits, keeper) = house().await;
    let rest = async {
        let mut more = 0;
        while limits.charge(&charge, day).await.expect("the store writes").is_allowed() {
            more += 1;
        }
        // Reset, and everything is there again; others are not touched.
        assert_eq!(limits.reset(&id, Some(Per::Day)).await.expect("resets")[0].used, 1_000);
        assert!(limits.charge(&charge, day).await.expect("the store writes").is_allowed());
        more
    };
    let more = tokio::select! { more = rest => more, () = keeper => unreachable!("it keeps on") };
    assert!(really + more <= 1_000, "{really} and {more} more");
    assert!(really + more >= 1_000 - 3 * 50, "each crash costs a block at most: {}", really + more);
}

#[tokio::test]
async fn the_number_of_counters_is_bounded_and_those_that_go_are_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path()).await.expect("a store");
    let text = "[default]\nrate = \"1000/second\"\nburst = 1000\n[[quota]]\nper = \"day\"\nunits = 1\n";
    let limits = Limits::with_clock(plan(text), FakeRelativeClock::default(), 1_000);
    let limits = Arc::new(limits.keep_in(Book::open(&store, 0).await.expect("a book"), 4));
    let usage = limits.usage();
    let rounds = async {
        for round in 0..2 {
            for n in 0..12 {
                let allowed = limits
                    .charge(&call(&client(&format!("c{n}"))), 1_000)
                    .await
                    .expect("the store writes")
                    .is_allowed();
                assert_eq!(allowed, round == 0, "c{n} in round {round}");
            }
        }
    };
    tokio::select! { () = rounds => {}, () = usage.keep() => {} }
    assert_eq!(limits.used(None).await.expect("reads").len(), 12);
}

/// Limits over a store, and the store, whose writer nobody has.
async fn over_a_store(folder: &std::path::Path, quota: &str) -> (Limits<FakeRelativeClock>, Store) {
    let store = Store::open(folder).await.expect("a store");
    let text =
        format!("[default]\nrate = \"1000/second\"\nburst = 1000\n[[quota]]\nper = \"day\"\nunits = 100\n{quota}");
    let limits = Limits::with_clock(plan(&text), FakeRelativeClock::default(), 1_000);
    (limits.keep_in(Book::open(&store, 0).await.expect("a book"), 4), store)
}

fn call(id: &ClientId) -> Charge<'_> {
    let (program, transaction) =
        (ProgramName::parse("CRS610MI").unwrap(), TransactionName::parse("GetBasicData").unwrap());
    Charge { caller: Caller { client: id, groups: &[] }, program, transaction, effect: Effect::Read, all: false }
}

#[tokio::test]
async fn a_store_that_fails_refuses_nobody_whom_only_shadows_watch() {
    for (quota, watched) in [("shadow = true\n", true), ("", false)] {
        let folder = tempfile::tempdir().expect("a folder");
        let (limits, store) = over_a_store(folder.path(), quota).await;
        // Nobody writes: what a real quota has reserved is used up at once.
        let said = limits.charge(&call(&client("a")), 1_000).await;
        assert_eq!(said.as_ref().is_ok_and(|said| said.is_allowed() && !said.unwatched), watched, "{said:?}");
        store.close().await;
        let id = client("b");
        let said = limits.charge(&call(&id), 1_000).await;
        assert_eq!(said.as_ref().is_ok_and(|said| said.is_allowed() && said.unwatched), watched, "{said:?}");
        assert_eq!(limits.door(call(&id).caller, 1_000).await.is_ok(), watched);
    }
}

#[tokio::test]
async fn what_cannot_be_set_back_in_the_store_is_not_forgotten_either() {
    let (folder, id) = (tempfile::tempdir().expect("a folder"), client("a"));
    let (limits, store) = over_a_store(folder.path(), "").await;
    let (usage, call) = (limits.usage(), call(&id));
    tokio::select! { said = limits.charge(&call, 1_000) => assert!(said.is_ok()), () = usage.keep() => {} }
    let mut write = store.write().await.expect("the pen");
    let full = "CREATE TRIGGER full BEFORE INSERT ON usage BEGIN SELECT RAISE(ABORT, 'full'); END";
    sqlx::query(full).execute(&mut *write).await.expect("a trigger");
    write.commit().await.expect("written");
    assert!(limits.reset(&id, None).await.is_err());
    assert_eq!(limits.used(Some(&id)).await.expect("reads")[0].used, 1);
}

#[test]
fn a_check_names_what_nobody_is_and_what_never_can_be() {
    let text = "[default]\nrate = \"10/second\"\nburst = 5\n[client.nobody]\nrate = \"1/second\"\nburst = 1\n\
        [[program]]\nprogram = \"NOSUCHMI\"\ngroup = \"test\"\nrate = \"20/second\"\nburst = 10\n\
        [[quota]]\nper = \"day\"\nunits = 100\n[[quota]]\nper = \"month\"\nunits = 50\n\
        [[cost]]\nprogram = \"CRS610MI\"\ntransaction = \"Nothing\"\nunits = 9\n\
        [[concurrent]]\ncalls = 1\ngroup = \"ghosts\"\n";
    let mut known = Known::default();
    known.issuers.insert(HERE.into());
    known.clients.insert(client("a"));
    known.groups.insert("test".into());
    known.calls.insert((ProgramName::parse("CRS610MI").unwrap(), TransactionName::parse("GetBasicData").unwrap()));
    let source = Source { name: "limits.toml".into(), text: text.into() };
    let mut found: Vec<_> =
        review(&plan(text), &source, &known).into_iter().map(|one| (one.fault.spot.line, one.fault.code)).collect();
    found.sort_unstable();
    assert_eq!(
        found,
        [
            (4, "limit-unknown-client"),
            (8, "limit-above-own"),
            (8, "limit-unknown-program"),
            (13, "limit-unreachable"),
            (21, "limit-cost-above-burst"),
            (21, "limit-unknown-transaction"),
            (23, "limit-unknown-group"),
        ]
    );
    let shipped = include_str!("../../policies/limits.toml");
    known.groups.extend(["demo".into(), "readers".into()]);
    let source = Source { name: "limits.toml".into(), text: shipped.into() };
    assert_eq!(review(&plan(shipped), &source, &known), []);
}
