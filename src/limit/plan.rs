//! The file of the limits: who has which quota.
//!
//! ```toml
//! [default]
//! rate = "50/second"
//! burst = 100
//! [group.readers]
//! rate = "100/second"
//! burst = 200
//! [client."web-shop"]              # of another issuer: "web-shop@https://issuer"
//! rate = "200/second"
//! burst = 400
//! [[program]]                      # on top of the client's own; without client and group: for each client
//! program = "OIS100MI"
//! client = "web-shop"
//! rate = "600/minute"
//! burst = 20
//! ```
//!
//! A client's own table holds, else that of its groups with the highest rate, else the default.
//! Invariant: unknown keys are refused, and every fault of a file that is TOML is told at once.

use super::quota::{MOST, Quota};
use crate::model::{ClientId, ProgramName, Spot};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use toml::Spanned;

/// A parsed file. Made by `parse` alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    default: Quota,
    clients: HashMap<ClientId, Quota>,
    groups: HashMap<Box<str>, Quota>,
    programs: HashMap<ProgramName, Vec<(Whom, Quota)>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Whom {
    Client(ClientId),
    Group(Box<str>),
    Everybody,
}

/// What is wrong in the file, where, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub spot: Spot,
    pub message: String,
    pub hint: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.spot, self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}

impl std::error::Error for Fault {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPlan {
    default: RawQuota,
    #[serde(default)]
    client: BTreeMap<Spanned<String>, RawQuota>,
    #[serde(default)]
    group: BTreeMap<Spanned<String>, RawQuota>,
    #[serde(default)]
    program: Vec<RawProgram>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawQuota {
    rate: Spanned<String>,
    burst: Spanned<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProgram {
    program: Spanned<String>,
    client: Option<Spanned<String>>,
    group: Option<Spanned<String>>,
    rate: Spanned<String>,
    burst: Spanned<i64>,
}

/// A file of this size has nothing to do with limits.
const MAX_TEXT: usize = 1024 * 1024;

impl Plan {
    /// `name`: the file's, for faults. `local_issuer`: whose clients are written without an issuer.
    pub fn parse(name: &str, text: &str, local_issuer: &str) -> Result<Self, Vec<Fault>> {
        let mut reading = Reading { name, text, local_issuer, faults: Vec::new() };
        if text.len() > MAX_TEXT {
            reading.fault(0, "the file is larger than 1 MiB", None);
            return Err(reading.faults);
        }
        let raw: RawPlan = match toml::from_str(text) {
            Ok(raw) => raw,
            Err(why) => {
                reading.fault(why.span().map_or(0, |span| span.start), why.message(), None);
                return Err(reading.faults);
            }
        };
        let default = reading.quota(&raw.default.rate, &raw.default.burst);
        let mut clients = HashMap::new();
        for (id, raw) in &raw.client {
            if let (Some(client), Some(quota)) = (reading.client(id), reading.quota(&raw.rate, &raw.burst))
                && clients.insert(client, quota).is_some()
            {
                reading.fault(id.span().start, "this client has two tables", None);
            }
        }
        let mut groups = HashMap::new();
        for (group, raw) in &raw.group {
            if let Some(quota) = reading.quota(&raw.rate, &raw.burst) {
                groups.insert(group.get_ref().as_str().into(), quota);
            }
        }
        let mut programs: HashMap<_, Vec<_>> = HashMap::new();
        for raw in &raw.program {
            if let Some((program, whom, quota)) = reading.program(raw) {
                let of_program: &mut Vec<(Whom, Quota)> = programs.entry(program).or_default();
                if of_program.iter().any(|(other, _)| *other == whom) {
                    reading.fault(raw.program.span().start, "this program has that limit already", None);
                }
                of_program.push((whom, quota));
            }
        }
        match default.filter(|_| reading.faults.is_empty()) {
            Some(default) => Ok(Self { default, clients, groups, programs }),
            None => Err(reading.faults),
        }
    }

    /// The client's own quota.
    pub fn own(&self, client: &ClientId, groups: &[Box<str>]) -> Quota {
        match self.clients.get(client) {
            Some(own) => *own,
            None => widest(groups.iter().filter_map(|group| self.groups.get(group))).unwrap_or(self.default),
        }
    }

    /// The quota into one program, where there is one: the client's, else the widest of its groups', else
    /// everybody's.
    pub fn program(&self, client: &ClientId, groups: &[Box<str>], program: ProgramName) -> Option<Quota> {
        let limits = self.programs.get(&program)?;
        let of = |wanted: &dyn Fn(&Whom) -> bool| widest(limits.iter().filter(|(w, _)| wanted(w)).map(|(_, q)| q));
        of(&|whom| matches!(whom, Whom::Client(id) if id == client))
            .or_else(|| of(&|whom| matches!(whom, Whom::Group(group) if groups.contains(group))))
            .or_else(|| of(&|whom| *whom == Whom::Everybody))
    }
}

fn widest<'a>(quotas: impl Iterator<Item = &'a Quota>) -> Option<Quota> {
    quotas.copied().min_by_key(|quota| (quota.period, std::cmp::Reverse(quota.burst)))
}

struct Reading<'a> {
    name: &'a str,
    text: &'a str,
    local_issuer: &'a str,
    faults: Vec<Fault>,
}

impl Reading<'_> {
    fn fault(&mut self, offset: usize, message: &str, hint: Option<&str>) {
        self.faults.push(Fault {
            spot: Spot::at(self.name, self.text, offset),
            message: message.to_owned(),
            hint: hint.map(str::to_owned),
        });
    }

    fn quota(&mut self, rate: &Spanned<String>, burst: &Spanned<i64>) -> Option<Quota> {
        let parsed = Quota::rate(rate.get_ref());
        let (calls, per) = parsed.unwrap_or_default();
        if !(1..=MOST).contains(&calls) {
            let hint = "write \"100/second\", \"60/minute\" or \"1000/hour\", with a number up to 1000000";
            self.fault(rate.span().start, "this is no rate", Some(hint));
        }
        let burst_ok = u32::try_from(*burst.get_ref()).ok().filter(|burst| (1..=MOST).contains(burst));
        if burst_ok.is_none() {
            self.fault(burst.span().start, "this is no burst", Some("write a number from 1 to 1000000"));
        }
        Quota::new(calls, per, burst_ok?)
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

    fn program(&mut self, raw: &RawProgram) -> Option<(ProgramName, Whom, Quota)> {
        let program = ProgramName::parse(raw.program.get_ref());
        if let Err(why) = &program {
            self.fault(raw.program.span().start, &why.to_string(), None);
        }
        let whom = match (&raw.client, &raw.group) {
            (Some(_), Some(group)) => {
                self.fault(group.span().start, "client and group can't both be given", Some("write two tables"));
                None
            }
            (Some(client), None) => self.client(client).map(Whom::Client),
            (None, Some(group)) => Some(Whom::Group(group.get_ref().as_str().into())),
            (None, None) => Some(Whom::Everybody),
        };
        let quota = self.quota(&raw.rate, &raw.burst);
        Some((program.ok()?, whom?, quota?))
    }
}
