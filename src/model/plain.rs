//! Text for eyes: what a terminal obeys, or what makes a text look like another, is told instead of done.
//!
//! Each such character becomes `\u` and four digits, which JSON reads as the character itself: a JSON line that goes
//! through here says what it said.

use std::borrow::Cow;
use std::fmt::Write as _;

/// One line, whatever was in it.
pub fn plain(text: &str) -> Cow<'_, str> {
    told(text, is_command)
}

/// The same for a text of several lines, which stay lines.
pub fn plain_lines(text: &str) -> Cow<'_, str> {
    told(text, |c| is_command(c) && !matches!(c, '\n' | '\t'))
}

fn told(text: &str, hidden: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if hidden(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // A String takes everything.
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Controls of both sets, separators of lines and paragraphs, directions, and what can't be seen at all. Joiners are part
/// of how some languages are written, and stay.
fn is_command(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_terminal_obeys_is_told() {
        for (text, shown) in [
            ("Åke Öst, 東京 👩‍🚀", "Åke Öst, 東京 👩‍🚀"),
            ("a\u{1b}[2Jb", "a\\u001b[2Jb"),
            ("a\u{9b}2Jb\u{7f}", "a\\u009b2Jb\\u007f"),
            ("a\r\nb\t", "a\\u000d\\u000ab\\u0009"),
            ("\u{202e}txt.exe\u{2066}", "\\u202etxt.exe\\u2066"),
            ("a\u{2028}b\u{200b}\u{feff}", "a\\u2028b\\u200b\\ufeff"),
            ("\u{e0041}", "\\udb40\\udc41"),
        ] {
            assert_eq!(plain(text), shown);
        }
        assert!(matches!(plain("nothing"), Cow::Borrowed(_)));
        assert_eq!(plain_lines("a\n\tb\r\u{1b}"), "a\n\tb\\u000d\\u001b");
    }

    proptest! {
        #[test]
        fn a_line_of_json_says_what_it_said(text in any::<String>()) {
            let line = serde_json::to_string(&text).expect("a text is JSON");
            let shown = plain(&line);
            prop_assert!(!shown.contains(is_command));
            prop_assert_eq!(serde_json::from_str::<String>(&shown).expect("JSON still"), text);
        }
    }
}
