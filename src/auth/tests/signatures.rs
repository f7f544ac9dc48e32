//! Signatures that no usual signer makes, over claims that are in order: of each curve and padding, one flaw at a time.

use super::super::{Algorithm, Error, IssuerRules, KeySet, Unfit};
use super::{House, claims, coded, with};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING,
    ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// A house that trusts these keys for every algorithm there is.
fn house(keys: &[Value]) -> House {
    let house = House::with_rules(|rules| IssuerRules { algorithms: Algorithm::ALL.to_vec(), ..rules });
    house.keys.replace(KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).expect("a key set"));
    house
}

fn text(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn message(alg: &str, kid: &str) -> String {
    format!("{}.{}", coded(&json!({"alg": alg, "typ": "at+jwt", "kid": kid})), coded(&claims()))
}

async fn refuses(house: &House, name: &str, token: &str) {
    let said = house.says(token).await.err();
    assert!(matches!(said, Some(Error::Signature | Error::UnknownKey)), "{name}: {said:?}");
}

/// Numbers of 32 or 48 bytes, the high byte first.
fn hex(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex")).collect()
}

struct Curve {
    alg: &'static str,
    name: &'static str,
    fixed: &'static EcdsaSigningAlgorithm,
    der: &'static EcdsaSigningAlgorithm,
    /// How many points its group has.
    order: &'static str,
    /// What its coordinates are counted by.
    field: &'static str,
}

const CURVES: [Curve; 2] = [
    Curve {
        alg: "ES256",
        name: "P-256",
        fixed: &ECDSA_P256_SHA256_FIXED_SIGNING,
        der: &ECDSA_P256_SHA256_ASN1_SIGNING,
        order: "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
        field: "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
    },
    Curve {
        alg: "ES384",
        name: "P-384",
        fixed: &ECDSA_P384_SHA384_FIXED_SIGNING,
        der: &ECDSA_P384_SHA384_ASN1_SIGNING,
        order: "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
        field: "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffff",
    },
];

#[tokio::test]
async fn no_signature_of_a_curve_but_the_one_that_was_made_is_good() {
    let random = SystemRandom::new();
    for Curve { alg, name, fixed, der, order, field } in CURVES {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(fixed, &random).expect("a key");
        let of = |algorithm| EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref()).expect("a key");
        let (pair, asn1) = (of(fixed), of(der));
        let size = order.len() / 2;
        let (x, y) = pair.public_key().as_ref()[1..].split_at(size);
        let jwk =
            |x: &[u8], y: &[u8], kid: &str| json!({"kty": "EC", "crv": name, "kid": kid, "x": text(x), "y": text(y)});
        let (order, field) = (hex(order), hex(field));
        let (zero, one) = (vec![0; size], [vec![0; size - 1], vec![1]].concat());
        let mut y_off = y.to_vec();
        y_off[size - 1] ^= 1;
        let house = house(&[
            jwk(x, y, "k"),
            jwk(x, &y_off, "off-the-curve"),
            jwk(&zero, &zero, "nowhere"),
            jwk(&field, y, "too-large"),
            jwk(&x[1..], y, "short"),
            jwk(&[&[0], x].concat(), y, "long"),
        ]);
        let message = message(alg, "k");
        let signs = |message: &str| pair.sign(&random, message.as_bytes()).expect("signs").as_ref().to_vec();
        let good = signs(&message);
        let token = |signature: &[u8]| format!("{message}.{}", text(signature));
        assert!(house.says(&token(&good)).await.is_ok(), "{alg} as it should be");
        let (r, s) = good.split_at(size);
        let pair_of = |r: &[u8], s: &[u8]| [r, s].concat();
        let top = vec![0xff; size];
        let rows: Vec<(&str, Vec<u8>)> = vec![
            ("nothing but zeros", pair_of(&zero, &zero)),
            ("r of zero", pair_of(&zero, s)),
            ("s of zero", pair_of(r, &zero)),
            ("both the order", pair_of(&order, &order)),
            ("r the order", pair_of(&order, s)),
            ("s the order", pair_of(r, &order)),
            ("r the field", pair_of(&field, s)),
            ("both one", pair_of(&one, &one)),
            ("r zero, s one", pair_of(&zero, &one)),
            ("all ones", pair_of(&top, &top)),
            ("r and s changed about", pair_of(s, r)),
            ("r twice", pair_of(r, r)),
            ("a zero in front of each", [&[0], r, &[0], s].concat()),
            ("a zero behind", [&good[..], &[0]].concat()),
            ("a zero in front", [&[0], &good[..]].concat()),
            ("its last byte missing", good[..good.len() - 1].to_vec()),
            ("half of it", r.to_vec()),
            ("twice", [&good[..], &good[..]].concat()),
            ("in DER", asn1.sign(&random, message.as_bytes()).expect("signs").as_ref().to_vec()),
            ("of another message", signs("something else")),
            ("nothing but one byte", vec![0]),
        ];
        for (flaw, signature) in &rows {
            refuses(&house, &format!("{alg}, {flaw}"), &token(signature)).await;
        }
        for kid in ["off-the-curve", "nowhere", "too-large", "short", "long"] {
            let message = super::signatures::message(alg, kid);
            refuses(&house, &format!("{alg}, key {kid}"), &format!("{message}.{}", text(signs(&message)))).await;
        }
        // A good signature of this curve under the name of every other algorithm.
        for other in Algorithm::ALL.into_iter().filter(|other| other.as_str() != alg) {
            let message = super::signatures::message(other.as_str(), "k");
            let token = format!("{message}.{}", text(signs(&message)));
            refuses(&house, &format!("{alg} told to be {}", other.as_str()), &token).await;
        }
    }
}

/// The order of Ed25519's group, its low byte first.
const L: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

fn plus(one: &[u8], other: &[u8; 32]) -> Vec<u8> {
    let mut carry = 0_u16;
    let sums = one.iter().zip(other).map(|(one, other)| {
        carry += u16::from(*one) + u16::from(*other);
        let [low, high] = carry.to_le_bytes();
        carry = high.into();
        low
    });
    sums.collect()
}

/// Points whose order is 8 or less, as their keys are written: whoever likes can sign for most of them.
const SMALL: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

#[tokio::test]
async fn no_eddsa_signature_has_a_second_form() {
    let pair = Ed25519KeyPair::generate().expect("a key");
    let jwk = |x: &[u8], kid: &str| json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": text(x)});
    let house = house(&[jwk(pair.public_key().as_ref(), "k")]);
    let message = message("EdDSA", "k");
    let good = pair.sign(message.as_bytes()).as_ref().to_vec();
    let token = |signature: &[u8]| format!("{message}.{}", text(signature));
    assert!(house.says(&token(&good)).await.is_ok(), "as it should be");
    let (r, s) = good.split_at(32);
    let mut again = s.to_vec();
    // As long as it fits: each is the same number to who counts by L.
    for times in 1..8 {
        again = plus(&again, &L);
        refuses(&house, &format!("s and {times} L"), &token(&[r, &again].concat())).await;
    }
    let mut high = s.to_vec();
    high[31] |= 0x80;
    let mut sign = r.to_vec();
    sign[31] ^= 0x80;
    let (zero, small) = ([0; 32], hex(SMALL[1]));
    for (flaw, signature) in [
        ("a high bit of s", [r, &high].concat()),
        ("the sign of r", [&sign, s].concat()),
        ("nothing but zeros", vec![0; 64]),
        ("r the identity, s zero", [&small[..], &zero].concat()),
        ("s the order", [r, &L].concat()),
        ("s and r changed about", [s, r].concat()),
        ("its last byte missing", good[..63].to_vec()),
        ("a zero behind", [&good[..], &[0]].concat()),
        ("of another message", pair.sign(b"something else").as_ref().to_vec()),
    ] {
        refuses(&house, flaw, &token(&signature)).await;
    }
}

#[tokio::test]
async fn a_key_that_anybody_can_sign_for_is_no_key() {
    for sign in [0, 0x80] {
        for small in SMALL {
            let mut point = hex(small);
            point[31] |= sign;
            let document = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": text(&point)}]});
            assert_eq!(KeySet::parse(document.to_string().as_bytes()).expect("a set").len(), 0, "{small}");
        }
    }
    let rsa = &read_rsa()["keys"][0];
    for exponent in [&[1][..], &[0], &[2], &[1, 0, 0], &[]] {
        let weak = with(rsa.clone(), "e", json!(text(exponent)));
        let document = json!({"keys": [weak]});
        assert_eq!(KeySet::parse(document.to_string().as_bytes()).expect("a set").len(), 0, "{exponent:?}");
    }
}

fn read_rsa() -> Value {
    serde_json::from_str(include_str!("rsa.json")).expect("the vectors are JSON")
}

#[tokio::test]
async fn no_rsa_signature_but_the_one_that_was_made_is_good() {
    let vectors = read_rsa();
    let house = house(vectors["keys"].as_array().expect("keys"));
    let rows = vectors["rows"].as_array().expect("rows");
    assert!(rows.len() > 40, "{}", rows.len());
    for row in rows {
        let (name, token) = (row["name"].as_str().expect("a name"), row["token"].as_str().expect("a token"));
        match row["good"] == true {
            true => assert!(house.says(token).await.is_ok(), "{name}"),
            false => refuses(&house, name, token).await,
        }
    }
}

#[tokio::test]
async fn one_token_has_one_text() {
    // Whoever revokes a token by its text must have revoked it in every spelling.
    let house = House::new();
    let good = house.token(&claims());
    assert!(house.says(&good).await.is_ok());
    let (message, signature) = good.rsplit_once('.').expect("three parts");
    // 64 bytes are 85 characters and two bits: of the last four bits that are left over none may be set.
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = alphabet.find(signature.chars().last().expect("a character")).expect("base64url");
    assert_eq!(last % 16, 0);
    let mut spellings: Vec<String> =
        (1..16).map(|bits| format!("{}{}", &signature[..85], &alphabet[last + bits..=last + bits])).collect();
    spellings.extend(["=", "==", "\n", " ", "\r\n", "."].map(|more| format!("{signature}{more}")));
    spellings.push(signature.replace('-', "+").replace('_', "/") + "A");
    spellings.push(format!("{}\n{}", &signature[..40], &signature[40..]));
    for spelling in spellings {
        let said = house.says(&format!("{message}.{spelling}")).await;
        assert!(
            matches!(said, Err(Error::Signature | Error::Malformed(Unfit::Parts | Unfit::Base64))),
            "{spelling:?}: {said:?}"
        );
    }
}
