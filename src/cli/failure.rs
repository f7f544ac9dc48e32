//! How a command ends badly: one clear line a fault, no stack trace, a code that scripts can tell apart.

use super::show;
use crate::config::Fault;
use std::process::ExitCode;

#[derive(Debug)]
pub(super) struct Failure {
    lines: Vec<String>,
    code: u8,
}

impl Failure {
    /// It could not begin: a setting, a file, a port.
    pub(super) fn begin(line: impl Into<String>) -> Self {
        Self { lines: vec![line.into()], code: 2 }
    }

    /// It began, and failed on the way.
    pub(super) fn on_the_way(line: impl Into<String>) -> Self {
        Self { lines: vec![line.into()], code: 1 }
    }

    pub(super) fn tell(self) -> ExitCode {
        for line in &self.lines {
            show::fault(line);
        }
        ExitCode::from(self.code)
    }
}

impl From<Vec<Fault>> for Failure {
    fn from(faults: Vec<Fault>) -> Self {
        Self { lines: faults.iter().map(ToString::to_string).collect(), code: 2 }
    }
}
