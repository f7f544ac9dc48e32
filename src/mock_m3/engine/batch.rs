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
        let mut row = self.fresh();
        row.insert("STAT".to_owned(), OPEN.to_owned());
        self.reported(&self.store().insert_numbered(Kind::PurchaseEntry, self.company, row, "MSGN", 100_001))
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
            let mut real = Row::clone(&head);
            real.insert("PUSL".to_owned(), "15".to_owned());
            real.extend(self.fresh());
            self.store().insert(Kind::PurchaseHead, self.company, real);
            self.close(Kind::PurchaseBatch, &head);
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
        let mut real = Row::clone(&head);
        real.insert("ORNO".to_owned(), String::new());
        real.insert("ORST".to_owned(), "22".to_owned());
        real.extend(self.fresh());
        let real = self.store().insert_numbered(Kind::OrderHead, self.company, real, "ORNO", 1_500_001);
        let number = real.get("ORNO").cloned().unwrap_or_default();
        self.close(Kind::OrderBatch, &head);
        self.lines(Kind::OrderBatchLine, Kind::OrderLine, "ORNO", &entered, &number);
        let answer = Row::from([("ORNO".to_owned(), number), ("STAT".to_owned(), CREATED.to_owned())]);
        self.reported(&answer)
    }

    /// What was entered is done with.
    fn close(&self, kind: Kind, head: &Row) {
        self.store().change(kind, self.company, &key_of(kind, head), |row| {
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
