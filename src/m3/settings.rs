//! What the way to M3 is told.

use crate::model::{Charset, M3User};
use secrecy::SecretString;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;
use zeroize::Zeroizing;

#[derive(Debug, Clone)]
pub struct Settings {
    /// Host and port of the MI socket.
    pub address: String,
    /// The gateway's own user, for metadata and health.
    pub user: M3User,
    /// The password of every user that sessions are opened for, the gateway's own among them.
    pub users: HashMap<M3User, SecretString>,
    /// Used where the server is single-byte and does not say which page.
    pub charset: Charset,
    /// Shown in M3's list of jobs.
    pub application: String,
    pub connect_timeout: Duration,
    pub logon_timeout: Duration,
    /// How long a user that M3 refused is left alone.
    pub logon_pause: Duration,
    /// How long after a logon others go through side by side. Later one goes ahead alone: a password that was changed
    /// in M3 since then must not be tried by a crowd, which would lock the user.
    pub logon_trust: Duration,
    pub pool: PoolSettings,
    pub tls: Option<TlsSettings>,
    /// Masked passwords over plain TCP to another machine are accepted.
    pub plaintext_accepted: bool,
    /// A read may run where the session's own company or division is another than the one decided. Writes never do.
    pub unproven_reads: bool,
    /// Hosts that M3 may reroute to, besides its own.
    pub reroute_hosts: Vec<String>,
    /// Addresses behind NAT: what M3 says, and what is dialled.
    pub reroute_map: HashMap<String, String>,
    /// A larger frame is not of the protocol.
    pub max_frame: usize,
    /// M3 is asked over m3api-rest and not over its socket. A user's secret is then his password, or the text of an
    /// `.ionapi` file.
    pub rest: Option<RestSettings>,
}

/// Where m3api-rest is, and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestSettings {
    /// What stands before `/m3api-rest`, without a slash at its end.
    pub base: String,
    pub version: RestVersion,
    /// The authorities to trust; `None`: the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// The certificate that the gateway shows.
    pub identity: Option<RestIdentity>,
    /// Users without a secret of their own are run by the gateway's own account, which names them (`m3user`).
    pub names_users: bool,
    /// A larger value in an answer is none of M3's.
    pub max_value: usize,
}

#[derive(Clone, PartialEq, Eq)]
pub struct RestIdentity {
    pub chain_pem: Vec<u8>,
    pub key_pem: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for RestIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RestIdentity")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestVersion {
    V1,
    V2,
}

impl RestSettings {
    pub fn new(base: String) -> Self {
        Self { base, version: RestVersion::V2, ca_pem: None, identity: None, names_users: false, max_value: 256 * 1024 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolSettings {
    pub max_sessions: usize,
    /// For one user, program and company; one client holds at most half of them.
    pub max_per_key: usize,
    pub idle: Duration,
    /// How long a call waits for a session.
    pub wait: Duration,
    pub max_waiting: usize,
    /// A write goes only over a session that answered within this time, or answers a question first.
    pub fresh_for: Duration,
}

impl PoolSettings {
    /// One client's part of a key's sessions.
    pub fn share(&self) -> usize {
        (self.max_per_key / 2).max(1)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    pub ca_pem: Vec<u8>,
    pub server_name: String,
}

impl Settings {
    pub fn new(address: String, user: M3User) -> Self {
        Self {
            address,
            user,
            users: HashMap::new(),
            charset: Charset::Latin1,
            application: "mi-gateway".into(),
            connect_timeout: Duration::from_secs(5),
            logon_timeout: Duration::from_secs(15),
            logon_pause: Duration::from_secs(60),
            logon_trust: Duration::from_secs(10),
            pool: PoolSettings {
                max_sessions: 64,
                max_per_key: 16,
                idle: Duration::from_secs(60),
                wait: Duration::from_secs(5),
                max_waiting: 1_024,
                fresh_for: Duration::from_secs(5),
            },
            tls: None,
            plaintext_accepted: false,
            unproven_reads: false,
            reroute_hosts: Vec::new(),
            reroute_map: HashMap::new(),
            max_frame: 256 * 1024,
            rest: None,
        }
    }

    pub fn host(&self) -> &str {
        self.address.rsplit_once(':').map_or(self.address.as_str(), |(host, _)| host).trim_matches(['[', ']'])
    }

    /// Passwords would cross a network readable, and nobody said that this is known.
    pub fn is_exposed(&self) -> bool {
        let encrypted = match &self.rest {
            Some(rest) => rest.base.starts_with("https://"),
            None => self.tls.is_some(),
        };
        let host = self.host();
        let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
        !loopback && !encrypted && !self.plaintext_accepted
    }
}
