//! Column arithmetic of the mock's own: units in, units out, columns from 1.

use super::metadata::Field;

/// How one session's text crosses the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wide {
    /// Two bytes a unit, big-endian.
    Two,
    /// One byte a unit, Latin-1.
    One,
}

impl Wide {
    pub(super) fn read(self, bytes: &[u8]) -> Vec<u16> {
        match self {
            Self::Two => bytes.chunks_exact(2).map(|pair| u16::from(pair[0]) << 8 | u16::from(pair[1])).collect(),
            Self::One => bytes.iter().map(|byte| u16::from(*byte)).collect(),
        }
    }

    /// A frame: four bytes of length, then the units. What Latin-1 has no byte for becomes a question mark, as M3 does.
    pub(super) fn frame(self, units: &[u16], out: &mut Vec<u8>) {
        let width = if self == Self::Two { 2 } else { 1 };
        out.extend_from_slice(&u32::try_from(units.len() * width).unwrap_or(0).to_be_bytes());
        for unit in units {
            match self {
                Self::Two => out.extend_from_slice(&unit.to_be_bytes()),
                Self::One => out.push(u8::try_from(*unit).unwrap_or(b'?')),
            }
        }
    }
}

/// The text in columns `from` to `from + length - 1`, without blanks around it; columns that are not there are blank.
pub(super) fn cut(units: &[u16], from: usize, length: usize) -> String {
    let start = from.saturating_sub(1).min(units.len());
    let end = (start + length).min(units.len());
    String::from_utf16_lossy(&units[start..end]).trim_matches(' ').to_owned()
}

/// Puts text into its columns; what is longer than the field is cut there, as narrow views do.
pub(super) fn put(text: &str, from: usize, length: usize, right: bool, units: &mut Vec<u16>) {
    let text: Vec<u16> = text.encode_utf16().take(length).collect();
    let start = from - 1 + if right { length - text.len() } else { 0 };
    if units.len() < from - 1 + length {
        units.resize(from - 1 + length, u16::from(b' '));
    }
    units[start..start + text.len()].copy_from_slice(&text);
}

/// A status in its fifteen columns.
pub(super) fn status(word: &str) -> Vec<u16> {
    format!("{word:<15}").encode_utf16().collect()
}

/// NOK: text to column 256, message id in 257 to 263, field from 265.
pub(super) fn nok(text: &str, id: &str, field: &str) -> Vec<u16> {
    let mut units = status("NOK");
    put(text, 16, 241, false, &mut units);
    put(id, 257, 7, false, &mut units);
    put(field, 265, 10, false, &mut units);
    units
}

/// How one user writes numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Habits {
    pub(super) comma: bool,
    pub(super) right: bool,
    pub(super) trailing_minus: bool,
}

impl Habits {
    pub(super) fn write(self, field: &Field, value: &str) -> String {
        if field.kind != 'N' || value.is_empty() {
            return value.to_owned();
        }
        let value = if self.comma { value.replace('.', ",") } else { value.to_owned() };
        match value.strip_prefix('-') {
            Some(digits) if self.trailing_minus => format!("{digits}-"),
            _ => value,
        }
    }

    pub(super) fn read(self, field: &Field, given: &str) -> String {
        if field.kind == 'N' && self.comma { given.replace(',', ".") } else { given.to_owned() }
    }

    pub(super) fn right(self, field: &Field) -> bool {
        self.right && field.kind == 'N'
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_put_is_cut_again(text in "[A-Za-z0-9ÅÄÖ]{1,12}", from in 16usize..60, spare in 0usize..5, right: bool, two: bool) {
            let length = text.chars().count() + spare;
            let mut units = status("OK");
            put(&text, from, length, right, &mut units);
            let wide = if two { Wide::Two } else { Wide::One };
            let mut bytes = Vec::new();
            wide.frame(&units, &mut bytes);
            prop_assert_eq!(cut(&wide.read(&bytes[4..]), from, length), text);
        }
    }
}
