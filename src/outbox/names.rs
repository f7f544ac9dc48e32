//! What is called so, where it stands, and which orders mean something for it: for whoever gave another one.

use super::book::{text, unknown};
use super::error::Error;
use super::ledger::Ledger;
use super::state::{Change, State};
use super::watches;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

/// `document:N` or `entry:N`: which one.
pub(super) fn numbered(id: &str, kind: &str) -> Option<i64> {
    id.strip_prefix(kind)?.strip_prefix(':')?.parse().ok()
}

impl Ledger {
    /// Why an order means nothing for what is called so.
    pub(super) async fn unfit(&self, id: &str) -> Error {
        match self.called(id).await {
            Ok(Some((is, fits))) => Error::Unfit { name: id.to_owned(), is, fits },
            Ok(None) => unknown(id),
            Err(error) => error,
        }
    }

    /// What it is, and what fits.
    async fn called(&self, id: &str) -> Result<Option<(String, String)>, Error> {
        let one = async |query: &'static str, id: &str| {
            sqlx::query(query).bind(id.to_owned()).fetch_optional(self.store.read()).await
        };
        if let Some(number) = numbered(id, "document") {
            let row = one("SELECT * FROM documents WHERE id = ?", &number.to_string()).await?;
            return row.as_ref().map(document).transpose();
        }
        if let Some(number) = numbered(id, "entry") {
            let row = one("SELECT * FROM watches WHERE id = ?", &number.to_string()).await?;
            return row.as_ref().map(entry).transpose();
        }
        if let Some(row) = one("SELECT * FROM messages WHERE bod_id = ? ORDER BY id DESC LIMIT 1", id).await? {
            return self.way_of(&row).await.map(Some);
        }
        if one("SELECT 1 FROM theirs WHERE bod_id = ? LIMIT 1", id).await?.is_some() {
            let fits = "it goes by itself, and `outbox show` shows it".to_owned();
            return Ok(Some(("a document of M3's own publisher that waits to be compared".to_owned(), fits)));
        }
        let write = one("SELECT * FROM intents WHERE name = ? ORDER BY id DESC LIMIT 1", id).await?;
        write.as_ref().map(write_of).transpose()
    }

    /// Why nothing of this point's could be given up.
    pub(super) async fn unfit_point(&self, point: &str) -> Error {
        let way = sqlx::query("SELECT 1 FROM deliveries WHERE point = ? LIMIT 1").bind(point.to_owned());
        match way.fetch_optional(self.store.read()).await {
            Ok(Some(_)) => Error::Unfit {
                name: point.to_owned(),
                is: "a point on the way to which nothing is parked, failed or expired".to_owned(),
                fits: "what waits goes by itself: `outbox list --state pending` shows it".to_owned(),
            },
            Ok(None) => unknown(point),
            Err(error) => error.into(),
        }
    }

    async fn way_of(&self, row: &SqliteRow) -> Result<(String, String), Error> {
        let name = format!("{}.{}", text(row, "verb")?, text(row, "noun")?);
        let ways: Vec<(String, String)> =
            sqlx::query_as("SELECT point, state FROM deliveries WHERE message = ? ORDER BY point")
                .bind(row.try_get::<i64, _>("id")?)
                .fetch_all(self.store.read())
                .await?;
        if ways.is_empty() && row.try_get::<i64, _>("shadow")? == 1 {
            let fits = "it was only compared, and `outbox show` tells how".to_owned();
            return Ok((format!("a {name} in shadow, which goes nowhere"), fits));
        }
        let may = |change| ways.iter().filter_map(|(_, state)| State::parse(state)?.after(change)).next().is_some();
        let orders = [(Change::Replay, "replay"), (Change::Park, "park"), (Change::Drop, "drop")];
        let fitting = orders.into_iter().filter(|(change, _)| may(*change)).map(|(_, order)| order);
        let stands: Vec<String> = ways.iter().map(|(point, state)| format!("{state} at {point}")).collect();
        let stands = if stands.is_empty() { "that no point wants".to_owned() } else { stands.join(", ") };
        Ok((format!("a message ({name}), {stands}"), fit(fitting, "`replay --fresh` tells its record anew")))
    }
}

/// `else_fits`: where no order changes anything of it as it is.
fn fit<'a>(orders: impl Iterator<Item = &'a str>, else_fits: &str) -> String {
    let orders: Vec<String> = orders.map(|order| format!("`{order}`")).collect();
    if orders.is_empty() { else_fits.to_owned() } else { format!("what fits is {}", orders.join(", ")) }
}

fn document(row: &SqliteRow) -> Result<(String, String), Error> {
    let (verb, noun, record) = (text(row, "verb")?, text(row, "noun")?, text(row, "record")?);
    let name = format!("the document {verb}.{noun} of {record}");
    if let Some(of) = row.try_get::<Option<i64>, _>("edition_of")? {
        let fits = format!("what fits is an order to document:{of}, which is read for all of them");
        return Ok((format!("{name}, one division's own"), fits));
    }
    if row.try_get::<Option<i64>, _>("since")?.is_none() {
        let fits = match noun.as_str() {
            "BOD" => "`outbox list --noun BOD` shows what was said",
            _ => "`replay` tells it anew",
        };
        return Ok((format!("{name}, and nothing of it is due"), fits.to_owned()));
    }
    let parked = row.try_get::<i64, _>("parked")? == 1;
    let state = if parked { "parked" } else { "due" };
    Ok((format!("{name}, which is {state}"), fit(["replay", "park", "drop"].into_iter(), "")))
}

fn entry(row: &SqliteRow) -> Result<(String, String), Error> {
    let (batch, noun, state) = (text(row, "batch")?, text(row, "noun")?, text(row, "state")?);
    if text(row, "asked")? == watches::UNKNOWN {
        let is = format!("the batch {batch} of {noun}, of which nothing is known here that M3 could be asked for");
        let fits =
            "what fits is `resolve ID committed --key NAME=VALUE` for each record, `resolve ID refused`, or `drop`";
        return Ok((is, fits.to_owned()));
    }
    let fits = fit(["replay", "park", "resolve", "drop"].into_iter(), "");
    Ok((format!("an entry of {noun} under the batch {batch}, which is {state}"), fits))
}

fn write_of(row: &SqliteRow) -> Result<(String, String), Error> {
    let (program, transaction, state) = (text(row, "program")?, text(row, "transaction_name")?, text(row, "state")?);
    let fits = match state.as_str() {
        "open" => "it is settled once M3 has answered, or has been asked".to_owned(),
        "unknown" => fit(["resolve", "park"].into_iter(), ""),
        "parked" => fit(["resolve"].into_iter(), ""),
        _ => "`outbox show` names the messages that tell of it, and those have ids of their own".to_owned(),
    };
    Ok((format!("a write ({program}/{transaction}) that is {state}"), fits))
}
