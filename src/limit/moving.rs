//! Clocks that stand still, leap ahead and are set back: what limits promise whatever a wall clock says.

use super::book::Book;
use super::usage::Usage;
use super::{Caller, Charge, Limits, Plan, Said};
use crate::model::{ClientId, Effect, ProgramName, TransactionName};
use crate::store::Store;
use governor::clock::FakeRelativeClock;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

const HERE: &str = "https://here";
const DAY: u64 = 86_400;
/// A day, and by how much clocks may differ over it.
const LONG: u64 = DAY + 86;
/// The morning of the 10th of March 2026.
const TRUTH: u64 = 1_773_129_600;

fn plan(text: &str) -> Plan {
    Plan::parse("limits.toml", text, HERE).unwrap_or_else(|faults| panic!("{}", faults[0]))
}

fn wait_for<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(future)
}

/// A gateway's limits, its steady clock, and what its wall clock says.
struct House {
    limits: Limits<FakeRelativeClock>,
    clock: FakeRelativeClock,
    wall: u64,
    /// Milliseconds of the steady clock since the beginning.
    passed: u64,
}

impl House {
    fn new(text: &str) -> Self {
        let clock = FakeRelativeClock::default();
        Self { limits: Limits::with_clock(plan(text), clock.clone(), 1_000), clock, wall: TRUTH, passed: 0 }
    }

    /// Time goes by on both clocks.
    fn pass(&mut self, millis: u64) {
        self.clock.advance(Duration::from_millis(millis));
        self.wall += (self.passed % 1_000 + millis) / 1_000;
        self.passed += millis;
    }

    /// What a wall clock that was never touched would say.
    fn truth(&self) -> u64 {
        TRUTH + self.passed / 1_000
    }

    async fn calls(&self) -> Said {
        let client = ClientId { issuer: HERE.into(), id: "a".into() };
        let caller = Caller { client: &client, groups: &[] };
        let door = self.limits.door(caller, self.wall).await.expect("it is counted");
        if !door.is_allowed() {
            return door;
        }
        let program = ProgramName::parse("CRS610MI").expect("a program");
        let transaction = TransactionName::parse("GetBasicData").expect("a transaction");
        let charge = Charge { caller, program, transaction, effect: Effect::Read, all: false };
        let said = self.limits.charge(&charge, self.wall).await.expect("it is counted");
        if said.verdict.is_none() { door } else { said }
    }

    fn call(&self) -> Said {
        wait_for(self.calls())
    }
}

/// What happens to the wall clock between two calls.
#[derive(Debug, Clone, Copy)]
enum Move {
    Stays,
    Ahead(u64),
    Back(u64),
    /// Somebody sets it right.
    Right,
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        4 => Just(Move::Stays),
        2 => (1..400 * DAY).prop_map(Move::Ahead),
        1 => Just(Move::Ahead(60 * 365 * DAY)),
        2 => (1..400 * DAY).prop_map(Move::Back),
        1 => Just(Move::Back(u64::MAX)),
        1 => Just(Move::Right),
    ]
}

/// Steady time between two calls: none, a little, days.
fn pauses() -> impl Strategy<Value = u64> {
    prop_oneof![3 => Just(0), 4 => 1..3_000_u64, 1 => 3_000..2 * DAY * 1_000]
}

fn moved(house: &mut House, to: Move) {
    house.wall = match to {
        Move::Stays => house.wall,
        Move::Ahead(by) => house.wall.saturating_add(by).min(200 * 365 * DAY),
        Move::Back(by) => house.wall.saturating_sub(by),
        Move::Right => house.truth(),
    };
}

proptest! {
    #[test]
    fn no_window_of_steady_time_holds_more_than_the_rate_and_who_waits_as_told_is_served(
        steps in prop::collection::vec((pauses(), moves()), 1..50), burst in 1u64..6, rate in 1u64..6,
    ) {
        let mut house = House::new(&format!("[default]\nrate = \"{rate}/second\"\nburst = {burst}\n"));
        let mut served = Vec::new();
        for (pause, to) in steps {
            house.pass(pause);
            moved(&mut house, to);
            let verdict = house.call().verdict.expect("the default speaks of everybody");
            if !verdict.allowed {
                let wait = verdict.wait().expect("a rate knows when");
                prop_assert!(wait <= Duration::from_secs(1), "{wait:?} for one of {rate} a second");
                house.pass(wait.as_millis() as u64 + 1);
                prop_assert!(house.call().is_allowed(), "who waits as told is served");
            }
            served.push(house.passed);
        }
        for (first, begin) in served.iter().enumerate() {
            for (more, end) in served[first..].iter().enumerate() {
                let most = burst + (end - begin) * rate / 1_000 + 1;
                prop_assert!((more as u64) < most, "{} calls in {} ms", more + 1, end - begin);
            }
        }
    }

    #[test]
    fn a_day_and_a_month_are_spent_once_and_keep_nobody_out_for_longer_than_they_last(
        steps in prop::collection::vec((pauses(), moves()), 1..60), units in 1u64..4,
    ) {
        let mut house = House::new(&format!(
            "zone = \"UTC\"\n[default]\nrate = \"1000/second\"\nburst = 1000\n\
             [[quota]]\nper = \"day\"\nunits = {units}\n[[quota]]\nper = \"month\"\nunits = {}\n", 3 * units));
        let (mut served, mut latest) = (0, 0);
        // A new day is one that is later than all that were seen, or one after a whole day of waiting; set back and right
        // again, a clock may make that two.
        let mut days = BTreeSet::new();
        for (pause, to) in steps {
            house.pass(pause);
            moved(&mut house, to);
            let today = house.wall / DAY;
            if days.is_empty() || today > latest {
                latest = today;
                days.insert(today);
            }
            let said = house.call();
            served += u64::from(said.is_allowed());
            let most = units * (days.len() as u64 + 2 * (house.passed / (DAY * 1_000)));
            prop_assert!(served <= most, "{served} of {most}");
            if let Some(refused) = said.verdict.filter(|verdict| !verdict.allowed) {
                let wait = refused.wait().expect("a quota knows when");
                prop_assert!(wait <= Duration::from_secs(32 * DAY), "{wait:?}");
            }
        }
        // The clock is set right, and stays so: whatever it said before, a month later everybody is served.
        house.wall = house.truth();
        house.pass(32 * DAY * 1_000);
        prop_assert!(house.call().is_allowed());
    }
}

const DAILY: &str =
    "zone = \"UTC\"\n[default]\nrate = \"1000/second\"\nburst = 1000\n[[quota]]\nper = \"day\"\nunits = 2\n";

#[test]
fn a_clock_that_was_years_ahead_for_a_moment_costs_a_day_and_not_the_years() {
    let mut house = House::new(DAILY);
    house.wall += 40 * 365 * DAY;
    assert!(house.call().is_allowed() && house.call().is_allowed());
    house.wall = house.truth();
    let refused = house.call().verdict.expect("a verdict");
    assert_eq!((refused.allowed, refused.retry_after()), (false, Some(LONG)), "that day's two are spent");
    house.pass((LONG - 1) * 1_000);
    assert_eq!(house.call().verdict.expect("a verdict").retry_after(), Some(1));
    house.pass(1_000);
    assert!(house.call().is_allowed() && house.call().is_allowed() && !house.call().is_allowed());
    // Set to and fro it gives nobody another day.
    for _ in 0..20 {
        house.wall -= DAY;
        assert!(!house.call().is_allowed());
        house.wall += DAY;
        assert!(!house.call().is_allowed());
    }
}

#[tokio::test]
async fn what_the_store_says_of_a_day_far_ahead_keeps_nobody_out_over_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path()).await.expect("a store");
    let kept = async |wall: u64| {
        let mut house = House::new(DAILY);
        house.limits = house.limits.keep_in(Book::open(&store, 0).await.expect("a book"), 10);
        house.wall = wall;
        let usage: Arc<Usage> = house.limits.usage();
        (house, usage)
    };
    let (house, usage) = kept(TRUTH + 40 * 365 * DAY).await;
    let spends = async {
        assert!(house.calls().await.is_allowed() && house.calls().await.is_allowed());
        assert!(!house.calls().await.is_allowed());
    };
    tokio::select! { () = spends => {}, () = usage.keep() => {} }
    house.limits.settle().await.expect("it is written");
    let (mut house, usage) = kept(TRUTH).await;
    let waits = async {
        assert!(!house.calls().await.is_allowed(), "a restart is no new day");
        house.pass(LONG * 1_000);
        assert!(house.calls().await.is_allowed() && house.calls().await.is_allowed());
        assert!(!house.calls().await.is_allowed());
    };
    tokio::select! { () = waits => {}, () = usage.keep() => {} }
}
