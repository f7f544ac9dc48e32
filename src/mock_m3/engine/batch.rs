//! The batch entries: orders that are entered first and created later, under a number of M3's own, or not at all.
//!
//! Both levels of automation are played: what was entered with an origin, or as an order type, whose name begins with
//! `HAND` or `H` stops for a person. What has a fault is not created, and is shown with its status.
//! Does not know: who asks, or how far a caller is.

use super::message::wrong_status;
use super::run::Call;
use super::store::{Store, key_of};
use super::table::Kind;
use super::{Answer, Row};

/// Entered and open; handed over, and a person looks at it; created and closed.
const OPEN: &str = "20";
const HANDED_OVER: &str = "50";
const CREATED: &str = "90";
/// Of a temporary order: handed over; a line of it is refused.
const WAITS: &str = "12";
const REFUSED: &str = "15";

fn is(row: &Row, field: &str, value: &str) -> bool {
    row.get(field).is_some_and(|held| held == value)
}

fn begins(row: &Row, field: &str, with: &str) -> bool {
    row.get(field).is_some_and(|held| held.starts_with(with))
}

fn set(store: &Store, kind: Kind, company: u16, row: &Row, values: &[(&str, &str)]) {
    store.change(kind, company, &key_of(kind, row), |row| {
        row.extend(values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    });
}

/// The first item of an order that M3 does not have.
fn unknown_item(store: &Store, company: u16, lines: &[Row]) -> Option<String> {
    let item = |line: &Row| line.get("ITNO").map(|item| item.to_uppercase()).unwrap_or_default();
    lines.iter().map(item).find(|item| store.get(Kind::Item, company, std::slice::from_ref(item)).is_none())
}

/// Every order of the message is created, under the number that it was entered with; lines of orders that are there
/// already get the next numbers in these.
fn transfer(store: &Store, company: u16, message: &str) {
    let of_message = |kind| -> Vec<Row> {
        let rows = store.rows(kind, company).into_iter().map(|row| Row::clone(&row));
        rows.filter(|row| is(row, "MSGN", message) && !is(row, "STAT", CREATED)).collect()
    };
    let (heads, lines) = (of_message(Kind::PurchaseBatch), of_message(Kind::PurchaseBatchLine));
    let mut all = true;
    for head in &heads {
        let number = head.get("PUNO").cloned().unwrap_or_default();
        let own: Vec<Row> = lines.iter().filter(|line| is(line, "PUNO", &number)).cloned().collect();
        if let Some(item) = unknown_item(store, company, &own) {
            let why = format!("Item number {item} does not exist");
            set(store, Kind::PurchaseBatch, company, head, &[("MSID", "WIT0103"), ("MSGD", &why)]);
            all = false;
            continue;
        }
        let mut real = head.clone();
        real.insert("PUSL".to_owned(), "15".to_owned());
        store.insert(Kind::PurchaseHead, company, real);
        set(store, Kind::PurchaseBatch, company, head, &[("STAT", CREATED), ("MSID", ""), ("MSGD", "")]);
        for line in own {
            set(store, Kind::PurchaseBatchLine, company, &line, &[("STAT", CREATED)]);
            store.insert(Kind::PurchaseLine, company, line);
        }
    }
    let of_heads = |line: &Row| heads.iter().any(|head| head.get("PUNO") == line.get("PUNO"));
    for line in lines.iter().filter(|line| !of_heads(line)) {
        if let Some(item) = unknown_item(store, company, std::slice::from_ref(line)) {
            let why = format!("Item number {item} does not exist");
            set(store, Kind::PurchaseBatchLine, company, line, &[("MSID", "WIT0103"), ("MSGD", &why)]);
            all = false;
            continue;
        }
        store.insert_numbered(Kind::PurchaseLine, company, line.clone(), "PNLI", 1);
        set(store, Kind::PurchaseBatchLine, company, line, &[("STAT", CREATED), ("MSID", ""), ("MSGD", "")]);
    }
    let entry = Row::from([("MSGN".to_owned(), message.to_owned())]);
    set(store, Kind::PurchaseEntry, company, &entry, &[("STAT", if all { CREATED } else { HANDED_OVER })]);
}

/// A temporary order becomes a real one; its new number.
fn create(store: &Store, company: u16, head: &Row) -> String {
    let entered = head.get("ORNO").cloned().unwrap_or_default();
    let mut real = head.clone();
    real.insert("ORNO".to_owned(), String::new());
    real.insert("ORST".to_owned(), "22".to_owned());
    let real = store.insert_numbered(Kind::OrderHead, company, real, "ORNO", 1_500_001);
    let number = real.get("ORNO").cloned().unwrap_or_default();
    set(store, Kind::OrderBatch, company, head, &[("STAT", CREATED)]);
    for mut line in order_lines(store, company, &entered) {
        line.insert("ORNO".to_owned(), number.clone());
        store.insert(Kind::OrderLine, company, line);
    }
    number
}

fn order_lines(store: &Store, company: u16, entered: &str) -> Vec<Row> {
    let rows = store.rows(Kind::OrderBatchLine, company).into_iter().map(|row| Row::clone(&row));
    rows.filter(|row| is(row, "ORNO", entered)).collect()
}

/// A person looks at all that waits for him.
pub(super) fn release(store: &Store, company: u16) {
    for entry in store.rows(Kind::PurchaseEntry, company) {
        if is(&entry, "STAT", HANDED_OVER) {
            transfer(store, company, entry.get("MSGN").map(String::as_str).unwrap_or_default());
        }
    }
    for head in store.rows(Kind::OrderBatch, company) {
        if is(&head, "STAT", WAITS) {
            create(store, company, &head);
        }
    }
}

impl Call<'_> {
    /// PPS370MI: a message number, under which heads and lines are entered.
    pub(super) fn start_entry(&self) -> Answer {
        let mut row = self.fresh();
        row.insert("STAT".to_owned(), OPEN.to_owned());
        row.insert("BAOR".to_owned(), self.given("BAOR").unwrap_or_default());
        self.reported(&self.store().insert_numbered(Kind::PurchaseEntry, self.company, row, "MSGN", 100_001))
    }

    /// PPS370MI: what was entered is handed over; by its origin it is created at once, or by a person.
    pub(super) fn finish_entry(&self) -> Answer {
        let message = self.given("MSGN").unwrap_or_default();
        let Some(entry) = self.store().get(Kind::PurchaseEntry, self.company, std::slice::from_ref(&message)) else {
            return self.missing(Kind::PurchaseEntry).into();
        };
        if !is(&entry, "STAT", OPEN) {
            return wrong_status("MSGN", &message).into();
        }
        if begins(&entry, "BAOR", "HAND") {
            set(self.store(), Kind::PurchaseEntry, self.company, &entry, &[("STAT", HANDED_OVER)]);
        } else {
            transfer(self.store(), self.company, &message);
        }
        Answer::Done
    }

    /// OIS100MI: the temporary order becomes a real one with another number, or waits for a person, or is refused.
    pub(super) fn confirm(&self) -> Answer {
        let entered = self.given("ORNO").unwrap_or_default();
        let Some(head) = self.store().get(Kind::OrderBatch, self.company, std::slice::from_ref(&entered)) else {
            return self.missing(Kind::OrderBatch).into();
        };
        if is(&head, "STAT", CREATED) || is(&head, "STAT", WAITS) {
            return wrong_status("ORNO", &entered).into();
        }
        let answer = |number: Option<String>, status: &str| {
            let number = number.map(|number| ("ORNO".to_owned(), number));
            self.reported(&number.into_iter().chain([("STAT".to_owned(), status.to_owned())]).collect())
        };
        if unknown_item(self.store(), self.company, &order_lines(self.store(), self.company, &entered)).is_some() {
            set(self.store(), Kind::OrderBatch, self.company, &head, &[("STAT", REFUSED)]);
            return answer(None, REFUSED);
        }
        if begins(&head, "ORTP", "H") {
            set(self.store(), Kind::OrderBatch, self.company, &head, &[("STAT", WAITS)]);
            return answer(Some(entered), WAITS);
        }
        answer(Some(create(self.store(), self.company, &head)), CREATED)
    }

    /// PPS200MI: from 15 (to be approved) to 20.
    pub(super) fn approve(&self) -> Answer {
        let number = self.given("PUNO").unwrap_or_default();
        let key = [number.clone()];
        let Some(head) = self.store().get(Kind::PurchaseHead, self.company, &key) else {
            return self.missing(Kind::PurchaseHead).into();
        };
        if head.get("PUSL").map(String::as_str) != Some("15") {
            return wrong_status("PUNO", &number).into();
        }
        self.store().change(Kind::PurchaseHead, self.company, &key, |row| {
            for field in ["PUSL", "PUST"] {
                row.insert(field.to_owned(), "20".to_owned());
            }
        });
        match self.store().get(Kind::PurchaseHead, self.company, &key) {
            Some(row) => self.reported(&row),
            None => Answer::Done,
        }
    }
}
