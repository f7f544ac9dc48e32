//! What the writer says to the store, all of a round in one.
//!
//! Each value is bound by itself: to read rows out of JSON cost the store more than to keep them, and everybody waits for
//! that. A statement is of as many rows as the next power of two, the last of them blank: so there are few texts, and the
//! store has those of common sizes prepared.

use super::error::Error;
use super::intent::Due;
use crate::model::{ProgramName, TransactionName};
use serde_json::Value;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Sqlite, Transaction};
use std::borrow::Cow;

pub(super) type Asked = Query<'static, Sqlite, SqliteArguments>;

/// Rows of one statement: none has room for more than 32,766 values.
const MOST: usize = 512;
/// Rows of a round: those with more are seldom met, and what is prepared of them is a megabyte. One write may mark several
/// documents.
const PREPARED: usize = 512;

/// Until the first question `next_try` is when it became unknown; what is parked waits for somebody who has to know what
/// it was. With `+` the state is no way to a row: by its index each of these would be held against every write that M3 is
/// at.
pub(super) const SETTLE: &str = "WITH j (id, state, outcome, reason, at) AS (SELECT *, ? FROM ({rows}))
     UPDATE intents SET state = j.state, outcome = j.outcome,
        next_try = CASE j.state WHEN 'unknown' THEN j.at ELSE 0 END,
        settled = CASE WHEN j.state IN ('unknown', 'parked') THEN NULL ELSE j.at END,
        fields = CASE WHEN j.state IN ('unknown', 'parked') THEN fields ELSE '[]' END,
        told = CASE WHEN j.state IN ('unknown', 'parked') THEN told ELSE '[]' END,
        reason = coalesce(j.reason, intents.reason)
     FROM j WHERE intents.id = j.id AND +intents.state IN ('open', 'unknown', 'parked')";

/// A document's next reading tells of all that marked it until then. One that a delete made due stays so, whichever of two
/// writes was settled first: a record that is there is told as it is all the same. What was seen before a delete stands in
/// its intent; what was not there to be deleted is told to nobody, unless it was told of before. With it stand the bulk
/// calls that marked it, the last of them: while one of those runs it is left alone.
pub(super) const MARK: &str =
    "WITH j (intent, noun, verb, record, deletes, by_division, absent, at) AS (SELECT *, ? FROM ({rows}))
     INSERT INTO documents (noun, verb, company, record, division, deletes, before, cause, since, last, bulks)
     SELECT noun, verb, company, record, division, deletes, before, name, at, at, bulks FROM
        (SELECT j.noun, j.verb, i.company,
            CASE j.by_division WHEN 1 THEN json_insert(j.record, '$[#]', i.division) ELSE j.record END AS record,
            i.division, j.deletes, j.absent, i.name, j.at,
            CASE WHEN i.bulk IS NOT NULL THEN json_array(i.bulk) END AS bulks,
            CASE j.deletes WHEN 1 THEN (SELECT t.value->>'before' FROM json_each(i.told) t
                WHERE t.value->>'noun' = j.noun AND t.value->>'verb' = j.verb) END AS before
         FROM j JOIN intents i ON i.id = j.intent) m
     WHERE m.absent = 0 OR EXISTS (SELECT 1 FROM documents d WHERE (d.noun, d.verb, d.company, d.record) =
        (m.noun, m.verb, m.company, m.record) AND (d.variation > 0 OR d.since IS NOT NULL))
     ON CONFLICT (noun, verb, company, record) DO UPDATE SET marks = marks + 1, division = excluded.division,
        deletes = CASE WHEN since IS NULL THEN excluded.deletes ELSE max(deletes, excluded.deletes) END,
        before = coalesce(excluded.before, CASE WHEN since IS NULL THEN NULL ELSE before END),
        cause = excluded.cause, since = coalesce(since, excluded.since), last = excluded.last,
        tries = 0, next_try = 0, parked = 0, reason = NULL,
        bulks = CASE WHEN since IS NULL OR bulks IS NULL THEN excluded.bulks
            WHEN excluded.bulks IS NULL OR instr(bulks, excluded.bulks->>0) > 0 THEN bulks
            WHEN json_array_length(bulks) < 64 THEN json_insert(bulks, '$[#]', excluded.bulks->>0)
            ELSE json_insert(json_remove(bulks, '$[0]'), '$[#]', excluded.bulks->>0) END";

/// Each of the writes that marked a document is found by it.
pub(super) const TELL: &str = "WITH j (intent, noun, verb, record, by_division) AS ({rows})
     INSERT INTO told (intent, document, marks)
     SELECT i.id, d.id, d.marks FROM j JOIN intents i ON i.id = j.intent
        JOIN documents d ON d.noun = j.noun AND d.verb = j.verb AND d.company = i.company AND d.record =
            CASE j.by_division WHEN 1 THEN json_insert(j.record, '$[#]', i.division) ELSE j.record END
     WHERE true ON CONFLICT (intent, document) DO UPDATE SET marks = excluded.marks";

/// Of ids. Before others are opened: their keys are free again.
const WITHDRAW: &str = "DELETE FROM intents WHERE id IN (SELECT value FROM json_each(?))";

const OPEN: &str =
    "INSERT INTO intents (opened, state, id, name, issuer, client, idem_key, ordinal, fingerprint, m3_user,
        program, transaction_name, company, division, fields, whole, told, bulk)
     SELECT ?, 'open', * FROM ({rows}) AS j WHERE j.column1 IS NOT NULL ON CONFLICT DO NOTHING";

/// What is bound for one row.
pub(super) trait Row {
    const VALUES: usize;
    fn bind(&self, asked: Asked) -> Asked;
}

/// What became of a write.
pub(super) struct Settlement {
    pub(super) intent: i64,
    pub(super) state: &'static str,
    pub(super) outcome: Option<String>,
    pub(super) reason: Option<Cow<'static, str>>,
}

impl Settlement {
    pub(super) fn new(intent: i64, state: &'static str, outcome: Option<String>) -> Self {
        Self { intent, state, outcome, reason: None }
    }
}

impl Row for Settlement {
    const VALUES: usize = 4;

    fn bind(&self, asked: Asked) -> Asked {
        asked
            .bind(self.intent)
            .bind(self.state)
            .bind(self.outcome.clone())
            .bind(self.reason.as_deref().map(str::to_owned))
    }
}

/// A document that is due.
pub(super) struct Mark<'a> {
    pub(super) intent: i64,
    pub(super) due: &'a Due,
    pub(super) record: String,
}

impl Row for Mark<'_> {
    const VALUES: usize = 7;

    fn bind(&self, asked: Asked) -> Asked {
        let Due { deletes, by_division, absent, .. } = *self.due;
        let asked = asked.bind(self.intent).bind(self.due.noun.clone()).bind(self.due.verb.clone());
        asked.bind(self.record.clone()).bind(i64::from(deletes)).bind(i64::from(by_division)).bind(i64::from(absent))
    }
}

/// The same, for whoever looks for the documents of a write.
struct Told<'a>(&'a Mark<'a>);

impl Row for Told<'_> {
    const VALUES: usize = 5;

    fn bind(&self, asked: Asked) -> Asked {
        let Mark { intent, due, record } = self.0;
        let asked = asked.bind(*intent).bind(due.noun.clone()).bind(due.verb.clone());
        asked.bind(record.clone()).bind(i64::from(due.by_division))
    }
}

/// A write that is about to happen.
pub(super) struct Line {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) issuer: String,
    pub(super) client: String,
    pub(super) key: Option<String>,
    pub(super) ordinal: u32,
    pub(super) fingerprint: Option<String>,
    pub(super) user: String,
    pub(super) program: ProgramName,
    pub(super) transaction: TransactionName,
    pub(super) company: u16,
    pub(super) division: String,
    pub(super) fields: String,
    pub(super) whole: bool,
    pub(super) told: String,
    pub(super) bulk: Option<String>,
}

impl Row for Line {
    const VALUES: usize = 16;

    fn bind(&self, asked: Asked) -> Asked {
        asked
            .bind(self.id)
            .bind(self.name.clone())
            .bind(self.issuer.clone())
            .bind(self.client.clone())
            .bind(self.key.clone())
            .bind(self.ordinal)
            .bind(self.fingerprint.clone())
            .bind(self.user.clone())
            .bind(self.program.to_string())
            .bind(self.transaction.to_string())
            .bind(self.company)
            .bind(self.division.clone())
            .bind(self.fields.clone())
            .bind(self.whole)
            .bind(self.told.clone())
            .bind(self.bulk.clone())
    }
}

/// All that a round writes of intents without keys and of documents without entries.
#[derive(Default)]
pub(super) struct Round<'a> {
    pub(super) at: i64,
    pub(super) marks: Vec<Mark<'a>>,
    pub(super) settled: Vec<Settlement>,
    pub(super) withdrawn: Vec<i64>,
    pub(super) opened: &'a [Line],
}

impl Round<'_> {
    /// For one more write, which marks so many documents.
    pub(super) fn has_room(&self, marks: usize) -> bool {
        self.settled.len() < MOST && (self.marks.is_empty() || self.marks.len() + marks <= MOST)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.marks.is_empty() && self.settled.is_empty() && self.withdrawn.is_empty() && self.opened.is_empty()
    }

    /// A transaction in one text: each order to the store is a way to its thread and back.
    pub(super) fn whole(&self) -> Asked {
        self.asked(&format!("BEGIN IMMEDIATE;{};COMMIT", self.text()))
    }

    /// In a transaction in which more is said.
    pub(super) async fn within(&self, write: &mut Transaction<'static, Sqlite>) -> Result<(), Error> {
        if !self.is_empty() {
            self.asked(&self.text()).execute(&mut **write).await?;
        }
        Ok(())
    }

    fn text(&self) -> String {
        let parts = [
            (MARK, self.marks.len(), Mark::VALUES),
            (TELL, self.marks.len(), Told::VALUES),
            (SETTLE, self.settled.len(), Settlement::VALUES),
            (WITHDRAW, usize::from(!self.withdrawn.is_empty()), 1),
            (OPEN, self.opened.len(), Line::VALUES),
        ];
        let parts = parts.into_iter().filter(|(_, rows, _)| *rows > 0);
        parts.map(|(statement, rows, values)| filled(statement, rows, values)).collect::<Vec<_>>().join(";")
    }

    fn asked(&self, text: &str) -> Asked {
        let rows = self.marks.len() + self.settled.len() + self.opened.len();
        let mut asked = sqlx::query(AssertSqlSafe(text)).persistent(rows <= PREPARED);
        if !self.marks.is_empty() {
            asked = bound(asked.bind(self.at), &self.marks);
            asked = bound(asked, &self.marks.iter().map(Told).collect::<Vec<_>>());
        }
        if !self.settled.is_empty() {
            asked = bound(asked.bind(self.at), &self.settled);
        }
        if !self.withdrawn.is_empty() {
            asked = asked.bind(Value::from(self.withdrawn.clone()).to_string());
        }
        if !self.opened.is_empty() {
            asked = bound(asked.bind(self.at), self.opened);
        }
        asked
    }
}

/// What is known of an intent, whose documents are marked: what the call said, and what was seen before it, is needed no
/// longer.
pub(super) async fn settle(
    write: &mut Transaction<'static, Sqlite>,
    settlement: Settlement,
    at: i64,
) -> Result<(), Error> {
    Round { at, settled: vec![settlement], ..Round::default() }.within(write).await
}

/// The statement with room for so many rows.
pub(super) fn filled(statement: &str, rows: usize, values: usize) -> String {
    let row = format!("({})", vec!["?"; values].join(","));
    statement.replace("{rows}", &format!("VALUES {}", vec![row; rows.next_power_of_two()].join(",")))
}

fn bound<T: Row>(mut asked: Asked, rows: &[T]) -> Asked {
    for row in rows {
        asked = row.bind(asked);
    }
    let blank = (rows.len().next_power_of_two() - rows.len()) * T::VALUES;
    for _ in 0..blank {
        asked = asked.bind(None::<i64>);
    }
    asked
}
