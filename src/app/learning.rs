//! Layouts that rules need and nobody calls for: learnt of M3, and the rules read again once they are.
//!
//! A read that `facts.toml` names is made by no caller, so without this its layout would never be known, and the rules over
//! it would deny. What M3 does not tell is asked for again, each time later; why is told once, until it is another reason.
//! Does not know: what a rule says.

use crate::catalog::Catalog;
use crate::gateway::Parts;
use crate::model::{ProgramName, TransactionName};
use crate::policies::Active;
use crate::tasks::Tasks;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use prometheus::IntCounter;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// How often it is looked at whether anything is to be learnt, or was.
const EVERY: Duration = Duration::from_millis(500);
/// For one of them, and how many are asked for at once: one that M3 doesn't tell keeps no other waiting.
const PATIENCE: Duration = Duration::from_secs(10);
const AT_ONCE: usize = 8;
/// Until one that failed is asked for again.
const FIRST: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(60);

type Call = (ProgramName, TransactionName);

/// One that could not be learnt so far.
#[derive(Debug)]
struct Failed {
    why: String,
    wait: Duration,
    next: Instant,
}

#[derive(Debug, Default)]
struct Failures(HashMap<Call, Failed>);

impl Failures {
    /// Rules that ask for the others no more.
    fn keep(&mut self, wanted: &[Call]) {
        self.0.retain(|call, _| wanted.contains(call));
    }

    fn is_due(&self, call: Call, now: Instant) -> bool {
        self.0.get(&call).is_none_or(|failed| failed.next <= now)
    }

    /// Whether it is to be told: the first time, and whenever the reason is another.
    fn note(&mut self, call: Call, why: String, now: Instant) -> bool {
        let before = self.0.remove(&call);
        let wait = before.as_ref().map_or(FIRST, |before| (before.wait * 2).min(LAST));
        let news = before.is_none_or(|before| before.why != why);
        self.0.insert(call, Failed { why, wait, next: now + wait });
        news
    }

    /// Whether it had failed before.
    fn ended(&mut self, call: Call) -> bool {
        self.0.remove(&call).is_some()
    }
}

pub(super) fn begin(parts: &Parts, bugs: IntCounter, tasks: &Tasks) {
    let (policies, catalog) = (Arc::clone(&parts.policies), parts.catalog.clone());
    tasks.spawn_for_good("learning layouts for rules", bugs, move || learn(Arc::clone(&policies), catalog.clone()));
}

async fn learn(policies: Arc<Active>, catalog: Catalog) {
    let (mut failures, mut under_way) = (Failures::default(), HashSet::new());
    let mut asking = FuturesUnordered::new();
    loop {
        let wanted = policies.set().unlearnt();
        failures.keep(&wanted);
        for call in wanted {
            if asking.len() < AT_ONCE && failures.is_due(call, Instant::now()) && under_way.insert(call) {
                asking.push(ask(&catalog, call));
            }
        }
        // What is learnt counts at once, whatever else is still asked for.
        let until = Instant::now() + EVERY;
        while let Ok(Some((call, told))) = timeout_at(until, asking.next()).await {
            under_way.remove(&call);
            tell(call, told, &mut failures);
        }
        // Rules over a transaction whose layout was not known when they were loaded deny; they are read again once it is,
        // and once one that they were read with is another.
        let may_help = catalog.has_learnt() && !policies.set().warnings().is_empty();
        if catalog.has_moved() || may_help {
            policies.layouts_changed();
        }
        tokio::time::sleep_until(until).await;
    }
}

/// The error is why it is not known.
async fn ask(catalog: &Catalog, call: Call) -> (Call, Result<(), String>) {
    let told = match timeout(PATIENCE, catalog.layout(call.0, call.1)).await {
        Ok(told) => told.map(drop).map_err(|error| error.to_string()),
        Err(_) => Err(format!("M3 has not told it within {} s", PATIENCE.as_secs())),
    };
    (call, told)
}

fn tell(call: Call, told: Result<(), String>, failures: &mut Failures) {
    let (program, transaction) = call;
    match told {
        Ok(()) if failures.ended(call) => {
            tracing::info!(%program, %transaction, "the layout of a transaction that rules need is known now");
        }
        Err(why) if failures.note(call, why.clone(), Instant::now()) => {
            tracing::warn!(%program, %transaction, why, "the layout of a transaction that facts.toml names could not be learnt: what looks at it is refused; it is asked for again");
        }
        Ok(()) | Err(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str) -> Call {
        (ProgramName::parse("PPS200MI").expect("a program"), TransactionName::parse(name).expect("a transaction"))
    }

    #[test]
    fn what_could_not_be_learnt_is_told_once_a_reason_and_asked_for_ever_later() {
        let (mut failures, begin, head) = (Failures::default(), Instant::now(), call("GetHead"));
        let (mut at, mut told, mut asked) = (begin, 0, 0);
        while at < begin + Duration::from_secs(3_600) {
            if failures.is_due(head, at) {
                asked += 1;
                told += u32::from(failures.note(head, "M3 is away".to_owned(), at));
            }
            at += EVERY;
        }
        assert!(told == 1 && (60..70).contains(&asked), "told {told} times and asked {asked} times in an hour");
        assert!(failures.note(head, "M3 has no program PPS200MI".to_owned(), at), "another reason is told");
        assert!(!failures.note(head, "M3 has no program PPS200MI".to_owned(), at));
        assert!(failures.is_due(call("GetLine"), at), "none waits for another");
        assert!(failures.ended(head) && !failures.ended(head) && failures.is_due(head, at));
        failures.note(head, "M3 is away".to_owned(), at);
        failures.keep(&[call("GetLine")]);
        assert!(failures.is_due(head, at), "a set that asks for it again begins anew");
    }
}
