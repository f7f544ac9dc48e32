//! Which documents are to be made now: those that waited long enough, beside what is left alone.
//!
//! Invariant: what is left alone costs others nothing, however much of it there is.

use super::bulks::LONGEST;
use super::due::{DAMAGED, DueDocument, due_document};
use super::error::Error;
use super::ledger::{Ledger, millis, until};
use super::writer::now;
use serde_json::json;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use std::collections::HashSet;
use std::time::Duration;

/// What is left alone.
#[derive(Debug, Clone, Default)]
pub struct Held {
    /// What fails by itself, each as `company/noun`: all of it, and of it what one may be asked for now.
    pub held: Vec<String>,
    pub probes: Vec<String>,
    /// Bulk calls that run: what they wrote is told when they are over.
    pub bulks: Vec<String>,
}

/// Of those that waited longest, so many are asked when the next one is due: a look is never long.
const SOONEST: i64 = 1_000;

/// Of every kind, or of one: each by its own index, so that nobody looks through what is left alone.
macro_rules! due {
    ($index:literal, $of:literal) => {
        concat!(
            "SELECT d.*, (SELECT max(r.variation) FROM documents r WHERE r.noun = d.noun
                AND r.verb IN ('Process', 'Sync', d.verb) AND r.company = d.company AND r.record = d.record) AS newest
             FROM documents d INDEXED BY ",
            $index,
            " WHERE since IS NOT NULL AND parked = 0 AND next_try <= ?1
                AND (last <= ?2 OR since <= ?3) AND (d.bulks IS NULL OR since <= ?5 OR NOT EXISTS (SELECT 1 FROM json_each(d.bulks)
                    WHERE value IN (SELECT value FROM json_each(?6)))) ",
            $of,
            " ORDER BY since, id LIMIT ?4"
        )
    };
}

macro_rules! until_due {
    ($index:literal, $of:literal) => {
        concat!(
            "SELECT min(max(next_try, min(last + ?1, since + ?2))) FROM
                (SELECT next_try, last, since FROM documents d INDEXED BY ",
            $index,
            " WHERE since IS NOT NULL AND parked = 0
                AND (d.bulks IS NULL OR since <= ?4 OR NOT EXISTS (SELECT 1 FROM json_each(d.bulks)
                    WHERE value IN (SELECT value FROM json_each(?5)))) ",
            $of,
            " ORDER BY since LIMIT ?3)"
        )
    };
}

pub(super) const DUE: &str = due!("documents_due", "");
pub(super) const DUE_OF: &str = due!("documents_due_of", "AND company || '/' || noun = ?7");
pub(super) const UNTIL_DUE: &str = until_due!("documents_due", "");
pub(super) const UNTIL_DUE_OF: &str = until_due!("documents_due_of", "AND company || '/' || noun = ?6");
/// Kinds, as `company/noun`, that something is due of, each found by the one before it.
pub(super) const DUE_KINDS: &str = "WITH RECURSIVE kinds (kind) AS (
        SELECT (SELECT min(company || '/' || noun) FROM documents INDEXED BY documents_due_of
            WHERE since IS NOT NULL AND parked = 0)
        UNION ALL SELECT (SELECT min(company || '/' || noun) FROM documents INDEXED BY documents_due_of
            WHERE since IS NOT NULL AND parked = 0 AND company || '/' || noun > kinds.kind)
        FROM kinds WHERE kind IS NOT NULL)
    SELECT kind FROM kinds WHERE kind IS NOT NULL AND kind NOT IN (SELECT value FROM json_each(?1))";

impl Ledger {
    /// Documents whose record has been left alone for `quiet`, or that have waited for `most_wait`.
    pub async fn due(&self, quiet: Duration, most_wait: Duration, most: u32) -> Result<Vec<DueDocument>, Error> {
        Ok(self.due_beside(quiet, most_wait, most, &Held::default()).await?.0)
    }

    /// As `due`, none of those that are held, and one of each that shows whether it is to be held any longer; and whether
    /// there may be more. Of one record one at a time: the next one is numbered when this one is kept.
    pub async fn due_beside(
        &self,
        quiet: Duration,
        most_wait: Duration,
        most: u32,
        beside: &Held,
    ) -> Result<(Vec<DueDocument>, bool), Error> {
        let found = async |of: Option<&String>, most: u32| {
            let query = sqlx::query(if of.is_some() { DUE_OF } else { DUE })
                .bind(now())
                .bind(now().saturating_sub(millis(quiet)))
                .bind(now().saturating_sub(millis(most_wait)))
                .bind(most)
                .bind(now().saturating_sub(millis(LONGEST)))
                .bind(json!(beside.bulks).to_string());
            let query = of.into_iter().fold(query, |query, kind| query.bind(kind.clone()));
            query.fetch_all(self.store.read()).await
        };
        // Of all kinds those that waited longest; however many kinds there are, no more is held than twice as much.
        let since = |row: &SqliteRow| [row.try_get::<i64, _>("since").ok(), row.try_get("id").ok()];
        let all = usize::try_from(most).unwrap_or(usize::MAX);
        let (mut rows, mut more) = (Vec::new(), false);
        for of in self.kinds_beside(&beside.held).await? {
            rows.extend(found(of.as_ref(), most).await?);
            rows.sort_by_cached_key(since);
            more |= rows.len() >= all;
            rows.truncate(all);
        }
        for of in &beside.probes {
            rows.extend(found(Some(of), 1).await?);
        }
        let mut documents = Vec::new();
        let mut taken = HashSet::new();
        for row in &rows {
            match due_document(row, &self.seal) {
                Ok(document) => {
                    if taken.insert(document.whose()) {
                        documents.push(document);
                    } else {
                        more = true;
                    }
                }
                // One that can't be read holds up none of the others.
                Err(error) => self.set_aside(DAMAGED, row, &error).await?,
            }
        }
        Ok((self.with_editions(documents).await?, more))
    }

    /// How long until a document is due that is not left alone: `None` while none waits.
    pub async fn until_due(
        &self,
        quiet: Duration,
        most_wait: Duration,
        beside: &Held,
    ) -> Result<Option<Duration>, Error> {
        let next = async |of: Option<&String>| -> Result<Option<i64>, Error> {
            let query = sqlx::query_as(if of.is_some() { UNTIL_DUE_OF } else { UNTIL_DUE })
                .bind(millis(quiet))
                .bind(millis(most_wait))
                .bind(SOONEST)
                .bind(now().saturating_sub(millis(LONGEST)))
                .bind(json!(beside.bulks).to_string());
            let query = of.into_iter().fold(query, |query, kind| query.bind(kind.clone()));
            let (at,) = query.fetch_one(self.store.read()).await?;
            Ok(at)
        };
        let mut first: Option<i64> = None;
        for of in self.kinds_beside(&beside.held).await? {
            first = first.into_iter().chain(next(of.as_ref()).await?).min();
        }
        Ok(first.map(until))
    }

    /// Kinds that something is due of, none of those that are held; `None`: every kind, where none is held.
    async fn kinds_beside(&self, held: &[String]) -> Result<Vec<Option<String>>, Error> {
        if held.is_empty() {
            return Ok(vec![None]);
        }
        let kinds = sqlx::query_as(DUE_KINDS).bind(json!(held).to_string());
        let kinds: Vec<(String,)> = kinds.fetch_all(self.store.read()).await?;
        Ok(kinds.into_iter().map(|(kind,)| Some(kind)).collect())
    }
}
