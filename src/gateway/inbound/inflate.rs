//! Packed content back to text: never more than its bound, and never much more than it was.

use flate2::{Decompress, FlushDecompress, Status};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Bad {
    /// More than may be held, or more than so few bytes may become.
    Large,
    Unreadable(&'static str),
}

/// What packs better than this is made to burst.
const MOST_RATIO: usize = 200;
/// So much may come of anything.
const ANYWAY: usize = 1024 * 1024;
const STEP: usize = 64 * 1024;

/// zlib, as the service itself packs, or bare deflate.
pub(super) fn inflate(packed: &[u8], most: usize) -> Result<String, Bad> {
    let zlib =
        packed.len() >= 2 && packed[0] & 0x0f == 8 && u16::from_be_bytes([packed[0], packed[1]]).is_multiple_of(31);
    let most = most.min(packed.len().saturating_mul(MOST_RATIO).max(ANYWAY));
    let mut state = Decompress::new(zlib);
    let mut out = Vec::new();
    loop {
        out.reserve(STEP);
        let read = usize::try_from(state.total_in()).unwrap_or(usize::MAX);
        let (before, rest) = (out.len(), packed.get(read..).unwrap_or_default());
        let status = state.decompress_vec(rest, &mut out, FlushDecompress::None);
        let status = status.map_err(|_| Bad::Unreadable("its content is not deflated"))?;
        if out.len() > most {
            return Err(Bad::Large);
        }
        let moved = out.len() != before || usize::try_from(state.total_in()).unwrap_or(usize::MAX) != read;
        match status {
            Status::StreamEnd => break,
            Status::Ok | Status::BufError if moved => {}
            Status::Ok | Status::BufError => return Err(Bad::Unreadable("its deflated content ends too early")),
        }
    }
    String::from_utf8(out).map_err(|_| Bad::Unreadable("its content is no UTF-8"))
}

pub(super) fn plain(content: Vec<u8>, most: usize) -> Result<String, Bad> {
    if content.len() > most {
        return Err(Bad::Large);
    }
    String::from_utf8(content).map_err(|_| Bad::Unreadable("its content is no UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, ZlibEncoder};
    use proptest::prelude::*;
    use std::io::Write;

    fn zlib(text: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).expect("packed");
        encoder.finish().expect("packed")
    }

    fn bare(text: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).expect("packed");
        encoder.finish().expect("packed")
    }

    #[test]
    fn few_bytes_do_not_become_many() {
        let bomb = zlib(&vec![b'a'; 64 * 1024 * 1024]);
        assert!(bomb.len() < 128 * 1024);
        assert_eq!(inflate(&bomb, usize::MAX), Err(Bad::Large), "by its ratio");
        assert_eq!(inflate(&zlib(&vec![b'a'; 2_000]), 1_999), Err(Bad::Large), "by its size");
        assert_eq!(
            inflate(&zlib(&vec![b'a'; ANYWAY]), usize::MAX).map(|text| text.len()),
            Ok(ANYWAY),
            "a small one may"
        );
    }

    #[test]
    fn what_is_torn_or_no_text_says_so() {
        let whole = zlib("<ConfirmBOD/>".repeat(50).as_bytes());
        for cut in [0, 1, 2, 10, whole.len() - 1] {
            assert!(matches!(inflate(&whole[..cut], 1 << 20), Err(Bad::Unreadable(_))), "{cut}");
        }
        assert!(matches!(inflate(b"<ConfirmBOD/>", 1 << 20), Err(Bad::Unreadable(_))));
        assert!(matches!(inflate(&zlib(b"\xff\xfe"), 1 << 20), Err(Bad::Unreadable(_))));
    }

    proptest! {
        #[test]
        fn what_was_packed_either_way_is_read_back(text in ".{0,2000}") {
            prop_assert_eq!(inflate(&zlib(text.as_bytes()), 1 << 20), Ok(text.clone()));
            prop_assert_eq!(inflate(&bare(text.as_bytes()), 1 << 20), Ok(text));
        }

        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
            if let Ok(text) = inflate(&bytes, 10_000) {
                prop_assert!(text.len() <= 10_000);
            }
        }
    }
}
