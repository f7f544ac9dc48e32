//! Words to people and to scripts: results on stdout, everything else on stderr, colours on a terminal alone.
//!
//! Much of it is foreign: of callers, of M3, of files. Invariant: nothing of that commands the terminal it is shown on.

use crate::model::{plain, plain_lines};
use std::io::{IsTerminal, Write, stderr, stdout};

/// A result. A reader that has gone (`| head`) is no fault of ours.
pub(super) fn line(text: &str) {
    let _ = writeln!(stdout(), "{}", plain(text));
}

/// A result of several lines.
pub(super) fn lines(text: &str) {
    let _ = writeln!(stdout(), "{}", plain_lines(text));
}

/// A document, to the byte for a file or a script.
pub(super) fn document(text: &str) {
    if stdout().is_terminal() { lines(text) } else { drop(writeln!(stdout(), "{text}")) }
}

pub(super) fn note(text: &str) {
    let _ = writeln!(stderr(), "{}", plain_lines(text));
}

pub(super) fn fault(text: &str) {
    let (red, usual) = if stderr().is_terminal() { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
    let _ = writeln!(stderr(), "{red}mi-gateway:{usual} {}", plain_lines(text));
}
