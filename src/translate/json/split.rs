//! A JSON document split while it arrives: containers on one path are walked into, everything else comes whole.
//!
//! Always holds: however the bytes are cut into pieces, the parts are the same; nothing longer than a part is held.

use super::nesting::Nesting;
use std::collections::VecDeque;

/// What was found, in the document's order. `depth`: 0 is the document itself, 1 what stands in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// A container on the path begins; its children follow.
    Open { depth: usize, key: Option<String>, array: bool },
    /// A value, whole, as it was written.
    Value { depth: usize, key: Option<String>, raw: Vec<u8> },
    /// The container of this depth ends.
    Close { depth: usize },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SplitLimits {
    /// Levels of the whole document.
    pub depth: usize,
    /// Bytes of one value, and of one key.
    pub value: usize,
}

/// Why a document can't be split; the fault of whoever wrote it. `at` counts bytes from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SplitFault {
    #[error("it is no JSON at byte {at}: {wanted} should stand there")]
    Syntax { at: u64, wanted: &'static str },
    #[error("the JSON nests deeper than {most} levels at byte {at}")]
    TooDeep { at: u64, most: usize },
    #[error("one value is longer than {most} bytes at byte {at}")]
    TooLong { at: u64, most: usize },
    #[error("it ends in the middle, after {at} bytes")]
    Ends { at: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A value, or the end of an array that has none yet.
    Value {
        or_end: bool,
    },
    /// A key, or the end of an object that has none yet.
    Key {
        or_end: bool,
    },
    Colon,
    /// A comma or the end.
    Next,
    InKey,
    InValue,
    /// After the document: blanks alone.
    Done,
}

#[derive(Debug)]
pub struct Splitter {
    /// Keys of the objects and `[]` for any element, from the document inwards.
    path: &'static [&'static str],
    limits: SplitLimits,
    state: State,
    /// The containers that are open and walked: `true` is an array.
    walked: Vec<bool>,
    key: Option<String>,
    raw: Vec<u8>,
    nesting: Nesting,
    at: u64,
}

impl Splitter {
    pub fn new(path: &'static [&'static str], limits: SplitLimits) -> Self {
        Self {
            path,
            limits,
            state: State::Value { or_end: false },
            walked: Vec::with_capacity(path.len() + 1),
            key: None,
            raw: Vec::new(),
            nesting: Nesting::default(),
            at: 0,
        }
    }

    /// Takes the next bytes; what is whole now is put at the end of `parts`.
    pub fn feed(&mut self, bytes: &[u8], parts: &mut VecDeque<Part>) -> Result<(), SplitFault> {
        for byte in bytes {
            self.at += 1;
            self.step(*byte, parts)?;
        }
        Ok(())
    }

    /// Nothing more comes: the document must have ended.
    pub fn finish(&self) -> Result<(), SplitFault> {
        if self.state == State::Done { Ok(()) } else { Err(SplitFault::Ends { at: self.at }) }
    }

    fn step(&mut self, byte: u8, parts: &mut VecDeque<Part>) -> Result<(), SplitFault> {
        match self.state {
            State::InValue => return self.in_value(byte, parts),
            State::InKey => return self.in_key(byte),
            _ if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') => return Ok(()),
            _ => {}
        }
        match (self.state, byte) {
            (State::Value { or_end: true }, b']') | (State::Key { or_end: true }, b'}') => self.close(parts),
            (State::Value { .. }, _) => self.value(byte, parts)?,
            (State::Key { .. }, b'"') => {
                self.raw.push(byte);
                self.state = State::InKey;
                self.nesting.step(byte);
            }
            (State::Colon, b':') => self.state = State::Value { or_end: false },
            (State::Next, b',') => {
                let array = self.walked.last() == Some(&true);
                self.state = if array { State::Value { or_end: false } } else { State::Key { or_end: false } };
            }
            (State::Next, b']') if self.walked.last() == Some(&true) => self.close(parts),
            (State::Next, b'}') if self.walked.last() == Some(&false) => self.close(parts),
            (State::Key { .. }, _) => return self.syntax("a key in quotes"),
            (State::Colon, _) => return self.syntax("a colon"),
            (State::Next, _) => return self.syntax("a comma or the end of what was opened"),
            (State::Done | State::InKey | State::InValue, _) => return self.syntax("nothing more"),
        }
        Ok(())
    }

    fn value(&mut self, byte: u8, parts: &mut VecDeque<Part>) -> Result<(), SplitFault> {
        let container = matches!(byte, b'{' | b'[');
        if container && self.is_on_path() {
            let depth = self.walked.len();
            if depth + 1 > self.limits.depth {
                return Err(SplitFault::TooDeep { at: self.at, most: self.limits.depth });
            }
            let array = byte == b'[';
            parts.push_back(Part::Open { depth, key: self.key.take(), array });
            self.walked.push(array);
            self.state = if array { State::Value { or_end: true } } else { State::Key { or_end: true } };
            return Ok(());
        }
        if !container && !matches!(byte, b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') {
            return self.syntax("a value");
        }
        self.state = State::InValue;
        self.keep(byte)?;
        Ok(())
    }

    /// The document itself, then one step of the path for each container that is open.
    fn is_on_path(&self) -> bool {
        let Some(inner) = self.walked.len().checked_sub(1) else { return true };
        match self.path.get(inner) {
            Some(&"[]") => self.walked[inner],
            Some(step) => self.key.as_deref() == Some(*step),
            None => false,
        }
    }

    fn in_value(&mut self, byte: u8, parts: &mut VecDeque<Part>) -> Result<(), SplitFault> {
        let scalar = self.nesting == Nesting::default();
        if scalar && matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n') {
            self.end_value(parts);
            return self.step(byte, parts);
        }
        self.keep(byte)?;
        // A string or a container ends with its own last byte, a number or a word with what follows it.
        if !scalar && self.nesting == Nesting::default() {
            self.end_value(parts);
        }
        Ok(())
    }

    fn in_key(&mut self, byte: u8) -> Result<(), SplitFault> {
        self.keep(byte)?;
        if self.nesting == Nesting::default() {
            let Ok(key) = serde_json::from_slice(&self.raw) else { return self.syntax("a key of JSON") };
            self.key = Some(key);
            self.raw.clear();
            self.state = State::Colon;
        }
        Ok(())
    }

    fn keep(&mut self, byte: u8) -> Result<(), SplitFault> {
        if self.raw.len() == self.limits.value {
            return Err(SplitFault::TooLong { at: self.at, most: self.limits.value });
        }
        self.raw.push(byte);
        self.nesting.step(byte);
        if self.walked.len() + self.nesting.depth > self.limits.depth {
            return Err(SplitFault::TooDeep { at: self.at, most: self.limits.depth });
        }
        Ok(())
    }

    fn end_value(&mut self, parts: &mut VecDeque<Part>) {
        let raw = std::mem::take(&mut self.raw);
        parts.push_back(Part::Value { depth: self.walked.len(), key: self.key.take(), raw });
        self.state = if self.walked.is_empty() { State::Done } else { State::Next };
    }

    fn close(&mut self, parts: &mut VecDeque<Part>) {
        self.walked.pop();
        parts.push_back(Part::Close { depth: self.walked.len() });
        self.state = if self.walked.is_empty() { State::Done } else { State::Next };
    }

    fn syntax(&self, wanted: &'static str) -> Result<(), SplitFault> {
        Err(SplitFault::Syntax { at: self.at, wanted })
    }
}
