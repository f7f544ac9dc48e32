//! What the relay reads and writes of messages: where each stands on its way to each point.
//!
//! Invariant: of one record one message at a time is on its way to one point, the oldest first, whatever their verbs. What
//! is left alone for its kind holds up no other kind.

use super::answers::change;
use super::error::Error;
use super::ledger::{Ledger, millis, until};
use super::message::{Attempt, Delivery, Kept, Made};
use super::seal::Seal;
use super::state::State;
use super::writer::now;
use futures_util::TryStreamExt;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, SqliteConnection, Transaction};
use std::collections::HashMap;
use std::time::Duration;

/// How much may be taken at once.
#[derive(Debug, Clone, Default)]
pub struct Room {
    pub most: usize,
    pub bytes: usize,
    /// It shows whether the point is back: with what was never tried, else with what was tried longest ago, so that one
    /// which nobody takes does not hold up that question.
    pub probe: bool,
    /// Kinds (`Sync.ItemMaster`) that are left alone; and of them those of which one shows whether they are taken now.
    pub held: Vec<String>,
    pub probes: Vec<String>,
}

/// Between two questions a wait may have ended.
const JUST_NOW: Duration = Duration::from_millis(200);

macro_rules! heads {
    ($what:literal, $index:literal, $when:literal, $kinds:literal, $order:literal) => {
        concat!(
            "SELECT ",
            $what,
            " FROM deliveries d INDEXED BY ",
            $index,
            " JOIN messages m ON m.id = d.message WHERE d.point = ?1 AND d.state IN ('pending', 'replayed', 'sent') AND d.next_try ",
            $when,
            " ?2 AND d.record NOT IN (SELECT value FROM json_each(?3))
             AND NOT EXISTS (SELECT 1 FROM deliveries o JOIN messages k ON k.id = o.message
                WHERE o.point = d.point AND o.record = d.record AND o.message < d.message
                AND o.state IN ('pending', 'replayed', 'sent') AND (o.document = d.document
                    OR k.verb || '.' || k.noun NOT IN (SELECT value FROM json_each(?4))))
             AND m.verb || '.' || m.noun ",
            $kinds,
            " ORDER BY ",
            $order
        )
    };
}

macro_rules! messages {
    ($index:literal, $kinds:literal, $order:literal) => {
        heads!("d.message, d.record, d.tries, m.*", $index, "<=", $kinds, $order)
    };
}

/// Kinds that something waits of, each found by the one before it: what is held is not looked through for what is not.
pub(super) const KINDS: &str = "WITH RECURSIVE kinds (kind) AS (
        SELECT (SELECT min(kind) FROM deliveries INDEXED BY deliveries_of_kind
            WHERE point = ?1 AND state IN ('pending', 'replayed', 'sent'))
        UNION ALL SELECT (SELECT min(kind) FROM deliveries INDEXED BY deliveries_of_kind
            WHERE point = ?1 AND state IN ('pending', 'replayed', 'sent') AND kind > kinds.kind)
        FROM kinds WHERE kind IS NOT NULL)
    SELECT kind FROM kinds WHERE kind IS NOT NULL AND kind NOT IN (SELECT value FROM json_each(?2))";

pub(super) const WAITING: &str =
    messages!("deliveries_in_order", "NOT IN (SELECT value FROM json_each(?4))", "d.message LIMIT ?5");
pub(super) const PROBE: &str =
    messages!("deliveries_next", "NOT IN (SELECT value FROM json_each(?4))", "d.next_try LIMIT ?5");
pub(super) const OF_KIND: &str = messages!("deliveries_next", "= ?6", "d.next_try LIMIT ?5");
pub(super) const IN_ORDER: &str = messages!("deliveries_of_kind", "IS NOT NULL AND d.kind = ?6", "d.message LIMIT ?5");
pub(super) const NEXT: &str =
    heads!("d.next_try", "deliveries_next", ">", "NOT IN (SELECT value FROM json_each(?4))", "d.next_try LIMIT 1");
impl Ledger {
    /// Writes down what came of attempts, and takes what may go to this point now: the oldest waiting message of each
    /// record, none of `busy`; neither `most` nor `bytes` is gone beyond by more than one, not counting the probes, and it
    /// is said whether there may be more. All in one commit, so that who is answered before he knows it finds it sent.
    pub async fn turn(
        &self,
        point: &str,
        ended: &[Attempt],
        busy: &[i64],
        room: &Room,
    ) -> Result<(Vec<Delivery>, bool), Error> {
        // Whoever only looks keeps nobody from writing.
        if ended.is_empty() {
            let one = Room { most: room.most.min(1), bytes: 0, ..room.clone() };
            let mut read = self.store.read().acquire().await?;
            let seen = taken(&mut read, &self.seal, point, busy, &one).await?;
            if seen.found.is_empty() && seen.unread.is_empty() {
                return Ok((Vec::new(), false));
            }
        }
        let mut write = self.store.write().await?;
        tried(&mut write, point, ended).await?;
        let Taken { found, unread, more } = taken(&mut write, &self.seal, point, busy, room).await?;
        // It holds up nobody: neither those behind it nor a place in a look.
        for (message, why) in &unread {
            change(&mut write, *message, point, State::Parked, why).await?;
        }
        if !found.is_empty() {
            let ids: Vec<i64> = found.iter().map(|one| one.kept.id).collect();
            sqlx::query(
                "UPDATE deliveries SET state = 'sent', sent = coalesce(sent, ?1), changed = ?1
                 WHERE point = ?2 AND message IN (SELECT value FROM json_each(?3))",
            )
            .bind(now())
            .bind(point)
            .bind(json!(ids).to_string())
            .execute(&mut *write)
            .await?;
        }
        write.commit().await?;
        Ok((found, more || !unread.is_empty()))
    }

    /// What may go to this point now.
    pub async fn pending(&self, point: &str, busy: &[i64], most: usize) -> Result<Vec<Delivery>, Error> {
        let room = Room { most, bytes: usize::MAX, ..Room::default() };
        Ok(self.turn(point, &[], busy, &room).await?.0)
    }

    /// What came of attempts.
    pub async fn attempted(&self, point: &str, attempts: &[Attempt]) -> Result<(), Error> {
        self.turn(point, attempts, &[], &Room::default()).await.map(drop)
    }

    /// How long until something more may go to this point, now that all that may go is under way: `None` while nothing
    /// waits. What waits behind an older message of its record may not go before that one.
    pub async fn until_pending(&self, point: &str, busy: &[i64]) -> Result<Option<Duration>, Error> {
        let at: Option<(i64,)> = sqlx::query_as(NEXT)
            .bind(point)
            .bind(now().saturating_sub(millis(JUST_NOW)))
            .bind(json!(busy).to_string())
            .bind("[]")
            .fetch_optional(self.store.read())
            .await?;
        Ok(at.map(|(at,)| until(at)))
    }
}

/// What came of attempts, in one statement for all of them.
async fn tried(write: &mut Transaction<'static, Sqlite>, point: &str, attempts: &[Attempt]) -> Result<(), Error> {
    if attempts.is_empty() {
        return Ok(());
    }
    let at = now();
    let ids: Vec<i64> = attempts.iter().map(|attempt| attempt.message).collect();
    let before: Vec<(i64, String)> = sqlx::query_as(
        "SELECT message, state FROM deliveries WHERE point = ? AND message IN (SELECT value FROM json_each(?))",
    )
    .bind(point)
    .bind(json!(ids).to_string())
    .fetch_all(&mut **write)
    .await?;
    let before: HashMap<i64, String> = before.into_iter().collect();
    let mut rows = Vec::new();
    for attempt in attempts {
        // Taken out meanwhile: there is nothing to tell any more.
        let Some(before) = before.get(&attempt.message) else { continue };
        let before = State::parse(before).ok_or(Error::Damaged("state"))?;
        let after = attempt.state.attempted().and_then(|change| before.after(change));
        let arrived = attempt.state == State::Delivered;
        let answer_by = attempt.answer_within.filter(|_| after == Some(State::Delivered));
        rows.push(json!([
            attempt.message,
            after.unwrap_or(before).as_str(),
            i64::from(after.is_some()),
            at.saturating_add(millis(attempt.wait)),
            answer_by.map(|within| at.saturating_add(millis(within))),
            i64::from(arrived),
            attempt.words,
            millis(attempt.took),
            attempt.state.as_str(),
            i64::from(attempt.counts),
        ]));
    }
    let rows = Value::from(rows).to_string();
    // An answer that came first, or an operator, has said what it is now; what was tried is kept all the same.
    sqlx::query(
        "UPDATE deliveries SET state = j.value->>1, tries = tries + j.value->>9,
            next_try = CASE j.value->>2 WHEN 1 THEN j.value->>3 ELSE next_try END,
            changed = CASE j.value->>2 WHEN 1 THEN ?1 ELSE changed END,
            answer_by = CASE j.value->>2 WHEN 1 THEN j.value->>4 ELSE answer_by END,
            reference = CASE WHEN j.value->>5 = 1 THEN j.value->>6 WHEN j.value->>2 = 1 THEN NULL ELSE reference END,
            reason = CASE WHEN j.value->>2 = 0 THEN reason WHEN j.value->>5 = 1 THEN NULL ELSE j.value->>6 END
         FROM json_each(?2) AS j WHERE deliveries.message = j.value->>0 AND deliveries.point = ?3",
    )
    .bind(at)
    .bind(rows.clone())
    .bind(point)
    .execute(&mut **write)
    .await?;
    sqlx::query(
        "INSERT INTO attempts (message, point, at, took_ms, arrived, words, state)
         SELECT value->>0, ?1, ?2, value->>7, value->>5, value->>6, value->>8 FROM json_each(?3)",
    )
    .bind(point)
    .bind(at)
    .bind(rows)
    .execute(&mut **write)
    .await?;
    Ok(())
}

/// What a look gives.
#[derive(Default)]
struct Taken {
    found: Vec<Delivery>,
    /// Messages that can't be read, and why.
    unread: Vec<(i64, String)>,
    /// There may be more.
    more: bool,
}

/// What may go now, as far as there is room, and of each kind that is asked for by itself one.
async fn taken(
    from: &mut SqliteConnection,
    seal: &Seal,
    point: &str,
    busy: &[i64],
    room: &Room,
) -> Result<Taken, Error> {
    let mut taken = Taken::default();
    let mut busy = busy.to_vec();
    if room.most > 0 && !room.probe && !room.held.is_empty() {
        taken = beside(from, seal, point, &busy, room).await?;
    } else if room.most > 0 {
        let query = if room.probe { PROBE } else { WAITING };
        let all = (room.most, room.bytes);
        taken = waiting(from, seal, (query, ""), point, (&busy, &room.held), all).await?;
    }
    // Whether the point is back is asked by one message alone.
    let alone = room.probe && !taken.found.is_empty();
    for kind in room.probes.iter().filter(|_| !alone) {
        busy.extend(taken.found.iter().map(|one| one.record));
        let one = waiting(from, seal, (OF_KIND, kind), point, (&busy, &room.held), (1, 0)).await?;
        taken.found.extend(one.found);
        taken.unread.extend(one.unread);
    }
    Ok(taken)
}

/// Beside kinds that are left alone: of each other one what may go, and of all of these the oldest.
async fn beside(
    from: &mut SqliteConnection,
    seal: &Seal,
    point: &str,
    busy: &[i64],
    room: &Room,
) -> Result<Taken, Error> {
    let kinds = sqlx::query_as(KINDS).bind(point.to_owned()).bind(json!(room.held).to_string());
    let kinds: Vec<(String,)> = kinds.fetch_all(&mut *from).await?;
    let mut taken = Taken::default();
    for (kind,) in &kinds {
        let all = (room.most, room.bytes);
        let one = waiting(from, seal, (IN_ORDER, kind), point, (busy, &room.held), all).await?;
        taken.found.extend(one.found);
        taken.unread.extend(one.unread);
        taken.more |= one.more;
    }
    taken.found.sort_by_key(|one| one.kept.id);
    let mut weight = 0;
    let fits = taken.found.iter().take(room.most).take_while(|one| {
        let room = weight < room.bytes.max(1);
        weight += one.kept.made.xml.len();
        room
    });
    let many = fits.count();
    taken.more |= many < taken.found.len();
    taken.found.truncate(many);
    Ok(taken)
}

/// The oldest waiting message of each record that is not busy, as far as it may go now.
async fn waiting(
    from: &mut SqliteConnection,
    seal: &Seal,
    (query, kind): (&'static str, &str),
    point: &str,
    (busy, held): (&[i64], &[String]),
    (most, bytes): (usize, usize),
) -> Result<Taken, Error> {
    let query = sqlx::query(query).bind(point.to_owned()).bind(now()).bind(json!(busy).to_string());
    let query = query.bind(json!(held).to_string()).bind(i64::try_from(most).unwrap_or(i64::MAX));
    let query = if kind.is_empty() { query } else { query.bind(kind.to_owned()) };
    let mut rows = query.fetch(from);
    let (mut taken, mut weight) = (Taken::default(), 0);
    while let Some(row) = rows.try_next().await? {
        let delivery = match delivery(&row, seal) {
            Ok(delivery) => delivery,
            Err(error @ (Error::Damaged(_) | Error::Sealed { .. })) => {
                let id: i64 = row.try_get("message")?;
                tracing::error!(%error, point, message = id, "a message can't be read, and is parked");
                taken.unread.push((id, error.to_string()));
                continue;
            }
            Err(error) => return Err(error),
        };
        weight += delivery.kept.made.xml.len();
        taken.found.push(delivery);
        if weight >= bytes {
            taken.more = true;
            return Ok(taken);
        }
    }
    taken.more = taken.found.len() >= most;
    Ok(taken)
}

fn delivery(row: &SqliteRow, seal: &Seal) -> Result<Delivery, Error> {
    let text = |name: &str| row.try_get::<String, _>(name);
    let bod_id = text("bod_id")?;
    let xml = seal.open(("xml", &bod_id), text("xml")?)?;
    Ok(Delivery {
        record: row.try_get("record")?,
        tries: row.try_get("tries")?,
        kept: Kept {
            id: row.try_get("message")?,
            noun: text("noun")?,
            verb: text("verb")?,
            company: text("company")?,
            cause: text("cause")?,
            made_at: row.try_get("made")?,
            made: Made {
                bod_id,
                action: text("action")?,
                variation: row.try_get::<i64, _>("variation")?.cast_unsigned(),
                tenant: text("tenant")?,
                lid: text("lid")?,
                division: text("division")?,
                entity: text("entity")?,
                location: text("location")?,
                document_id: text("document_id")?,
                created: text("created")?,
                xml,
            },
        },
    })
}
