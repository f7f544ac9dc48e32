//! The words of `token revoke` and of `block`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(super) enum TokenThen {
    /// Take tokens back: one by its text or id, or all of a client or an issuer up to an instant. They end in a running
    /// gateway within a second, validated ones too.
    Revoke(Revoke),
    /// List the revocations that hold.
    Revoked {
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Make tokens good again that were revoked by mistake.
    Restore(Lift),
}

#[derive(Debug, Args)]
pub(super) struct Revoke {
    /// A file with the token's text; - or nothing reads it from the standard input.
    #[arg(value_name = "FILE", conflicts_with_all = ["id", "client", "before"])]
    pub(super) file: Option<PathBuf>,
    /// The token's id, its claim jti.
    #[arg(long, value_name = "JTI", conflicts_with_all = ["client", "before"])]
    pub(super) id: Option<String>,
    /// A registered client by name or id; with --issuer the id of another issuer's client.
    #[arg(long)]
    pub(super) client: Option<String>,
    /// Whose tokens; the embedded issuer's without it. With --before and without --client: all of that issuer.
    #[arg(long)]
    pub(super) issuer: Option<String>,
    /// Tokens issued up to this moment (RFC 3339, or now).
    #[arg(long, value_name = "INSTANT")]
    pub(super) before: Option<String>,
    /// Why, for whoever reads the list and the audit log.
    #[arg(long, default_value = "")]
    pub(super) reason: String,
    /// Who orders it; without it this user's number.
    #[arg(long, value_name = "NAME")]
    pub(super) by: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Lift {
    /// The entry, as the list shows it.
    pub(super) entry: String,
    /// Who orders it; without it this user's number.
    #[arg(long, value_name = "NAME")]
    pub(super) by: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Block {
    /// Refuse everything that a client asks for, and end its running bulk calls at their next transaction.
    Client {
        /// A registered client by name or id; with --issuer the id of another issuer's client.
        client: String,
        /// The client's issuer; the embedded one without it.
        #[arg(long)]
        issuer: Option<String>,
        #[command(flatten)]
        order: BlockOrder,
    },
    /// Refuse every call of a program, or of one transaction, whoever makes it.
    Program {
        /// PROGRAM or PROGRAM/Transaction.
        #[arg(value_name = "PROGRAM[/TRANSACTION]")]
        program: String,
        #[command(flatten)]
        order: BlockOrder,
    },
    /// List the blocks that hold.
    List {
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Lift a block.
    Lift(Lift),
}

#[derive(Debug, Args)]
pub(super) struct BlockOrder {
    /// Why, for whoever reads the list and the audit log.
    #[arg(long, default_value = "")]
    pub(super) reason: String,
    /// When it ends by itself (RFC 3339); without it when it is lifted.
    #[arg(long, value_name = "INSTANT")]
    pub(super) until: Option<String>,
    /// Who orders it; without it this user's number.
    #[arg(long, value_name = "NAME")]
    pub(super) by: Option<String>,
}
