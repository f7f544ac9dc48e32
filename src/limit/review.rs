//! Remarks on a file of limits that can be read: names that nobody has, and limits that can't do what they seem to.

use super::class::Class;
use super::plan::Plan;
use super::quota::Quota;
use super::scoped::{Layer, Scoped, Wide};
use crate::model::{ClientId, ProgramName, Spot, TransactionName};
use crate::policy::{Fault, Finding, Source};
use std::collections::HashSet;

/// Who and what there is. Of an empty set nobody knows anything, and nothing is said.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Issuers whose clients are all known.
    pub issuers: HashSet<String>,
    pub clients: HashSet<ClientId>,
    pub groups: HashSet<String>,
    pub calls: HashSet<(ProgramName, TransactionName)>,
}

struct Review<'a> {
    source: &'a Source,
    known: &'a Known,
    plan: &'a Plan,
    found: Vec<Finding>,
}

pub fn review(plan: &Plan, source: &Source, known: &Known) -> Vec<Finding> {
    let mut review = Review { source, known, plan, found: Vec::new() };
    review.people(&plan.own);
    plan.programs
        .values()
        .chain(plan.transactions.values())
        .chain(plan.classes.values())
        .for_each(|s| review.people(s));
    [&plan.concurrent, &plan.daily, &plan.monthly].into_iter().for_each(|scoped| review.people(scoped));
    review.names();
    review.above();
    review.quotas();
    review.costs();
    review.found
}

impl Review<'_> {
    fn warn(&mut self, at: usize, code: &'static str, message: String, hint: &str) {
        let spot = Spot::at(&self.source.name, &self.source.text, at);
        self.found.push(Finding::warning(Fault { spot, code, message, hint: Some(hint.to_owned()) }));
    }

    /// Tables of clients and groups that nobody is.
    fn people<T: Wide>(&mut self, scoped: &Scoped<T>) {
        for layer in [&scoped.real, &scoped.shadow] {
            for (client, table) in &layer.clients {
                if self.known.issuers.contains(&*client.issuer) && !self.known.clients.contains(client) {
                    let hint = "correct the id, or register the client; ids are compared letter by letter";
                    self.warn(table.at, "limit-unknown-client", format!("no client is {}", client.id), hint);
                }
            }
            for (group, table) in &layer.groups {
                if !self.known.groups.is_empty() && !self.known.groups.contains(&**group) {
                    let hint = "correct the name, or put a client into the group";
                    self.warn(table.at, "limit-unknown-group", format!("no client is in a group {group}"), hint);
                }
            }
        }
    }

    fn names(&mut self) {
        if self.known.calls.is_empty() {
            return;
        }
        let plan = self.plan;
        let programs: HashSet<ProgramName> = self.known.calls.iter().map(|(program, _)| *program).collect();
        let each = |scoped: &Scoped<Quota>| -> Vec<usize> {
            scoped.real.each().chain(scoped.shadow.each()).map(|table| table.at).collect()
        };
        let of_programs =
            plan.programs.iter().flat_map(|(name, tables)| each(tables).into_iter().map(|at| (*name, at)));
        let costs = plan.costs.programs.iter().map(|(name, table)| (*name, table.at));
        for (program, at) in of_programs.chain(costs).collect::<Vec<_>>() {
            if !programs.contains(&program) {
                let hint = "correct the name, or fetch its layout: mi-gateway catalog pull";
                self.warn(at, "limit-unknown-program", format!("{program} is no program that is known here"), hint);
            }
        }
        let of_calls =
            plan.transactions.iter().flat_map(|(call, tables)| each(tables).into_iter().map(|at| (*call, at)));
        let costs = plan.costs.transactions.iter().map(|(call, table)| (*call, table.at));
        for (call, at) in of_calls.chain(costs).collect::<Vec<_>>() {
            if !self.known.calls.contains(&call) {
                let (program, name) = call;
                let hint = "correct the name, or fetch its layout: mi-gateway catalog pull";
                let message = format!("{program}/{name} is no transaction that is known here");
                self.warn(at, "limit-unknown-transaction", message, hint);
            }
        }
    }

    /// A limit on a part that the limit on the whole never lets anybody reach.
    fn above(&mut self) {
        let plan = self.plan;
        let of_parts = plan.programs.values().chain(plan.transactions.values()).chain(plan.classes.values());
        let whole = |layer: &Layer<Quota>| -> Vec<(usize, Quota, Quota)> {
            let own = |client: &ClientId| plan.own.real.clients.get(client).map_or(plan.default, |table| table.is);
            let group = |name: &str| plan.own.real.groups.get(name).map_or(plan.default, |table| table.is);
            let clients = layer.clients.iter().map(|(id, table)| (table.at, table.is, own(id)));
            let groups = layer.groups.iter().map(|(id, table)| (table.at, table.is, group(id)));
            clients.chain(groups).collect()
        };
        for (at, part, own) in of_parts.flat_map(|tables| whole(&tables.real)).collect::<Vec<_>>() {
            if part.period < own.period && part.burst >= own.burst {
                let hint = "their own rate ends sooner: lower this one, or raise that";
                self.warn(
                    at,
                    "limit-above-own",
                    "this rate is above the one that they have for everything".into(),
                    hint,
                );
            }
        }
    }

    /// A month that is over before a day is, and days that never add up to a month's end.
    fn quotas(&mut self) {
        let plan = self.plan;
        let mut never = Vec::new();
        for (client, month) in &plan.monthly.real.clients {
            if let Some(day) = plan.daily.real.clients.get(client) {
                never.extend(unreachable_quota(day.is, month.is).map(|what| (day.at, month.at, what)));
            }
        }
        for (group, month) in &plan.monthly.real.groups {
            if let Some(day) = plan.daily.real.groups.get(group) {
                never.extend(unreachable_quota(day.is, month.is).map(|what| (day.at, month.at, what)));
            }
        }
        if let (Some(day), Some(month)) = (&plan.daily.real.everybody, &plan.monthly.real.everybody) {
            never.extend(unreachable_quota(day.is, month.is).map(|what| (day.at, month.at, what)));
        }
        for (day, month, day_is_it) in never {
            if day_is_it {
                let hint = "lower it, or leave it out";
                self.warn(day, "limit-unreachable", "the month's quota is spent before this day's".into(), hint);
            } else {
                let hint = "lower it, or leave it out";
                self.warn(month, "limit-unreachable", "31 days' quotas are less than this month's".into(), hint);
            }
        }
        let raw_without =
            plan.classes.get(&Class::Raw).map(|tables| tables.real.each().map(|table| (table.at, table.is)));
        let read =
            plan.classes.get(&Class::Read).and_then(|tables| tables.real.everybody.as_ref().map(|table| table.is));
        for (at, raw) in raw_without.into_iter().flatten().collect::<Vec<_>>() {
            if read.is_some_and(|read| raw.period < read.period) {
                let hint = "queries over any table are counted here in place of there: make this the smaller one";
                self.warn(at, "limit-unreachable", "raw queries may come more often than reads".into(), hint);
            }
        }
    }

    /// A call that costs more than fits takes a full bucket each time.
    fn costs(&mut self) {
        let least = |layer: &Layer<Quota>| layer.each().map(|table| table.is.burst.get()).min();
        let plan = self.plan;
        let own = least(&plan.own.real).into_iter().chain([plan.default.burst.get()]).min().unwrap_or(u32::MAX);
        for table in plan.costs.each().cloned().collect::<Vec<_>>() {
            let cost = table.is.units.max(table.is.all);
            if cost > own {
                let message = format!("a call costs {cost} units, and a client's burst is {own}");
                let hint = "raise the burst or lower the cost; as it is such a call waits for a full bucket";
                self.warn(table.at, "limit-cost-above-burst", message, hint);
            }
        }
        for (program, tables) in &plan.programs {
            let Some(burst) = least(&tables.real) else { continue };
            if let Some(table) = plan.costs.programs.get(program).filter(|table| table.is.units > burst) {
                let message = format!("a call of {program} costs {} units, and its burst is {burst}", table.is.units);
                let hint = "raise the burst or lower the cost; as it is such a call waits for a full bucket";
                self.warn(table.at, "limit-cost-above-burst", message, hint);
            }
        }
    }
}

/// `true`: the day's can never be spent; `false`: the month's.
fn unreachable_quota(day: u32, month: u32) -> Option<bool> {
    if day > month {
        Some(true)
    } else if u64::from(day) * 31 < u64::from(month) {
        Some(false)
    } else {
        None
    }
}
