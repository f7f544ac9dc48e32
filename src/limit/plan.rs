//! The file of the limits: who may do how much.
//!
//! ```toml
//! zone = "Europe/Stockholm"        # whose days and months quotas count; without it UTC
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
//! [[transaction]]                  # program, transaction, rate, burst
//! [[effect]]                       # effect = "read", "write" or "raw"; rate, burst
//! [[concurrent]]                   # calls = 16: in flight at once
//! [[quota]]                        # per = "day" or "month"; units = 100000
//! [[cost]]                         # program, program and transaction, or effect; units = 5, all = 20
//!                                  # all: of a list with maxrecs=0 or above 10,000
//! ```
//!
//! A client's own table holds, else that of its groups with the widest limit, else everybody's. A table with
//! `shadow = true` stands beside the one that holds: it is counted, and refuses nobody.
//! Invariant: unknown keys are refused, and every fault of a file that is TOML is told at once.

use super::class::Class;
use super::quota::Quota;
use super::reading::Reading;
use super::scoped::{Scoped, Table};
use crate::model::{ClientId, Effect, ProgramName, Spot, TransactionName};
use jiff::tz::TimeZone;
use std::collections::HashMap;
use std::fmt;

/// A parsed file. Made by `parse` alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub(super) zone: TimeZone,
    pub(super) default: Quota,
    pub(super) default_line: u32,
    pub(super) own: Scoped<Quota>,
    pub(super) programs: HashMap<ProgramName, Scoped<Quota>>,
    pub(super) transactions: HashMap<(ProgramName, TransactionName), Scoped<Quota>>,
    pub(super) classes: HashMap<Class, Scoped<Quota>>,
    pub(super) concurrent: Scoped<u32>,
    pub(super) daily: Scoped<u32>,
    pub(super) monthly: Scoped<u32>,
    pub(super) costs: Costs,
}

/// Units that a call costs; the nearest table holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Costs {
    pub(super) programs: HashMap<ProgramName, Table<Cost>>,
    pub(super) transactions: HashMap<(ProgramName, TransactionName), Table<Cost>>,
    pub(super) classes: HashMap<Class, Table<Cost>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) units: u32,
    /// Of a call that asks for all records of a list.
    pub(super) all: u32,
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

impl Plan {
    /// `name`: the file's, for faults. `local_issuer`: whose clients are written without an issuer.
    pub fn parse(name: &str, text: &str, local_issuer: &str) -> Result<Self, Vec<Fault>> {
        Reading::new(name, text, local_issuer).plan()
    }

    /// The client's own quota.
    pub fn own(&self, client: &ClientId, groups: &[Box<str>]) -> Quota {
        self.own_rate(client, groups).quota
    }

    pub(super) fn own_rate(&self, client: &ClientId, groups: &[Box<str>]) -> Rate {
        let default = Rate { quota: self.default, line: self.default_line };
        self.own.real.of(client, groups).map_or(default, Rate::of)
    }

    /// The one that only watches, where there is one.
    pub(super) fn own_shadow(&self, client: &ClientId, groups: &[Box<str>]) -> Option<Rate> {
        self.own.shadow.of(client, groups).map(Rate::of)
    }

    /// The quota into one program, where there is one: the client's, else the widest of its groups', else
    /// everybody's.
    pub fn program(&self, client: &ClientId, groups: &[Box<str>], program: ProgramName) -> Option<Quota> {
        self.programs.get(&program)?.real.of(client, groups).map(|table| table.is)
    }

    /// Nothing but rates of clients: a call is done with at the door.
    pub(super) fn is_plain(&self) -> bool {
        self.programs.is_empty()
            && self.transactions.is_empty()
            && self.classes.is_empty()
            && self.costs.is_empty()
            && !self.counts_calls()
    }

    /// It has limits that are counted for the client as a whole, besides its rate.
    pub(super) fn counts_calls(&self) -> bool {
        self.counts_days() || !self.concurrent.is_empty()
    }

    pub(super) fn counts_days(&self) -> bool {
        !self.daily.is_empty() || !self.monthly.is_empty()
    }

    /// What a call costs, at least 1.
    pub(super) fn cost(&self, program: ProgramName, name: TransactionName, effect: Effect, all: bool) -> u32 {
        let costs = &self.costs;
        if costs.is_empty() {
            return 1;
        }
        let nearest = costs.transactions.get(&(program, name)).or_else(|| costs.programs.get(&program));
        let nearest = nearest.or_else(|| Class::of(effect).iter().find_map(|class| costs.classes.get(class)));
        nearest.map_or(1, |cost| if all { cost.is.all } else { cost.is.units }).max(1)
    }
}

/// A quota and the line that it stands on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    pub(super) quota: Quota,
    pub(super) line: u32,
}

impl Rate {
    pub(super) fn of(table: &Table<Quota>) -> Self {
        Self { quota: table.is, line: table.line }
    }
}

impl Costs {
    pub(super) fn is_empty(&self) -> bool {
        self.programs.is_empty() && self.transactions.is_empty() && self.classes.is_empty()
    }

    pub(super) fn each(&self) -> impl Iterator<Item = &Table<Cost>> {
        self.programs.values().chain(self.transactions.values()).chain(self.classes.values())
    }
}
