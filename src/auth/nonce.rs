//! Nonces that need not be remembered: what only we can make, of a stretch of time (RFC 9449, 8).
//!
//! Invariant: a nonce is good in its own stretch and in the next one, and never again.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

/// Bytes of a nonce; they are there to be fresh, not to be guessed at.
const LENGTH: usize = 16;

pub(super) struct Nonces {
    key: hmac::Key,
    /// Seconds of a stretch.
    stretch: u64,
}

impl std::fmt::Debug for Nonces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nonces").field("stretch", &self.stretch).finish_non_exhaustive()
    }
}

impl Nonces {
    pub(super) fn new(key: &[u8], stretch: u64) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key), stretch: stretch.max(1) }
    }

    pub(super) fn at(&self, now: u64) -> String {
        self.of(now / self.stretch)
    }

    pub(super) fn good(&self, nonce: &str, now: u64) -> bool {
        let stretch = now / self.stretch;
        let is = |stretch: u64| bool::from(self.of(stretch).as_bytes().ct_eq(nonce.as_bytes()));
        is(stretch) | stretch.checked_sub(1).is_some_and(is)
    }

    fn of(&self, stretch: u64) -> String {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(b"dpop nonce");
        context.update(&stretch.to_be_bytes());
        URL_SAFE_NO_PAD.encode(&context.sign().as_ref()[..LENGTH])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    #[test]
    fn a_nonce_is_good_in_its_own_stretch_and_the_next() {
        let nonces = Nonces::new(&[1; 32], 300);
        let nonce = nonces.at(NOW);
        for (later, good) in [(0, true), (299, true), (300, true), (599, true), (600, false), (86_400, false)] {
            assert_eq!(nonces.good(&nonce, NOW + later), good, "{later} s later");
        }
        assert!(!nonces.good(&nonce, NOW - 1), "of a stretch that has not begun");
        assert!(!nonces.good(&nonces.at(0), NOW) && nonces.good(&nonces.at(0), 0));
    }

    #[test]
    fn what_we_did_not_make_is_no_nonce() {
        let nonces = Nonces::new(&[1; 32], 300);
        for made_up in
            ["", "a", &nonces.at(NOW)[1..], &format!("{}A", nonces.at(NOW)), &Nonces::new(&[2; 32], 300).at(NOW)]
        {
            assert!(!nonces.good(made_up, NOW), "{made_up}");
        }
        // Replicas with the same key take each other's.
        assert!(Nonces::new(&[1; 32], 300).good(&nonces.at(NOW), NOW));
    }
}
