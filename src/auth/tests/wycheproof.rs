//! Wycheproof's vectors: signatures that broke other libraries, put to the check that tokens go through.
//!
//! Their messages are no tokens, so keys are read as a key set's are and signatures checked as a token's is, without the
//! rest. What is valid by its own rules and not by JOSE's (DER, another salt) must be refused.

use super::super::Algorithm;
use super::super::keys::Key;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use wycheproof::{TestResult, ecdsa, eddsa, rsa_pkcs1_verify, rsa_pss_verify};

fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Without the zeros before it, as RFC 7518 writes a number.
fn number(bytes: &[u8]) -> String {
    text(&bytes[bytes.iter().take_while(|byte| **byte == 0).count()..])
}

fn is_good(jwk: &Value, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
    Key::of(jwk.clone()).is_some_and(|key| {
        let signature = text(signature);
        key.serves(algorithm)
            && jsonwebtoken::crypto::verify(&signature, message, &key.decoding, algorithm.named()).unwrap_or(false)
    })
}

/// What a set of vectors came to.
#[derive(Default)]
struct Tally {
    good: usize,
    refused: usize,
    wrong: Vec<String>,
}

impl Tally {
    fn count(&mut self, what: String, result: TestResult, good: bool) {
        if good {
            self.good += 1;
        } else {
            self.refused += 1;
        }
        let right = match result {
            TestResult::Valid => good,
            TestResult::Invalid => !good,
            TestResult::Acceptable => true,
        };
        if !right {
            self.wrong.push(what);
        }
    }

    /// Both kinds were there, and each as it should be.
    fn holds(&self) {
        assert!(self.wrong.is_empty(), "{} are otherwise: {:?}", self.wrong.len(), self.wrong);
        assert!(self.good > 0 && self.refused > 0, "{} good, {} refused", self.good, self.refused);
    }
}

#[test]
fn ecdsa_is_checked_as_wycheproof_wants_it() {
    use ecdsa::{TestName, TestSet};
    super::super::install_crypto();
    for (name, curve, algorithm, fixed) in [
        (TestName::EcdsaSecp256r1Sha256P1363, "P-256", Algorithm::Es256, true),
        (TestName::EcdsaSecp384r1Sha384P1363, "P-384", Algorithm::Es384, true),
        (TestName::EcdsaSecp256r1Sha256, "P-256", Algorithm::Es256, false),
        (TestName::EcdsaSecp384r1Sha384, "P-384", Algorithm::Es384, false),
    ] {
        let mut tally = Tally::default();
        for group in TestSet::load(name).expect("vectors").test_groups {
            let (x, y) = group.key.key[1..].split_at(group.key.key.len() / 2);
            let jwk = json!({"kty": "EC", "crv": curve, "x": text(x), "y": text(y)});
            for test in group.tests {
                let good = is_good(&jwk, algorithm, &test.msg, &test.sig);
                let what = format!("{name:?} {}: {}", test.tc_id, test.comment);
                assert!(fixed || !good, "{what}: JOSE has no DER");
                tally.count(what, if fixed { test.result } else { TestResult::Invalid }, good);
            }
        }
        if fixed {
            tally.holds();
        }
    }
}

#[test]
fn eddsa_is_checked_as_wycheproof_wants_it() {
    super::super::install_crypto();
    let mut tally = Tally::default();
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).expect("vectors").test_groups {
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": text(&group.key.pk)});
        for test in group.tests {
            let good = is_good(&jwk, Algorithm::EdDsa, &test.msg, &test.sig);
            tally.count(format!("{}: {}", test.tc_id, test.comment), test.result, good);
        }
    }
    tally.holds();
}

#[test]
fn rsa_of_pkcs_1_is_checked_as_wycheproof_wants_it() {
    use Algorithm::{Rs256, Rs384, Rs512};
    use rsa_pkcs1_verify::{TestName, TestSet};
    super::super::install_crypto();
    for (name, algorithm) in [
        (TestName::Rsa2048Sha256, Rs256),
        (TestName::Rsa2048Sha384, Rs384),
        (TestName::Rsa2048Sha512, Rs512),
        (TestName::Rsa3072Sha256, Rs256),
        (TestName::Rsa3072Sha384, Rs384),
        (TestName::Rsa3072Sha512, Rs512),
        (TestName::Rsa4096Sha256, Rs256),
        (TestName::Rsa4096Sha384, Rs384),
        (TestName::Rsa4096Sha512, Rs512),
        (TestName::Rsa8192Sha256, Rs256),
        (TestName::Rsa8192Sha384, Rs384),
        (TestName::Rsa8192Sha512, Rs512),
    ] {
        let mut tally = Tally::default();
        for group in TestSet::load(name).expect("vectors").test_groups {
            let jwk = json!({"kty": "RSA", "n": number(&group.key.n), "e": number(&group.key.e)});
            for test in group.tests {
                let good = is_good(&jwk, algorithm, &test.msg, &test.sig);
                tally.count(format!("{name:?} {}: {}", test.tc_id, test.comment), test.result, good);
            }
        }
        tally.holds();
    }
}

#[test]
fn rsa_of_pss_is_checked_as_wycheproof_wants_it_with_the_salt_of_jose() {
    use Algorithm::{Ps256, Ps384, Ps512};
    use rsa_pss_verify::{TestName, TestSet};
    super::super::install_crypto();
    for (name, algorithm, of_jose) in [
        (TestName::RsaPss2048Sha256Mgf1SaltLen32, Ps256, true),
        (TestName::RsaPss3072Sha256Mgf1SaltLen32, Ps256, true),
        (TestName::RsaPss4096Sha256Mgf1SaltLen32, Ps256, true),
        (TestName::RsaPss2048Sha384Mgf1SaltLen48, Ps384, true),
        (TestName::RsaPss4096Sha384Mgf1SaltLen48, Ps384, true),
        (TestName::RsaPss4096Sha512Mgf1SaltLen64, Ps512, true),
        (TestName::RsaPss2048Sha256Mgf1SaltLen0, Ps256, false),
        (TestName::RsaPss2048Sha256Mgf1Sha1_20, Ps256, false),
        (TestName::RsaPss4096Sha512Mgf1SaltLen32, Ps512, false),
    ] {
        let mut tally = Tally::default();
        for group in TestSet::load(name).expect("vectors").test_groups {
            let jwk = json!({"kty": "RSA", "n": number(&group.key.n), "e": number(&group.key.e)});
            for test in group.tests {
                let good = is_good(&jwk, algorithm, &test.msg, &test.sig);
                let what = format!("{name:?} {}: {}", test.tc_id, test.comment);
                let wanted = match test.result {
                    wanted if of_jose => wanted,
                    // Another salt than its own set's: it may be JOSE's.
                    TestResult::Invalid if test.comment.starts_with("s_len changed") => TestResult::Acceptable,
                    _ => TestResult::Invalid,
                };
                tally.count(what, wanted, good);
            }
        }
        if of_jose {
            tally.holds();
        } else {
            assert!(tally.wrong.is_empty() && tally.refused > 0, "{:?}", tally.wrong);
        }
    }
}
