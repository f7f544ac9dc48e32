//! One message as people see it: where it stands at each point, and how it came there.

use super::book::{text, time};
use super::error::Error;
use super::ledger::Ledger;
use serde_json::{Value, json};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

impl Ledger {
    pub(super) async fn message(&self, row: &SqliteRow) -> Result<Value, Error> {
        let id: i64 = row.try_get("id")?;
        let mut ways = Vec::new();
        for way in sqlx::query("SELECT * FROM deliveries WHERE message = ? ORDER BY point")
            .bind(id)
            .fetch_all(self.store.read())
            .await?
        {
            ways.push(self.way(id, &way).await?);
        }
        let bod_id = text(row, "bod_id")?;
        let xml = self.seal.open(("xml", &bod_id), text(row, "xml")?)?;
        Ok(json!({
            "kind": "message", "id": bod_id,
            "document": format!("{}.{}", text(row, "verb")?, text(row, "noun")?), "action": text(row, "action")?,
            "entity": text(row, "entity")?, "location": text(row, "location")?, "document_id": text(row, "document_id")?,
            "variation": row.try_get::<i64, _>("variation")?, "cause": text(row, "cause")?,
            "made": time(row.try_get("made")?), "points": ways, "xml": xml,
            "shadow": row.try_get::<i64, _>("shadow")? == 1, "comparison": self.comparison(id).await?,
        }))
    }

    async fn way(&self, message: i64, way: &SqliteRow) -> Result<Value, Error> {
        let point = text(way, "point")?;
        let of = |query: &'static str| sqlx::query(query).bind(message).bind(point.clone());
        let tried =
            of("SELECT * FROM attempts WHERE message = ? AND point = ? ORDER BY id").fetch_all(self.store.read());
        let (mut attempts, mut history) = (Vec::new(), Vec::new());
        for one in &tried.await? {
            let (at, took): (i64, i64) = (one.try_get("at")?, one.try_get("took_ms")?);
            let (arrived, words) = (one.try_get::<i64, _>("arrived")? == 1, text(one, "words")?);
            let state = one.try_get::<Option<String>, _>("state")?;
            let state = state.unwrap_or_else(|| if arrived { "delivered" } else { "pending" }.to_owned());
            attempts.push(json!({ "at": time(at), "milliseconds": took, "arrived": arrived, "words": words }));
            history.push((at - took, json!({ "at": time(at - took), "state": "sent", "words": "" })));
            history.push((at, json!({ "at": time(at), "state": state, "words": words })));
        }
        let changed =
            of("SELECT * FROM changes WHERE message = ? AND point = ? ORDER BY id").fetch_all(self.store.read());
        for one in &changed.await? {
            let at: i64 = one.try_get("at")?;
            history.push((at, json!({ "at": time(at), "state": text(one, "state")?, "words": text(one, "words")? })));
        }
        history.sort_by_key(|(at, _)| *at);
        let history: Vec<Value> = history.into_iter().map(|(_, entry)| entry).collect();
        let when = |name| Ok::<_, Error>(way.try_get::<Option<i64>, _>(name)?.map(time));
        Ok(json!({
            "point": point, "state": text(way, "state")?, "sent": when("sent")?, "answer_by": when("answer_by")?,
            "reason": way.try_get::<Option<String>, _>("reason")?, "attempts": attempts, "history": history,
        }))
    }
}
