//! The tasks of the relay: one makes documents, one a point takes them there, one tidies up and counts.

use super::courier::Courier;
use super::divisions::Divisions;
use super::editions::Editor;
use super::maker::Maker;
use super::publisher::Settings;
use super::read_back::Reader;
use super::shadow::Comparer;
use crate::outbox::{Depth, Ledger, Outbox, Tidied, Waiting};
use crate::points::Point;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

const TIDY: Duration = Duration::from_secs(5);
/// How often it is asked whose answers are overdue.
const OVERDUE: Duration = Duration::from_millis(500);

/// Ends with the house; what was under way then is done again by the next one.
pub fn start(
    outbox: &Outbox,
    reader: Reader,
    points: Vec<Point>,
    settings: Settings,
    metrics: &Arc<Metrics>,
    tasks: &Tasks,
) {
    let bugs = || metrics.panics.clone();
    let (tidied, counted) = (outbox.clone(), metrics.clone());
    tasks.spawn_for_good("tidying the outbox", bugs(), move || tidy(tidied.clone(), counted.clone()));
    if !settings.enabled {
        return;
    }
    let (ledger, counted) = (outbox.ledger(), metrics.clone());
    tasks.spawn_for_good("looking for silence", bugs(), move || silence(ledger.clone(), counted.clone()));
    let (ledger, sensitive) = (outbox.ledger(), &outbox.settings().sensitive);
    let bounds = (settings.compare, outbox.settings().most_bytes);
    let comparer = Comparer::new(ledger, &settings.mappings, sensitive, bounds, metrics.clone());
    let comparer = Arc::new(comparer);
    tasks.spawn_for_good("comparing with M3's own publisher", bugs(), move || {
        let comparer = comparer.clone();
        async move { comparer.run().await }
    });
    let names = points.iter().map(|point| point.name().to_owned()).collect();
    // A courier that began before would take a newer message past an older one that is taken up again.
    let aside = CancellationToken::new();
    tasks.spawn_until_stop(set_aside(outbox.ledger(), names, aside.clone().drop_guard()));
    let points = Arc::new(points);
    let made: Arc<Vec<Notify>> = Arc::new(points.iter().map(|_| Notify::new()).collect());
    for at in 0..points.len() {
        let (ledger, points, metrics) = (outbox.ledger(), points.clone(), metrics.clone());
        let courier = Arc::new(Courier { ledger, points, at, tries: settings.tries, metrics, made: made.clone() });
        let aside = aside.clone();
        tasks.spawn_for_good("taking documents to a point", bugs(), move || {
            let (courier, aside) = (courier.clone(), aside.clone());
            async move {
                aside.cancelled().await;
                courier.run().await;
            }
        });
    }
    let (ledger, due, bug, metrics) = (outbox.ledger(), outbox.due(), bugs(), metrics.clone());
    let mappings = settings.mappings.clone();
    let reader = reader.with_tries(settings.tries);
    let editor = Arc::new(Editor { mappings, settings, points, metrics, strict: true });
    let divisions = Divisions::new(reader.clone());
    let (holds, bulks) = (Mutex::default(), outbox.bulks());
    let maker = Arc::new(Maker { ledger, reader, divisions, editor, due, bulks, made, holds });
    tasks.spawn_for_good("making documents", bug, move || {
        let maker = maker.clone();
        async move { maker.run().await }
    });
}

/// What waits for a point that is in the settings no longer would wait for ever, and be counted as late. `done` is dropped
/// once that is so.
pub(super) async fn set_aside(ledger: Ledger, points: Vec<String>, done: DropGuard) {
    loop {
        match ledger.only(&points).await {
            Ok(0) => break,
            Ok(deliveries) => {
                tracing::warn!(
                    deliveries,
                    "deliveries were parked, for their point is in the settings no longer, or taken up, for it is again"
                );
                break;
            }
            Err(error) => tracing::error!(%error, "deliveries to points that are gone can't be parked"),
        }
        tokio::time::sleep(OVERDUE).await;
    }
    drop(done);
}

/// Whoever had to answer, and did not in his time: that is told as loudly as an error.
async fn silence(ledger: Ledger, metrics: Arc<Metrics>) {
    loop {
        match ledger.expire().await {
            Ok(expired) => {
                for one in &expired {
                    let labels = [one.point.as_str(), one.document.as_str(), one.result];
                    metrics.publishing.confirmations.with_label_values(&labels).inc();
                    tracing::warn!(
                        point = one.point,
                        document = one.document,
                        bod_id = one.bod_id,
                        cause = one.cause,
                        "a document had to be answered, and was not"
                    );
                }
            }
            Err(error) => tracing::warn!(%error, "nobody can tell which answers are overdue"),
        }
        tokio::time::sleep(OVERDUE).await;
    }
}

async fn tidy(outbox: Outbox, metrics: Arc<Metrics>) {
    let ledger = outbox.ledger();
    loop {
        let settings = outbox.settings();
        match ledger.tidy(settings.ages()).await {
            Ok(Tidied { more, dropped }) => {
                for (point, messages) in dropped {
                    metrics.publishing.deliveries_dropped.with_label_values(&[&point]).inc_by(messages);
                    tracing::error!(point, messages, "deliveries were given up: nobody looked after them in time");
                }
                if more {
                    continue;
                }
            }
            Err(error) => tracing::warn!(%error, "the outbox could not be tidied up"),
        }
        let begun = Instant::now();
        match outbox.make_room().await {
            Ok(given_up) => given_up.iter().for_each(|one| one.tell(&metrics)),
            Err(error) => tracing::warn!(%error, "the outbox could not be weighed"),
        }
        // Writes are refused by what was found here: it is looked at more often than what is only counted.
        let weighed = begun.elapsed() * 4;
        let begun = Instant::now();
        if let Ok((writes, documents)) = ledger.parked().await {
            metrics.publishing.parked.with_label_values(&["writes"]).set(writes);
            metrics.publishing.parked.with_label_values(&["documents"]).set(documents);
            let stranded = ledger.stranded().await.unwrap_or_default();
            metrics.publishing.parked.with_label_values(&["entries"]).set(stranded);
        }
        if let Ok((writes, documents)) = ledger.unsettled().await {
            let told = &metrics.publishing;
            for (what, Waiting { many, oldest }) in [("writes", writes), ("documents", documents)] {
                told.unsettled.with_label_values(&[what]).set(many);
                told.unsettled_oldest.with_label_values(&[what]).set(oldest);
            }
        }
        if let Ok(depths) = ledger.depths().await {
            // A point that has nothing left is not among them.
            let told = &metrics.publishing;
            let gauges =
                [&told.deliveries_pending, &told.deliveries_parked, &told.deliveries_expired, &told.deliveries_oldest];
            gauges.iter().for_each(|gauge| gauge.reset());
            for Depth { point, document, waiting, parked, expired, oldest } in &depths {
                for (gauge, value) in gauges.iter().zip([waiting, parked, expired, oldest]) {
                    gauge.with_label_values(&[point, document]).set(*value);
                }
            }
        }
        // What takes long is done seldom.
        tokio::time::sleep(TIDY.max(begun.elapsed() * 100).max(weighed)).await;
    }
}
