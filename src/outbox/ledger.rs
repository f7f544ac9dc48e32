//! What the relay reads and writes of intents: questions about unknown writes, and their answers.

use super::entries::tell;
use super::error::Error;
use super::evidence::is_taken;
use super::intent::{Due, Outcome};
use super::round::{Settlement, settle};
use super::seal::Seal;
use super::writer::now;
use crate::model::{Company, Division, Place, ProgramName, TransactionName};
use crate::store::Store;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, SqliteConnection, Transaction};
use std::time::Duration;

/// A clone reads and writes the same.
#[derive(Debug, Clone)]
pub struct Ledger {
    pub(super) store: Store,
    pub(super) seal: Seal,
}

/// A write of which nobody knows what became of it.
#[derive(Debug, Clone)]
pub struct Question {
    pub id: i64,
    pub name: String,
    pub program: ProgramName,
    pub transaction: TransactionName,
    pub place: Place,
    /// As whom it was made.
    pub user: String,
    pub fields: Vec<(String, String)>,
    /// All that was sent stands in `fields`.
    pub whole: bool,
    pub due: Vec<Due>,
    pub tries: u32,
    /// Milliseconds since 1970.
    pub opened: i64,
}

impl Question {
    /// How long ago its write was begun.
    pub fn age(&self) -> Duration {
        Duration::from_millis(u64::try_from(now() - self.opened).unwrap_or(0))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Committed,
    /// It was done: what M3 gave it as a number was found by a reference of the caller's, which stands in the field `by`.
    Found {
        number: (String, String),
        by: String,
    },
    Refused,
    /// Somebody has to decide. `state`: the documents are told all the same, for they are true whatever happened.
    Parked {
        why: String,
        state: bool,
    },
    /// `counts`: it is one of the tries that a question has.
    Later {
        why: String,
        wait: Duration,
        counts: bool,
    },
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The words of the index stand in it: a state that it holds is not recognised as one of them.
pub(super) const QUESTIONS: &str = "SELECT * FROM intents
    WHERE state IN ('open', 'unknown', 'parked') AND state = 'unknown' AND next_try <= ?1
        AND (tries > 0 OR next_try <= ?2) ORDER BY next_try LIMIT ?3";

pub(super) const UNTIL_ASKED: &str = "SELECT min(next_try + CASE tries WHEN 0 THEN ?1 ELSE 0 END) FROM
    (SELECT next_try, tries FROM intents WHERE state IN ('open', 'unknown', 'parked') AND state = 'unknown'
     ORDER BY next_try LIMIT ?2)";
const DOUBTFUL: &str = "a record has the caller's reference, and it may be another write's";
const DAMAGED: &str = "UPDATE intents SET state = 'parked', reason = ?1 WHERE id = ?2 AND state = 'unknown'";
/// No commit takes longer, in milliseconds.
const COMMITTED: i64 = 600_000;
/// Of those that were put off the least, so many are asked when the next one is due: a look is never long.
const SOONEST: i64 = 1_000;

pub(super) fn until(at: i64) -> Duration {
    Duration::from_millis(u64::try_from(at - now()).unwrap_or(0))
}

impl Ledger {
    /// As it is written down.
    pub(super) fn outcome(&self, intent: i64, outcome: &Outcome) -> Result<String, Error> {
        let text = serde_json::to_string(outcome).unwrap_or_default();
        Ok(self.seal.close(("outcome", &intent.to_string()), &text)?.into_owned())
    }

    /// Unknown writes that may be asked about now: none of those that M3 may still be at, for they became unknown less
    /// than `rest` ago.
    pub async fn questions(&self, rest: Duration, most: u32) -> Result<Vec<Question>, Error> {
        let rows = sqlx::query(QUESTIONS)
            .bind(now())
            .bind(now().saturating_sub(millis(rest)))
            .bind(most)
            .fetch_all(self.store.read())
            .await?;
        let mut questions = Vec::new();
        for row in &rows {
            match question(row, &self.seal) {
                Ok(question) => questions.push(question),
                Err(error) => self.set_aside(DAMAGED, row, &error).await?,
            }
        }
        Ok(questions)
    }

    /// How long until there is a question: `None` while every write is known.
    pub async fn until_asked(&self, rest: Duration) -> Result<Option<Duration>, Error> {
        let (at,): (Option<i64>,) =
            sqlx::query_as(UNTIL_ASKED).bind(millis(rest)).bind(SOONEST).fetch_one(self.store.read()).await?;
        Ok(at.map(until))
    }

    pub(super) async fn set_aside(&self, statement: &'static str, row: &SqliteRow, error: &Error) -> Result<(), Error> {
        let id: i64 = row.try_get("id")?;
        tracing::error!(%error, id, "it is parked");
        let mut write = self.store.write().await?;
        sqlx::query(statement).bind(error.to_string()).bind(id).execute(&mut *write).await?;
        Ok(write.commit().await?)
    }

    /// `due`: the documents that are to be made now.
    pub async fn answer(&self, question: &Question, verdict: &Verdict) -> Result<(), Error> {
        let at = now();
        let mut named = question.due.clone();
        let mut records = Vec::new();
        let mut verdict = verdict;
        let doubtful = Verdict::Parked { why: DOUBTFUL.to_owned(), state: false };
        if let Verdict::Found { number, .. } = verdict {
            let missing = named.iter_mut().flat_map(|due| &mut due.key).filter(|(_, value)| value.is_none());
            missing.filter(|(field, _)| *field == number.0).for_each(|(_, value)| *value = Some(number.1.clone()));
            records.push(vec![number.clone()]);
        }
        // All writes of a transaction are looked through while others write, and then those that were settled meanwhile.
        let taken = async |store: &mut SqliteConnection, since| match verdict {
            Verdict::Found { number, by } => is_taken((store, &self.seal), question, &named, (number, by), since).await,
            _ => Ok(false),
        };
        let before = taken(&mut *self.store.read().acquire().await?, i64::MIN).await?;
        let mut write = self.store.write().await?;
        if before || taken(&mut write, at.saturating_sub(COMMITTED)).await? {
            verdict = &doubtful;
        }
        // A state is true whatever happened; a request to do something is not, and waits until the write is proven.
        let proven = matches!(verdict, Verdict::Committed | Verdict::Found { .. });
        let marks = proven || matches!(verdict, Verdict::Parked { state: true, .. });
        let due = named.iter().filter(|due| marks && (proven || due.verb == "Sync"));
        let due: Vec<(i64, &Due)> = due.map(|due| (question.id, due)).collect();
        tell(&mut write, &due, at).await?;
        match verdict {
            Verdict::Committed | Verdict::Found { .. } => {
                let outcome = Outcome::Done { reported: true, records };
                let outcome = self.outcome(question.id, &outcome)?;
                // What became of it is known, and not to which record: nothing is told before somebody says so.
                let unnamed = unnamed(&named, verdict);
                if unnamed.is_some() {
                    found(&mut write, question.id, &named).await?;
                }
                let state = if unnamed.is_some() { "parked" } else { "committed" };
                let reason = unnamed.map(Into::into);
                let settlement = Settlement { intent: question.id, state, outcome: Some(outcome), reason };
                settle(&mut write, settlement, at).await?;
            }
            Verdict::Refused => {
                let message = "M3 did not do it: the record was read back".to_owned();
                let outcome = Outcome::Refused { message, id: String::new(), field: None };
                let outcome = self.outcome(question.id, &outcome)?;
                settle(&mut write, Settlement::new(question.id, "refused", Some(outcome)), at).await?;
            }
            Verdict::Parked { why, .. } => {
                sqlx::query("UPDATE intents SET state = 'parked', reason = ? WHERE id = ? AND state = 'unknown'")
                    .bind(why.clone())
                    .bind(question.id)
                    .execute(&mut *write)
                    .await?;
            }
            Verdict::Later { why, wait, counts } => {
                sqlx::query("UPDATE intents SET tries = tries + ?, next_try = ?, reason = ? WHERE id = ?")
                    .bind(i64::from(*counts))
                    .bind(at.saturating_add(millis(*wait)))
                    .bind(why.clone())
                    .bind(question.id)
                    .execute(&mut *write)
                    .await?;
            }
        }
        Ok(write.commit().await?)
    }
}

/// The part that was found is known from now on: whoever resolves it says the others.
async fn found(write: &mut Transaction<'static, Sqlite>, intent: i64, named: &[Due]) -> Result<(), Error> {
    sqlx::query("UPDATE intents SET told = ? WHERE id = ? AND state = 'unknown'")
        .bind(serde_json::to_string(named).map_err(|_| Error::Damaged("write"))?)
        .bind(intent)
        .execute(&mut **write)
        .await?;
    Ok(())
}

/// Why no document can tell of what was found: its name has parts that the number which was found does not give.
fn unnamed(due: &[Due], verdict: &Verdict) -> Option<String> {
    let Verdict::Found { number: (field, value), .. } = verdict else { return None };
    let lacking: Vec<&str> = due.iter().flat_map(Due::lacking).collect();
    (!lacking.is_empty()).then(|| {
        let names = lacking.join(", ");
        format!(
            "M3 did it, and has it as {field} {value}; the name of its document has {names}, which that does not give: \
             resolve it as committed with --key for each, and mend the [[reference]] or the [[write]] of its mapping"
        )
    })
}

fn question(row: &SqliteRow, seal: &Seal) -> Result<Question, Error> {
    let damaged = |_| Error::Damaged("write");
    let text = |name: &str| row.try_get::<String, _>(name);
    let id: i64 = row.try_get("id")?;
    let fields = seal.open(("fields", &id.to_string()), text("fields")?)?;
    Ok(Question {
        id,
        name: text("name")?,
        program: ProgramName::parse(&text("program")?).map_err(|_| Error::Damaged("program"))?,
        transaction: TransactionName::parse(&text("transaction_name")?).map_err(|_| Error::Damaged("transaction"))?,
        place: Place { company: company(row)?, division: division(&text("division")?)? },
        user: text("m3_user")?,
        fields: serde_json::from_str(&fields).map_err(damaged)?,
        whole: row.try_get::<i64, _>("whole")? == 1,
        due: serde_json::from_str(&text("told")?).map_err(damaged)?,
        tries: row.try_get("tries")?,
        opened: row.try_get("opened")?,
    })
}

pub(super) fn company(row: &SqliteRow) -> Result<Company, Error> {
    let number = u16::try_from(row.try_get::<i64, _>("company")?).ok().and_then(|number| Company::new(number).ok());
    number.ok_or(Error::Damaged("company"))
}

pub(super) fn division(text: &str) -> Result<Division, Error> {
    if text.is_empty() { Ok(Division::BLANK) } else { Division::parse(text).map_err(|_| Error::Damaged("division")) }
}
