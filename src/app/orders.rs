//! What the command line did, into the audit log of the gateway that runs.

use crate::audit;
use crate::orders::Orders;
use crate::store::{self, Store};
use crate::tasks::Tasks;
use jiff::Timestamp;
use prometheus::IntCounter;
use serde_json::Value;
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(1);

/// Takes every order into the log, those of before this start first.
pub(super) fn audited(store: &Store, audit: &audit::Log, bugs: IntCounter, tasks: &Tasks) {
    let (store, audit) = (store.clone(), audit.clone());
    tasks.spawn_for_good("noting orders of the command line", bugs, move || {
        let (store, audit) = (store.clone(), audit.clone());
        async move {
            let mut orders = None;
            loop {
                if let Err(error) = take(&store, &mut orders, &audit).await {
                    tracing::error!(%error, "orders of the command line can't be taken into the audit log");
                }
                tokio::time::sleep(EVERY).await;
            }
        }
    });
}

async fn take(store: &Store, open: &mut Option<Orders>, audit: &audit::Log) -> Result<(), store::Error> {
    let orders = match open {
        Some(orders) => orders,
        None => open.insert(Orders::open(store).await?),
    };
    for order in orders.waiting().await? {
        let mut members = order.members;
        let given = i64::try_from(order.at).ok().and_then(|at| Timestamp::from_second(at).ok());
        members.insert("given".into(), given.map_or(Value::Null, |at| at.to_string().into()));
        let about = Value::Object(members.clone());
        tracing::warn!(kind = order.kind, %about, "an operator's order");
        // It waits until its line is on the disk; a log that can't be written tells readiness so by itself.
        if audit.note_first(&order.kind, members).await.is_err() {
            return Ok(());
        }
        orders.taken(order.id).await?;
    }
    Ok(())
}
