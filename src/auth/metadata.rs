//! What an issuer says of itself (OpenID Connect Discovery, RFC 8414): where its keys are, and where tokens are told.
//!
//! Invariant: a document that does not name exactly the issuer that was asked for says nothing.
//! Does not know: how it is fetched.

use super::parse::Object;
use serde_json::Value;

#[derive(Debug, thiserror::Error)]
pub enum BadMetadata {
    #[error("this is no metadata document: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error("it speaks for another issuer")]
    Issuer,
    #[error("it names no jwks_uri")]
    NoKeys,
    #[error("its {0} is no text")]
    NoText(&'static str),
}

/// The members that are looked at. One that stands twice, or that can't be read, makes the document unreadable, whether it
/// is looked at or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    jwks_uri: String,
    introspection_endpoint: Option<String>,
}

impl Metadata {
    pub fn parse(document: &[u8], issuer: &str) -> Result<Self, BadMetadata> {
        let said: Object = serde_json::from_slice(document)?;
        let text = |name| match said.member(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(BadMetadata::NoText(name)),
        };
        if text("issuer")?.as_deref() != Some(issuer) {
            return Err(BadMetadata::Issuer);
        }
        let jwks_uri = text("jwks_uri")?.ok_or(BadMetadata::NoKeys)?;
        Ok(Self { jwks_uri, introspection_endpoint: text("introspection_endpoint")? })
    }

    pub fn keys(&self) -> &str {
        &self.jwks_uri
    }

    pub fn introspection(&self) -> Option<&str> {
        self.introspection_endpoint.as_deref()
    }
}

/// Where the document may stand: behind the issuer (OpenID Connect), or between its host and its path (RFC 8414).
pub(super) fn places(issuer: &str) -> Vec<String> {
    let host = issuer.find("://").map_or(0, |at| at + 3);
    let path = issuer[host..].find('/').map_or(issuer.len(), |at| host + at);
    let (origin, path) = (&issuer[..path], issuer[path..].trim_end_matches('/'));
    let mut places = vec![
        format!("{origin}{path}/.well-known/openid-configuration"),
        format!("{origin}/.well-known/oauth-authorization-server{path}"),
    ];
    if !path.is_empty() {
        places.push(format!("{origin}/.well-known/openid-configuration{path}"));
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_stands_behind_the_issuer_or_between_its_host_and_its_path() {
        let bare = ["https://a/.well-known/openid-configuration", "https://a/.well-known/oauth-authorization-server"];
        assert_eq!(places("https://a"), bare);
        assert_eq!(places("https://a/"), bare);
        assert_eq!(
            places("https://a:1/b/c"),
            [
                "https://a:1/b/c/.well-known/openid-configuration",
                "https://a:1/.well-known/oauth-authorization-server/b/c",
                "https://a:1/.well-known/openid-configuration/b/c",
            ]
        );
    }

    #[test]
    fn a_document_speaks_for_its_own_issuer_alone() {
        let of = |text: &str| Metadata::parse(text.as_bytes(), "https://a");
        assert_eq!(of(r#"{"issuer":"https://a","jwks_uri":"https://a/k"}"#).expect("good").keys(), "https://a/k");
        for issuer in ["https://a/", "https://A", "https://b", ""] {
            let other = format!(r#"{{"issuer":"{issuer}","jwks_uri":"https://a/k"}}"#);
            assert!(matches!(of(&other), Err(BadMetadata::Issuer)), "{issuer}");
        }
        assert!(matches!(of(r#"{"issuer":"https://a"}"#), Err(BadMetadata::NoKeys)));
        for text in ["", "[]", r#"{"issuer":"https://b","issuer":"https://a","jwks_uri":"x"}"#] {
            assert!(matches!(of(text), Err(BadMetadata::Unreadable(_))), "{text}");
        }
        assert!(matches!(of("{}"), Err(BadMetadata::Issuer)));
        assert!(matches!(of(r#"{"issuer":"https://a","jwks_uri":7}"#), Err(BadMetadata::NoText("jwks_uri"))));
        let torn = b"{\"x\":\"\xff\",\"issuer\":\"https://a\",\"jwks_uri\":\"https://a/k\"}";
        let unread = Metadata::parse(torn, "https://a");
        assert!(matches!(unread, Err(BadMetadata::Unreadable(_))), "what nobody looks at is text as well");
    }
}
