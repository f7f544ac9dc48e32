//! One registry, all metric names in one place.
//!
//! Labels are closed sets or names that M3 or the settings gave; nothing a caller invents becomes a label.

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use std::sync::LazyLock;

#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    /// Answers by route template and status.
    pub http_requests: IntCounterVec,
    pub http_seconds: HistogramVec,
    pub http_in_flight: IntGauge,
    /// Verdicts of the layers: `authn`, `tenant`, `quota`, `authz` × `allowed`, `refused`, `error`.
    pub verdicts: IntCounterVec,
    /// By limit (`client`, `program`, `daily` …) × `refused`, or `shadow` for what would have been.
    pub limit_refusals: IntCounterVec,
    pub limit_unwatched: IntCounter,
    pub panics: IntCounter,
    pub connections_open: IntGaugeVec,
    /// Connections that ended for a reason of ours, and hyper's own 4xx: `tls_handshake`, `idle`, `age`, `per_peer` …
    pub connections_ended: IntCounterVec,
    pub tls_handshake_seconds: Histogram,
    pub tokens_issued: IntCounterVec,
    /// `hit`, `miss`, `expired`.
    pub token_cache: IntCounterVec,
    /// By issuer: `ok`, `failed`, `empty`, `unreadable`, `undiscovered`.
    pub jwks_fetches: IntCounterVec,
    /// By issuer, since 1970: the age of its keys is now less this.
    pub jwks_fetched: IntGaugeVec,
    /// By issuer: tokens that named a key which was not there.
    pub unknown_keys: IntCounterVec,
    /// Opaque tokens by issuer: `hit`, `active`, `refused`, `failed`, `held-back`.
    pub introspections: IntCounterVec,
    /// By outcome: `good`, `refused`, `replayed`, `nonce`, `full`.
    pub dpop_proofs: IntCounterVec,
    /// Calls by program, effect and outcome: `ok`, `nok`, `timeout`, `lost`, `unreachable`, `unknown`.
    pub m3_calls: IntCounterVec,
    pub m3_seconds: HistogramVec,
    pub m3_records: IntCounterVec,
    /// Sessions by state: `idle`, `busy`.
    pub m3_sessions: IntGaugeVec,
    pub m3_waiting: IntGauge,
    pub m3_logons: IntCounterVec,
    /// `hit`, `stale`, `miss`, `negative`, `disk`, `failed`.
    pub catalog: IntCounterVec,
    pub policy_decisions: IntCounterVec,
    /// Records that were read before a decision, by what came of it: `read`, or the word of the audit log for why not.
    pub policy_fact_reads: IntCounterVec,
    pub rows_withheld: IntCounterVec,
    pub policy_rules: IntGauge,
    /// The set in force, by name, version and hash: 1.
    pub policy_set: IntGaugeVec,
    pub policy_trouble: IntGauge,
    /// The shadow set that is asked, by name, version and hash: 1.
    pub policy_shadow_set: IntGaugeVec,
    pub policy_shadow_trouble: IntGauge,
    /// By step (`door`, `name`, `values`) and what the shadow set says to it: `same`, `allow-deny`, `deny-allow`, `reveals`,
    /// `unread` where it looks at a record of M3 that nobody read.
    pub policy_shadow_decisions: IntCounterVec,
    /// By that, rule and client, the first 500 of them; the rest is `(others)`.
    pub policy_shadow_disagreements: IntCounterVec,
    pub policy_shadow_dropped: IntCounter,
    /// What was changed on disk and could not be taken over: `policy`, with its limits, `certificate`, `client_ca`.
    pub reloads_refused: IntCounterVec,
    pub log_lines_dropped: IntCounter,
    /// The process has one log of events, whatever runs in it.
    pub event_lines_dropped: IntCounter,
    pub audit_lines: IntCounter,
    pub audit_lines_lost: IntCounter,
    pub audit_writable: IntGauge,
    pub audit_cut: IntGauge,
    /// Seconds.
    pub audit_oldest_waiting: IntGauge,
    /// By the file of the chain, since 1970.
    pub tls_certificate_expires: IntGaugeVec,
    pub outbox_writable: IntGauge,
    /// Intents by what became of them: `opened`, `committed`, `refused`, `unknown`, `withdrawn`, `repeated`.
    pub outbox_intents: IntCounterVec,
    pub publishing: Publishing,
    pub blocks_active: IntGauge,
    pub revocations_active: IntGauge,
    pub ready: IntGauge,
}

/// What follows a write.
#[derive(Debug, Clone)]
pub struct Publishing {
    /// By `writes` and `documents`.
    pub parked: IntGaugeVec,
    /// By `writes` that nobody knows of and `documents` that are due and not made.
    pub unsettled: IntGaugeVec,
    pub unsettled_oldest: IntGaugeVec,
    /// Writes that no document tells of, by program.
    pub untold: IntCounterVec,
    /// By document: `made`, `nothing`, `failed`, `parked`, `characters-replaced`.
    pub documents: IntCounterVec,
    /// What documents were made without, for M3 will not give it: by program and transaction.
    pub left_out: IntCounterVec,
    /// By point and document: `delivered`, `retry`, `failed`, `parked`.
    pub deliveries: IntCounterVec,
    /// By point and document, as all that follow: from the making of a document to its arrival.
    pub delivery_seconds: HistogramVec,
    pub deliveries_pending: IntGaugeVec,
    pub deliveries_parked: IntGaugeVec,
    pub deliveries_expired: IntGaugeVec,
    pub deliveries_oldest: IntGaugeVec,
    /// By point.
    pub deliveries_dropped: IntCounterVec,
    /// What receivers said: `confirmed`, `failed`, `late`, `expired`, and `refused` for a word on somebody else's document.
    pub confirmations: IntCounterVec,
    /// Messages of receivers by what came of them: `answered`, `useless`, `not-taken`, `to-compare`, `again`, `unreadable`,
    /// `refused`.
    pub inbound: IntCounterVec,
    /// Documents of M3's own publisher: `same`, `different`, `alone` where nothing was made here of their record in time,
    /// `unreadable`, `given-up` where room was short.
    pub compared: IntCounterVec,
}

impl Publishing {
    fn new(made: &Make<'_>) -> Self {
        let slow = vec![0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0];
        let of = &["point", "document"];
        Self {
            parked: made.gauges("outbox_parked", "Writes and documents that somebody has to look at.", &["what"]),
            unsettled: made.gauges(
                "outbox_unsettled",
                "Writes of which nobody knows what became, and documents that are due and not made.",
                &["what"],
            ),
            unsettled_oldest: made.gauges("outbox_unsettled_oldest_seconds", "Age of the oldest of them.", &["what"]),
            untold: made.counters("writes_untold_total", "Writes that no document tells of.", &["program"]),
            documents: made.counters("documents_total", "Documents by what became of them.", &["document", "outcome"]),
            left_out: made.counters(
                "reads_left_out_total",
                "Reads that documents were made without, for M3 will not give what is asked.",
                &["program", "transaction"],
            ),
            deliveries: made.counters(
                "deliveries_total",
                "Attempts at deliveries by outcome.",
                &["point", "document", "outcome"],
            ),
            delivery_seconds: made.histograms(
                "delivery_seconds",
                "Time from a document's making to its arrival.",
                &["point", "document"],
                &slow,
            ),
            deliveries_pending: made.gauges("deliveries_pending", "Messages on their way.", of),
            deliveries_parked: made.gauges("deliveries_parked", "Messages parked or failed.", of),
            deliveries_expired: made.gauges(
                "deliveries_expired",
                "Messages whose receivers had to answer and did not.",
                of,
            ),
            deliveries_oldest: made.gauges("deliveries_oldest_seconds", "Age of the oldest message on its way.", of),
            deliveries_dropped: made.counters(
                "deliveries_dropped_total",
                "Parked or failed messages that were given up: nobody looked after them in time.",
                &["point"],
            ),
            confirmations: made.counters(
                "confirmations_total",
                "What receivers said of what they were sent, and their silence.",
                &["point", "document", "result"],
            ),
            inbound: made.counters(
                "inbound_messages_total",
                "Messages of receivers by what came of them.",
                &["outcome"],
            ),
            compared: made.counters(
                "shadow_compared_total",
                "Documents of M3's own publisher, compared with what was made here in shadow.",
                &["document", "result"],
            ),
        }
    }
}

impl Metrics {
    #[expect(clippy::too_many_lines, reason = "a table: a line a metric")]
    pub fn new() -> Self {
        let registry = Registry::new();
        let made = Make { registry: &registry };
        let quick = vec![0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
        Self {
            http_requests: made.counters("http_requests_total", "Answers by route and status.", &["route", "status"]),
            http_seconds: made.histograms("http_request_seconds", "Time to the answer's head.", &["route"], &quick),
            http_in_flight: made.gauge("http_requests_in_flight", "Requests being answered."),
            verdicts: made.counters("verdicts_total", "Verdicts of the layers.", &["layer", "verdict"]),
            limit_refusals: made.counters(
                "limit_refusals_total",
                "Calls that limits refused, or would have.",
                &["limit", "mode"],
            ),
            limit_unwatched: made
                .counter("limit_unwatched_total", "Calls that quotas which only watch could not count."),
            panics: made.counter("panics_total", "Requests and tasks that met a bug."),
            connections_open: made.gauges("connections_open", "Open connections by door.", &["door"]),
            connections_ended: made.counters(
                "connections_ended_total",
                "Connections ended by us.",
                &["door", "reason"],
            ),
            tls_handshake_seconds: made.histogram("tls_handshake_seconds", "Time of TLS handshakes.", &quick),
            tokens_issued: made.counters("tokens_total", "Token requests by grant and outcome.", &["grant", "outcome"]),
            token_cache: made.counters("token_cache_total", "Look-ups of validated tokens.", &["result"]),
            jwks_fetches: made.counters("jwks_fetches_total", "Fetches of key sets.", &["issuer", "outcome"]),
            jwks_fetched: made.gauges(
                "jwks_fetched_timestamp_seconds",
                "When the keys of an issuer were fetched last.",
                &["issuer"],
            ),
            unknown_keys: made.counters("unknown_keys_total", "Tokens whose key was not there.", &["issuer"]),
            introspections: made.counters(
                "introspections_total",
                "Opaque tokens by what their issuer said.",
                &["issuer", "outcome"],
            ),
            dpop_proofs: made.counters("dpop_proofs_total", "Proofs of possession looked at.", &["outcome"]),
            m3_calls: made.counters("m3_calls_total", "MI calls.", &["program", "effect", "outcome"]),
            m3_seconds: made.histograms("m3_call_seconds", "Time to M3's first frame.", &["program"], &quick),
            m3_records: made.counters("m3_records_total", "Records read from M3.", &["program"]),
            m3_sessions: made.gauges("m3_sessions", "MI sessions by state.", &["state"]),
            m3_waiting: made.gauge("m3_waiting", "Calls waiting for a session."),
            m3_logons: made.counters("m3_logons_total", "Logons by outcome.", &["outcome"]),
            catalog: made.counters("catalog_total", "Catalog look-ups by result.", &["result"]),
            policy_decisions: made.counters("policy_decisions_total", "Policy decisions.", &["step", "verdict"]),
            policy_fact_reads: made.counters(
                "policy_fact_reads_total",
                "Records that rules look at, read of M3 before the decision.",
                &["result"],
            ),
            rows_withheld: made.counters(
                "rows_withheld_total",
                "Records of a company or division outside the decision, kept from the caller.",
                &["program", "transaction"],
            ),
            policy_rules: made.gauge("policy_rules", "Rules of the active policy set."),
            policy_trouble: made.gauge(
                "policy_trouble",
                "1 while the policy folder has a fault and an earlier set decides, or the set's last day is over.",
            ),
            policy_shadow_set: made.gauges(
                "policy_shadow_set",
                "The shadow set that is asked.",
                &["name", "version", "hash"],
            ),
            policy_shadow_trouble: made.gauge("policy_shadow_trouble", "1 while the shadow folder has a fault."),
            policy_shadow_decisions: made.counters(
                "policy_shadow_decisions_total",
                "Decisions that were put to the shadow set.",
                &["step", "result"],
            ),
            policy_shadow_disagreements: made.counters(
                "policy_shadow_disagreements_total",
                "Decisions that the shadow set would have made otherwise.",
                &["pair", "rule", "client"],
            ),
            policy_shadow_dropped: made.counter(
                "policy_shadow_dropped_total",
                "Decisions that the shadow set was not asked about, its queue being full.",
            ),
            policy_set: made.gauges("policy_set", "The policy set in force.", &["name", "version", "hash"]),
            reloads_refused: made.counters(
                "reloads_refused_total",
                "Changed files that were not taken over.",
                &["what"],
            ),
            log_lines_dropped: made
                .counter("log_lines_dropped_total", "Access log lines dropped, the queue being full."),
            event_lines_dropped: made.of_the_process(&EVENT_LINES_DROPPED),
            audit_lines: made.counter("audit_lines_total", "Lines kept in the audit log."),
            audit_lines_lost: made.counter("audit_lines_lost_total", "Lines that the audit log could not keep."),
            audit_writable: made.gauge("audit_writable", "1 while the audit log can be written."),
            audit_cut: made
                .gauge("audit_cut", "1 while lines are gone from the audit log and nobody has looked into it."),
            audit_oldest_waiting: made.gauge(
                "audit_oldest_waiting_seconds",
                "How long the oldest line of the audit log has waited for the disk.",
            ),
            tls_certificate_expires: made.gauges(
                "tls_certificate_expires_seconds",
                "When the certificate that is served ends, since 1970.",
                &["file"],
            ),
            outbox_writable: made.gauge("outbox_writable", "1 while the outbox can be written."),
            outbox_intents: made.counters(
                "outbox_intents_total",
                "Intents of writes by what became of them.",
                &["state"],
            ),
            publishing: Publishing::new(&made),
            blocks_active: made.gauge("blocks_active", "Clients, programs and transactions that operators block."),
            revocations_active: made.gauge("revocations_active", "Revocations of tokens that hold."),
            ready: made.gauge("ready", "1 when the gateway takes requests."),
            registry,
        }
    }

    /// The text that Prometheus reads.
    pub fn text(&self) -> String {
        let mut out = Vec::with_capacity(16 * 1024);
        // The encoder only fails on a family without metrics or a writer that fails; a Vec never does.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// The log of events begins before there are metrics.
pub(super) static EVENT_LINES_DROPPED: LazyLock<IntCounter> = LazyLock::new(|| {
    let opts = Make::opts("event_lines_dropped_total", "Lines of the event log dropped, the queue being full.");
    IntCounter::with_opts(opts).expect(NAMED)
});

/// Every name here is a constant of this file, so making and registering it can't fail; a test makes them all.
struct Make<'a> {
    registry: &'a Registry,
}

const NAMED: &str = "metric names are constants of this file, each used once";

impl Make<'_> {
    fn opts(name: &str, help: &str) -> Opts {
        Opts::new(name, help).namespace("mi_gateway")
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        let metric = IntCounter::with_opts(Self::opts(name, help)).expect(NAMED);
        self.registry.register(Box::new(metric.clone())).expect(NAMED);
        metric
    }

    fn of_the_process(&self, counter: &IntCounter) -> IntCounter {
        self.registry.register(Box::new(counter.clone())).expect(NAMED);
        counter.clone()
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        let metric = IntCounterVec::new(Self::opts(name, help), labels).expect(NAMED);
        self.registry.register(Box::new(metric.clone())).expect(NAMED);
        metric
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        let metric = IntGauge::with_opts(Self::opts(name, help)).expect(NAMED);
        self.registry.register(Box::new(metric.clone())).expect(NAMED);
        metric
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        let metric = IntGaugeVec::new(Self::opts(name, help), labels).expect(NAMED);
        self.registry.register(Box::new(metric.clone())).expect(NAMED);
        metric
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        let opts = HistogramOpts::from(Self::opts(name, help)).buckets(buckets.to_vec());
        let metric = Histogram::with_opts(opts).expect(NAMED);
        self.registry.register(Box::new(metric.clone())).expect(NAMED);
        metric
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
        let opts = HistogramOpts::from(Self::opts(name, help)).buckets(buckets.to_vec());
        let metric = HistogramVec::new(opts, labels).expect(NAMED);
        self.registry.register(Box::new(metric.clone())).expect(NAMED);
        metric
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_registers_once() {
        assert!(Metrics::new().text().contains("mi_gateway_http_requests_in_flight 0"));
    }
}
