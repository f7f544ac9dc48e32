//! What a transaction does to M3, told from its name alone: no I/O, no catalog.
//!
//! Invariant: read is only what the reviewed list or a read prefix in a program of Infor's own says;
//! everything else, unknown names included, is a write.

use super::names::{ProgramName, TransactionName};
use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    Read,
    Write,
    /// A query over any table: only a rule that names the transaction permits it.
    Raw,
    /// Changes the session it runs on, or desynchronises it: the client's own words, refused from callers.
    Session,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Raw => "raw",
            Self::Session => "session",
        })
    }
}

impl Effect {
    pub fn of(program: ProgramName, transaction: TransactionName) -> Self {
        let name = transaction.as_str();
        if SESSION.iter().any(|word| name.eq_ignore_ascii_case(word)) {
            return Self::Session;
        }
        if RAW_PROGRAMS.contains(&program.as_str()) {
            return Self::Raw;
        }
        if TECHNICAL_READS.contains(&name) {
            return Self::Read;
        }
        if WRITES_DESPITE_THEIR_NAME.contains(&(program.as_str(), name)) {
            return Self::Write;
        }
        if READS_DESPITE_THEIR_NAME.contains(&(program.as_str(), name)) {
            return Self::Read;
        }
        if !program.is_customer_made() && has_read_prefix(name) {
            return Self::Read;
        }
        Self::Write
    }

    /// Why `of` said so, for people who check a policy.
    pub fn reason(program: ProgramName, transaction: TransactionName) -> &'static str {
        let name = transaction.as_str();
        let pair = (program.as_str(), name);
        match Self::of(program, transaction) {
            Self::Session => "changes the session it runs on",
            Self::Raw => "queries any table",
            Self::Read if TECHNICAL_READS.contains(&name) => "a technical transaction that only reads",
            Self::Read if READS_DESPITE_THEIR_NAME.contains(&pair) => "in the reviewed list of reads",
            Self::Read => "its name starts with a read prefix",
            Self::Write if WRITES_DESPITE_THEIR_NAME.contains(&pair) => "in the reviewed list of writes",
            Self::Write if program.is_customer_made() => "customer-made: its name proves nothing",
            Self::Write => "nothing says that it only reads",
        }
    }

    pub fn is_write(self) -> bool {
        self != Self::Read
    }

    /// `Snd…` is never answered on the socket.
    pub fn is_unanswered(transaction: TransactionName) -> bool {
        transaction.as_str().starts_with("Snd")
    }

    /// May be called in every program, and only reads.
    pub fn is_technical(transaction: TransactionName) -> bool {
        TECHNICAL_READS.contains(&transaction.as_str())
    }
}

/// The prefix must end where a word ends: `Listen` is no `List`.
fn has_read_prefix(name: &str) -> bool {
    ["Get", "Lst", "List", "Sel", "Select", "Search"]
        .iter()
        .any(|prefix| name.strip_prefix(prefix).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_lowercase())))
}

const SESSION: &[&str] = &[
    "SetLstMaxRec",
    "ZipTransOn",
    "ZipTransOff",
    "setblob",
    "getblob",
    "CLOSE",
    "LOOPBACK",
    "LOOPB",
    "FpwVersion",
    "GetInLayout",
    "GetOutLayout",
];

const TECHNICAL_READS: &[&str] = &[
    "GetServerTime",
    "ServerTimeZone",
    "GetMIBuild",
    "GetFixLevel",
    "GetUserInfo",
    "GetCurrentUser",
    "GetMessageText",
    "GetFieldHeading",
];

const RAW_PROGRAMS: &[&str] = &["CMS100MI", "EXPORTMI", "LISTMI", "MDBREADMI"];

/// Names with a read prefix that change something. Of the 522 transactions that the mock describes none does.
const WRITES_DESPITE_THEIR_NAME: &[(&str, &str)] = &[];

/// Names without a read prefix that were looked at and only read.
const READS_DESPITE_THEIR_NAME: &[(&str, &str)] = &[
    ("MMS060MI", "RtvMovableNet"),
    ("MRS001MI", "CheckFreeTrans"),
    ("OIS100MI", "CheckCustomer"),
    ("OIS350MI", "RtvSplitDueDate"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn of(program: &str, transaction: &str) -> Effect {
        Effect::of(
            ProgramName::parse(program).expect("a program name of the test"),
            TransactionName::parse(transaction).expect("a transaction name of the test"),
        )
    }

    #[test]
    fn a_name_that_says_nothing_is_a_write() {
        for (program, transaction) in [
            ("CRS165MI", "RtvNextNumber"),
            ("MNS150MI", "CheckPIN"),
            ("CUSEXTMI", "MathFieldValue"),
            ("EXT001MI", "LstAll"),
            ("OIS100MI", "Confirm"),
            ("MMS200MI", "Listen"),
            ("MMS200MI", "Whatever"),
            ("MMS200MI", "getitm"),
        ] {
            assert_eq!(of(program, transaction), Effect::Write, "{program}/{transaction}");
        }
    }

    #[test]
    fn a_reviewed_name_is_what_the_review_said() {
        assert_eq!(of("OIS350MI", "RtvSplitDueDate"), Effect::Read);
        assert_eq!(of("OIS100MI", "RtvSplitDueDate"), Effect::Write);
        assert_eq!(of("CRS610MI", "CheckPIN"), Effect::Write);
        let lists = [WRITES_DESPITE_THEIR_NAME, READS_DESPITE_THEIR_NAME];
        for (program, transaction) in lists.concat() {
            let by_prefix = has_read_prefix(transaction);
            let read = of(program, transaction) == Effect::Read;
            assert_ne!(by_prefix, read, "{program}/{transaction} needs no place in a list");
        }
    }

    #[test]
    fn words_of_the_session_are_known_in_any_spelling() {
        for name in ["SetLstMaxRec", "setlstmaxrec", "CLOSE", "Close", "ZIPTRANSON", "getBlob"] {
            assert_eq!(of("CRS610MI", name), Effect::Session, "{name}");
        }
    }

    #[test]
    fn queries_over_any_table_are_raw() {
        assert_eq!(of("EXPORTMI", "Select"), Effect::Raw);
        assert_eq!(of("MDBREADMI", "GetMITMAS00"), Effect::Raw);
    }
}
