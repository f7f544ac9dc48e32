//! An answer of the REST contract, written piece by piece: head, records as they come, tail.
//!
//! Invariant: whatever happens after the head, head + records + tail is one valid document, and a failure is in it.

use super::options::Options;
use super::table::Table;
use super::{ndjson, v1, v2, xml};
use crate::model::{Input, Record, Refusal, TransactionName};

/// Which of the contract's documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    V1Json,
    V1Xml,
    V2,
    /// One record a line, in v2's values.
    Lines,
}

impl Shape {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::V1Json | Self::V2 => "application/json; charset=UTF-8",
            Self::V1Xml => "application/xml; charset=UTF-8",
            Self::Lines => "application/x-ndjson; charset=UTF-8",
        }
    }

    /// Its last line says how the list ended, whatever was said before.
    pub fn tells_its_end(self) -> bool {
        self == Self::Lines
    }

    /// v1 answers values padded to their field, v2 without trailing blanks.
    pub fn trims_by_default(self) -> bool {
        matches!(self, Self::V2 | Self::Lines)
    }
}

/// Why a call failed, in the contract's words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failure {
    /// `ServerReturnedNOK`, `TransactionNotFound` …
    pub kind: &'static str,
    pub message: String,
    /// M3's message id.
    pub code: String,
    pub field: String,
    /// The run was cut short: M3 did not say NOK, it stopped saying anything.
    pub terminated: bool,
}

impl Failure {
    pub fn refused(refusal: &Refusal) -> Self {
        Self {
            kind: "ServerReturnedNOK",
            message: refusal.message.trim_end().to_owned(),
            code: refusal.id.clone(),
            field: refusal.field.map(|f| f.to_string()).unwrap_or_default(),
            terminated: false,
        }
    }

    pub fn fault(fault: &super::Fault) -> Self {
        Self {
            kind: fault.kind.as_str(),
            message: fault.message.clone(),
            code: String::new(),
            field: fault.field.map(|f| f.to_string()).unwrap_or_default(),
            terminated: false,
        }
    }

    pub fn cut_short(message: String) -> Self {
        Self { kind: "ConnectionLost", message, terminated: true, ..Self::default() }
    }
}

/// What is said of a list's end besides its records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mark {
    /// There were more records than the caller asked for.
    pub truncated: bool,
    /// Where the list goes on; `None` where it can't be taken up again.
    pub next: Option<String>,
    /// Records that are of a place outside the decision: how many, and not which.
    pub withheld: u64,
}

/// One answer being written.
#[derive(Debug)]
pub struct Document {
    shape: Shape,
    table: Table,
    options: Options,
    inputs: Vec<Input>,
    rows: u64,
}

impl Document {
    /// `input_layout` values are echoed by `extendedresult`.
    pub fn new(shape: Shape, table: Table, options: Options, inputs: Vec<Input>) -> Self {
        Self { shape, table, options, inputs, rows: 0 }
    }

    pub fn shape(&self) -> Shape {
        self.shape
    }

    pub fn head(&self, out: &mut Vec<u8>) {
        match self.shape {
            Shape::V1Json => v1::head(&self.table, self.options.metadata, out),
            Shape::V1Xml => xml::head(&self.table, self.options.metadata, out),
            Shape::Lines => {}
            Shape::V2 => {
                let parameters = self.options.extended.then_some(self.inputs.as_slice());
                v2::head(&self.table, self.options.format, parameters, out);
            }
        }
    }

    pub fn record(&mut self, record: &Record, out: &mut Vec<u8>) {
        match self.shape {
            Shape::V1Json => v1::record(&self.table, record, self.rows, out),
            Shape::V1Xml => xml::record(&self.table, record, self.rows, out),
            Shape::Lines => ndjson::record(&self.table, record, out),
            Shape::V2 => v2::record(&self.table, self.options.format, record, self.rows, out),
        }
        self.rows += 1;
    }

    /// `mark`: told in the body where the shape has a place for it and the head could not say it any more.
    pub fn tail(&self, failure: Option<&Failure>, mark: Option<&Mark>, out: &mut Vec<u8>) {
        match self.shape {
            Shape::V1Json => v1::tail(failure, mark, out),
            Shape::V1Xml => xml::tail(failure, out),
            Shape::V2 => v2::tail(self.options.format, self.rows, failure, mark, out),
            Shape::Lines => ndjson::tail(self.rows, failure, mark, out),
        }
    }

    /// A failure before any record: NOK as M3's first word, or a fault found before M3 was asked.
    pub fn failed(shape: Shape, transaction: TransactionName, options: &Options, failure: &Failure) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        match shape {
            Shape::V1Json => v1::failed(failure, &mut out),
            Shape::V1Xml => xml::failed(failure, &mut out),
            Shape::Lines => ndjson::tail(0, Some(failure), None, &mut out),
            Shape::V2 => v2::failed(transaction, options.format, failure, &mut out),
        }
        out
    }
}
