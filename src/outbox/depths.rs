//! How much there is, and how old it is: for metrics, over indexes.

use super::error::Error;
use super::ledger::Ledger;
use super::writer::now;

/// How much there is of one document on its way to one point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Depth {
    pub point: String,
    /// `Sync.ItemMaster`.
    pub document: String,
    pub waiting: i64,
    /// Parked or failed.
    pub parked: i64,
    pub expired: i64,
    /// Seconds since the oldest that waits was made.
    pub oldest: i64,
}

/// How many there are, and how old the oldest is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    pub many: i64,
    /// In seconds.
    pub oldest: i64,
}

pub(super) const DEPTHS_WAITING: &str = "SELECT point, name, many, (SELECT made FROM messages WHERE id = first) FROM
    (SELECT w.point, d.verb || '.' || d.noun AS name, sum(w.many) AS many, min(w.first) AS first
     FROM (SELECT point, document, count(*) AS many, min(message) AS first FROM deliveries
        INDEXED BY deliveries_waiting WHERE state IN ('pending', 'replayed', 'sent') GROUP BY point, document) w
     JOIN documents d ON d.id = w.document GROUP BY 1, 2)";
pub(super) const DEPTHS_ENDED: &str = "SELECT e.point, d.verb || '.' || d.noun, sum(e.parked), sum(1 - e.parked)
    FROM (SELECT point, document, 1 AS parked FROM deliveries WHERE state IN ('parked', 'failed')
        UNION ALL SELECT point, document, 0 FROM deliveries WHERE state = 'expired') e
    JOIN documents d ON d.id = e.document GROUP BY 1, 2";
/// The words of an index stand in what it is to serve: a state that it holds is not recognised as one of them.
pub(super) const PARKED: &str = "SELECT
    (SELECT count(*) FROM intents WHERE state IN ('open', 'unknown', 'parked') AND state = 'parked'),
    (SELECT count(*) FROM documents WHERE parked = 1)";

pub(super) const UNSETTLED: &str = "SELECT count(*), min(opened) FROM intents
    WHERE state IN ('open', 'unknown', 'parked') AND state = 'unknown'";
pub(super) const UNMADE: &str = "SELECT count(*), min(since) FROM documents WHERE since IS NOT NULL AND parked = 0";

impl Ledger {
    /// Writes of which nobody knows what became, and documents that are due and not made.
    pub async fn unsettled(&self) -> Result<(Waiting, Waiting), Error> {
        let waiting = async |query: &'static str| -> Result<Waiting, Error> {
            let (many, since): (i64, Option<i64>) = sqlx::query_as(query).fetch_one(self.store.read()).await?;
            Ok(Waiting { many, oldest: since.map_or(0, |since| (now() - since).max(0) / 1_000) })
        };
        Ok((waiting(UNSETTLED).await?, waiting(UNMADE).await?))
    }

    /// By point and document: what waits, what somebody has to look at, and how old the oldest is that waits. Over
    /// indexes, one row of another table for each record that something waits of.
    pub async fn depths(&self) -> Result<Vec<Depth>, Error> {
        let waiting: Vec<(String, String, i64, Option<i64>)> =
            sqlx::query_as(DEPTHS_WAITING).fetch_all(self.store.read()).await?;
        let ended: Vec<(String, String, i64, i64)> = sqlx::query_as(DEPTHS_ENDED).fetch_all(self.store.read()).await?;
        let age = |made: Option<i64>| made.map_or(0, |made| (now() - made).max(0) / 1_000);
        let depth =
            |point, document, waiting, oldest| Depth { point, document, waiting, parked: 0, expired: 0, oldest };
        let mut depths: Vec<Depth> =
            waiting.into_iter().map(|(point, document, many, made)| depth(point, document, many, age(made))).collect();
        for (point, document, parked, expired) in ended {
            let known = depths.iter().position(|depth| depth.point == point && depth.document == document);
            let at = known.unwrap_or_else(|| {
                depths.push(depth(point, document, 0, 0));
                depths.len() - 1
            });
            (depths[at].parked, depths[at].expired) = (parked, expired);
        }
        Ok(depths)
    }

    /// What the outbox holds. Pages that are free again don't count.
    pub async fn bytes(&self) -> Result<u64, Error> {
        let (bytes,): (i64,) = sqlx::query_as(
            "SELECT (p.page_count - f.freelist_count) * s.page_size
             FROM pragma_page_count() p, pragma_freelist_count() f, pragma_page_size() s",
        )
        .fetch_one(self.store.read())
        .await?;
        Ok(bytes.cast_unsigned())
    }

    /// Parked writes and parked documents.
    pub async fn parked(&self) -> Result<(i64, i64), Error> {
        Ok(sqlx::query_as(PARKED).fetch_one(self.store.read()).await?)
    }
}
