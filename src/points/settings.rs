//! What a connection point is made of, as the settings say.

use super::pattern::Pattern;
use crate::bod::{ConfirmationCode, Filter};
use rustls_pki_types::CertificateDer;
use secrecy::SecretString;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct Settings {
    /// Letters, digits, `_` and `-`; the point's logical id is made from it.
    pub name: String,
    pub filter: Filter,
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
