//! Whether a header block is being received on an HTTP/2 connection, and what the frames on it cost.
//!
//! The library has no time limit for a HEADERS frame that trickles in or for CONTINUATION frames that never end, and none
//! for how many frames may come that carry nothing, so the frame heads are read here on their way: nine bytes each,
//! nothing kept.
//! Does not know: streams, or what the frames hold.

const PREFACE: u32 = 24;
const FRAME_HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// Public so that a fuzz target can feed it.
#[derive(Debug)]
pub struct Heads {
    step: Step,
    /// A frame without the end mark was seen: CONTINUATION must follow.
    more: bool,
    /// What the frames cost since somebody asked.
    cost: u32,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Preface { left: u32 },
    Head { got: usize, bytes: [u8; FRAME_HEAD] },
    Payload { left: u32, of_block: bool },
}

const NEXT: Step = Step::Head { got: 0, bytes: [0; FRAME_HEAD] };

impl Heads {
    pub fn begin() -> Self {
        Self { step: Step::Preface { left: PREFACE }, more: false, cost: 0 }
    }

    /// Takes what was read and says whether a head (or the preface) is still incomplete.
    pub fn feed(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let taken = self.take(bytes);
            bytes = &bytes[taken..];
        }
        match self.step {
            Step::Preface { .. } | Step::Payload { of_block: true, .. } => true,
            Step::Head { got, .. } => self.more || got > 0,
            Step::Payload { of_block: false, .. } => self.more,
        }
    }

    /// What the frames cost that began since this was last asked.
    pub(super) fn cost(&mut self) -> u32 {
        std::mem::take(&mut self.cost)
    }

    fn take(&mut self, bytes: &[u8]) -> usize {
        match &mut self.step {
            Step::Preface { left } | Step::Payload { left, .. } => {
                let taken = bytes.len().min(*left as usize);
                *left -= taken as u32;
                if *left == 0 {
                    self.step = NEXT;
                }
                taken
            }
            Step::Head { got, bytes: head } => {
                let taken = bytes.len().min(FRAME_HEAD - *got);
                head[*got..*got + taken].copy_from_slice(&bytes[..taken]);
                *got += taken;
                if *got == FRAME_HEAD {
                    let head = *head;
                    self.frame(head);
                }
                taken
            }
        }
    }

    fn frame(&mut self, head: [u8; FRAME_HEAD]) {
        let left = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        self.cost = self.cost.saturating_add(price(head[3]));
        let of_block = matches!(head[3], HEADERS | CONTINUATION);
        if of_block {
            self.more = head[4] & END_HEADERS == 0;
        }
        self.step = if left == 0 { NEXT } else { Step::Payload { left, of_block } };
    }
}

fn price(kind: u8) -> u32 {
    match kind {
        // Windows, the header list and the library's own counts bound these.
        DATA | HEADERS | CONTINUATION => 0,
        // A request begun for nothing, or a look through all streams.
        RST_STREAM | SETTINGS => 10,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, payload.len() as u8, kind, flags, 0, 0, 0, 1];
        bytes.extend_from_slice(payload);
        bytes
    }

    fn connected() -> Heads {
        let mut heads = Heads::begin();
        assert!(heads.feed(&[b'P'; 23]));
        assert!(!heads.feed(b"\n"));
        heads
    }

    #[test]
    fn a_block_is_open_until_its_last_frame_ends() {
        let mut heads = connected();
        assert!(heads.feed(&frame(HEADERS, 0, b"abc")));
        assert!(heads.feed(&frame(CONTINUATION, 0, b"")));
        let last = frame(CONTINUATION, END_HEADERS, b"xyz");
        assert!(heads.feed(&last[..last.len() - 1]));
        assert!(!heads.feed(&last[last.len() - 1..]));
    }

    #[test]
    fn data_settings_and_pings_open_nothing() {
        let mut heads = connected();
        for kind in [0, 4, 6, 8] {
            assert!(!heads.feed(&frame(kind, 0, b"payload")), "{kind}");
        }
        assert!(!heads.feed(&frame(0, 0, b"half")[..11]));
    }

    #[test]
    fn what_carries_a_request_is_free_and_a_reset_costs_more_than_a_ping() {
        let mut heads = connected();
        let mut cost = |kind| {
            heads.feed(&frame(kind, END_HEADERS, b"payload"));
            heads.cost()
        };
        assert_eq!([DATA, HEADERS, CONTINUATION].map(&mut cost), [0, 0, 0]);
        assert_eq!([RST_STREAM, SETTINGS].map(&mut cost), [10, 10]);
        assert_eq!([2, 6, 8, 0xbb].map(&mut cost), [1, 1, 1, 1]);
    }

    proptest! {
        #[test]
        fn how_the_bytes_are_cut_changes_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..400), at in 0usize..400) {
            let (left, right) = bytes.split_at(at.min(bytes.len()));
            let (mut whole, mut cut) = (Heads::begin(), Heads::begin());
            let expected = whole.feed(&bytes);
            let first = cut.feed(left);
            let open = if right.is_empty() { first } else { cut.feed(right) };
            prop_assert_eq!(open, expected);
        }
    }
}
