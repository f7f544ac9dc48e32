//! The words of `policy`.

use super::By;
use clap::{Args, Subcommand};
use std::net::IpAddr;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Policy {
    /// Say what would be decided on a call, by which rule, and for a refusal which permit came nearest. Ends with 0 when
    /// it is allowed and with 1 when it is refused.
    Explain(PolicyExplain),
    /// Run the cases that stand beside the rules, in tests/*.toml of their folder. Ends with 1 when one fails.
    Test {
        /// The folder of rules; without it the one of the settings.
        #[arg(long, value_name = "FOLDER")]
        dir: Option<PathBuf>,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Check a folder of rules: what is wrong, what is too wide, what never fires, what nobody owns. Ends with 1 when
    /// something is wrong.
    Check(PolicyCheck),
    /// Put the decisions of the audit log to another folder of rules, and list those that would come out otherwise. Ends
    /// with 1 when one does.
    Replay(PolicyReplay),
    /// List the sets that were active and are kept.
    Versions {
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Tell what the shadow set (`policy.shadow`) of a running gateway would have decided otherwise, by rule and client. Ends
    /// with 1 when there is something.
    Shadow {
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Make the pair of keys that policies are signed with and trusted by.
    Keygen {
        /// The private key's file; the public one gets the same name and .pub.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Put a folder of rules into one file, signed. A folder with an error in it is refused.
    Bundle(PolicyBundle),
    /// Sign a bundle once more, where two have to.
    Sign(PolicySign),
    /// Tell what a bundle holds and who signed it. Ends with 1 when its signatures are not good or its last day is over.
    Verify(PolicyVerify),
    /// Go back to a set that was active before, in a running gateway within a second.
    Rollback(PolicyRollback),
    /// Take the policy folder up again after a rollback.
    Resume {
        #[command(flatten)]
        by: By,
    },
    /// List who may call what and where, as a table with commas, for access reviews.
    WhoCan(PolicyWhoCan),
    /// List what clients gain (+) and lose (-) from one folder of rules to another. Ends with 1 when something differs.
    Diff(PolicyDiff),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct PolicyCheck {
    /// The folder of rules; without it the one of the settings.
    pub(in crate::cli) dir: Option<PathBuf>,
    /// Warnings are errors too, and so is what could not be verified.
    #[arg(long)]
    pub(in crate::cli) strict: bool,
    /// Also list every known transaction with its class, and why it has that.
    #[arg(long)]
    pub(in crate::cli) classes: bool,
    /// One JSON object a line, the summary last.
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct PolicyBundle {
    /// The folder of rules. Its manifest.toml tells the set's name and version.
    pub(in crate::cli) dir: PathBuf,
    /// A private key to sign with; may be given more than once, and later with `policy sign`.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) key: Vec<PathBuf>,
    /// Where the bundle goes.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) out: PathBuf,
    /// In spite of errors.
    #[arg(long)]
    pub(in crate::cli) force: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct PolicySign {
    pub(in crate::cli) bundle: PathBuf,
    /// The private key to sign with.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) key: PathBuf,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct PolicyVerify {
    pub(in crate::cli) bundle: PathBuf,
    /// A public key that counts; may be given more than once. Without it those of the settings.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) key: Vec<PathBuf>,
    /// How many different keys must have signed.
    #[arg(long, value_name = "COUNT", requires = "key")]
    pub(in crate::cli) signatures: Option<usize>,
    /// As one JSON object.
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct PolicyRollback {
    /// A version, or the beginning of a set's hash; without it the set before the one that is active.
    #[arg(long, value_name = "VERSION|HASH")]
    pub(in crate::cli) to: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) by: By,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct PolicyExplain {
    /// The call as it stands behind execute/: 'CRS610MI/ChgBasicData;cono=100?CUNO=C00001&CUNM=New'.
    #[arg(required_unless_present = "decision")]
    pub(in crate::cli) call: Option<String>,
    /// A registered client by name or id, or any other as ID or ID@ISSUER.
    #[arg(long, required_unless_present = "decision")]
    pub(in crate::cli) client: Option<String>,
    /// A decision of the audit log in place of a call: the id of `mi-decision` or of a problem's `decision_id`.
    #[arg(long, value_name = "ID", conflicts_with_all = ["call", "client", "group", "scope", "claim", "record", "address", "at"])]
    pub(in crate::cli) decision: Option<String>,
    /// The folder of the audit log; without it the one of the settings.
    #[arg(long, value_name = "FOLDER", requires = "decision")]
    pub(in crate::cli) log: Option<PathBuf>,
    /// A group besides those that the client is in; may be given more than once.
    #[arg(long)]
    pub(in crate::cli) group: Vec<String>,
    /// A scope of the token; may be given more than once.
    #[arg(long)]
    pub(in crate::cli) scope: Vec<String>,
    /// A claim of the token, as NAME=VALUE; of a set once for each of its texts.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(in crate::cli) claim: Vec<String>,
    /// A field of the record that the rules look at, as FIELD=VALUE; may be given more than once. Without it the record
    /// could not be read.
    #[arg(long, value_name = "FIELD=VALUE")]
    pub(in crate::cli) record: Vec<String>,
    /// The caller's address; the machine's own without it.
    #[arg(long)]
    pub(in crate::cli) address: Option<IpAddr>,
    /// The moment of the call (RFC 3339); now without it.
    #[arg(long, value_name = "TIME")]
    pub(in crate::cli) at: Option<String>,
    /// The folder of rules; without it the one of the settings.
    #[arg(long, value_name = "FOLDER")]
    pub(in crate::cli) dir: Option<PathBuf>,
    /// As one JSON object.
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct PolicyWhoCan {
    /// A program, or PROGRAM/Transaction; without it everything that is known.
    pub(in crate::cli) what: Option<String>,
    /// A place to ask for, as 100 or 100/AAA; may be given more than once. Without it each client's own.
    #[arg(long, value_name = "CONO[/DIVI]")]
    pub(in crate::cli) place: Vec<String>,
    /// The folder of rules; without it the one of the settings.
    #[arg(long, value_name = "FOLDER")]
    pub(in crate::cli) dir: Option<PathBuf>,
    /// One JSON object a line.
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct PolicyDiff {
    /// The folder of rules as they are.
    pub(in crate::cli) before: PathBuf,
    /// The folder of rules as they would be.
    pub(in crate::cli) after: PathBuf,
    /// A place to ask for, as 100 or 100/AAA; may be given more than once. Without it each client's own.
    #[arg(long, value_name = "CONO[/DIVI]")]
    pub(in crate::cli) place: Vec<String>,
    /// One JSON object a line.
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct PolicyReplay {
    /// The folder of rules as they would be.
    pub(in crate::cli) candidate: PathBuf,
    /// The folder of the audit log; without it the one of the settings.
    #[arg(long, value_name = "FOLDER")]
    pub(in crate::cli) log: Option<PathBuf>,
    /// Only decisions since then: 2026-01-31T08:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub(in crate::cli) since: Option<String>,
    /// Only decisions on this client.
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) client: Option<String>,
    /// One JSON object a line, the sums last.
    #[arg(long)]
    pub(in crate::cli) json: bool,
}
