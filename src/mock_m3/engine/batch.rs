//! The batch entries: orders that are entered first and created later, under a number of M3's own.

use super::message::wrong_status;
use super::run::Call;
use super::store::key_of;
use super::table::Kind;
use super::{Answer, Row};

/// Entered and open; created and closed.
const OPEN: &str = "20";
const CREATED: &str = "90";

impl Call<'_> {
    /// PPS370MI: a message number, under which heads and lines are entered.
    pub(super) fn start_entry(&self) -> Answer {
        let number = self.store().next_number(Kind::PurchaseEntry, self.company, &[], 100_001);
        let mut row = self.fresh();
        row.insert("MSGN".to_owned(), number.to_string());
        row.insert("STAT".to_owned(), OPEN.to_owned());
        self.store().insert(Kind::PurchaseEntry, self.company, row.clone());
        self.reported(&row)
    }

    /// PPS370MI: every order of the message is created, under the number that it was entered with.
    pub(super) fn finish_entry(&self) -> Answer {
        let message = self.given("MSGN").unwrap_or_default();
        let Some(entry) = self.store().get(Kind::PurchaseEntry, self.company, std::slice::from_ref(&message)) else {
            return self.missing(Kind::PurchaseEntry).into();
        };
        if entry.get("STAT").map(String::as_str) != Some(OPEN) {
            return wrong_status("MSGN", &message).into();
        }
        for head in self.store().rows(Kind::PurchaseBatch, self.company) {
            if head.get("MSGN") != Some(&message) {
                continue;
            }
            let number = head.get("PUNO").cloned().unwrap_or_default();
            self.create(Kind::PurchaseBatch, Kind::PurchaseHead, &head, &number, "PUSL", "15");
            self.lines(Kind::PurchaseBatchLine, Kind::PurchaseLine, "PUNO", &number, &number);
        }
        self.store().change(Kind::PurchaseEntry, self.company, &[message], |row| {
            row.insert("STAT".to_owned(), CREATED.to_owned());
        });
        Answer::Done
    }

    /// OIS100MI: the temporary order becomes a real one, with another number.
    pub(super) fn confirm(&self) -> Answer {
        let entered = self.given("ORNO").unwrap_or_default();
        let Some(head) = self.store().get(Kind::OrderBatch, self.company, std::slice::from_ref(&entered)) else {
            return self.missing(Kind::OrderBatch).into();
        };
        if head.get("STAT").map(String::as_str) == Some(CREATED) {
            return wrong_status("ORNO", &entered).into();
        }
        let number = self.store().next_number(Kind::OrderHead, self.company, &[], 1_500_001).to_string();
        self.create(Kind::OrderBatch, Kind::OrderHead, &head, &number, "ORST", "22");
        self.lines(Kind::OrderBatchLine, Kind::OrderLine, "ORNO", &entered, &number);
        let answer = Row::from([("ORNO".to_owned(), number), ("STAT".to_owned(), CREATED.to_owned())]);
        self.reported(&answer)
    }

    /// Writes the real head and closes the entered one.
    fn create(&self, from: Kind, to: Kind, head: &Row, number: &str, status: &str, value: &str) {
        let field = to.key()[0];
        let mut real = head.clone();
        real.insert(field.to_owned(), number.to_owned());
        real.insert(status.to_owned(), value.to_owned());
        real.extend(self.fresh());
        self.store().insert(to, self.company, real);
        self.store().change(from, self.company, &key_of(from, head), |row| {
            row.insert("STAT".to_owned(), CREATED.to_owned());
        });
    }

    fn lines(&self, from: Kind, to: Kind, field: &str, entered: &str, number: &str) {
        for line in self.store().rows(from, self.company) {
            if line.get(field).map(String::as_str) == Some(entered) {
                let mut real = Row::clone(&line);
                real.insert(field.to_owned(), number.to_owned());
                self.store().insert(to, self.company, real);
            }
        }
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
