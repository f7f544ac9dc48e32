//! A decision of the past, put to another set: what would it have decided?
//!
//! What the line doesn't tell is not guessed: a decision that hangs on a value which was not written down, or stands there
//! as a hash, is said to be undecidable.

use super::workbench::{Answer, Caller, Question, Wrong, ask, read_call};
use crate::model::{
    Claim, ClaimKind, ClientId, Company, Division, Effect, FieldName, M3User, ProgramName, TransactionLayout,
    TransactionName,
};
use crate::policy::{Fact, Reason, Set};
use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

/// A line of the audit log, as far as rules can ask for it.
#[derive(Debug, Clone)]
pub struct Past {
    pub id: String,
    pub caller: Caller,
    pub call: Option<(ProgramName, TransactionName)>,
    pub allowed: bool,
    pub reason: String,
    pub rules: Vec<String>,
    /// Of the rules that decided then.
    pub set: String,
    step: String,
    address: IpAddr,
    unix_seconds: u64,
    fields: Vec<(FieldName, String)>,
    untold: Vec<FieldName>,
    untold_claims: Vec<Box<str>>,
    record: Recorded,
}

/// What the line tells of the record that was read before the decision.
#[derive(Debug, Clone)]
enum Recorded {
    /// None was asked for.
    Unread,
    /// It was asked for by this fact, and could not be read.
    Missing {
        by: String,
    },
    Values {
        by: String,
        values: Vec<(FieldName, String)>,
        untold: Vec<FieldName>,
    },
}

/// What another set makes of it.
#[derive(Debug, Clone)]
pub enum Again {
    Decided(Box<Answer>),
    /// Known by its name alone, as it was then.
    ByName(bool),
    /// Why nobody can say.
    Undecidable(String),
}

impl Again {
    pub fn allowed(&self) -> Option<bool> {
        match self {
            Self::Decided(answer) => Some(answer.decision.allowed),
            Self::ByName(allowed) => Some(*allowed),
            Self::Undecidable(_) => None,
        }
    }
}

impl Past {
    /// `None` for lines that are no decisions of rules.
    pub fn read(line: &Value) -> Option<Self> {
        let text = |name: &str| line[name].as_str();
        let list = |name: &str| -> Vec<Box<str>> {
            let all = line[name].as_array().map(Vec::as_slice).unwrap_or_default();
            all.iter().filter_map(|one| one.as_str().map(Into::into)).collect()
        };
        let ruled = [
            "allowed",
            "no-permit",
            "forbidden",
            "value-not-comparable",
            "evaluation-error",
            "no-zone",
            "unverifiable",
            "fact-missing",
            "division-not-carried",
        ];
        let reason = text("reason").filter(|reason| ruled.contains(reason))?;
        if text("kind") != Some("decision") || text("step") == Some("bounds") {
            return None;
        }
        let names = text("program").zip(text("transaction"));
        let call = names.and_then(|(p, t)| ProgramName::parse(p).ok().zip(TransactionName::parse(t).ok()));
        let at: Timestamp = text("time")?.parse().ok()?;
        let company = line["company"].as_u64().and_then(|number| Company::new(u16::try_from(number).ok()?).ok());
        let fields = line["fields"].as_object();
        let fields = fields
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((FieldName::parse(name).ok()?, value.as_str()?.to_owned())));
        let caller = Caller {
            name: text("client")?.to_owned(),
            client: ClientId { issuer: text("issuer")?.into(), id: text("client")?.into() },
            groups: list("groups"),
            scopes: list("scopes"),
            more_scopes: false,
            claims: claims(line),
            user: text("m3_user").and_then(|name| M3User::parse(name).ok()),
            company,
            division: text("division").and_then(|division| Division::parse(division).ok()),
        };
        Some(Self {
            id: text("id")?.to_owned(),
            caller,
            call,
            allowed: text("verdict") == Some("allow"),
            reason: reason.to_owned(),
            rules: list("rules").iter().map(ToString::to_string).collect(),
            set: text("set")?.to_owned(),
            step: text("step")?.to_owned(),
            address: text("address")?.parse().ok()?,
            unix_seconds: u64::try_from(at.as_second()).ok()?,
            fields: fields.collect(),
            untold: list("untold").iter().filter_map(|name| FieldName::parse(name).ok()).collect(),
            untold_claims: list("untold_claims"),
            record: Recorded::read(line),
        })
    }

    pub fn again(
        &self,
        set: &Set,
        layouts: impl Fn(ProgramName, TransactionName) -> Option<Arc<TransactionLayout>>,
    ) -> Again {
        let asker = self.caller.asker();
        let Some((program, transaction)) = self.call else { return Again::ByName(set.may_call_anything(asker)) };
        let effect = Effect::of(program, transaction);
        let looks = set.looks(asker, program, transaction, effect);
        if let Some(claim) = self.untold_claims.iter().find(|claim| looks.claims.contains(*claim)) {
            return Again::Undecidable(format!("a rule reads the claim {claim}, and the log has its hash alone"));
        }
        if !set.may_name(asker, program, transaction, effect) {
            return Again::ByName(false);
        }
        if self.step != "values" {
            return Again::Undecidable("then it was refused before its values were read".to_owned());
        }
        if let Some(field) = self.untold.iter().find(|field| looks.at_input(**field)) {
            let why = format!("a rule reads {field}, and the log doesn't tell its value (see audit.fields)");
            return Again::Undecidable(why);
        }
        let fact = set.fact(program, transaction).filter(|fact| self.record.is_by(fact));
        match self.question(program, transaction, fact).and_then(|question| ask(set, &question, layouts)) {
            Ok(Answer { decision, .. }) if decision.reason == Reason::FactMissing && !self.record.was_missing(fact) => {
                Again::Undecidable(self.record.lacks(&looks.record, fact))
            }
            Ok(answer) => Again::Decided(Box::new(answer)),
            Err(wrong) => Again::Undecidable(wrong.to_string()),
        }
    }

    /// The call as it stood behind `execute/`, as far as the line has it.
    fn question(
        &self,
        program: ProgramName,
        transaction: TransactionName,
        fact: Option<&Arc<Fact>>,
    ) -> Result<Question, Wrong> {
        let coded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let mut call = format!("{program}/{transaction}");
        if let Some(company) = self.caller.company {
            call.push_str(&format!(";cono={company}"));
        }
        if let Some(division) = self.caller.division.filter(|division| !division.is_blank()) {
            call.push_str(&format!(";divi={division}"));
        }
        let told = self.fields.iter().filter(|(name, _)| !self.untold.contains(name));
        for (at, (name, value)) in told.enumerate() {
            call.push_str(if at == 0 { "?" } else { "&" });
            call.push_str(&format!("{name}={}", coded(value)));
        }
        let asked = read_call(&call)?;
        let record = fact.and_then(|fact| self.record.values(fact));
        let (caller, address) = (self.caller.clone(), self.address);
        Ok(Question { caller, asked, record, address, unix_seconds: self.unix_seconds })
    }
}

impl Recorded {
    fn read(line: &Value) -> Self {
        let Some(by) = line["record_by"].as_str().map(str::to_owned) else { return Self::Unread };
        let Some(told) = line["record"].as_object() else { return Self::Missing { by } };
        let name = |text: &str| FieldName::parse(text).ok();
        let untold: Vec<FieldName> = line["untold_record"]
            .as_array()
            .map(|all| all.iter().filter_map(|one| name(one.as_str()?)).collect())
            .unwrap_or_default();
        let values = told.iter().filter_map(|(field, value)| Some((name(field)?, value.as_str()?.to_owned())));
        let values = values.filter(|(field, _)| !untold.contains(field)).collect();
        Self::Values { by, values, untold }
    }

    /// Whether this fact is the one that it was asked for by.
    fn is_by(&self, fact: &Fact) -> bool {
        match self {
            Self::Unread => false,
            Self::Missing { by } | Self::Values { by, .. } => **fact.text() == **by,
        }
    }

    fn was_missing(&self, fact: Option<&Arc<Fact>>) -> bool {
        matches!(self, Self::Missing { .. }) && fact.is_some()
    }

    /// As far as the fact has their fields.
    fn values(&self, fact: &Fact) -> Option<Vec<(FieldName, String)>> {
        let Self::Values { values, .. } = self else { return None };
        Some(values.iter().filter(|(field, _)| fact.has(*field)).cloned().collect())
    }

    /// Why the rules that look at these fields can't be asked again; `fact`: the one that was asked then.
    fn lacks(&self, looked_at: &BTreeSet<FieldName>, fact: Option<&Arc<Fact>>) -> String {
        let Self::Values { values, untold, .. } = self else {
            return "a rule looks at a record of M3, and the log has none that was read then".to_owned();
        };
        let absent = looked_at.iter().find(|field| values.iter().all(|(name, _)| name != *field));
        match (fact, absent) {
            (None, _) | (_, None) => "a rule looks at another record of M3 than the one that was read then".to_owned(),
            (Some(_), Some(field)) if untold.contains(field) => {
                format!(
                    "a rule looks at {field} of the record, and the log has its hash alone, or nothing of it (see audit.fields)"
                )
            }
            (Some(_), Some(field)) => format!("a rule looks at {field} of the record, which was not read then"),
        }
    }
}

fn claims(line: &Value) -> Vec<Claim> {
    let claim = |(name, value): (&String, &Value)| {
        let (kind, texts) = match value {
            Value::Array(texts) => (ClaimKind::Set, texts.as_slice()),
            one => (ClaimKind::Text, std::slice::from_ref(one)),
        };
        let texts: Option<Vec<Box<str>>> = texts.iter().map(|text| text.as_str().map(Into::into)).collect();
        Claim::new(name.as_str().into(), kind, texts?)
    };
    line["claims"].as_object().into_iter().flatten().filter_map(claim).collect()
}
