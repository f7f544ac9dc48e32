//! Batch entries: what was entered under a batch, and what becomes of it when it is handed over.
//!
//! Invariant: no document is due of a record that M3 has not created; what was handed over is watched, or shown as
//! something that nobody watches.

use super::error::Error;
use super::intent::{Due, Entry, EntryKind};
use super::round::{Mark, Round};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

const NOTHING: &str = "it was handed over, and nothing that was entered under it is known here: see in M3 what came of it, and resolve it \
     with the key of each record, or drop it";
/// What M3 gives no number yet.
const UNNAMED: &str = "[]";

/// What became of these writes' documents: marked as due, entered, or watched from now on.
pub(super) async fn tell(write: &mut Transaction<'static, Sqlite>, due: &[(i64, &Due)], at: i64) -> Result<(), Error> {
    Round { at, marks: marks(due), ..Round::default() }.within(write).await?;
    enter(write, due, at).await
}

/// The documents that are due at once: of no batch, and with a name for their record.
pub(super) fn marks<'a>(due: &[(i64, &'a Due)]) -> Vec<Mark<'a>> {
    let at_once = due.iter().filter(|(_, due)| due.entry.is_none());
    at_once.filter_map(|(intent, due)| Some(Mark { intent: *intent, due, record: due.record()? })).collect()
}

/// What is entered under a batch, and what is handed over with one.
pub(super) async fn enter(write: &mut Transaction<'static, Sqlite>, due: &[(i64, &Due)], at: i64) -> Result<(), Error> {
    for (intent, due) in due {
        let Some(entry) = &due.entry else { continue };
        match entry.kind {
            EntryKind::Enters => keep(write, *intent, due, entry, at).await?,
            EntryKind::HandsOver => hand_over(write, *intent, due, entry, at).await?,
            EntryKind::Confirms => confirm(write, *intent, due, entry, at).await?,
        }
    }
    Ok(())
}

/// A batch that is worked on is kept whole, however long ago it was begun: the newest of it says how old it is.
async fn keep(
    write: &mut Transaction<'static, Sqlite>,
    intent: i64,
    due: &Due,
    entry: &Entry,
    at: i64,
) -> Result<(), Error> {
    let Some(record) = due.record().filter(|_| !entry.batch.is_empty()) else { return Ok(()) };
    let part = entry.part.as_ref().and_then(|(_, number)| number.clone()).unwrap_or_default();
    for statement in [
        "INSERT INTO entries (noun, company, batch, record, part, at)
         SELECT ?1, company, ?2, ?3, ?6, ?4 FROM intents WHERE id = ?5
         ON CONFLICT (noun, company, batch, record, part) DO UPDATE SET at = excluded.at",
        // It was entered before the batch was handed over, and nobody knew.
        "INSERT INTO watches (noun, company, division, call, batch, record, asked, parts, cause, since, state, next_try)
         SELECT h.noun, h.company, h.division, h.call, h.batch, ?3, ?3,
            CASE ?6 WHEN '' THEN '[]' ELSE json_array(?6) END, i.name, ?4, 'watched', ?4
         FROM intents i JOIN handed h ON (h.noun, h.company, h.batch) = (?1, i.company, ?2)
         WHERE i.id = ?5 AND i.opened <= h.at
         ON CONFLICT (noun, company, batch, record) DO UPDATE SET since = excluded.since, state = 'watched', tries = 0,
            next_try = excluded.next_try, reason = NULL, parts = (SELECT json_group_array(value) FROM
                (SELECT value FROM json_each(watches.parts) UNION SELECT value FROM json_each(excluded.parts)))",
        "DELETE FROM watches WHERE noun = ?1 AND batch = ?2 AND record = '[]' AND state = 'expired' AND company =
            (SELECT company FROM intents WHERE id = ?5) AND EXISTS (SELECT 1 FROM watches w WHERE w.noun = ?1
                AND w.batch = ?2 AND w.company = watches.company AND w.record = ?3)",
    ] {
        sqlx::query(statement)
            .bind(due.noun.clone())
            .bind(entry.batch.clone())
            .bind(record.clone())
            .bind(at)
            .bind(intent)
            .bind(part.clone())
            .execute(&mut **write)
            .await?;
    }
    Ok(())
}

/// Handed over again it is watched anew. A batch of which nothing is known here is shown: somebody else entered it, or it
/// was entered too long ago.
async fn hand_over(
    write: &mut Transaction<'static, Sqlite>,
    intent: i64,
    due: &Due,
    entry: &Entry,
    at: i64,
) -> Result<(), Error> {
    const WATCH: &str =
        "INSERT INTO watches (noun, company, division, call, batch, record, asked, parts, cause, since, state, next_try)
         SELECT e.noun, e.company, i.division, ?3, e.batch, e.record, e.record,
            json_group_array(e.part) FILTER (WHERE e.part <> ''), i.name, ?4, 'watched', ?4
         FROM intents i JOIN entries e ON e.company = i.company AND e.noun = ?1 AND e.batch = ?2
         WHERE i.id = ?5 GROUP BY e.record
         ON CONFLICT (noun, company, batch, record) DO UPDATE SET parts = excluded.parts, since = excluded.since,
            state = 'watched', tries = 0, next_try = excluded.next_try, reason = NULL, cause = excluded.cause";
    const SHOW: &str =
        "INSERT INTO watches (noun, company, division, call, batch, record, asked, cause, since, state, next_try, reason, names)
         SELECT ?1, company, division, ?3, ?2, '[]', '[]', name, ?4, 'expired', ?4, ?6, ?7 FROM intents WHERE id = ?5
         ON CONFLICT (noun, company, batch, record) DO UPDATE SET names = excluded.names";
    let query = |statement: &'static str| {
        let query = sqlx::query(statement).bind(due.noun.clone()).bind(entry.batch.clone());
        query.bind(entry.call.clone()).bind(at).bind(intent)
    };
    const HANDED: &str = "INSERT INTO handed (noun, company, batch, call, division, cause, at)
         SELECT ?1, company, ?2, ?3, division, name, ?4 FROM intents WHERE id = ?5
         ON CONFLICT (noun, company, batch) DO UPDATE SET call = excluded.call, division = excluded.division,
            cause = excluded.cause, at = excluded.at";
    query(HANDED).execute(&mut **write).await?;
    if query(WATCH).execute(&mut **write).await?.rows_affected() == 0 {
        tracing::warn!(
            noun = due.noun,
            batch = entry.batch,
            call = entry.call,
            "a batch was handed over of which nothing is known here: no document tells of it"
        );
        query(SHOW).bind(NOTHING).bind(json!(entry.names).to_string()).execute(&mut **write).await?;
    }
    Ok(())
}

/// One record, and one watch, however often it is handed over.
async fn confirm(
    write: &mut Transaction<'static, Sqlite>,
    intent: i64,
    due: &Due,
    entry: &Entry,
    at: i64,
) -> Result<(), Error> {
    let names: Vec<&str> = due.key.iter().map(|(name, _)| name.as_str()).collect();
    for statement in [
        "DELETE FROM watches WHERE noun = ?1 AND batch = ?2 AND company = (SELECT company FROM intents WHERE id = ?5)",
        "INSERT INTO watches (noun, company, division, call, batch, record, asked, names, cause, since, state, next_try)
         SELECT ?1, company, division, ?3, ?2, ?6, json_array(?2), ?7, name, ?4, 'watched', ?4 FROM intents WHERE id = ?5",
    ] {
        sqlx::query(statement)
            .bind(due.noun.clone())
            .bind(entry.batch.clone())
            .bind(entry.call.clone())
            .bind(at)
            .bind(intent)
            .bind(due.record().unwrap_or_else(|| UNNAMED.to_owned()))
            .bind(json!(names).to_string())
            .execute(&mut **write)
            .await?;
    }
    Ok(())
}

/// As people see it.
pub(super) fn shown(row: &SqliteRow, time: impl Fn(i64) -> String) -> Result<Value, Error> {
    let text = |name: &str| row.try_get::<String, _>(name);
    let key: Value = serde_json::from_str(&text("record")?).unwrap_or(Value::Null);
    Ok(json!({
        "kind": "entry", "id": format!("entry:{}", row.try_get::<i64, _>("id")?), "state": text("state")?,
        "document": format!("Sync.{}", text("noun")?), "call": text("call")?, "batch": text("batch")?, "key": key,
        "company": row.try_get::<i64, _>("company")?, "since": time(row.try_get("since")?),
        "reason": row.try_get::<Option<String>, _>("reason")?,
    }))
}
