//! The words of `outbox`.

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Outbox {
    /// List writes whose outcome is open, documents that are still to be made, and messages by point, the newest first.
    List {
        /// pending, sent, delivered, confirmed, failed, expired, replayed, parked, filtered, dropped or no-route; due; open or
        /// unknown; in shadow: same or different than M3's own, shadow before that, and waiting one of M3's own.
        #[arg(long)]
        state: Option<String>,
        /// ItemMaster, PurchaseOrder …
        #[arg(long)]
        noun: Option<String>,
        /// A part of the record's key.
        #[arg(long)]
        key: Option<String>,
        /// Begun, due or made at or after this instant, like 2026-03-01T12:00:00Z.
        #[arg(long)]
        since: Option<Timestamp>,
        /// And before this instant.
        #[arg(long)]
        until: Option<Timestamp>,
        /// Of each kind.
        #[arg(long, default_value_t = 100)]
        limit: u32,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Show a message with its attempts and its text, or a write with its outcome.
    Show {
        /// A BOD id, what outcome-unknown named as intent, document:N, or entry:N.
        id: String,
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Send messages again: those that are named, or all that the words below mean together.
    Replay {
        /// BOD ids, document:N for a document that could not be made, or entry:N for a batch entry to be asked for.
        #[arg(required_unless_present_any = ["noun", "key", "since", "until", "point", "state"])]
        ids: Vec<String>,
        /// ItemMaster, PurchaseOrder …
        #[arg(long, conflicts_with = "ids")]
        noun: Option<String>,
        /// A part of the record's key.
        #[arg(long, conflicts_with = "ids")]
        key: Option<String>,
        /// Made at or after this instant, like 2026-03-01T12:00:00Z.
        #[arg(long, conflicts_with = "ids")]
        since: Option<Timestamp>,
        /// Made before this instant.
        #[arg(long, conflicts_with = "ids")]
        until: Option<Timestamp>,
        #[arg(long, conflicts_with = "ids")]
        point: Option<String>,
        /// As list shows it: failed, parked, expired …
        #[arg(long, conflicts_with = "ids")]
        state: Option<String>,
        /// Read the record again and tell it with a new variation, instead of the same bytes.
        #[arg(long)]
        fresh: bool,
        #[command(flatten)]
        order: OutboxOrder,
    },
    /// Try no more with a message, a document that is due, a batch entry, or a write whose outcome is unknown.
    Park {
        /// A BOD id or an intent; document:N for a document that is due, entry:N for a batch entry.
        id: String,
        #[command(flatten)]
        order: OutboxOrder,
    },
    /// Give up what nobody shall get any more: messages, documents that can't be made, batch entries, or all that is parked,
    /// failed or expired on the way to a point.
    Drop {
        /// BOD ids, document:N, or entry:N.
        #[arg(required_unless_present = "point")]
        ids: Vec<String>,
        /// A point, also one that is in the settings no longer.
        #[arg(long, conflicts_with = "ids")]
        point: Option<String>,
        #[command(flatten)]
        order: OutboxOrder,
    },
    /// Say what became of a write: its documents follow, and who asks again with its Idempotency-Key is told.
    Resolve {
        /// The intent, or entry:N for a batch entry.
        id: String,
        /// What M3 shows.
        outcome: OutboxOutcome,
        /// A part of the record's name that M3 gave and nobody heard, as PUNO=4711. A batch of which nothing is known
        /// here may have made several records: once for each.
        #[arg(long, value_name = "FIELD=VALUE", value_parser = part)]
        key: Vec<(String, String)>,
        /// Committed, and no document tells of it.
        #[arg(long, conflicts_with = "key")]
        no_document: bool,
        #[command(flatten)]
        order: OutboxOrder,
    },
}

#[derive(Debug, Args)]
pub(in crate::cli) struct OutboxOrder {
    /// Why, for whoever reads the audit log.
    #[arg(long, default_value = "")]
    pub(in crate::cli) reason: String,
    /// Who orders it; without it this user's number.
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) by: Option<String>,
}

fn part(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("say it as FIELD=VALUE")?;
    Ok((name.trim().to_ascii_uppercase(), value.trim().to_owned()))
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(in crate::cli) enum OutboxOutcome {
    Committed,
    Refused,
}
