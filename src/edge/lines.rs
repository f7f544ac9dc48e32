//! The ends of the lines of a request's head, on HTTP/1: CR LF, and never LF alone.
//!
//! The library takes an LF alone for the end of a line and a server before us may not: what is one head to it would be
//! two requests to us. So such an LF becomes a NUL on its way, which no head may hold, and the library answers 400 and
//! closes. The head is looked at once, where its LFs are; bodies pass as they are.
//! Always holds: where a body ends is what the library says of it, so that both see the next head at the same byte.
//! Does not know: what a head says.

use std::io::BufRead;

/// How long the body of a request is, by whoever read its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    Known(u64),
    Chunks,
}

#[derive(Debug)]
pub(super) struct Lines {
    step: Step,
    /// A line that was not empty came: before the first one, empty lines end nothing.
    begun: bool,
    /// What earlier reads brought of the line at hand, and whether that ends with a CR.
    held: usize,
    cr: bool,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Head,
    /// Its head is whole, and nobody has said yet how long its body is.
    Asked,
    Body {
        left: u64,
    },
    ChunkSize {
        size: u64,
    },
    /// What stands between the size of a chunk and the end of its line.
    ChunkLine {
        size: u64,
    },
    /// With the line's end behind it.
    Chunk {
        left: u64,
    },
    Trailers,
}

impl Lines {
    pub(super) fn begin() -> Self {
        Self { step: Step::Head, begun: false, held: 0, cr: false }
    }

    /// Looks through what was read and says how much of it may go on: up to the end of a head. What is behind that is
    /// passed once the library knows what it is. Something always goes on.
    pub(super) fn pass(&mut self, bytes: &mut [u8], told: impl Fn() -> Option<Length>) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &mut bytes[at..];
            at += match self.step {
                Step::Head => {
                    let (taken, over) = self.lines(rest);
                    if over {
                        self.step = Step::Asked;
                        return at + taken;
                    }
                    taken
                }
                Step::Asked => {
                    self.step = match told() {
                        Some(Length::Known(left)) => Step::Body { left },
                        Some(Length::Chunks) => Step::ChunkSize { size: 0 },
                        // It goes on reading as if the head went on, so it does.
                        None => Step::Head,
                    };
                    0
                }
                Step::Body { left } => {
                    let taken = most(rest, left);
                    self.step = Step::Body { left: left - taken as u64 };
                    if left == taken as u64 {
                        *self = Self::begin();
                    }
                    taken
                }
                Step::Trailers => {
                    let (taken, over) = self.lines(rest);
                    if over {
                        *self = Self::begin();
                    }
                    taken
                }
                Step::ChunkSize { .. } | Step::ChunkLine { .. } | Step::Chunk { .. } => self.chunk(rest),
            };
        }
        at
    }

    /// Up to the empty line that ends them, and whether it came.
    fn lines(&mut self, bytes: &mut [u8]) -> (usize, bool) {
        let mut from = 0;
        while let Some(end) = line_feed(&bytes[from..]) {
            let line = &bytes[from..from + end];
            let cr = line.last().map_or(self.cr, |last| *last == b'\r');
            let length = self.held + line.len();
            from += end + 1;
            if !cr {
                bytes[from - 1] = 0;
                (self.held, self.cr) = (length + 1, false);
                continue;
            }
            (self.held, self.cr) = (0, false);
            // Nothing but its CR.
            if length == 1 && self.begun {
                return (from, true);
            }
            self.begun |= length > 1;
        }
        let rest = &bytes[from..];
        self.held += rest.len();
        self.cr = rest.last().map_or(self.cr, |last| *last == b'\r');
        (bytes.len(), false)
    }

    /// What is no chunk is no matter here: the library refuses it.
    fn chunk(&mut self, bytes: &[u8]) -> usize {
        match self.step {
            Step::ChunkSize { size } => match bytes.first().and_then(|byte| (*byte as char).to_digit(16)) {
                Some(digit) => {
                    self.step = Step::ChunkSize { size: size.saturating_mul(16).saturating_add(digit.into()) };
                    1
                }
                None => {
                    self.step = Step::ChunkLine { size };
                    0
                }
            },
            Step::ChunkLine { size } => match line_feed(bytes) {
                None => bytes.len(),
                Some(end) => {
                    self.step = if size == 0 { Step::Trailers } else { Step::Chunk { left: size.saturating_add(2) } };
                    end + 1
                }
            },
            Step::Chunk { left } => {
                let taken = most(bytes, left);
                let left = left - taken as u64;
                self.step = if left == 0 { Step::ChunkSize { size: 0 } } else { Step::Chunk { left } };
                taken
            }
            Step::Head | Step::Asked | Step::Body { .. } | Step::Trailers => 0,
        }
    }
}

fn most(bytes: &[u8], left: u64) -> usize {
    usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()))
}

/// Found by the system's own search of memory: a head is looked through once a request.
fn line_feed(mut bytes: &[u8]) -> Option<usize> {
    let all = bytes;
    let taken = bytes.skip_until(b'\n').unwrap_or_default();
    (taken > 0 && all[taken - 1] == b'\n').then(|| taken - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{Just, any, prop_assert_eq, prop_oneof, proptest};
    use proptest::strategy::Strategy;
    use std::cell::Cell;

    const HEAD: &str = "POST / HTTP/1.1\r\nHost: x\r\n\r\n";

    /// What goes on of these requests, each with the length that the library would tell, read in pieces of this size.
    fn passed(requests: &[(String, Length)], piece: usize) -> String {
        let stream: Vec<u8> = requests.iter().flat_map(|(text, _)| text.bytes()).collect();
        let (mut lines, mut passed, mut held) = (Lines::begin(), Vec::new(), Vec::new());
        let (told, asked) = (Cell::new(None), Cell::new(0));
        for read in stream.chunks(piece) {
            held.extend_from_slice(read);
            while !held.is_empty() {
                let taken = lines.pass(&mut held, || told.take());
                assert!(taken > 0, "a read that gives nothing would be the end");
                passed.extend(held.drain(..taken));
                if matches!(lines.step, Step::Asked) && told.get().is_none() {
                    told.set(requests.get(asked.get()).map(|(_, length)| *length));
                    asked.set(asked.get() + 1);
                }
            }
        }
        String::from_utf8(passed).expect("text")
    }

    fn one(text: &str, length: Length) -> Vec<(String, Length)> {
        vec![(text.to_owned(), length)]
    }

    #[test]
    fn a_line_feed_alone_is_no_end_of_a_line_of_a_head() {
        for (said, goes_on) in [
            ("GET / HTTP/1.1\nHost: x\r\n\r\n", "GET / HTTP/1.1\0Host: x\r\n\r\n"),
            ("GET / HTTP/1.1\r\nHost: x\n\r\n", "GET / HTTP/1.1\r\nHost: x\0\r\n"),
            ("GET / HTTP/1.1\r\nHost: x\n\n", "GET / HTTP/1.1\r\nHost: x\0\0"),
            ("GET / HTTP/1.1\r\nHost: x\r\n\n", "GET / HTTP/1.1\r\nHost: x\r\n\0"),
            ("\nGET / HTTP/1.1\r\n", "\0GET / HTTP/1.1\r\n"),
            ("\r\nGET / HTTP/1.1\r\n\r\n", "\r\nGET / HTTP/1.1\r\n\r\n"),
        ] {
            for piece in 1..=said.len() {
                let passed = passed(&one(said, Length::Known(0)), piece);
                assert!(passed.starts_with(goes_on), "{said:?} in pieces of {piece}: {passed:?}");
            }
        }
    }

    #[test]
    fn trailers_are_lines_as_those_of_a_head_are() {
        let said = format!("{HEAD}1;x=y\r\na\r\n0\r\nA: b\nC: d\r\n\r\n{HEAD}");
        let passed = passed(&one(&said, Length::Chunks), 7);
        assert_eq!(passed, format!("{HEAD}1;x=y\r\na\r\n0\r\nA: b\0C: d\r\n\r\n{HEAD}"));
    }

    /// A request whose body may hold anything that looks like a head or the end of one.
    fn request() -> impl Strategy<Value = (String, Length)> {
        let text =
            proptest::collection::vec(prop_oneof![Just("\n"), Just("\r\n"), Just("\r\n\r\n"), Just("GET")], 0..6);
        (text, any::<bool>()).prop_map(|(words, chunks)| {
            let body = words.concat();
            if !chunks {
                return (format!("{HEAD}{body}"), Length::Known(body.len() as u64));
            }
            let pieces: String =
                words.iter().map(|word| format!("{:x};ext\r\n{word}\r\n", word.len())).collect::<Vec<_>>().concat();
            (format!("{HEAD}{pieces}0\r\nTrailer: x\r\n\r\n"), Length::Chunks)
        })
    }

    proptest! {
        #[test]
        fn what_is_well_said_goes_on_as_it_is_however_it_is_read(
            requests in proptest::collection::vec(request(), 1..5),
            piece in 1usize..40,
        ) {
            let all: String = requests.iter().map(|(text, _)| text.as_str()).collect();
            prop_assert_eq!(passed(&requests, piece), all);
        }
    }
}
