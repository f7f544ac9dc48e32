//! Why the house could not start: one line that says what, where and how to mend it.

use crate::audit;
use crate::limit;
use crate::{admin, edge, issuer, m3, outbound, outbox, policies, stoplist, store};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Edge(#[from] edge::Error),
    #[error("{0}; make the folder writable, or name another with edge.development_certs")]
    Development(#[from] edge::DevelopmentError),
    #[error("the folder {path} can't be made or opened: {source}; make it writable, or name another with state.dir", path = path.display())]
    State { path: PathBuf, source: io::Error },
    #[error("{0}; name another folder with state.dir, or mend this one")]
    Store(#[from] store::Error),
    #[error("the revocations and blocks: {0}")]
    Stoplist(#[from] stoplist::Error),
    #[error("the token issuer: {0}")]
    Issuer(#[from] issuer::Error),
    #[error("the policies: {}", lines(.0))]
    Policies(policies::Error),
    #[error("the limits: {}", lines_of(.0))]
    Limits(Vec<limit::Fault>),
    #[error("the mock M3 can't listen on {address}: {source}; free the port, or name another with m3.address", address = .address)]
    Mock { address: SocketAddr, source: io::Error },
    #[error("the way to M3: {0}")]
    M3(#[from] m3::Error),
    #[error(
        "m3.address is another machine and its passwords would cross the network readable; give m3.tls_ca and m3.tls_name, or say plaintext = \"accepted\""
    )]
    Exposed,
    #[error(
        "an issuer's keys: {0}; correct issuers.*.issuer or issuers.*.jwks, or say allow_private = true where it stands on a private network"
    )]
    Keys(#[from] outbound::Error),
    #[error("two issuers are named {0}; keep one of them")]
    IssuerTwice(String),
    #[error("the operations door: {0}")]
    Operations(#[from] admin::Error),
    #[error("the operator's token: {0}")]
    Operator(#[from] admin::TokenError),
    #[error("{what} on {address}, which others can reach: {hint}, or say serve --development")]
    DevelopmentInReach { what: &'static str, address: SocketAddr, hint: &'static str },
    #[error(
        "the folder {path} of the policies is not there, and the shipped set is for trying things out; copy policies/ there and make it yours, name another with policy.dir, or say serve --development", path = .0.display()
    )]
    NoPolicies(PathBuf),
    #[error(
        "the clients {0} of a trial run are still registered, and {1} is reachable by others: run mi-gateway client revoke for each of them, or say serve --development"
    )]
    DemoClients(String, SocketAddr),
    #[error(transparent)]
    Audit(#[from] audit::Error),
    #[error("the outbox, in the folder outbox of the state folder: {0}")]
    Outbox(#[from] outbox::Error),
    #[error("a connection point: {0}; correct its [[points]]")]
    Point(outbound::Error),
    #[error("the access log can't be started: {0}")]
    Log(io::Error),
    #[error("the key of cursors, cursor.key in the state folder: {0}")]
    Seal(io::Error),
    #[error("the key of nonces, dpop-nonce.key in the state folder: {0}")]
    NonceKey(io::Error),
    #[error("a part of the start ended early")]
    Task,
}

fn lines(error: &policies::Error) -> String {
    match error {
        policies::Error::Faults(faults) => lines_of(faults),
        other => other.to_string(),
    }
}

fn lines_of(faults: &[impl fmt::Display]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
