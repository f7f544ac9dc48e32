//! The tasks of the relay: one makes documents, one a point takes them there, one tidies up and counts.

use super::courier::Courier;
use super::maker::Maker;
use super::publisher::Settings;
use super::read_back::Reader;
use crate::bod::Mapping;
use crate::outbox::Outbox;
use crate::points::Point;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

const TIDY: Duration = Duration::from_secs(5);

/// Ends with the house; what was under way then is done again by the next one.
pub fn start(
    outbox: &Outbox,
    reader: Reader,
    mappings: Vec<Mapping>,
    points: Vec<Point>,
    settings: Settings,
    metrics: &Arc<Metrics>,
    tasks: &Tasks,
) {
    tasks.spawn_until_stop(tidy(outbox.clone(), metrics.clone()));
    if !settings.enabled {
        return;
    }
    let points = Arc::new(points);
    let made: Arc<Vec<Notify>> = Arc::new(points.iter().map(|_| Notify::new()).collect());
    for at in 0..points.len() {
        let (ledger, points, metrics) = (outbox.ledger(), points.clone(), metrics.clone());
        let courier = Courier { ledger, points, at, tries: settings.tries, metrics, made: made.clone() };
        tasks.spawn_until_stop(courier.run());
    }
    let (ledger, due, metrics) = (outbox.ledger(), outbox.due(), metrics.clone());
    tasks.spawn_until_stop(Maker { ledger, reader, mappings, settings, points, metrics, due, made }.run());
}

async fn tidy(outbox: Outbox, metrics: Arc<Metrics>) {
    let ledger = outbox.ledger();
    loop {
        let settings = outbox.settings();
        match ledger.tidy(settings.retention, settings.key_lifetime).await {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "the outbox could not be tidied up"),
        }
        if let Ok((writes, documents)) = ledger.parked().await {
            metrics.publishing.parked.with_label_values(&["writes"]).set(writes);
            metrics.publishing.parked.with_label_values(&["documents"]).set(documents);
        }
        if let Ok(depths) = ledger.depths().await {
            // A point that has nothing left is not among them.
            metrics.publishing.deliveries_pending.reset();
            metrics.publishing.deliveries_parked.reset();
            metrics.publishing.deliveries_oldest.reset();
            for (point, pending, parked, oldest) in depths {
                metrics.publishing.deliveries_pending.with_label_values(&[&point]).set(pending);
                metrics.publishing.deliveries_parked.with_label_values(&[&point]).set(parked);
                metrics.publishing.deliveries_oldest.with_label_values(&[&point]).set(oldest);
            }
        }
        tokio::time::sleep(TIDY).await;
    }
}
