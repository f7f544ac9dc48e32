//! The words of `limits`.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Limits {
    /// Tell what is used of each limit, what is left and when it is whole again, of a running gateway; of one that has
    /// ended what it kept.
    Usage {
        /// A client by name or id: all limits that it has. Without it those of which anything is used.
        client: Option<String>,
        /// Of another issuer's client.
        #[arg(long, requires = "client")]
        issuer: Option<String>,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Count nothing as used of a client's quotas, in a running gateway and at once.
    Reset {
        /// A client by name or id.
        client: String,
        /// Of another issuer's client.
        #[arg(long)]
        issuer: Option<String>,
        /// day or month; both without it.
        #[arg(long)]
        per: Option<String>,
        /// Who wants it, for the audit log.
        #[arg(long)]
        by: Option<String>,
    },
}
