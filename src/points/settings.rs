//! What a connection point is made of, as the settings say.

use super::pattern::Pattern;
use crate::bod::{ConfirmationCode, Filter, Mask};
use rustls_pki_types::CertificateDer;
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct Settings {
    /// Letters, digits, `_` and `-`; the point's logical id is made from it.
    pub name: String,
    pub filter: Filter,
    /// What its receiver does not see.
    pub mask: Mask,
    /// A larger document is not sent there: it fails, and others go on.
    pub most_bytes: usize,
    /// `lid://…` of the receiver; without one whoever is routed to.
    pub receiver: Option<String>,
    pub answers: Answers,
    pub target: Target,
}

/// Whether the point's receiver shall answer what it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answers {
    /// `None`: as each document says.
    pub code: Option<ConfirmationCode>,
    /// How long it has, where an answer is asked for always.
    pub within: Duration,
}

impl Default for Answers {
    fn default() -> Self {
        Self { code: None, within: Duration::from_secs(3_600) }
    }
}

#[derive(Debug, Clone)]
pub enum Target {
    File(FileSettings),
    Http(HttpSettings),
    Ims(Box<ImsSettings>),
    Database(DatabaseSettings),
}

#[derive(Debug, Clone)]
pub struct FileSettings {
    pub folder: PathBuf,
    pub pattern: Pattern,
    /// The newest files that are kept, and the bytes that they may have; `None`: nothing is ever removed.
    pub keep: Option<(usize, u64)>,
}

#[derive(Debug, Clone)]
pub struct HttpSettings {
    pub url: String,
    /// `whsec_…` or any text: what deliveries are signed with.
    pub secret: SecretString,
    pub timeout: Duration,
    pub allow_private: bool,
    pub roots: Vec<CertificateDer<'static>>,
}

#[derive(Debug, Clone)]
pub struct ImsSettings {
    /// Up to `…/messaging/service`.
    pub url: String,
    pub paths: ImsPaths,
    /// The text of an `.ionapi` file.
    pub account: Option<SecretString>,
    pub tenant: String,
    pub timeout: Duration,
    pub allow_private: bool,
    pub roots: Vec<CertificateDer<'static>>,
}

/// Which of the service's calls carries a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImsPaths {
    /// `/v3/message/multipart`, as Infor's API gateway has it.
    V3,
    /// `/v3/multipartMessage`, as the service itself has it.
    V3Direct,
    /// `/v2/message`: JSON.
    V2,
}

#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// `postgres://user:password@host/database`.
    pub url: SecretString,
    pub connections: u32,
    pub timeout: Duration,
    /// 0 to 9, 9 first.
    pub priority: i16,
}

impl DatabaseSettings {
    /// Whether the URL leaves it to the network who answers, and in the clear: all but a socket, this machine, or a server
    /// that proves its name.
    pub fn is_exposed(&self) -> bool {
        // What can't be read is a fault that the first delivery tells.
        let Ok(options) = PgConnectOptions::from_str(self.url.expose_secret()) else { return false };
        let host = options.get_host().trim_matches(['[', ']']);
        let here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        let proven = matches!(options.get_ssl_mode(), PgSslMode::VerifyFull);
        options.get_socket().is_none() && !here && !proven
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_goes_over_the_network_to_a_server_that_proves_its_name_alone() {
        for (url, exposed) in [
            ("postgres://u:p@db.example/ion", true),
            ("postgres://u:p@db.example/ion?sslmode=require", true),
            ("postgres://u:p@db.example/ion?sslmode=verify-ca", true),
            ("postgres://u:p@db.example/ion?sslmode=verify-full", false),
            ("postgres://u:p@localhost/ion", false),
            ("postgres://u:p@127.0.0.1:5433/ion", false),
            ("postgres://u:p@[::1]/ion", false),
            ("postgres://u:p@10.0.0.1/ion", true),
            ("postgres://u@%2Frun%2Fpostgresql/ion", false),
            ("postgres:///ion?host=/run/postgresql&user=u", false),
        ] {
            let timeout = Duration::from_secs(1);
            let settings = DatabaseSettings { url: url.to_owned().into(), connections: 1, timeout, priority: 4 };
            assert_eq!(settings.is_exposed(), exposed, "{url}");
        }
    }
}
