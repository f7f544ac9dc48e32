//! The one way in which a client proves itself, as it was registered.
//!
//! Does not know: requests, or whether a proof is right.

use super::error::Error;
use crate::auth::ClientKeys;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const MOST_NAME: usize = 1_024;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Authentication {
    /// In the header or in the form.
    #[default]
    Secret,
    /// By an assertion that one of these keys has signed (RFC 7523).
    PrivateKeyJwt(ClientKeys),
    /// By a certificate with this subject, which an authority answers for (RFC 8705, 2.1).
    TlsSubject(Box<str>),
    /// The same, with this name among its alternative ones.
    TlsDns(Box<str>),
    /// By the one certificate that has this thumbprint, whoever answers for it (RFC 8705, 2.2).
    SelfSigned([u8; 32]),
}

impl Authentication {
    /// The name that the registry of OAuth has for it.
    pub fn method(&self) -> &'static str {
        match self {
            Self::Secret => "client_secret",
            Self::PrivateKeyJwt(_) => "private_key_jwt",
            Self::TlsSubject(_) | Self::TlsDns(_) => "tls_client_auth",
            Self::SelfSigned(_) => "self_signed_tls_client_auth",
        }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let (what, name) = match self {
            Self::TlsSubject(subject) => ("subject", subject),
            Self::TlsDns(name) => ("DNS name", name),
            Self::Secret | Self::PrivateKeyJwt(_) | Self::SelfSigned(_) => return Ok(()),
        };
        // A name with a wildcard in it is not one client's.
        let wild = matches!(self, Self::TlsDns(_)) && name.contains(['*', ' ']);
        if wild || name.is_empty() || name.len() > MOST_NAME || name.chars().any(char::is_control) {
            return Err(Error::Name { what, name: name.to_string() });
        }
        Ok(())
    }

    /// As it is kept: its kind and what belongs to it.
    pub(super) fn written(&self) -> (&'static str, Option<String>) {
        match self {
            Self::Secret => ("secret", None),
            Self::PrivateKeyJwt(keys) => ("keys", Some(keys.document().to_owned())),
            Self::TlsSubject(subject) => ("tls_subject", Some(subject.to_string())),
            Self::TlsDns(name) => ("tls_dns", Some(name.to_string())),
            Self::SelfSigned(thumbprint) => ("tls_own", Some(URL_SAFE_NO_PAD.encode(thumbprint))),
        }
    }

    /// `None`: it was never written so.
    pub(super) fn read(kind: &str, with: Option<&str>) -> Option<Self> {
        Some(match (kind, with) {
            ("secret", None) => Self::Secret,
            ("keys", Some(document)) => Self::PrivateKeyJwt(ClientKeys::parse(document.as_bytes()).ok()?),
            ("tls_subject", Some(subject)) => Self::TlsSubject(subject.into()),
            ("tls_dns", Some(name)) => Self::TlsDns(name.into()),
            ("tls_own", Some(text)) => Self::SelfSigned(URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?),
            _ => return None,
        })
    }
}
