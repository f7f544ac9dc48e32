//! The answer of a bulk call: one result for each transaction, in the call's order, and how the run ended.
//!
//! Invariant: head, whatever results, tail is one valid document, and every result is in exactly one counter.

use super::super::document::{Failure, Mark};
use super::super::options::Format;
use super::super::table::Table;
use super::super::v2::{self, Counts};
use crate::model::{Input, Record};

#[derive(Debug)]
pub struct BulkDocument {
    format: Format,
    counts: Counts,
    results: u64,
    /// Records of the result that is being written.
    rows: u64,
    cut: Option<(String, &'static str)>,
    /// M3 took the transaction that is being written, and never says whether it worked.
    unreported: bool,
}

impl BulkDocument {
    pub fn new(format: Format) -> Self {
        Self { format, counts: Counts::default(), results: 0, rows: 0, cut: None, unreported: false }
    }

    pub fn head(&self, out: &mut Vec<u8>) {
        v2::open(self.format, out);
    }

    /// A result whose records follow. `parameters`: the inputs, where they are to be echoed.
    pub fn begin(&mut self, table: &Table, parameters: Option<&[Input]>, out: &mut Vec<u8>) {
        self.open(table.layout().name.as_str(), out);
        v2::echo(table, self.format, parameters, out);
        v2::open_records(self.format, out);
    }

    pub fn record(&mut self, table: &Table, record: &Record, out: &mut Vec<u8>) {
        v2::record(table, self.format, record, self.rows, out);
        self.rows += 1;
    }

    /// The outcome of the result that was begun is not known to anybody.
    pub fn unreported(&mut self) {
        self.unreported = true;
    }

    /// The end of a result that was begun.
    pub fn end(&mut self, failure: Option<&Failure>, mark: Option<&Mark>, out: &mut Vec<u8>) {
        let note = match mark {
            Some(mark) => v2::Note::More(mark),
            None if std::mem::take(&mut self.unreported) => v2::Note::NotReported,
            None => v2::Note::Nothing,
        };
        v2::close_result(self.format, self.rows, failure, note, out);
        match failure {
            None => self.counts.successful += 1,
            Some(_) => self.counts.failed += 1,
        }
    }

    pub fn failed(&mut self, name: &str, failure: &Failure, out: &mut Vec<u8>) {
        self.open(name, out);
        v2::open_records(self.format, out);
        self.end(Some(failure), None, out);
    }

    /// A transaction that was not run.
    pub fn left_out(&mut self, name: &str, out: &mut Vec<u8>) {
        self.open(name, out);
        v2::open_records(self.format, out);
        v2::close_result(self.format, 0, None, v2::Note::NotProcessed, out);
        self.counts.not_processed += 1;
    }

    fn open(&mut self, name: &str, out: &mut Vec<u8>) {
        v2::open_result(name, self.results == 0, self.format, out);
        self.results += 1;
        self.rows = 0;
    }

    /// The run ends here; the first reason is the one that is told.
    pub fn cut_short(&mut self, reason: String, kind: &'static str) {
        self.cut.get_or_insert((reason, kind));
    }

    pub fn is_cut_short(&self) -> bool {
        self.cut.is_some()
    }

    /// Successful, failed, not processed.
    pub fn counts(&self) -> (u64, u64, u64) {
        (self.counts.successful, self.counts.failed, self.counts.not_processed)
    }

    /// `job`: what the run is called in the log.
    pub fn tail(&self, job: &str, out: &mut Vec<u8>) {
        let cut = self.cut.as_ref().map(|(reason, kind)| (reason.as_str(), *kind));
        v2::close(self.format, self.counts, cut, Some(job), out);
    }
}
