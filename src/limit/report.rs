//! How the limits stand, for operators: each table of the file that speaks of a client, what was used of it and when it
//! is whole again. Looking takes nothing.

use super::calendar::{Calendar, Per};
use super::class::Class;
use super::limits::{Caller, Key, Limits, What};
use super::plan::{Plan, Rate};
use super::quota::{Quota, seconds};
use super::scoped::{Scoped, Table};
use super::verdict::{FILE, Policy};
use crate::model::ClientId;
use crate::store::Error;
use governor::clock::Clock;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// One table, as it stands for one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub client: ClientId,
    pub limit: Policy,
    /// The program, the transaction or the effect that it is on.
    pub on: Option<String>,
    /// It only watches.
    pub shadow: bool,
    /// Where it is written.
    pub place: String,
    /// As people say it: `600/minute, at most 20 at once`.
    pub allows: String,
    pub most: u64,
    pub used: u64,
    pub left: u64,
    /// Seconds since 1970 at which nothing is used any more, if no call comes. When calls in flight end nobody knows.
    pub whole_at: Option<u64>,
}

/// What is in memory and in the store of one client.
struct Seen {
    /// Left of a bucket, and how long until it is full.
    buckets: HashMap<(What, bool), (Rate, u32, Duration)>,
    days: HashMap<Per, u64>,
    in_flight: u32,
}

impl<C: Clock + Clone + Send + Sync + 'static> Limits<C> {
    /// Every table that speaks of this client.
    pub async fn standing(&self, caller: Caller<'_>, now: u64) -> Result<Vec<Standing>, Error> {
        let plan = self.plan.load_full();
        let seen = self.seen(&plan, caller.client, now).await?;
        Ok(Report { plan: &plan, caller, seen, now, lines: Vec::new() }.whole())
    }

    /// Whoever has used something of a limit, or did since the gateway started.
    pub async fn callers(&self) -> Result<BTreeSet<ClientId>, Error> {
        let mut all: BTreeSet<ClientId> = self.buckets.iter().map(|(key, _)| key.client.clone()).collect();
        all.extend(self.usage.used(None).await?.into_iter().map(|row| row.client));
        all.extend(self.slots.holders());
        Ok(all)
    }

    async fn seen(&self, plan: &Plan, client: &ClientId, now: u64) -> Result<Seen, Error> {
        let calendar = Calendar::at(now, &plan.zone);
        let rows = self.usage.used(Some(client)).await?;
        // Of a day that is over nothing is used any more; a later one is there after the clock was set back. What was
        // reserved is what counts once the process is another.
        let today = rows.iter().filter(|row| row.first >= calendar.span(row.per).first);
        let days = today.map(|row| (row.per, row.reserved)).collect();
        let own = self.buckets.iter().filter(|(key, _)| key.client == *client);
        let buckets = own.map(|(key, bucket)| {
            let Key { what, shadow, .. } = *key;
            let (left, wait) = bucket.left();
            ((what, shadow), (Rate { quota: bucket.quota, line: 0 }, left, wait))
        });
        Ok(Seen { buckets: buckets.collect(), days, in_flight: self.slots.count(client) })
    }
}

impl Plan {
    /// What the table of this kind on this line allows, in words and as a number; nothing where none begins there.
    pub fn at(&self, limit: &str, line: u32) -> Option<(String, u32)> {
        let rate = |quota: &Quota| (spoken(quota), quota.burst.get());
        if limit == Policy::Client.name() && line == self.default_line {
            return Some(rate(&self.default));
        }
        let rates: Vec<&Scoped<Quota>> = match limit {
            "client" => vec![&self.own],
            "program" => self.programs.values().collect(),
            "transaction" => self.transactions.values().collect(),
            "effect" => self.classes.values().collect(),
            _ => Vec::new(),
        };
        if let Some(table) = rates.into_iter().flat_map(|scoped| scoped.real.each()).find(|table| table.line == line) {
            return Some(rate(&table.is));
        }
        let (numbers, word) = match limit {
            "daily" => (&self.daily, " a day"),
            "monthly" => (&self.monthly, " a month"),
            "concurrent" => (&self.concurrent, " at once"),
            _ => return None,
        };
        let table = numbers.real.each().find(|table| table.line == line)?;
        Some((format!("{}{word}", table.is), table.is))
    }
}

fn spoken(quota: &Quota) -> String {
    format!("{}, at most {} at once", quota.spoken(), quota.burst)
}

struct Report<'a> {
    plan: &'a Plan,
    caller: Caller<'a>,
    seen: Seen,
    now: u64,
    lines: Vec<Standing>,
}

impl Report<'_> {
    fn whole(mut self) -> Vec<Standing> {
        let plan = self.plan;
        let Caller { client, groups } = self.caller;
        self.rate(What::Own, None, false, plan.own_rate(client, groups));
        if let Some(shadow) = plan.own_shadow(client, groups) {
            self.rate(What::Own, None, true, shadow);
        }
        for (program, tables) in &plan.programs {
            self.rates(What::Program(*program), &program.to_string(), tables);
        }
        for ((program, name), tables) in &plan.transactions {
            self.rates(What::Transaction(*program, *name), &format!("{program}/{name}"), tables);
        }
        for (class, tables) in &plan.classes {
            self.rates(What::Class(*class), Class::word(*class), tables);
        }
        for (per, tables) in [(Per::Day, &plan.daily), (Per::Month, &plan.monthly)] {
            for shadow in [false, true] {
                if let Some(table) = tables.layer(shadow).of(client, groups) {
                    self.days(per, shadow, table);
                }
            }
        }
        for shadow in [false, true] {
            if let Some(table) = plan.concurrent.layer(shadow).of(client, groups) {
                let used = u64::from(self.seen.in_flight);
                let allows = format!("{} at once", table.is);
                self.put(Policy::Concurrent, None, shadow, table.line, allows, table.is.into(), used, None);
            }
        }
        self.lines.sort_by(|one, other| {
            let key = |line: &Standing| (line.limit, line.on.clone(), line.shadow);
            key(one).cmp(&key(other))
        });
        self.lines
    }

    fn rates(&mut self, what: What, on: &str, tables: &Scoped<Quota>) {
        for shadow in [false, true] {
            if let Some(table) = tables.layer(shadow).of(self.caller.client, self.caller.groups) {
                self.rate(what, Some(on.to_owned()), shadow, Rate::of(table));
            }
        }
    }

    /// A bucket of another quota is one of a file that holds no more: the next call finds a full one.
    fn rate(&mut self, what: What, on: Option<String>, shadow: bool, rate: Rate) {
        let held = self.seen.buckets.get(&(what, shadow)).filter(|(known, ..)| known.quota == rate.quota);
        let burst = rate.quota.burst.get();
        let (left, wait) = held.map_or((burst, Duration::ZERO), |(_, left, wait)| (*left, *wait));
        let whole = self.now + seconds(wait);
        let used = burst.saturating_sub(left).into();
        self.put(what.policy(), on, shadow, rate.line, spoken(&rate.quota), burst.into(), used, Some(whole));
    }

    fn days(&mut self, per: Per, shadow: bool, table: &Table<u32>) {
        let (limit, word) = match per {
            Per::Day => (Policy::Daily, "day"),
            Per::Month => (Policy::Monthly, "month"),
        };
        let used = self.seen.days.get(&per).copied().unwrap_or_default();
        let end = Calendar::at(self.now, &self.plan.zone).span(per).end;
        let allows = format!("{} a {word}", table.is);
        self.put(limit, None, shadow, table.line, allows, table.is.into(), used, Some(end));
    }

    #[expect(clippy::too_many_arguments, reason = "the columns of a line, each of another table's shape")]
    fn put(
        &mut self,
        limit: Policy,
        on: Option<String>,
        shadow: bool,
        line: u32,
        allows: String,
        most: u64,
        used: u64,
        whole: Option<u64>,
    ) {
        self.lines.push(Standing {
            client: self.caller.client.clone(),
            limit,
            on,
            shadow,
            place: format!("{FILE}:{line}"),
            allows,
            most,
            used,
            left: most.saturating_sub(used),
            whole_at: whole.filter(|_| used > 0),
        });
    }
}
