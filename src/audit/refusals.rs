//! Calls that a limit refused: told in the log, and bounded, so that who hammers on does not fill the disk.
//!
//! The first refusal of a client by a limit is a line. Those that follow within a minute are counted, and told together
//! in one more line. Invariant: no refusal is missing from the sum of `times`, but for the last minute before a crash.

use super::decision::{DecisionId, now};
use crate::model::{ClientId, Effect, ProgramName, TenantId, TransactionName};
use serde::Serialize;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(60);
/// Clients and limits that are counted at the same time.
const MOST: usize = 4_096;

/// A call that a limit refused, or would have refused.
#[derive(Debug, Clone)]
pub struct Refusal<'a> {
    pub call: &'a str,
    pub client: &'a ClientId,
    pub tenant: Option<&'a TenantId>,
    pub groups: &'a [Box<str>],
    pub address: IpAddr,
    /// Not known at the door.
    pub name: Option<(ProgramName, TransactionName)>,
    pub effect: Option<Effect>,
    /// `rate-limited`, `quota-spent`, `too-many-in-flight`.
    pub reason: &'static str,
    /// Which limit: `client`, `program`, `daily` …
    pub limit: &'static str,
    /// It only watches: nothing was refused.
    pub shadow: bool,
    pub table: Option<Table>,
}

/// The table that refused it, as it stood then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Table {
    /// `limits.toml:12`.
    pub place: String,
    pub most: u32,
    pub used: u32,
    /// Of this call.
    pub cost: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    client: ClientId,
    limit: &'static str,
    shadow: bool,
    /// What the limit is on: callers can't make more of these than there are tables.
    program: Option<ProgramName>,
    transaction: Option<TransactionName>,
}

impl Key {
    fn of(refusal: &Refusal<'_>) -> Self {
        let &Refusal { client, limit, shadow, name, .. } = refusal;
        let by_program = matches!(limit, "program" | "transaction");
        let program = name.map(|(program, _)| program).filter(|_| by_program);
        let transaction = name.map(|(_, transaction)| transaction).filter(|_| limit == "transaction");
        Self { client: client.clone(), limit, shadow, program, transaction }
    }
}

struct Counted {
    id: DecisionId,
    since: Instant,
    /// Since the last line.
    more: u64,
    last: Last,
}

/// As much of the last call as its line tells.
#[derive(Debug, Clone)]
struct Last {
    call: String,
    tenant: Option<String>,
    groups: Vec<Box<str>>,
    address: IpAddr,
    name: Option<(ProgramName, TransactionName)>,
    effect: Option<Effect>,
    reason: &'static str,
    table: Option<Table>,
}

impl Last {
    fn of(refusal: &Refusal<'_>) -> Self {
        Self {
            call: refusal.call.to_owned(),
            tenant: refusal.tenant.map(|tenant| tenant.as_str().to_owned()),
            groups: refusal.groups.to_vec(),
            address: refusal.address,
            name: refusal.name,
            effect: refusal.effect,
            reason: refusal.reason,
            table: refusal.table.clone(),
        }
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    kind: &'static str,
    id: String,
    time: String,
    call: &'a str,
    client: &'a str,
    issuer: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    groups: &'a [Box<str>],
    address: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effect: Option<String>,
    step: &'static str,
    verdict: &'static str,
    reason: &'a str,
    limit: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<&'a Table>,
    /// Refusals that this line stands for.
    times: u64,
    /// The line whose id these callers were told.
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<String>,
}

/// The refusals of the last minute.
#[derive(Default)]
pub(super) struct Refusals {
    held: Mutex<HashMap<Key, Counted>>,
}

impl Refusals {
    /// Counts one, and gives the id that its caller is told; `write` gets the lines that are due.
    pub(super) fn note(&self, refusal: &Refusal<'_>, at: Instant, mut write: impl FnMut(Vec<u8>)) -> DecisionId {
        let mut held = self.held();
        let key = Key::of(refusal);
        if let Some(counted) = held.get_mut(&key) {
            counted.more += 1;
            counted.last = Last::of(refusal);
            if at.saturating_duration_since(counted.since) < WINDOW {
                return counted.id;
            }
            if let Some(over) = held.remove(&key) {
                write_more(&key, &over, &mut write);
                return over.id;
            }
        }
        if held.len() >= MOST
            && let Some(oldest) = held.iter().min_by_key(|(_, counted)| counted.since).map(|(key, _)| key.clone())
            && let Some(over) = held.remove(&oldest)
        {
            write_more(&oldest, &over, &mut write);
        }
        let (id, last) = (DecisionId::new(), Last::of(refusal));
        put(&key, &last, id, 1, None, &mut write);
        held.insert(key, Counted { id, since: at, more: 0, last });
        id
    }

    /// Tells what was counted and is older than the window; `all` tells everything, at the end.
    pub(super) fn tell(&self, at: Instant, all: bool, mut write: impl FnMut(Vec<u8>)) {
        self.held().retain(|key, counted| {
            let over = all || at.saturating_duration_since(counted.since) >= WINDOW;
            if over {
                write_more(key, counted, &mut write);
            }
            !over
        });
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Key, Counted>> {
        // Held for a count or a line; a poisoned one still holds good counts.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write_more(key: &Key, counted: &Counted, write: &mut impl FnMut(Vec<u8>)) {
    if counted.more > 0 {
        put(key, &counted.last, DecisionId::new(), counted.more, Some(counted.id), write);
    }
}

fn put(key: &Key, last: &Last, id: DecisionId, times: u64, first: Option<DecisionId>, write: &mut impl FnMut(Vec<u8>)) {
    let (client, limit, reason) = (&key.client, key.limit, last.reason);
    if key.shadow {
        let call = last.name.map(|(program, name)| format!("{program}/{name}")).unwrap_or_default();
        tracing::info!(client = %client.id, issuer = %client.issuer, limit, reason, call, times, "a shadow limit would have refused this");
        return;
    }
    let shown = Shown {
        kind: "decision",
        id: id.to_string(),
        time: now(),
        call: &last.call,
        client: &client.id,
        issuer: &client.issuer,
        tenant: last.tenant.as_deref(),
        groups: &last.groups,
        address: last.address,
        program: last.name.map(|(program, _)| program.to_string()),
        transaction: last.name.map(|(_, name)| name.to_string()),
        effect: last.effect.map(|effect| effect.to_string()),
        step: "limits",
        verdict: "deny",
        reason,
        limit,
        table: last.table.as_ref(),
        times,
        first: first.map(|id| id.to_string()),
    };
    // Strings and numbers: nothing that serialising could fail on.
    write(serde_json::to_vec(&shown).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn client(id: &str) -> ClientId {
        ClientId { issuer: "https://here".into(), id: id.into() }
    }

    fn refusal<'a>(client: &'a ClientId, limit: &'static str) -> Refusal<'a> {
        Refusal {
            call: "request",
            client,
            tenant: None,
            groups: &[],
            address: IpAddr::from([127, 0, 0, 1]),
            name: None,
            effect: None,
            reason: "rate-limited",
            limit,
            shadow: false,
            table: None,
        }
    }

    fn times(lines: &[Vec<u8>]) -> u64 {
        let line = |line: &Vec<u8>| serde_json::from_slice::<Value>(line).expect("JSON")["times"].as_u64();
        lines.iter().filter_map(line).sum()
    }

    #[test]
    fn who_hammers_has_two_lines_a_minute_and_the_id_that_was_told_is_in_both() {
        let (refusals, begin, shop) = (Refusals::default(), Instant::now(), client("shop"));
        let mut lines = Vec::new();
        let first = refusals.note(&refusal(&shop, "client"), begin, |line| lines.push(line));
        for at in 1..10_000 {
            let at = begin + Duration::from_millis(at);
            assert_eq!(refusals.note(&refusal(&shop, "client"), at, |line| lines.push(line)), first);
        }
        assert_eq!(lines.len(), 1);
        refusals.tell(begin + WINDOW, false, |line| lines.push(line));
        assert_eq!((lines.len(), times(&lines)), (2, 10_000));
        let more: Value = serde_json::from_slice(&lines[1]).expect("JSON");
        assert_eq!(more["first"], first.to_string());
        refusals.tell(begin + WINDOW * 3, true, |line| lines.push(line));
        assert_eq!(lines.len(), 2, "nothing is told twice");
        assert_ne!(refusals.note(&refusal(&shop, "client"), begin + WINDOW * 3, |line| lines.push(line)), first);
    }

    #[test]
    fn no_more_is_counted_at_once_than_there_is_room_for_and_nothing_is_lost() {
        let (refusals, begin) = (Refusals::default(), Instant::now());
        let mut lines = Vec::new();
        for at in 0..(MOST as u64 + 50) {
            let client = client(&format!("c{at}"));
            for _ in 0..2 {
                let at = begin + Duration::from_micros(at);
                refusals.note(&refusal(&client, "client"), at, |line| lines.push(line));
            }
        }
        assert!(refusals.held().len() <= MOST);
        refusals.tell(begin, true, |line| lines.push(line));
        assert_eq!(times(&lines), 2 * (MOST as u64 + 50));
    }

    proptest! {
        #[test]
        fn every_refusal_is_in_the_sum_of_times(steps in prop::collection::vec((0usize..3, 0usize..2, 0u64..40), 0..200)) {
            let (refusals, mut at) = (Refusals::default(), Instant::now());
            let mut lines = Vec::new();
            for (who, limit, seconds) in &steps {
                at += Duration::from_secs(*seconds);
                let client = client(["a", "b", "c"][*who]);
                refusals.note(&refusal(&client, ["client", "daily"][*limit]), at, |line| lines.push(line));
                if seconds % 7 == 0 {
                    refusals.tell(at, false, |line| lines.push(line));
                }
            }
            refusals.tell(at, true, |line| lines.push(line));
            prop_assert_eq!(times(&lines), steps.len() as u64);
        }
    }
}
