//! How often a candidate set would have decided otherwise, by the rule and the client that it concerns.
//!
//! Bounded: what would be one row too many is counted among the others.

use crate::model::ClientId;
use crate::policy::Decision;
use crate::telemetry::Metrics;
use prometheus::IntCounterVec;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What is otherwise: first what was, then what would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pair {
    AllowDeny,
    DenyAllow,
    /// Allowed by both, and other sensitive fields of the answer are shown.
    Reveals,
}

impl Pair {
    pub(super) fn of(was: &Decision, is: &Decision) -> Option<Self> {
        match (was.allowed, is.allowed) {
            (true, false) => Some(Self::AllowDeny),
            (false, true) => Some(Self::DenyAllow),
            (true, true) => (!was.reveals_like(is)).then_some(Self::Reveals),
            (false, false) => None,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::AllowDeny => "allow-deny",
            Self::DenyAllow => "deny-allow",
            Self::Reveals => "reveals",
        }
    }
}

type Label = (Pair, String, String);

struct Row {
    count: u64,
    /// The latest of them: its decision, and what was called.
    decision: String,
    call: String,
}

pub(super) struct Tally {
    hash: Option<String>,
    same: u64,
    other: u64,
    unread: u64,
    rows: BTreeMap<Label, Row>,
    /// Labels that metrics have had since the process began: they are never taken back.
    labels: BTreeSet<Label>,
    counted: IntCounterVec,
}

const MOST: usize = 500;
const OTHERS: &str = "(others)";
/// No rule had a part in either answer.
const NONE: &str = "(none)";

impl Tally {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let counted = metrics.policy_shadow_disagreements.clone();
        Self { hash: None, same: 0, other: 0, unread: 0, rows: BTreeMap::new(), labels: BTreeSet::new(), counted }
    }

    /// Counts of another set say nothing of this one.
    pub(super) fn begin(&mut self, hash: Option<String>) {
        if self.hash != hash {
            (self.same, self.other, self.unread) = (0, 0, 0);
            self.rows.clear();
            self.hash = hash;
        }
    }

    pub(super) fn agreed(&mut self) {
        self.same += 1;
    }

    /// The candidate looks at a record of M3 that nobody read.
    pub(super) fn unread(&mut self) {
        self.unread += 1;
    }

    /// Gives the rule that it was counted by: one that the candidate decides by, else one that decided.
    pub(super) fn disagreed(
        &mut self,
        pair: Pair,
        (was, is): (&Decision, &Decision),
        client: &ClientId,
        (decision, call): (&str, String),
    ) -> String {
        self.other += 1;
        let rule = is.rules.first().or(was.rules.first()).map_or(NONE, |rule| rule).to_owned();
        let label = (pair, rule.clone(), format!("{}@{}", client.id, client.issuer));
        let others = (pair, OTHERS.to_owned(), OTHERS.to_owned());
        let row = if self.rows.len() < MOST || self.rows.contains_key(&label) { label.clone() } else { others.clone() };
        let row = self.rows.entry(row).or_insert(Row { count: 0, decision: String::new(), call: String::new() });
        row.count += 1;
        decision.clone_into(&mut row.decision);
        row.call = call;
        let told = if self.labels.len() < MOST || self.labels.contains(&label) { label } else { others };
        self.counted.with_label_values(&[told.0.word(), &told.1, &told.2]).inc();
        self.labels.insert(told);
        rule
    }

    pub(super) fn report(&self) -> Value {
        let row = |((pair, rule, client), row): (&Label, &Row)| {
            json!({ "pair": pair.word(), "rule": rule, "client": client, "count": row.count,
                "last_decision": row.decision, "last_call": row.call })
        };
        let rows: Vec<Value> = self.rows.iter().map(row).collect();
        json!({ "same": self.same, "otherwise": self.other, "unread": self.unread, "rows": rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_and_rules_without_number_are_counted_and_not_kept() {
        let metrics = Metrics::new();
        let mut tally = Tally::new(&metrics);
        let (was, is) = (Decision::by_nobody(), Decision::by_nobody());
        for at in 0..2 * MOST {
            let client = ClientId { issuer: "https://here".into(), id: format!("c{at}").into() };
            tally.disagreed(Pair::DenyAllow, (&was, &is), &client, ("id", "call".to_owned()));
        }
        let told = tally.report();
        assert_eq!((told["rows"].as_array().map(Vec::len), &told["otherwise"]), (Some(MOST + 1), &(2 * MOST).into()));
        let others = |text: &str| text.lines().find(|line| line.contains(OTHERS)).map(str::to_owned);
        assert!(others(&metrics.text()).is_some_and(|line| line.ends_with(&format!(" {MOST}"))), "{}", metrics.text());
        tally.begin(Some("another".into()));
        assert_eq!(tally.report()["otherwise"], 0, "what was counted of another set says nothing of this one");
        let lines = metrics.text().lines().filter(|line| line.contains("disagreements_total{")).count();
        assert_eq!(lines, MOST + 1, "metrics stay bounded over every change of the set");
    }
}
