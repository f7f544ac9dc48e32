//! The table of problems, as callers see it.

use super::kind::Kind;
use std::fmt::Write as _;

#[test]
fn the_one_table_of_problems() {
    let mut table = String::new();
    for kind in Kind::ALL {
        let (slug, title, hint) = kind.words();
        assert!(!hint.is_empty());
        let _ = writeln!(table, "{} {slug}: {title}", kind.status().as_u16());
    }
    insta::assert_snapshot!(table, @r#"
    400 request-unreadable: The request can't be read
    400 cursor-not-possible: This list can't be taken up where it was left
    400 cursor-invalid: The cursor is not good for this call
    400 character-not-in-charset: M3 can't hold a character of the request
    400 message-unreadable: The message can't be read
    401 token-missing: No bearer token
    401 token-invalid: The bearer token is not accepted
    401 proof-invalid: The proof of the token's key is not accepted
    403 scope-missing: The token lacks a scope that its issuer's tokens must have here
    403 tenant-mismatch: The path names another tenant
    403 blocked: The operators have blocked this
    403 policy-denied: No policy allows this
    403 value-not-comparable: A rule reads a value that it can't compare
    403 m3-user-missing: The client has no M3 user
    403 run-as-refused: The client may not run as another M3 user
    403 company-not-provable: M3 would run this in another company
    403 sender-unknown: The client may not speak under this logical id
    403 not-its-document: The message speaks of a document that was not sent to this client's point
    404 route-unknown: There is nothing at this path
    405 method-not-allowed: The method is not one of this path's
    409 request-in-flight: The same request is being done
    422 idempotency-key-reused: The Idempotency-Key stands for another request
    412 document-not-configured: The message is for no connection point and no document that is taken here
    413 body-too-large: The request body is too large
    415 media-type-unsupported: The body is of a type that this path does not read
    414 uri-too-long: The URL is too long
    429 rate-limited: Too many requests
    429 quota-spent: The client's quota is spent
    429 too-many-in-flight: Too many calls of the client are in flight
    500 internal: The gateway met a bug
    503 keys-unavailable: The keys of the token's issuer can't be had
    503 issuer-unavailable: The token's issuer can't be asked about it
    503 proofs-full: No more proofs of this client can be remembered at the moment
    503 m3-unreachable: M3 can't be reached
    503 m3-busy: Every session to M3 is busy
    503 m3-logon-refused: M3 does not let the client's user in
    503 m3-incomprehensible: M3 answered what the gateway does not understand
    503 layout-unstable: M3's layout of the transaction is changing
    503 audit-unavailable: The call can't be written down
    503 outbox-unavailable: The write can't be written down
    503 quota-unavailable: The call can't be counted
    504 m3-timeout: M3 did not answer in time
    504 outcome-unknown: Whether the write was done is not known
    504 request-timeout: The request took too long
    "#);
}

#[test]
fn every_slug_is_one_of_its_own() {
    let mut slugs: Vec<_> = Kind::ALL.iter().map(|kind| kind.slug()).collect();
    slugs.sort_unstable();
    slugs.dedup();
    assert_eq!(slugs.len(), Kind::ALL.len());
}
