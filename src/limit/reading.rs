//! The file's text to a plan, with every fault and its place.

use super::class::Class;
use super::plan::{Cost, Costs, Fault, Plan};
use super::quota::{MOST, Quota};
use super::raw::{RawConcurrent, RawCost, RawEffect, RawOwn, RawPlan, RawProgram, RawQuota, RawTransaction};
use super::scoped::{Scoped, Table, Whom};
use crate::model::{ClientId, ProgramName, Spot, TransactionName};
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use toml::Spanned;

/// A file of this size has nothing to do with limits.
const MAX_TEXT: usize = 1024 * 1024;
/// Calls of a client at once.
const MOST_CALLS: u32 = 100_000;
/// Units of a month.
const MOST_UNITS: u32 = 1_000_000_000;

pub(super) struct Reading<'a> {
    name: &'a str,
    text: &'a str,
    local_issuer: &'a str,
    /// Where each line begins.
    begins: Vec<usize>,
    faults: Vec<Fault>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(name: &'a str, text: &'a str, local_issuer: &'a str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let begins = std::iter::once(0).chain(ends).collect();
        Self { name, text, local_issuer, begins, faults: Vec::new() }
    }

    pub(super) fn plan(mut self) -> Result<Plan, Vec<Fault>> {
        if self.text.len() > MAX_TEXT {
            self.fault(0, "the file is larger than 1 MiB", None);
            return Err(self.faults);
        }
        let raw: RawPlan = match toml::from_str(self.text) {
            Ok(raw) => raw,
            Err(why) => {
                self.fault(why.span().map_or(0, |span| span.start), why.message(), None);
                return Err(self.faults);
            }
        };
        let zone = self.zone(raw.zone.as_ref());
        let default = self.quota(&raw.default.rate, &raw.default.burst);
        let default_line = self.line(raw.default.rate.span().start);
        let own = self.own(&raw.client, &raw.group);
        let programs = self.programs(&raw.program);
        let transactions = self.transactions(&raw.transaction);
        let classes = self.classes(&raw.effect);
        let concurrent = self.concurrent(&raw.concurrent);
        let (daily, monthly) = self.quotas(&raw.quota);
        let costs = self.costs(&raw.cost);
        match default.filter(|_| self.faults.is_empty()) {
            Some(default) => Ok(Plan {
                zone,
                default,
                default_line,
                own,
                programs,
                transactions,
                classes,
                concurrent,
                daily,
                monthly,
                costs,
            }),
            None => Err(self.faults),
        }
    }

    fn zone(&mut self, zone: Option<&Spanned<String>>) -> TimeZone {
        let Some(zone) = zone else { return TimeZone::UTC };
        // A zone of the machine's own would count other days after a move to another machine.
        let named = TimeZone::get(zone.get_ref()).ok().filter(|found| found.iana_name().is_some());
        named.unwrap_or_else(|| {
            let hint = "write a name like \"Europe/Stockholm\", and see that the machine has the time zone database";
            self.fault(zone.span().start, "this is no time zone that is known here", Some(hint));
            TimeZone::UTC
        })
    }

    fn own(
        &mut self,
        clients: &BTreeMap<Spanned<String>, RawOwn>,
        groups: &BTreeMap<Spanned<String>, RawOwn>,
    ) -> Scoped<Quota> {
        let mut own = Scoped::default();
        for (id, raw) in clients {
            if let (Some(client), Some(is)) = (self.client(id), self.quota(&raw.rate, &raw.burst))
                && !own.put(Whom::Client(client), raw.shadow, self.table(is, id.span().start))
            {
                self.fault(id.span().start, "this client has two tables", None);
            }
        }
        for (group, raw) in groups {
            if let Some(is) = self.quota(&raw.rate, &raw.burst) {
                let whom = Whom::Group(group.get_ref().as_str().into());
                own.put(whom, raw.shadow, self.table(is, group.span().start));
            }
        }
        own
    }

    fn programs(&mut self, tables: &[RawProgram]) -> HashMap<ProgramName, Scoped<Quota>> {
        let mut all = HashMap::new();
        for raw in tables {
            let program = self.program(&raw.program);
            let whom = self.whom(raw.client.as_ref(), raw.group.as_ref());
            let is = self.quota(&raw.rate, &raw.burst);
            if let (Some(program), Some(whom), Some(is)) = (program, whom, is) {
                let table = self.table(is, raw.program.span().start);
                self.keep(&mut all, program, whom, raw.shadow, table, "this program has that limit already");
            }
        }
        all
    }

    fn transactions(&mut self, tables: &[RawTransaction]) -> HashMap<(ProgramName, TransactionName), Scoped<Quota>> {
        let mut all = HashMap::new();
        for raw in tables {
            let (program, name) = (self.program(&raw.program), self.transaction(&raw.transaction));
            let whom = self.whom(raw.client.as_ref(), raw.group.as_ref());
            let is = self.quota(&raw.rate, &raw.burst);
            if let (Some(program), Some(name), Some(whom), Some(is)) = (program, name, whom, is) {
                let (call, table) = ((program, name), self.table(is, raw.transaction.span().start));
                self.keep(&mut all, call, whom, raw.shadow, table, "this transaction has that limit already");
            }
        }
        all
    }

    fn classes(&mut self, tables: &[RawEffect]) -> HashMap<Class, Scoped<Quota>> {
        let mut all = HashMap::new();
        for raw in tables {
            let class = self.class(&raw.effect);
            let whom = self.whom(raw.client.as_ref(), raw.group.as_ref());
            let is = self.quota(&raw.rate, &raw.burst);
            if let (Some(class), Some(whom), Some(is)) = (class, whom, is) {
                let table = self.table(is, raw.effect.span().start);
                self.keep(&mut all, class, whom, raw.shadow, table, "this effect has that limit already");
            }
        }
        all
    }

    /// From 1, as an editor counts.
    fn line(&self, at: usize) -> u32 {
        u32::try_from(self.begins.partition_point(|begin| *begin <= at)).unwrap_or(u32::MAX)
    }

    fn table<T>(&self, is: T, at: usize) -> Table<T> {
        Table { is, at, line: self.line(at) }
    }

    fn keep<K: Eq + Hash>(
        &mut self,
        all: &mut HashMap<K, Scoped<Quota>>,
        key: K,
        whom: Whom,
        shadow: bool,
        table: Table<Quota>,
        twice: &str,
    ) {
        let at = table.at;
        if !all.entry(key).or_default().put(whom, shadow, table) {
            self.fault(at, twice, None);
        }
    }

    fn concurrent(&mut self, tables: &[RawConcurrent]) -> Scoped<u32> {
        let mut all = Scoped::default();
        for raw in tables {
            let whom = self.whom(raw.client.as_ref(), raw.group.as_ref());
            let is =
                self.number(&raw.calls, MOST_CALLS, "this is no number of calls", "write a number from 1 to 100000");
            let at = raw.calls.span().start;
            if let (Some(whom), Some(is)) = (whom, is)
                && !all.put(whom, raw.shadow, self.table(is, at))
            {
                self.fault(at, "calls at once are limited for them already", None);
            }
        }
        all
    }

    fn quotas(&mut self, tables: &[RawQuota]) -> (Scoped<u32>, Scoped<u32>) {
        let (mut daily, mut monthly) = (Scoped::default(), Scoped::default());
        for raw in tables {
            let whom = self.whom(raw.client.as_ref(), raw.group.as_ref());
            let hint = "write a number from 1 to 1000000000";
            let is = self.number(&raw.units, MOST_UNITS, "this is no quota", hint);
            let at = raw.per.span().start;
            let all = match raw.per.get_ref().as_str() {
                "day" => &mut daily,
                "month" => &mut monthly,
                _ => {
                    self.fault(at, "quotas are per day or per month", Some("write \"day\" or \"month\""));
                    continue;
                }
            };
            if let (Some(whom), Some(is)) = (whom, is)
                && !all.put(whom, raw.shadow, self.table(is, at))
            {
                self.fault(at, "they have that quota already", None);
            }
        }
        (daily, monthly)
    }

    fn costs(&mut self, tables: &[RawCost]) -> Costs {
        let mut costs = Costs::default();
        for raw in tables {
            let at = raw.units.span().start;
            let hint = "write a number from 1 to 1000000";
            let units = self.number(&raw.units, MOST, "this is no cost", hint);
            let all = match &raw.all {
                None => units,
                Some(all) => self.number(all, MOST, "this is no cost", hint),
            };
            let (Some(units), Some(all)) = (units, all) else { continue };
            let table = self.table(Cost { units, all }, at);
            let first = match (&raw.program, &raw.transaction, &raw.effect) {
                (Some(program), None, None) => {
                    self.program(program).map(|program| costs.programs.insert(program, table).is_none())
                }
                (Some(program), Some(name), None) => {
                    let call = (self.program(program), self.transaction(name));
                    let (Some(program), Some(name)) = call else { continue };
                    Some(costs.transactions.insert((program, name), table).is_none())
                }
                (None, None, Some(effect)) => {
                    self.class(effect).map(|class| costs.classes.insert(class, table).is_none())
                }
                _ => {
                    let hint = "give program, program and transaction, or effect";
                    self.fault(at, "it does not say what costs this", Some(hint));
                    None
                }
            };
            if first == Some(false) {
                self.fault(at, "that has a cost already", None);
            }
        }
        costs
    }

    fn fault(&mut self, offset: usize, message: &str, hint: Option<&str>) {
        self.faults.push(Fault {
            spot: Spot::at(self.name, self.text, offset),
            message: message.to_owned(),
            hint: hint.map(str::to_owned),
        });
    }

    fn number(&mut self, number: &Spanned<i64>, most: u32, wrong: &str, hint: &str) -> Option<u32> {
        let good = u32::try_from(*number.get_ref()).ok().filter(|good| (1..=most).contains(good));
        if good.is_none() {
            self.fault(number.span().start, wrong, Some(hint));
        }
        good
    }

    fn quota(&mut self, rate: &Spanned<String>, burst: &Spanned<i64>) -> Option<Quota> {
        let parsed = Quota::rate(rate.get_ref());
        let (calls, per) = parsed.unwrap_or_default();
        if !(1..=MOST).contains(&calls) {
            let hint = "write \"100/second\", \"60/minute\" or \"1000/hour\", with a number up to 1000000";
            self.fault(rate.span().start, "this is no rate", Some(hint));
        }
        let burst = self.number(burst, MOST, "this is no burst", "write a number from 1 to 1000000");
        Quota::new(calls, per, burst?)
    }

    fn client(&mut self, text: &Spanned<String>) -> Option<ClientId> {
        let (id, issuer) = text.get_ref().split_once('@').unwrap_or((text.get_ref(), self.local_issuer));
        // `@` and `%` of an id are written as in the rules, so that both files name a client alike.
        let id = id.replace("%40", "@").replace("%25", "%");
        if id.is_empty() || issuer.is_empty() {
            self.fault(text.span().start, "this names no client", Some("write \"id\" or \"id@https://issuer\""));
            return None;
        }
        Some(ClientId { issuer: issuer.into(), id: id.into() })
    }

    fn whom(&mut self, client: Option<&Spanned<String>>, group: Option<&Spanned<String>>) -> Option<Whom> {
        match (client, group) {
            (Some(_), Some(group)) => {
                self.fault(group.span().start, "client and group can't both be given", Some("write two tables"));
                None
            }
            (Some(client), None) => self.client(client).map(Whom::Client),
            (None, Some(group)) => Some(Whom::Group(group.get_ref().as_str().into())),
            (None, None) => Some(Whom::Everybody),
        }
    }

    fn program(&mut self, text: &Spanned<String>) -> Option<ProgramName> {
        let program = ProgramName::parse(text.get_ref());
        program.map_err(|why| self.fault(text.span().start, &why.to_string(), None)).ok()
    }

    fn transaction(&mut self, text: &Spanned<String>) -> Option<TransactionName> {
        let name = TransactionName::parse(text.get_ref());
        name.map_err(|why| self.fault(text.span().start, &why.to_string(), None)).ok()
    }

    fn class(&mut self, text: &Spanned<String>) -> Option<Class> {
        let class = Class::parse(text.get_ref());
        if class.is_none() {
            let hint = "write \"read\", \"write\" or \"raw\"";
            self.fault(text.span().start, "this is no effect of a call", Some(hint));
        }
        class
    }
}
