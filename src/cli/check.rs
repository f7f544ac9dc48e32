//! `check`: every fault of settings, policies and certificates, with its place and a hint. Starts nothing.

use super::args;
use super::failure::Failure;
use super::probe::probe;
use super::show;
use super::state::public_url;
use crate::bod::shipped;
use crate::catalog::read_saved;
use crate::config::{self, Backend, Certificate, Fault, Settings};
use crate::edge::{raise_open_files, read_authorities, read_pair};
use crate::limit::Plan;
use crate::model::{Effect, ProgramName, TransactionLayout, TransactionName};
use crate::policies::{self, Check};
use crate::policy::{Finding, Set, Severity};
use crate::store;
use jiff::Timestamp;
use serde_json::json;
use std::collections::HashMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

type Known = HashMap<(ProgramName, TransactionName), Arc<TransactionLayout>>;

/// What was found: faults end with 2, warnings don't unless they are asked to.
#[derive(Default)]
pub(super) struct Found {
    faults: Vec<Fault>,
    warnings: Vec<Fault>,
    notes: Vec<Fault>,
    pub(super) good: Vec<String>,
}

pub(super) async fn check(config: Option<&Path>, words: &args::Check) -> Result<ExitCode, Failure> {
    let mut found = Found::default();
    match config::load(config) {
        Err(faults) => found.faults.extend(faults),
        Ok(settings) => {
            found.good.push("settings".into());
            certificate(&settings, &mut found);
            let known = known(&settings, &mut found).await;
            let set = policy(&settings, &known, &mut found);
            mappings(&settings, &known, &mut found);
            machine(&settings, &mut found);
            secrets(&settings, &mut found);
            if words.probe {
                probe(&settings, set.as_ref(), &mut found).await;
            }
        }
    }
    if words.strict {
        found.faults.append(&mut found.warnings);
    }
    Ok(found.tell(words.json))
}

impl Found {
    pub(super) fn fault(&mut self, place: impl Into<String>, subject: &str, message: impl Into<String>, hint: &str) {
        self.faults.push(made(place, subject, message, hint));
    }

    pub(super) fn warning(&mut self, place: impl Into<String>, subject: &str, message: impl Into<String>, hint: &str) {
        self.warnings.push(made(place, subject, message, hint));
    }

    fn tell(&self, as_json: bool) -> ExitCode {
        for (kind, faults) in [("fault", &self.faults), ("warning", &self.warnings), ("note", &self.notes)] {
            for fault in faults {
                if as_json {
                    let shown = json!({ "kind": kind, "place": fault.place, "subject": fault.subject, "message": fault.message, "hint": fault.hint });
                    show::line(&shown.to_string());
                } else if kind == "fault" {
                    show::fault(&fault.to_string());
                } else {
                    show::note(&format!("{kind}: {fault}"));
                }
            }
        }
        if !as_json {
            self.good.iter().for_each(|good| show::line(&format!("ok: {good}")));
        }
        if self.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(2) }
    }
}

fn made(place: impl Into<String>, subject: &str, message: impl Into<String>, hint: &str) -> Fault {
    Fault { place: place.into(), subject: subject.into(), message: message.into(), hint: hint.into() }
}

const DAY: i64 = 24 * 3_600;
/// Days before its end from which a certificate is warned of.
const SOON: i64 = 14;

fn certificate(settings: &Settings, found: &mut Found) {
    let reachable = settings.reachable();
    match &settings.certificate {
        Certificate::Files { chain, key } => match read_pair(chain, key, Timestamp::now()) {
            Ok(pair) => {
                found.good.push(format!("certificate {}", chain.display()));
                let left = pair.not_after.saturating_sub(Timestamp::now().as_second()) / DAY;
                if left < SOON {
                    let message = format!("ends in {left} days");
                    let hint = "renew it: the gateway serves the new one without a restart";
                    found.warning(chain.display().to_string(), "the certificate", message, hint);
                }
            }
            Err(error) => found.fault(
                chain.display().to_string(),
                "the certificate",
                error.to_string(),
                "see edge.certificate and edge.key",
            ),
        },
        Certificate::Development(_) => {
            if let Some(address) = reachable.first() {
                let message = format!("is the development one, and {address} can be reached by others");
                found.fault("settings", "the certificate", message, "give edge.certificate and edge.key");
            }
        }
    }
    if let Some(path) = settings.edge.clients.as_ref().and_then(|asked| asked.authorities.as_ref()) {
        match read_authorities(path) {
            Ok(count) => found.good.push(format!("{count} authorities of clients in {}", path.display())),
            Err(error) => {
                let place = path.display().to_string();
                found.fault(place, "the authorities of clients", error.to_string(), "see edge.client_ca");
            }
        }
    }
    if let (Backend::Mock { .. }, Some(address)) = (&settings.backend, reachable.first()) {
        let message = format!("is the mock, and {address} can be reached by others");
        found.fault("settings", "m3.backend", message, "set m3.backend = \"socket\"");
    }
    if let Backend::Real(client) = &settings.backend
        && client.is_exposed()
    {
        let hint = "give m3.tls_ca and m3.tls_name, or say plaintext = \"accepted\"";
        found.fault(
            "settings",
            "m3.address",
            "is another machine, and passwords would cross the network readable",
            hint,
        );
    }
}

/// The layouts that a running gateway left behind: field rules are checked against them.
async fn known(settings: &Settings, found: &mut Found) -> Known {
    let Some(file) = &settings.catalog.file else { return Known::new() };
    match read_saved(file).await {
        Ok(layouts) => layouts.into_iter().map(|l| ((l.program, l.name), Arc::new(l))).collect(),
        Err(error) => {
            let hint = "remove it; the gateway makes it anew";
            found.warning(file.display().to_string(), "the saved catalog", format!("can't be used: {error}"), hint);
            Known::new()
        }
    }
}

/// The set that was found, where it loads.
fn policy(settings: &Settings, known: &Known, found: &mut Found) -> Option<Set> {
    let issuer = public_url(settings);
    let (dir, trust) = (settings.policies.clone(), settings.policy_trust.clone());
    let folder = policies::Settings { dir, trust, ..policies::Settings::default() };
    let at_hand = known.clone();
    let layouts: policies::Layouts =
        Arc::new(move |program, transaction| at_hand.get(&(program, transaction)).cloned());
    let names: Vec<_> = known.keys().copied().collect();
    let mut set = None;
    match policies::check(&folder, &settings.site(&issuer), &layouts, &names) {
        Ok(Check { files, hash, rules, findings, .. }) => {
            let from =
                if files.embedded { "the shipped set".to_owned() } else { settings.policies.display().to_string() };
            found.good.push(format!("policies: {rules} rules of {from}, {hash}"));
            for Finding { severity, fault } in findings {
                let (place, hint) = (fault.spot.to_string(), fault.hint.clone().unwrap_or_default());
                match severity {
                    Severity::Error => found.fault(place, "a rule", fault.message, &hint),
                    Severity::Warning => found.warning(place, "a rule", fault.message, &hint),
                    Severity::Note => found.notes.push(made(place, "a rule", fault.message, &hint)),
                }
            }
            set = Set::load(&files.rules(), &settings.site(&issuer), &*layouts).ok();
            match Plan::parse(&files.limits.name, &files.limits.text, &issuer) {
                Ok(_) => found.good.push("limits".into()),
                Err(faults) => faults.iter().for_each(|fault| {
                    let place = fault.spot.to_string();
                    found.fault(place, "a limit", fault.message.clone(), fault.hint.as_deref().unwrap_or("correct it"));
                }),
            }
        }
        Err(policies::Error::Faults(faults)) => faults.iter().for_each(|fault| {
            let place = fault.spot.to_string();
            found.fault(place, "a rule", fault.message.clone(), fault.hint.as_deref().unwrap_or("correct it"));
        }),
        Err(error) => {
            found.fault(settings.policies.display().to_string(), "the policies", error.to_string(), "see policy.dir")
        }
    }
    classified(known, found);
    set
}

/// What the mappings name, against what M3 said of itself the last time. Of a site's own file it is told that nothing is
/// known; the shipped ones were written for any M3.
fn mappings(settings: &Settings, known: &Known, found: &mut Found) {
    let shipped = shipped().unwrap_or_default();
    for mapping in settings.publish.mappings.iter() {
        let fit = mapping.fit(&|program, transaction| known.get(&(program, transaction)).cloned());
        for fault in fit.faults {
            found.fault(fault.spot.to_string(), "a mapping", fault.message, &fault.hint);
        }
        for cut in fit.cuts {
            found.warning(cut.spot.to_string(), "a mapping", cut.message, &cut.hint);
        }
        let of_the_site = shipped.iter().all(|known| known.source() != mapping.source());
        if of_the_site && !fit.unseen.is_empty() {
            let names: Vec<String> = fit.unseen.iter().map(|(program, name)| format!("{program}/{name}")).collect();
            let message = format!("could not be held against M3: nothing is known here of {}", names.join(", "));
            let hint = "let a gateway publish with it once: what it learns of M3 is kept in state.dir";
            found.warning(mapping.source(), "a mapping", message, hint);
        }
    }
}

/// How the transactions that are at hand are classified, and why: a write that looks like a read is seen here.
fn classified(known: &Known, found: &mut Found) {
    let mut names: Vec<_> = known.keys().collect();
    names.sort_unstable();
    for (program, transaction) in names {
        let effect = Effect::of(*program, *transaction);
        found.good.push(format!("{program}/{transaction}: {effect}, {}", Effect::reason(*program, *transaction)));
    }
}

/// One that others may write was refused where it was read.
fn secrets(settings: &Settings, found: &mut Found) {
    for (key, path) in settings.open_secrets() {
        found.warning(path.display().to_string(), key, store::OPEN_ADVICE, "it may hold a secret that is known");
    }
}

fn machine(settings: &Settings, found: &mut Found) {
    let files = raise_open_files();
    if !files.suffice(settings.edge.limits.max_connections) {
        let message =
            format!("is {}, and edge.max_connections is more than that leaves room for", files.now.unwrap_or_default());
        found.warning("this machine", "the limit of open files", message, "raise LimitNOFILE or `ulimit -n`");
    }
}
