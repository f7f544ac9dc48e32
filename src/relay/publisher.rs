//! What is published, how, and for which companies and divisions: what M3 has in its own publisher's table.

use crate::bod::{Action, ConfirmationCode, Mapping, shipped};
use crate::model::{Company, M3User, Place};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct Settings {
    pub enabled: bool,
    /// A record is left alone for so long before it is read: writes of one entry become one document.
    pub quiet: Duration,
    /// A record that is written again and again is told after so long all the same.
    pub most_wait: Duration,
    /// M3 may still be at a write of which nothing was heard; after so long it is asked.
    pub settle_after: Duration,
    pub tenant: String,
    /// `lid://…`: whose documents they are.
    pub logical_id: String,
    pub bod_id: BodId,
    pub confirmation: ConfirmationCode,
    /// Reads records back; `None`: the gateway's own user.
    pub user: Option<M3User>,
    /// Tries before a message or a document is parked.
    pub tries: u32,
    /// How long a batch entry that was handed over is watched.
    pub entries: Duration,
    /// How long a document of M3's own publisher waits for the one that is made here in shadow.
    pub compare: Duration,
    pub rules: Vec<Rule>,
    /// The shipped ones, and over them those of the site.
    pub mappings: Arc<Vec<Mapping>>,
}

/// What stands in a document as its location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// As the mapping finds it in the record.
    Record,
    None,
    Fixed(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodId {
    Uuid,
    /// With tenant, entity, location, document and variation in it.
    InforNid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Off,
    Publish,
    /// Made, compared with what M3's own publisher sends, and sent nowhere.
    Shadow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entity {
    /// One for all divisions.
    Company,
    Division,
}

/// One row of the table. What a row leaves open the rows before it decide; the last that fits wins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// `Sync.ItemMaster`; `None`: every document.
    pub document: Option<String>,
    pub company: Option<Company>,
    pub division: Option<String>,
    pub mode: Option<Mode>,
    pub action: Option<Action>,
    pub entity: Option<Entity>,
    pub location: Option<Location>,
    pub bod_id: Option<BodId>,
    pub tenant: Option<String>,
    pub logical_id: Option<String>,
    pub confirmation: Option<ConfirmationCode>,
}

/// What holds for one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub mode: Mode,
    pub action: Action,
    pub entity: Option<Entity>,
    pub location: Location,
    pub bod_id: BodId,
    pub tenant: String,
    pub logical_id: String,
    pub confirmation: ConfirmationCode,
}

impl Plan {
    pub fn is_by_division(&self, mapping: &Mapping) -> bool {
        self.entity.map_or(mapping.is_by_division(), |entity| entity == Entity::Division)
    }
}

/// M3's own, as its publisher writes it.
pub const M3S_OWN: &str = "lid://infor.m3.m3";

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: false,
            quiet: Duration::from_secs(2),
            most_wait: Duration::from_secs(30),
            settle_after: Duration::from_secs(30),
            tenant: String::new(),
            logical_id: "lid://mi-gateway.m3".to_owned(),
            bod_id: BodId::Uuid,
            confirmation: ConfirmationCode::OnError,
            user: None,
            tries: 20,
            entries: Duration::from_secs(7 * 86_400),
            compare: Duration::from_secs(600),
            rules: Vec::new(),
            // That they have no fault a test holds.
            mappings: Arc::new(shipped().unwrap_or_default()),
        }
    }
}

impl Settings {
    /// In a trial a document is there about a second after its write.
    pub fn trial() -> Self {
        let (quiet, settle_after) = (Duration::from_millis(500), Duration::from_secs(1));
        Self { enabled: true, quiet, settle_after, ..Self::default() }
    }

    pub fn plan(&self, document: &str, company: Company, division: &str) -> Plan {
        let named = self.is_off_unless_named(document);
        let mut plan = Plan {
            mode: if named { Mode::Off } else { Mode::Publish },
            action: Action::Replace,
            entity: None,
            location: Location::Record,
            bod_id: self.bod_id,
            tenant: self.tenant.clone(),
            logical_id: self.logical_id.clone(),
            confirmation: self.confirmation,
        };
        for rule in self.rows(document, company) {
            if rule.division.as_deref().is_none_or(|named| named == division) {
                if rule.document.is_some() || !named {
                    plan.mode = rule.mode.unwrap_or(plan.mode);
                }
                plan.action = rule.action.unwrap_or(plan.action);
                plan.entity = rule.entity.or(plan.entity);
                plan.location = rule.location.clone().unwrap_or(plan.location);
                plan.bod_id = rule.bod_id.unwrap_or(plan.bod_id);
                plan.tenant = rule.tenant.clone().unwrap_or(plan.tenant);
                plan.logical_id = rule.logical_id.clone().unwrap_or(plan.logical_id);
                plan.confirmation = rule.confirmation.unwrap_or(plan.confirmation);
            }
        }
        plan
    }

    /// Whose documents there are of a record that has no division of its own, each with what holds for it: those of
    /// divisions, and the company's (`None`). A change of such a record is one of all of them, wherever it was written.
    /// `known`: the company's divisions, besides those that rows name. Empty: they are all switched off.
    pub fn editions(
        &self,
        mapping: &Mapping,
        name: &str,
        place: Place,
        known: &[String],
    ) -> Vec<(Option<String>, Plan)> {
        let (company, written) = (place.company, place.division.as_str());
        let named = self.rows(name, company).filter_map(|rule| rule.division.as_deref());
        let divisions: BTreeSet<&str> =
            named.chain(known.iter().map(String::as_str)).chain([written]).filter(|one| !one.is_empty()).collect();
        let plans: Vec<_> =
            divisions.into_iter().map(|division| (division, self.plan(name, company, division))).collect();
        if !plans.iter().any(|(_, plan)| plan.is_by_division(mapping)) {
            let plan = self.plan(name, company, written);
            return if plan.mode == Mode::Off { Vec::new() } else { vec![(None, plan)] };
        }
        let own = plans.iter().filter(|(_, plan)| plan.is_by_division(mapping));
        let mut editions: Vec<_> = own.map(|(division, plan)| (Some((*division).to_owned()), plan.clone())).collect();
        let of_company = std::iter::once(self.plan(name, company, "")).chain(plans.into_iter().map(|(_, plan)| plan));
        let of_company = of_company.filter(|plan| !plan.is_by_division(mapping));
        editions.extend(of_company.filter(|plan| plan.mode != Mode::Off).take(1).map(|plan| (None, plan)));
        editions.retain(|(_, plan)| plan.mode != Mode::Off);
        editions
    }

    /// Divisions that no row names have documents of their own: which there are M3 knows.
    pub fn is_of_every_division(&self, mapping: &Mapping, name: &str, company: Company) -> bool {
        let plan = self.plan(name, company, "");
        plan.is_by_division(mapping) && plan.mode != Mode::Off
    }

    /// Made and not sent, somewhere.
    pub fn is_shadowed(&self, document: &str) -> bool {
        let named = self.is_off_unless_named(document);
        let of = |rule: &&Rule| rule.document.as_deref().map_or(!named, |name| name == document);
        self.rules.iter().filter(of).any(|rule| rule.mode == Some(Mode::Shadow))
    }

    fn rows<'a>(&'a self, document: &'a str, company: Company) -> impl Iterator<Item = &'a Rule> {
        self.rules.iter().filter(move |rule| {
            rule.document.as_deref().is_none_or(|named| named == document)
                && rule.company.is_none_or(|named| named == company)
        })
    }

    /// Its mapping has it off, and a row that speaks of every document does not mean it.
    fn is_off_unless_named(&self, document: &str) -> bool {
        let noun = document.split_once('.').map_or(document, |(_, noun)| noun);
        self.mappings.iter().any(|mapping| mapping.noun() == noun && mapping.is_off())
    }

    /// Off everywhere: no intent is opened for it.
    pub fn is_off(&self, document: &str) -> bool {
        let mut off = self.is_off_unless_named(document);
        let named = off;
        let of = |rule: &&Rule| rule.document.as_deref().map_or(!named, |name| name == document);
        for rule in self.rules.iter().filter(of) {
            let everywhere = rule.company.is_none() && rule.division.is_none();
            match rule.mode {
                Some(Mode::Off) if everywhere => off = true,
                Some(Mode::Publish | Mode::Shadow) => off = false,
                _ => {}
            }
        }
        off
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Division, ProgramName, TransactionName};

    fn rule(document: Option<&str>, company: Option<u16>, mode: Mode) -> Rule {
        let company = company.map(|number| Company::new(number).expect("a company"));
        Rule { document: document.map(str::to_owned), company, mode: Some(mode), ..Rule::default() }
    }

    #[test]
    fn the_last_row_that_fits_decides() {
        let rules = vec![
            rule(None, None, Mode::Off),
            rule(Some("Sync.ItemMaster"), None, Mode::Shadow),
            rule(Some("Sync.ItemMaster"), Some(200), Mode::Publish),
        ];
        let settings = Settings { rules, ..Settings::trial() };
        let mode = |document: &str, company: u16| {
            settings.plan(document, Company::new(company).expect("a company"), "AAA").mode
        };
        assert_eq!(mode("Sync.PurchaseOrder", 100), Mode::Off);
        assert_eq!(mode("Sync.ItemMaster", 100), Mode::Shadow);
        assert_eq!(mode("Sync.ItemMaster", 200), Mode::Publish);
    }

    fn of_division(division: &str, mode: Mode, entity: Option<Entity>) -> Rule {
        Rule { division: Some(division.into()), mode: Some(mode), entity, ..Rule::default() }
    }

    /// Of an item that was written in AAA; `C` is the company's document.
    fn editions(rules: Vec<Rule>, known: &[&str]) -> String {
        let settings = Settings { rules, ..Settings::trial() };
        let item = settings.mappings.iter().find(|mapping| mapping.noun() == "ItemMaster").expect("it is shipped");
        let company = Company::new(100).expect("a company");
        let place = Place { company, division: Division::parse("AAA").expect("a division") };
        let known: Vec<String> = known.iter().map(|division| (*division).to_owned()).collect();
        let editions = settings.editions(item, "Sync.ItemMaster", place, &known);
        let names: Vec<_> = editions.iter().map(|(division, _)| division.as_deref().unwrap_or("C")).collect();
        names.join(" ")
    }

    #[test]
    fn a_companys_record_has_a_document_for_each_division_that_is_on_wherever_it_was_written() {
        let (on, off) = (Mode::Publish, Mode::Off);
        let everywhere = |entity, mode| Rule { entity: Some(entity), mode: Some(mode), ..Rule::default() };
        let by_division = || everywhere(Entity::Division, on);
        assert_eq!(editions(vec![], &["AAA", "BBB"]), "C", "an item is its company's");
        assert_eq!(editions(vec![by_division()], &["AAA", "BBB", "DDD"]), "AAA BBB DDD");
        assert_eq!(editions(vec![by_division(), of_division("BBB", off, None)], &["AAA", "BBB", "DDD"]), "AAA DDD");
        let the_writers_is_off = vec![by_division(), of_division("AAA", off, None)];
        assert_eq!(editions(the_writers_is_off, &["AAA", "BBB"]), "BBB");
        let two = || [of_division("BBB", on, None), of_division("DDD", Mode::Shadow, None)];
        let listed = [everywhere(Entity::Division, off)].into_iter().chain(two()).collect();
        assert_eq!(editions(listed, &[]), "BBB DDD", "those that rows name, and no other");
        assert_eq!(editions(vec![everywhere(Entity::Division, off)], &["AAA", "BBB"]), "", "all are off");
        let beside = vec![of_division("BBB", on, Some(Entity::Division))];
        assert_eq!(editions(beside, &[]), "BBB C", "a row of its own beside the company's document");
        let instead = vec![everywhere(Entity::Company, off), of_division("BBB", on, Some(Entity::Division))];
        assert_eq!(editions(instead, &[]), "BBB");
        let of_another = Rule { company: Company::new(200).ok(), ..of_division("BBB", on, Some(Entity::Division)) };
        assert_eq!(editions(vec![of_another], &[]), "C");
    }

    #[test]
    fn m3_is_asked_for_divisions_only_where_others_than_the_named_ones_may_be_on() {
        let asks = |rules: Vec<Rule>, noun: &str| {
            let settings = Settings { rules, ..Settings::trial() };
            let mapping = settings.mappings.iter().find(|mapping| mapping.noun() == noun).expect("it is shipped");
            let company = Company::new(100).expect("a company");
            settings.is_of_every_division(mapping, &format!("Sync.{noun}"), company) && !mapping.has_division()
        };
        let by_division = |mode| Rule { entity: Some(Entity::Division), mode: Some(mode), ..Rule::default() };
        assert!(asks(vec![by_division(Mode::Publish)], "ItemMaster"));
        assert!(!asks(vec![], "ItemMaster"));
        assert!(!asks(vec![by_division(Mode::Off), of_division("AAA", Mode::Publish, None)], "ItemMaster"));
        assert!(!asks(vec![], "PurchaseOrder"), "an order says its division");
        assert!(!asks(vec![], "ChartOfAccounts"), "an account is named by its division");
    }

    #[test]
    fn what_is_off_by_its_mapping_is_switched_on_by_a_row_that_names_it_alone() {
        const NAME: &str = "Sync.CodeDefinition";
        let mode = |rules: Vec<Rule>| {
            let settings = Settings { rules, ..Settings::trial() };
            let (program, transaction) = (ProgramName::parse("CRS630MI"), TransactionName::parse("UpdAccountID"));
            let told = settings.coverage();
            let told = told.of(program.expect("a name"), transaction.expect("a name")).len();
            (settings.plan(NAME, Company::new(100).expect("a company"), "AAA").mode, settings.is_off(NAME), told)
        };
        assert_eq!(mode(vec![]), (Mode::Off, true, 1), "an account has a document all the same");
        assert_eq!(mode(vec![rule(None, None, Mode::Publish)]), (Mode::Off, true, 1));
        assert_eq!(mode(vec![rule(Some(NAME), None, Mode::Publish)]), (Mode::Publish, false, 2));
        assert_eq!(mode(vec![rule(Some(NAME), Some(100), Mode::Shadow)]), (Mode::Shadow, false, 2));
        assert_eq!(mode(vec![rule(Some(NAME), Some(200), Mode::Publish)]), (Mode::Off, false, 2));
    }

    #[test]
    fn what_is_off_everywhere_costs_no_write_anything() {
        let name = |program: &str, transaction: &str| {
            (ProgramName::parse(program).expect("a name"), TransactionName::parse(transaction).expect("a name"))
        };
        let told = |settings: &Settings, program: &str, transaction: &str| {
            let (program, transaction) = name(program, transaction);
            settings.coverage().of(program, transaction).len()
        };
        let all = Settings::trial();
        assert_eq!(told(&all, "MMS200MI", "UpdItmBasic"), 1);
        assert_eq!(told(&all, "PPS200MI", "ApprovePO"), 2, "as a state and as a request");
        let off = Settings { rules: vec![rule(None, None, Mode::Off)], ..Settings::trial() };
        assert_eq!(told(&off, "MMS200MI", "UpdItmBasic"), 0);
        let one = vec![rule(None, None, Mode::Off), rule(Some("Sync.ItemMaster"), Some(200), Mode::Publish)];
        assert_eq!(told(&Settings { rules: one, ..Settings::trial() }, "MMS200MI", "UpdItmBasic"), 1);
        assert_eq!(told(&Settings::default(), "MMS200MI", "UpdItmBasic"), 0, "the publisher is off");
    }
}
