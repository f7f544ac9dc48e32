//! The words of `bod`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Bod {
    /// Read a record from M3 and print the documents that it becomes, as they would be sent. Nothing is sent.
    Preview(BodPreview),
    /// Check a document: its elements, their order and their values. Ends with 1 when it has a flaw.
    Validate {
        /// The document; - is the standard input.
        file: PathBuf,
        /// Flaws as JSON, one object a line.
        #[arg(long)]
        json: bool,
    },
    /// Tell where two documents of one record differ, as documents in shadow are compared with those of M3's own publisher:
    /// whose they are, when they were made and their numbers count for nothing. Ends with 1 where they differ.
    Compare {
        /// The one.
        ours: PathBuf,
        /// And the other; - is the standard input.
        theirs: PathBuf,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Print the XML schema of a noun's documents.
    Schema {
        /// ItemMaster, PurchaseOrder …
        noun: String,
    },
    /// List the writes of M3's programs that are known, and the documents that tell of them. Ends with 0.
    Coverage {
        /// A program; without it all that are known.
        program: Option<String>,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(in crate::cli) struct BodPreview {
    /// The write: MMS200MI/UpdItmBasic. Or the document's noun: ItemMaster, Process.PurchaseOrder. Of a batch entry
    /// (PPS370MI/FinishEntry) name an order that M3 has created: PUNO=….
    pub(in crate::cli) of: String,
    /// The document's key, and what else the write would send: ITNO=A1.
    #[arg(value_name = "FIELD=VALUE")]
    pub(in crate::cli) fields: Vec<String>,
    /// The company; without it the one where the gateway's M3 user is at home.
    #[arg(long, value_name = "CONO")]
    pub(in crate::cli) company: Option<String>,
    /// The division; without it the one where the gateway's M3 user is at home, and of a record that has a document for each
    /// division all of them.
    #[arg(long, value_name = "DIVI")]
    pub(in crate::cli) division: Option<String>,
    /// A mapping file of your own: put over the shipped one of its noun, or for a noun that none is shipped for.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) mapping: Option<PathBuf>,
    /// Another logical id than the settings have.
    #[arg(long, value_name = "LID")]
    pub(in crate::cli) lid: Option<String>,
}
