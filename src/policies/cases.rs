//! The promises that stand beside a set, in `tests/*.toml`: a request, what is expected, and why.
//!
//! A case stands for itself: who asks, in which groups and with which scopes, is said in it, so that it comes out the
//! same on every machine. Invariant: a case that can't be run is never one that passed.

use super::workbench::{Answer, Caller, Question, Wrong, ask, read_call};
use crate::model::{
    Claim, ClaimKind, ClientId, Company, Division, FieldName, M3User, ProgramName, Spot, TransactionLayout,
    TransactionName,
};
use crate::policy::{Fault, Reason, Set, Site, Source};
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;
use std::sync::Arc;
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    case: Vec<Spanned<Raw>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    /// `id`, of our own issuer, or `id@issuer`.
    client: String,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    scopes: Vec<String>,
    /// What the token says besides, where the settings let rules see it.
    #[serde(default)]
    claims: BTreeMap<String, Given>,
    /// As it stands behind `execute/`.
    call: String,
    /// Where it runs when the call does not say.
    company: Option<u16>,
    division: Option<String>,
    m3_user: Option<String>,
    address: Option<IpAddr>,
    /// What M3 tells of the record that the rules look at; left out, it can't be read.
    record: Option<BTreeMap<String, String>>,
    /// RFC 3339; the moment of the test where it is left out.
    at: Option<String>,
    expect: Expect,
    /// The word of the reason, where it matters why.
    reason: Option<String>,
    /// A rule that must be among those that decide.
    rule: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Given {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Expect {
    Allow,
    Deny,
}

/// One promise of a set. Made by `read` alone.
#[derive(Debug, Clone)]
pub struct Case {
    raw: Raw,
    spot: Spot,
}

/// What became of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Kept,
    /// The words say what is otherwise than expected.
    Broken(String),
    /// It could not be asked here: the layout of its transaction, or of what its rules look at, is not known.
    Unverified(String),
}

/// A set's promises, put to the test.
#[derive(Debug, Clone)]
pub struct Tested {
    /// In the order of the files.
    pub outcomes: Vec<(String, Spot, Outcome)>,
    /// Rules that no case is decided by.
    pub silent: Vec<Arc<str>>,
}

impl Tested {
    pub fn broken(&self) -> impl Iterator<Item = (&str, &Spot, &str)> {
        self.outcomes.iter().filter_map(|(name, spot, outcome)| match outcome {
            Outcome::Broken(why) => Some((name.as_str(), spot, why.as_str())),
            Outcome::Kept | Outcome::Unverified(_) => None,
        })
    }
}

const MOST_CASES: usize = 10_000;

/// Every case of the files, or every fault of them.
pub fn read(sources: &[Source]) -> Result<Vec<Case>, Vec<Fault>> {
    let (mut cases, mut faults) = (Vec::new(), Vec::new());
    for source in sources {
        match toml::from_str::<Written>(&source.text) {
            Ok(written) => cases.extend(written.case.into_iter().map(|raw| {
                let spot = Spot::at(&source.name, &source.text, raw.span().start);
                Case { raw: raw.into_inner(), spot }
            })),
            Err(error) => faults.push(fault(source, error.span().unwrap_or(0..0), error.message())),
        }
    }
    if cases.len() > MOST_CASES {
        let source = Source { name: "tests".to_owned(), text: String::new() };
        faults.push(fault(&source, 0..0, &format!("there are more than {MOST_CASES} cases")));
    }
    if faults.is_empty() { Ok(cases) } else { Err(faults) }
}

fn fault(source: &Source, span: Range<usize>, message: &str) -> Fault {
    let hint = "a case has name, client, call and expect; see the shipped policies/tests for the rest";
    let spot = Spot::at(&source.name, &source.text, span.start);
    Fault { spot, code: "bad-case", message: message.to_owned(), hint: Some(hint.to_owned()) }
}

/// Cases that name a rule which the set doesn't have: they were written for another.
pub(super) fn strangers(set: &Set, cases: &[Case]) -> Vec<Fault> {
    let known: BTreeSet<&str> = set.ids().map(|id| &**id).collect();
    let named = cases.iter().filter_map(|case| Some((case, case.raw.rule.as_deref()?)));
    named
        .filter(|(_, rule)| !known.contains(rule))
        .map(|(case, rule)| Fault {
            spot: case.spot.clone(),
            code: "unknown-rule",
            message: format!("the case {:?} names the rule {rule:?}, and there is none", case.raw.name),
            hint: Some("write the @id of a rule".to_owned()),
        })
        .collect()
}

pub fn run(
    set: &Set,
    cases: &[Case],
    site: &Site,
    layouts: &dyn Fn(ProgramName, TransactionName) -> Option<Arc<TransactionLayout>>,
    unix_seconds: u64,
) -> Tested {
    let mut deciding: BTreeSet<Arc<str>> = BTreeSet::new();
    let mut outcomes = Vec::new();
    for case in cases {
        let outcome = one(set, &case.raw, site, layouts, unix_seconds, &mut deciding);
        outcomes.push((case.raw.name.clone(), case.spot.clone(), outcome));
    }
    let silent = set.ids().filter(|id| !deciding.contains(*id)).cloned().collect();
    Tested { outcomes, silent }
}

fn one(
    set: &Set,
    case: &Raw,
    site: &Site,
    layouts: &dyn Fn(ProgramName, TransactionName) -> Option<Arc<TransactionLayout>>,
    unix_seconds: u64,
    deciding: &mut BTreeSet<Arc<str>>,
) -> Outcome {
    let question = match question(case, site, unix_seconds) {
        Ok(question) => question,
        Err(why) => return Outcome::Broken(why),
    };
    let decision = match ask(set, &question, layouts) {
        Ok(Answer { decision, .. }) => decision,
        Err(wrong @ Wrong::Unknown { .. }) => return Outcome::Unverified(wrong.to_string()),
        Err(wrong) => return Outcome::Broken(wrong.to_string()),
    };
    // Of layouts that only its rules need none is learnt before the set is in force: that must not wait for this case.
    if decision.reason == Reason::Unverifiable && case.reason.as_deref() != Some(Reason::Unverifiable.word()) {
        let rules: Vec<&str> = decision.rules.iter().map(|id| &**id).collect();
        return Outcome::Unverified(format!("what {} reads is of a layout that is not known here", rules.join(", ")));
    }
    deciding.extend(decision.rules.iter().cloned());
    let got = if decision.allowed { Expect::Allow } else { Expect::Deny };
    let rules = || decision.rules.iter().map(|id| &**id).collect::<Vec<_>>().join(", ");
    let why = decision.reason.word();
    if got != case.expect {
        let verdict = if decision.allowed { "allowed" } else { "refused" };
        return Outcome::Broken(format!("it is {verdict} ({why}; {})", rules()));
    }
    match (&case.reason, &case.rule) {
        (Some(wanted), _) if wanted != why => Outcome::Broken(format!("the reason is {why}, not {wanted}")),
        (_, Some(wanted)) if !decision.rules.iter().any(|id| **id == **wanted) => {
            Outcome::Broken(format!("{wanted} is not among the rules that decide: {}", rules()))
        }
        _ => Outcome::Kept,
    }
}

fn question(case: &Raw, site: &Site, unix_seconds: u64) -> Result<Question, String> {
    let (id, issuer) = case.client.split_once('@').unwrap_or((&case.client, &site.issuer));
    let user = case.m3_user.as_deref().map(|name| M3User::parse(name).map_err(|_| "m3_user is no M3 user"));
    let division = case.division.as_deref().map(|text| Division::parse(text).map_err(|fault| fault.to_string()));
    let company = case.company.map(|number| Company::new(number).map_err(|fault| fault.to_string()));
    let caller = Caller {
        name: case.client.clone(),
        client: ClientId { issuer: issuer.into(), id: id.into() },
        groups: case.groups.iter().map(|group| group.as_str().into()).collect(),
        scopes: case.scopes.iter().map(|scope| scope.as_str().into()).collect(),
        more_scopes: false,
        claims: case.claims.iter().map(|(name, given)| claim(name, given, site)).collect::<Result<_, _>>()?,
        user: user.transpose()?,
        company: company.transpose()?,
        division: division.transpose()?,
    };
    let unix_seconds = match &case.at {
        None => unix_seconds,
        Some(text) => {
            let at: Timestamp = text.parse().map_err(|_| format!("at: {text:?} is no moment of RFC 3339"))?;
            u64::try_from(at.as_second()).map_err(|_| format!("at: {text} is before 1970"))?
        }
    };
    let asked = read_call(&case.call).map_err(|wrong| wrong.to_string())?;
    let address = case.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let field = |(name, text): (&String, &String)| match FieldName::parse(name) {
        Ok(field) => Ok((field, text.clone())),
        Err(why) => Err(format!("record: {name:?}: {why}")),
    };
    let record = case.record.as_ref().map(|record| record.iter().map(field).collect::<Result<_, _>>()).transpose()?;
    Ok(Question { caller, asked, record, address, unix_seconds })
}

fn claim(name: &str, given: &Given, site: &Site) -> Result<Claim, String> {
    let undeclared = || format!("claims: no issuer's policy_claims in the settings has {name:?}");
    let kind = *site.claims.get(name).ok_or_else(undeclared)?;
    let texts = match (given, kind) {
        (Given::One(text), ClaimKind::Text) => vec![text.as_str().into()],
        (Given::Many(texts), ClaimKind::Set) => texts.iter().map(|text| text.as_str().into()).collect(),
        (Given::One(_), ClaimKind::Set) => return Err(format!("claims: {name} is a set: write a list")),
        (Given::Many(_), ClaimKind::Text) => return Err(format!("claims: {name} is one text")),
    };
    Claim::new(name.into(), kind, texts).ok_or_else(|| format!("claims: {name} is too long"))
}
