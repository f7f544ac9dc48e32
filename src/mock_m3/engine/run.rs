//! What the verbs do.

use super::super::metadata::Transaction;
use super::message::{already_exists, does_not_exist, is_locked, must_be_entered};
use super::store::Store;
use super::table::{Kind, Play, Verb};
use super::{Answer, Context, Engine, Nok, Row};
use std::sync::Arc;

/// One call under way.
pub(super) struct Call<'a> {
    pub(super) engine: &'a Engine,
    pub(super) context: &'a Context,
    pub(super) transaction: &'a Transaction,
    pub(super) input: &'a Row,
    /// The input's company where the transaction has one, else the session's.
    pub(super) company: u16,
}

/// Fields that say where and how, not what.
const NOT_DATA: &[&str] = &["CONO", "LMTS", "SQRY", "CTYP", "AUTD", "BAOR", "CHNO", "CHID", "LMDT", "RGDT", "RGTM"];

impl<'a> Call<'a> {
    pub(super) fn new(engine: &'a Engine, context: &'a Context, transaction: &'a Transaction, input: &'a Row) -> Self {
        // What is no number is no company, and is refused as one.
        let company = input.get("CONO").map_or(context.company, |given| given.parse().unwrap_or(0));
        Self { engine, context, transaction, input, company }
    }

    pub(super) fn store(&self) -> &'a Store {
        &self.engine.store
    }

    pub(super) fn play(&self, play: Play) -> Answer {
        if let Some(missing) = self.transaction.input.iter().find(|field| field.mandatory && self.is_blank(&field.name))
        {
            return must_be_entered(self.transaction, &missing.name).into();
        }
        if !super::seed::COMPANIES.contains(&self.company) {
            return does_not_exist(self.transaction, "CONO", &self.company.to_string()).into();
        }
        let kind = play.kind;
        match play.verb {
            Verb::Get => self.get(kind),
            Verb::List { order, equal } => self.list(kind, order, equal),
            Verb::Range { from, to, of } => self.range(kind, from, to, of),
            Verb::Search => self.search(kind),
            Verb::Add => self.add(kind),
            Verb::Change => self.change(kind),
            Verb::Delete => self.delete(kind),
            Verb::Copy(pairs) => self.copy(kind, pairs),
            Verb::StartEntry => self.start_entry(),
            Verb::FinishEntry => self.finish_entry(),
            Verb::Confirm => self.confirm(),
            Verb::Approve => self.approve(),
            Verb::OwnUser => self.own_user(),
            Verb::BigList if self.engine.big_list > 0 => self.big_list(),
            Verb::Defined(table) => self.defined(kind, table),
            Verb::BigList => self.list(kind, &["ITNO", "WHSL"], &["WHLO"]),
        }
    }

    fn is_blank(&self, field: &str) -> bool {
        self.input.get(field).is_none_or(|value| value.is_empty()) && field != "CONO" && field != "DIVI"
    }

    /// Keys are kept in upper case.
    pub(super) fn given(&self, field: &str) -> Option<String> {
        self.input.get(field).filter(|value| !value.is_empty()).map(|value| value.to_uppercase())
    }

    fn key(&self, kind: Kind) -> Vec<String> {
        kind.key().iter().map(|field| self.given(field).unwrap_or_default()).collect()
    }

    /// The last key field says what is missing: the line, not its order.
    pub(super) fn missing(&self, kind: Kind) -> Nok {
        let field = kind.key().iter().rfind(|field| self.given(field).is_some()).copied().unwrap_or(kind.key()[0]);
        does_not_exist(self.transaction, field, &self.given(field).unwrap_or_default())
    }

    fn get(&self, kind: Kind) -> Answer {
        let key = self.key(kind);
        // A key that is not given whole finds the first record that fits.
        let found = self.store().get(kind, self.company, &key).or_else(|| {
            let open = key.iter().any(String::is_empty);
            let rows = if open { self.store().rows(kind, self.company) } else { Vec::new() };
            rows.into_iter().find(|row| self.fits(row, kind.key()))
        });
        match found {
            Some(row) => Answer::Record(self.shown(&row)),
            None => self.missing(kind).into(),
        }
    }

    fn fits(&self, row: &Row, fields: &[&str]) -> bool {
        fields
            .iter()
            .all(|field| self.given(field).is_none_or(|given| row.get(*field).is_some_and(|held| *held == given)))
    }

    fn shown(&self, row: &Row) -> Row {
        shown(row, self.company)
    }

    fn list(&self, kind: Kind, order: &'static [&'static str], equal: &[&str]) -> Answer {
        let mut rows = self.store().rows(kind, self.company);
        rows.retain(|row| self.fits(row, equal));
        let place = |row: &Row| -> Vec<(usize, String)> {
            order.iter().map(|field| sorted(field, row.get(*field).map_or("", String::as_str))).collect()
        };
        rows.sort_by_cached_key(|row| place(row));
        // Start at or after what is given, compared as far as it is given without a gap.
        let start: Vec<_> = order.iter().map_while(|field| Some(sorted(field, &self.given(field)?))).collect();
        rows.retain(|row| place(row)[..start.len()] >= start[..]);
        self.listed(rows)
    }

    fn range(&self, kind: Kind, from: &str, to: &str, of: &str) -> Answer {
        let mut rows = self.store().rows(kind, self.company);
        let (from, to) = (self.given(from).unwrap_or_default(), self.given(to));
        rows.retain(|row| {
            let held = row.get(of).map_or("", String::as_str);
            held >= from.as_str() && to.as_deref().is_none_or(|to| held <= to) && self.fits(row, &["WHLO"])
        });
        self.listed(rows)
    }

    /// As CMS100 makes them: from a key on, in its order, and never more than ten thousand.
    fn defined(&self, kind: Kind, table: &'static str) -> Answer {
        const MOST: usize = 10_000;
        let key = |row: &Row| row.get(kind.key()[0]).cloned().unwrap_or_default();
        let from = self.given(&format!("{table}{}", kind.key()[0])).unwrap_or_default();
        let mut rows = self.store().rows(kind, self.company);
        rows.retain(|row| key(row) >= from);
        rows.sort_by_cached_key(|row| key(row));
        let company = self.company;
        let named = move |row: Arc<Row>| -> Row {
            shown(&row, company).into_iter().map(|(field, value)| (format!("{table}{field}"), value)).collect()
        };
        Answer::List(Box::new(rows.into_iter().take(MOST).map(named)))
    }

    fn search(&self, kind: Kind) -> Answer {
        let words = self.input.get("SQRY").map(|query| query.to_lowercase()).unwrap_or_default();
        let mut rows = self.store().rows(kind, self.company);
        rows.retain(|row| row.values().any(|value| value.to_lowercase().contains(&words)));
        self.listed(rows)
    }

    fn listed(&self, rows: Vec<Arc<Row>>) -> Answer {
        let company = self.company;
        Answer::List(Box::new(rows.into_iter().map(move |row| shown(&row, company))))
    }

    fn add(&self, kind: Kind) -> Answer {
        if let Some(parent) = kind.parent() {
            let key: Vec<String> = parent.key().iter().map(|field| self.given(field).unwrap_or_default()).collect();
            // A line may be entered for an order that is there already.
            let other = (kind == Kind::PurchaseBatchLine).then_some(Kind::PurchaseHead);
            let is_there = |kind| self.store().get(kind, self.company, &key).is_some();
            if !is_there(parent) && !other.is_some_and(is_there) {
                return self.missing(parent).into();
            }
        }
        let mut row = self.fresh();
        self.apply(&mut row);
        for field in kind.key() {
            if let Some(given) = self.given(field) {
                row.insert((*field).to_owned(), given);
            }
        }
        super::seed::defaults(kind, &mut row);
        if let Some((field, first)) = kind.numbered()
            && row.get(field).is_none_or(String::is_empty)
        {
            return self.reported(&self.store().insert_numbered(kind, self.company, row, field, first));
        }
        let answer = row.clone();
        if self.store().insert(kind, self.company, row) {
            return self.reported(&answer);
        }
        let field = kind.key().last().copied().unwrap_or_default();
        already_exists(self.transaction, field, &self.given(field).unwrap_or_default()).into()
    }

    /// A record that this call makes.
    pub(super) fn fresh(&self) -> Row {
        let context = self.context;
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Row::from([
            set("CONO", &self.company.to_string()),
            set("DIVI", &context.division),
            set("RGDT", &context.today),
            set("RGTM", &context.time),
            set("LMDT", &context.today),
            set("CHNO", "1"),
            set("CHID", &context.user),
        ])
    }

    /// What was sent, and nothing else; `?` blanks.
    fn apply(&self, row: &mut Row) {
        for (field, value) in self.input {
            if NOT_DATA.contains(&field.as_str()) {
                continue;
            }
            let value = if value == "?" { String::new() } else { value.clone() };
            row.insert(field.clone(), value);
        }
    }

    fn touch(&self, row: &mut Row) {
        let number = row.get("CHNO").and_then(|number| number.parse::<u32>().ok()).unwrap_or(0) % 999 + 1;
        row.insert("CHNO".to_owned(), number.to_string());
        row.insert("LMDT".to_owned(), self.context.today.clone());
        row.insert("CHID".to_owned(), self.context.user.clone());
    }

    fn change(&self, kind: Kind) -> Answer {
        let key = self.key(kind);
        if self.store().is_locked(kind, self.company, &key) {
            return is_locked(kind.key()[0], &key.join(" ")).into();
        }
        let changed = self.store().change(kind, self.company, &key, |row| {
            self.apply(row);
            for (field, value) in kind.key().iter().zip(&key) {
                row.insert((*field).to_owned(), value.clone());
            }
            self.touch(row);
        });
        if !changed {
            return self.missing(kind).into();
        }
        match self.store().get(kind, self.company, &key) {
            Some(row) => self.reported(&row),
            None => Answer::Done,
        }
    }

    fn delete(&self, kind: Kind) -> Answer {
        let key = self.key(kind);
        if self.store().is_locked(kind, self.company, &key) {
            return is_locked(kind.key()[0], &key.join(" ")).into();
        }
        if !self.store().remove(kind, self.company, &key) {
            return self.missing(kind).into();
        }
        // What hangs on it goes with it.
        for child in Kind::ALL.into_iter().filter(|child| child.is_part_of(kind)) {
            for row in self.store().rows(child, self.company) {
                if kind.key().iter().zip(&key).all(|(field, value)| row.get(*field) == Some(value)) {
                    self.store().remove(child, self.company, &super::store::key_of(child, &row));
                }
            }
        }
        Answer::Done
    }

    fn copy(&self, kind: Kind, pairs: &[(&str, &str)]) -> Answer {
        let from: Vec<String> = kind
            .key()
            .iter()
            .map(|field| {
                let old = pairs.iter().find(|(old, new)| new == field || old == field).map_or(*field, |(old, _)| *old);
                self.given(old).unwrap_or_default()
            })
            .collect();
        let Some(original) = self.store().get(kind, self.company, &from) else {
            let field = pairs.first().map_or(kind.key()[0], |(old, _)| *old);
            return does_not_exist(self.transaction, field, &self.given(field).unwrap_or_default()).into();
        };
        let mut row = Row::clone(&original);
        self.apply(&mut row);
        row.extend(self.fresh());
        for field in kind.key() {
            // The new value stands in a field of its own, or in the key's when the old one has its own.
            let new = pairs.iter().find(|(old, new)| old == field || new == field).map_or(*field, |(_, new)| *new);
            if let Some(value) = self.given(new) {
                row.insert((*field).to_owned(), value);
            }
        }
        let answer = row.clone();
        if self.store().insert(kind, self.company, row) {
            return self.reported(&answer);
        }
        let field = kind.key().last().copied().unwrap_or_default();
        already_exists(self.transaction, field, answer.get(field).map_or("", String::as_str)).into()
    }

    /// Writes that have output fields answer with them.
    pub(super) fn reported(&self, row: &Row) -> Answer {
        if self.transaction.output.is_empty() { Answer::Done } else { Answer::Record(self.shown(row)) }
    }

    fn own_user(&self) -> Answer {
        let user = self.given("USID").unwrap_or_else(|| self.context.user.clone());
        match self.store().get(Kind::User, self.company, std::slice::from_ref(&user)) {
            Some(row) => Answer::Record(self.shown(&row)),
            None => does_not_exist(self.transaction, "USID", &user).into(),
        }
    }

    /// A list of any length that is never held: each record is made when it is sent.
    fn big_list(&self) -> Answer {
        let (company, warehouse) = (self.company, self.given("WHLO").unwrap_or_default());
        Answer::List(Box::new((0..self.engine.big_list).map(move |at| {
            let set = |name: &str, value: String| (name.to_owned(), value);
            Row::from([
                set("CONO", company.to_string()),
                set("WHLO", warehouse.clone()),
                set("ITNO", format!("L{at:07}")),
                set("ITDS", "A generated balance".to_owned()),
                set("WHSL", format!("{:02}-{:03}", at % 40, at % 1_000)),
                set("STQT", format!("{}.5", at % 900)),
            ])
        })))
    }
}

/// Line numbers sort as numbers, everything else as text.
fn sorted(field: &str, value: &str) -> (usize, String) {
    let numeric = ["PONR", "PNLI"].contains(&field);
    (if numeric { value.len() } else { 0 }, value.to_uppercase())
}

fn shown(row: &Row, company: u16) -> Row {
    let mut row = row.clone();
    row.insert("CONO".to_owned(), company.to_string());
    row
}
