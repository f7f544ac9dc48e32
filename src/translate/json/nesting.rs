//! Where one stands in a JSON text: how deep, and whether inside a string.

/// A text nests deeper than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the JSON nests deeper than {most} levels")]
pub struct TooDeep {
    pub most: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Nesting {
    pub(super) depth: usize,
    pub(super) in_string: bool,
    escaped: bool,
}

impl Nesting {
    pub(super) fn step(&mut self, byte: u8) {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }
}

/// Asked before a body is parsed: a parser that recurses is never led deeper than this.
pub fn within_depth(text: &[u8], most: usize) -> Result<(), TooDeep> {
    let mut nesting = Nesting::default();
    for byte in text {
        nesting.step(*byte);
        if nesting.depth > most {
            return Err(TooDeep { most });
        }
    }
    Ok(())
}
