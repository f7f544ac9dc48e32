//! What came along with a token: how it was presented, and what its bearer proves beside it.
//!
//! Borrowed from one request and good for that one alone: it is looked at on every use of a token, remembered or not.
//! Does not know: headers, connections, or what the token is bound to.

use std::net::IpAddr;

/// The scheme of the `Authorization` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Bearer,
    /// RFC 9449: with a proof beside it.
    Dpop,
}

/// The `DPoP` headers of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shown<'a> {
    None,
    /// What is not plain text is the empty text, which proves nothing.
    One(&'a str),
    Many,
}

impl std::fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::One(_) => "One(…)",
            Self::Many => "Many",
        })
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Presented<'a> {
    pub scheme: Scheme,
    /// SHA-256 of the client's certificate, whose key it has proven to hold on this very connection.
    pub certificate: Option<[u8; 32]>,
    pub proof: Shown<'a>,
    /// Who is at the other end of the connection: made-up tokens cost those of the same address.
    pub peer: Option<IpAddr>,
    pub method: &'a str,
    /// As it was received, without the query. Scheme and host are the gateway's own, never the caller's word.
    pub path: &'a str,
}

impl Presented<'static> {
    /// Nothing but a token.
    pub const BEARER: Self =
        Self { scheme: Scheme::Bearer, certificate: None, proof: Shown::None, peer: None, method: "GET", path: "/" };
}
