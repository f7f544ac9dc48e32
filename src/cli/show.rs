//! Words to people and to scripts: results on stdout, everything else on stderr, colours on a terminal alone.

use std::io::{IsTerminal, Write, stderr, stdout};

/// A result. A reader that has gone (`| head`) is no fault of ours.
pub(super) fn line(text: &str) {
    let _ = writeln!(stdout(), "{text}");
}

pub(super) fn note(text: &str) {
    let _ = writeln!(stderr(), "{text}");
}

pub(super) fn fault(text: &str) {
    let (red, plain) = if stderr().is_terminal() { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
    let _ = writeln!(stderr(), "{red}mi-gateway:{plain} {text}");
}
