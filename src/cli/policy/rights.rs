//! `policy who-can` and `policy diff`: everybody's rights, by asking for each of them.
//!
//! Without `--place` every place is asked for that the rules or a client's bounds name, and one that nothing names, which
//! stands for all others (`*`). Invariant: what isn't known here is said, and never taken for "nothing".

use super::{Bench, nobody, places, quoted};
use crate::cli::args;
use crate::cli::failure::Failure;
use crate::cli::show;
use crate::clock::unix_seconds;
use crate::model::{
    ClientId, Company, Division, Effect, FieldName, Place, ProgramName, Standing, TransactionLayout, TransactionName,
};
use crate::policies::{self, Caller, May};
use crate::policy::{Carries, Reviewed, Set, Terms};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

const FILL: &str = "fill it with `mi-gateway catalog pull`";

/// `None`: wherever nothing else is said.
type At = Option<Place>;
type Key = (String, ProgramName, TransactionName, At);
type Rights = BTreeMap<Key, Right>;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Right {
    may: May,
    terms: Arc<Terms>,
}

impl Right {
    fn none() -> Self {
        Self { may: May::Never, terms: Arc::default() }
    }

    /// The rules that make it so.
    fn rules(&self) -> BTreeSet<Arc<str>> {
        let flat = self.terms.flat_forbids.iter().filter(|_| self.may == May::Never);
        self.terms.rules.iter().chain(flat).cloned().collect()
    }

    fn reveals(&self) -> BTreeSet<FieldName> {
        if self.may == May::Never { BTreeSet::new() } else { self.terms.reveals.clone() }
    }

    /// Whether whoever has this one may do the same as with the other, on the same terms.
    fn is_like(&self, other: &Self) -> bool {
        let same_terms = self.may != May::Sometimes || self.terms.words == other.terms.words;
        self.may == other.may && same_terms && self.reveals() == other.reveals()
    }
}

/// The places that are asked for.
struct Asked {
    given: Vec<Place>,
    companies: BTreeSet<Company>,
    divisions: BTreeSet<Division>,
    /// One that nothing names.
    elsewhere: Place,
}

impl Asked {
    fn of(given: Vec<Place>, sets: &[&Reviewed<'_>], bounds: impl Iterator<Item = Standing>) -> Result<Self, Failure> {
        let (mut companies, mut divisions) = (BTreeSet::new(), BTreeSet::new());
        for places in sets.iter().map(|set| set.places()) {
            companies.extend(places.companies);
            divisions.extend(places.divisions);
        }
        for standing in bounds {
            companies.extend(standing.companies);
            divisions.extend(standing.divisions);
        }
        let unnamed =
            || Failure::begin("the rules name every company there can be; ask for some with --place".to_owned());
        let numbers = (1..=999).rev().filter_map(|number| Company::new(number).ok());
        let company = numbers.into_iter().find(|company| !companies.contains(company)).ok_or_else(unnamed)?;
        let names = ('A'..='Z').rev().filter_map(|letter| Division::parse(&format!("{letter}9{letter}")).ok());
        let division = names.into_iter().find(|division| !divisions.contains(division)).ok_or_else(unnamed)?;
        Ok(Self { given, companies, divisions, elsewhere: Place { company, division } })
    }

    /// Whether the rules may tell this place, which stands for many, from some of those.
    fn is_unclear(&self, place: Place, terms: &Terms) -> bool {
        let company = terms.any_company && place.company == self.elsewhere.company;
        let division = terms.any_division && place.division == self.elsewhere.division;
        self.given.is_empty() && terms.permits && (company || division)
    }

    /// Besides the one that stands for all others.
    fn named(&self) -> Vec<Place> {
        let companies = self.companies.iter().chain([&self.elsewhere.company]);
        let divisions: Vec<Division> =
            self.divisions.iter().copied().chain([Division::BLANK, self.elsewhere.division]).collect();
        let of = |company: &Company| {
            divisions.iter().map(|division| Place { company: *company, division: *division }).collect::<Vec<_>>()
        };
        companies.flat_map(of).filter(|place| *place != self.elsewhere).collect()
    }
}

impl Bench {
    pub(super) fn who_can(&self, words: &args::PolicyWhoCan) -> Result<ExitCode, Failure> {
        let (set, _) = self.set(words.dir.as_deref())?;
        let reviewed = set.reviewed();
        self.tell_unknown(&[&reviewed])?;
        let asked = Asked::of(places(&words.place)?, &[&reviewed], self.standings.values().cloned())?;
        let rights = self.rights((&set, &reviewed), &asked, words.what.as_deref());
        if !words.json {
            show::line("client,program,transaction,effect,company,division,may,rules,reveals");
        }
        for (key, right) in &rights {
            let (who, program, name, at) = key;
            // One place is told where it isn't as all others.
            let told = match at {
                Some(_) if asked.given.is_empty() => !right.is_like(&elsewhere(&rights, key)),
                _ => right.may != May::Never,
            };
            if !told {
                continue;
            }
            let effect = Effect::of(*program, *name).to_string();
            let (rules, reveals) = (list(&right.rules()), list(&right.reveals()));
            if words.json {
                let mut shown = json!({ "client": who, "program": program.as_str(), "transaction": name.as_str(),
                    "effect": effect, "may": word(right.may), "rules": rules, "reveals": reveals });
                merge(&mut shown, *at, &asked);
                show::line(&shown.to_string());
            } else {
                let (company, division) = cells(*at, &asked);
                let (rules, reveals) = (quoted(&rules.join(" ")), reveals.join(" "));
                let may = word(right.may);
                show::line(&format!(
                    "{},{program},{name},{effect},{company},{division},{may},{rules},{reveals}",
                    quoted(who)
                ));
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    pub(super) fn diff(&self, words: &args::PolicyDiff) -> Result<ExitCode, Failure> {
        let set = |dir: &Path| self.set(Some(dir)).map(|(set, _)| set);
        let (before, after) = (set(&words.before)?, set(&words.after)?);
        let reviewed = (before.reviewed(), after.reviewed());
        self.tell_unknown(&[&reviewed.0, &reviewed.1])?;
        let sets = [&reviewed.0, &reviewed.1];
        let asked = Asked::of(places(&words.place)?, &sets, self.standings.values().cloned())?;
        let (before, after) =
            (self.rights((&before, &reviewed.0), &asked, None), self.rights((&after, &reviewed.1), &asked, None));
        let mut differences = 0;
        for key in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
            let of = |rights: &Rights| rights.get(key).cloned().unwrap_or_else(|| elsewhere(rights, key));
            let (old, new) = (of(&before), of(&after));
            if old.is_like(&new) {
                continue;
            }
            let all = (elsewhere(&before, key), elsewhere(&after, key));
            if key.3.is_some() && asked.given.is_empty() && all.0.is_like(&old) && all.1.is_like(&new) {
                continue;
            }
            differences += 1;
            show::line(&if words.json {
                changed(key, &old, &new, &asked).to_string()
            } else {
                difference(key, &old, &new, &asked)
            });
        }
        if !words.json && differences == 0 {
            show::note("The two sets give every client the same.");
        }
        Ok(if differences == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// An answer about nothing would be read as "nothing is permitted".
    fn tell_unknown(&self, sets: &[&Reviewed<'_>]) -> Result<(), Failure> {
        if self.layouts.is_empty() {
            let why = "the saved catalog knows no transaction, so nothing can be said of anybody's rights";
            return Err(Failure::begin(format!("{why}: {FILL}")));
        }
        let unknown: BTreeSet<String> =
            sets.iter().flat_map(|set| set.unknown()).map(|(program, name)| format!("{program}/{name}")).collect();
        if !unknown.is_empty() {
            let names: Vec<&str> = unknown.iter().map(String::as_str).collect();
            show::note(&format!(
                "Not looked at, for the saved catalog doesn't know them ({}): {}",
                FILL,
                names.join(", ")
            ));
        }
        Ok(())
    }

    /// Everybody's rights, those that are `never` included where a rule speaks of them.
    fn rights(&self, (set, reviewed): (&Set, &Reviewed<'_>), asked: &Asked, what: Option<&str>) -> Rights {
        let now = unix_seconds();
        let group = |name: &str| {
            let client = ClientId { issuer: self.site.issuer.as_str().into(), id: "".into() };
            let mut caller = nobody(&format!("(group {name})"), client);
            caller.groups.push(name.into());
            caller
        };
        let callers: Vec<Caller> =
            self.callers.iter().cloned().chain(set.named_groups().into_iter().map(group)).collect();
        let wanted = |layout: &TransactionLayout| {
            let pair = format!("{}/{}", layout.program, layout.name);
            what.is_none_or(|what| pair == what || layout.program.as_str() == what)
        };
        let layouts: Vec<_> = self.layouts.values().filter(|layout| wanted(layout)).collect();
        let (named, unbound) = (asked.named(), Standing::default());
        let mut rights = Rights::new();
        for caller in &callers {
            let speaking = reviewed.of(caller.asker(), now);
            let standing = self.standings.get(&caller.client).unwrap_or(&unbound);
            for layout in &layouts {
                let name = (layout.program, layout.name);
                let terms = Arc::new(speaking.terms(name));
                if terms.words.is_empty() {
                    continue;
                }
                let right = |place: Place| {
                    let may = match most(standing, layout, place) {
                        May::Never => May::Never,
                        most if asked.is_unclear(place, &terms) => most.min(May::Sometimes),
                        most => most.min(policies::may(set, caller, layout, place, now)),
                    };
                    Right { may, terms: Arc::clone(&terms) }
                };
                let key = |at| (caller.name.clone(), layout.program, layout.name, at);
                for place in &asked.given {
                    rights.insert(key(Some(*place)), right(*place));
                }
                if !asked.given.is_empty() {
                    continue;
                }
                rights.insert(key(None), right(asked.elsewhere));
                let differ = terms.places || standing.is_bound();
                for place in named.iter().filter(|_| differ) {
                    rights.insert(key(Some(*place)), right(*place));
                }
            }
        }
        rights
    }
}

/// What the bounds of a client leave of its rights.
fn most(standing: &Standing, layout: &TransactionLayout, place: Place) -> May {
    let whole = Place { division: Division::BLANK, ..place };
    match Carries::of(layout, Effect::of(layout.program, layout.name)) {
        _ if !standing.may_work_in(place) => May::Never,
        _ if standing.may_work_in(whole) => May::Always,
        Carries::Always => May::Always,
        Carries::Given(_) => May::Sometimes,
        Carries::Never => May::Never,
    }
}

fn elsewhere(rights: &Rights, (who, program, name, _): &Key) -> Right {
    rights.get(&(who.clone(), *program, *name, None)).cloned().unwrap_or_else(Right::none)
}

fn word(may: May) -> &'static str {
    match may {
        May::Never => "never",
        May::Sometimes => "sometimes",
        May::Always => "always",
    }
}

fn list<T: ToString>(of: &BTreeSet<T>) -> Vec<String> {
    of.iter().map(ToString::to_string).collect()
}

/// The columns of a place; `*` is whatever nothing names.
fn cells(at: At, asked: &Asked) -> (String, String) {
    let Some(Place { company, division }) = at else { return ("*".to_owned(), "*".to_owned()) };
    let star = |is: bool, text: String| if is && asked.given.is_empty() { "*".to_owned() } else { text };
    (
        star(company == asked.elsewhere.company, company.to_string()),
        star(division == asked.elsewhere.division, division.to_string()),
    )
}

/// `null` is whatever nothing names.
fn merge(shown: &mut Value, at: At, asked: &Asked) {
    let named = |is: bool| !is || !asked.given.is_empty();
    let company = at.filter(|place| named(place.company == asked.elsewhere.company));
    let division = at.filter(|place| named(place.division == asked.elsewhere.division));
    shown["company"] = json!(company.map(|place| place.company.number()));
    shown["division"] = json!(division.map(|place| place.division.as_str().to_owned()));
}

fn changed((who, program, name, at): &Key, old: &Right, new: &Right, asked: &Asked) -> Value {
    let mut shown = json!({ "client": who, "program": program.as_str(), "transaction": name.as_str(),
        "before": word(old.may), "after": word(new.may),
        "rules": { "before": list(&old.rules()), "after": list(&new.rules()) },
        "reveals": { "before": list(&old.reveals()), "after": list(&new.reveals()) } });
    merge(&mut shown, *at, asked);
    shown
}

fn difference((who, program, name, at): &Key, old: &Right, new: &Right, asked: &Asked) -> String {
    let (company, division) = cells(*at, asked);
    let place = match at {
        None => "any place that no rule names".to_owned(),
        Some(_) if division.is_empty() => company,
        Some(_) => format!("{company}/{division}"),
    };
    let place = if asked.given.is_empty() && at.is_none() && !old.terms.places && !new.terms.places {
        "every place".to_owned()
    } else {
        place
    };
    let (shown, hidden) = (new.reveals(), old.reveals());
    let more: Vec<String> = shown.difference(&hidden).map(|field| format!("+{field}")).collect();
    let less: Vec<String> = hidden.difference(&shown).map(|field| format!("-{field}")).collect();
    let sign = match new.may.cmp(&old.may) {
        std::cmp::Ordering::Greater => '+',
        std::cmp::Ordering::Less => '-',
        std::cmp::Ordering::Equal if !more.is_empty() && less.is_empty() => '+',
        std::cmp::Ordering::Equal if more.is_empty() && !less.is_empty() => '-',
        std::cmp::Ordering::Equal => '~',
    };
    let mut told = format!("{sign} {who}: {program}/{name} in {place}: {}", word(old.may));
    if old.may != new.may {
        told.push_str(&format!(" → {}", word(new.may)));
    } else if old.may == May::Sometimes && old.terms.words != new.terms.words {
        let ids = |right: &Right| list(&right.rules()).join(" ");
        told.push_str(&format!(" on other terms ({} → {})", ids(old), ids(new)));
    }
    if !more.is_empty() || !less.is_empty() {
        told.push_str(&format!(", shows {}", [more, less].concat().join(" ")));
    }
    told
}
