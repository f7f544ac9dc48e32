//! Which of the gateway's few routes a path is. Exact prefixes, no decoding, no clean-up: what is not one of them is none.

use super::inbound::ImsCall;
use crate::model::TenantId;

/// The three places of the execute contract: behind a tenant, behind the product, or bare.
const PRODUCT: &str = "/M3/m3api-rest/";
const BARE: &str = "/m3api-rest/";
/// The messaging service, with the product in front or bare.
const MESSAGING: &str = "/IONSERVICES/api/ion/messaging/service/";
const SERVICE: &str = "/service/";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// `execute/PROGRAM/Transaction`; `tail` is where the path goes on behind `execute/`.
    Execute {
        version: Version,
        tenant: Option<TenantId>,
        tail: usize,
    },
    /// Many transactions in a body; `matrix` is where the path's options begin.
    Bulk {
        tenant: Option<TenantId>,
        matrix: usize,
    },
    Csrf {
        tenant: Option<TenantId>,
    },
    /// Of every program, or of the one whose name begins at `program`.
    Metadata {
        tenant: Option<TenantId>,
        program: Option<usize>,
    },
    /// A program as an OpenAPI document; its name begins at `program`.
    Described {
        tenant: Option<TenantId>,
        program: usize,
    },
    /// What holds for every caller, as an OpenAPI document.
    Contract,
    /// The token of who asks, as M3's own web client gives it to apps.
    Session,
    Token {
        tenant: Option<TenantId>,
    },
    Revoke {
        tenant: Option<TenantId>,
    },
    Keys,
    ServerMetadata,
    /// RFC 9728: whose tokens are taken here.
    Resource,
    /// What receivers of documents say of them.
    Inbound {
        tenant: Option<TenantId>,
        call: ImsCall,
    },
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

impl Route {
    pub(super) fn of(path: &str) -> Self {
        match path {
            "/oauth2/token" => return Self::Token { tenant: None },
            "/oauth2/revoke" => return Self::Revoke { tenant: None },
            "/oauth2/jwks" => return Self::Keys,
            "/openapi.json" => return Self::Contract,
            "/grid/rest/security/sessions/oauth" => return Self::Session,
            "/.well-known/oauth-protected-resource" => return Self::Resource,
            "/.well-known/oauth-authorization-server" | "/.well-known/openid-configuration" => {
                return Self::ServerMetadata;
            }
            _ => {}
        }
        for prefix in [PRODUCT, BARE] {
            if let Some(rest) = path.strip_prefix(prefix) {
                return Self::product(None, path, rest);
            }
        }
        for prefix in [MESSAGING, SERVICE] {
            if let Some(rest) = path.strip_prefix(prefix) {
                return Self::messaging(None, rest);
            }
        }
        let Some((tenant, rest)) = path.strip_prefix('/').and_then(|path| path.split_once('/')) else {
            return Self::Unknown;
        };
        let Ok(tenant) = TenantId::parse(tenant) else { return Self::Unknown };
        match rest {
            "as/token.oauth2" => return Self::Token { tenant: Some(tenant) },
            "as/revoke_token.oauth2" => return Self::Revoke { tenant: Some(tenant) },
            _ => {}
        }
        if let Some(rest) = rest.strip_prefix(&MESSAGING[1..]) {
            return Self::messaging(Some(tenant), rest);
        }
        match rest.strip_prefix(&PRODUCT[1..]) {
            Some(rest) => Self::product(Some(tenant), path, rest),
            None => Self::Unknown,
        }
    }

    fn messaging(tenant: Option<TenantId>, rest: &str) -> Self {
        ImsCall::of(rest).map_or(Self::Unknown, |call| Self::Inbound { tenant, call })
    }

    fn product(tenant: Option<TenantId>, path: &str, rest: &str) -> Self {
        match rest {
            "csrf" => return Self::Csrf { tenant },
            "metadata" => return Self::Metadata { tenant, program: None },
            _ => {}
        }
        for word in ["v2/metadata/", "metadata/"] {
            if let Some(name) = rest.strip_prefix(word) {
                return Self::Metadata { tenant, program: Some(path.len() - name.len()) };
            }
        }
        if let Some(name) = rest.strip_prefix("openapi/") {
            return Self::Described { tenant, program: path.len() - name.len() };
        }
        for (word, version) in [("v2/execute/", Version::V2), ("execute/", Version::V1)] {
            if let Some(tail) = rest.strip_prefix(word) {
                return Self::Execute { version, tenant, tail: path.len() - tail.len() };
            }
        }
        match rest.strip_prefix("v2/execute") {
            Some(matrix) if matrix.is_empty() || (matrix.starts_with(';') && !matrix.contains('/')) => {
                Self::Bulk { tenant, matrix: path.len() - matrix.len() }
            }
            Some(_) | None => Self::Unknown,
        }
    }

    /// Reached without a token: where tokens come from.
    pub(super) fn is_open(&self) -> bool {
        match self {
            Self::Token { .. }
            | Self::Revoke { .. }
            | Self::Keys
            | Self::ServerMetadata
            | Self::Resource
            | Self::Contract => true,
            Self::Execute { .. }
            | Self::Bulk { .. }
            | Self::Csrf { .. }
            | Self::Metadata { .. }
            | Self::Described { .. }
            | Self::Session
            | Self::Inbound { .. }
            | Self::Unknown => false,
        }
    }

    pub(super) fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::Execute { tenant, .. }
            | Self::Bulk { tenant, .. }
            | Self::Csrf { tenant }
            | Self::Metadata { tenant, .. }
            | Self::Described { tenant, .. }
            | Self::Token { tenant }
            | Self::Revoke { tenant }
            | Self::Inbound { tenant, .. } => tenant.as_ref(),
            Self::Keys | Self::ServerMetadata | Self::Resource | Self::Contract | Self::Session | Self::Unknown => None,
        }
    }

    /// The closed set of names for metrics and log.
    pub(super) fn template(&self) -> &'static str {
        match self {
            Self::Execute { version: Version::V1, .. } => "/m3api-rest/execute",
            Self::Execute { version: Version::V2, .. } => "/m3api-rest/v2/execute",
            Self::Bulk { .. } => "/m3api-rest/v2/execute (bulk)",
            Self::Csrf { .. } => "/m3api-rest/csrf",
            Self::Metadata { .. } => "/m3api-rest/metadata",
            Self::Described { .. } => "/m3api-rest/openapi",
            Self::Contract => "/openapi.json",
            Self::Session => "/grid/rest/security/sessions/oauth",
            Self::Token { .. } => "/oauth2/token",
            Self::Revoke { .. } => "/oauth2/revoke",
            Self::Keys => "/oauth2/jwks",
            Self::ServerMetadata => "/.well-known/oauth-authorization-server",
            Self::Resource => "/.well-known/oauth-protected-resource",
            Self::Inbound { .. } => "/messaging/service",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_places_of_the_contract_are_one_route() {
        for (path, tenant, tail) in [
            ("/DEMO_TST/M3/m3api-rest/execute/CRS610MI/Get", Some("DEMO_TST"), "CRS610MI/Get"),
            ("/M3/m3api-rest/execute/CRS610MI/Get;cono=1", None, "CRS610MI/Get;cono=1"),
            ("/m3api-rest/execute/CRS610MI/Get", None, "CRS610MI/Get"),
        ] {
            let Route::Execute { version: Version::V1, tenant: found, tail: at } = Route::of(path) else {
                panic!("{path} is an execute route");
            };
            assert_eq!(found.as_ref().map(TenantId::as_str), tenant);
            assert_eq!(&path[at..], tail);
        }
    }

    #[test]
    fn the_messaging_service_is_reached_with_its_product_and_bare() {
        for (path, tenant) in [
            ("/DEMO_TST/IONSERVICES/api/ion/messaging/service/v3/message/multipart", Some("DEMO_TST")),
            ("/IONSERVICES/api/ion/messaging/service/v3/multipartMessage", None),
            ("/service/v3/multipartMessage", None),
        ] {
            let Route::Inbound { tenant: found, call: ImsCall::Multipart { accepted: 202 } } = Route::of(path) else {
                panic!("{path} takes messages");
            };
            assert_eq!(found.as_ref().map(TenantId::as_str), tenant);
        }
        for path in ["/service/v1/message", "/service/ping/", "/T/service/ping", "/service/", "/service/v3/message"] {
            assert_eq!(Route::of(path), Route::Unknown, "{path}");
        }
    }

    #[test]
    fn a_path_that_only_looks_like_a_route_is_none() {
        for path in [
            "/",
            "//m3api-rest/execute/A/B",
            "/a%2fb/M3/m3api-rest/execute/A/B",
            "/a;b/M3/m3api-rest/execute/A/B",
            "/T/x/M3/m3api-rest/execute/A/B",
            "/m3api-rest/v3/execute/A/B",
            "/m3api-rest/V2/execute/A/B",
            "/oauth2/token/",
            "/m3api-rest/./execute/A/B",
            "/OAUTH2/token",
            "/m3api-rest/execute",
            "",
        ] {
            assert_eq!(Route::of(path), Route::Unknown, "{path}");
        }
    }
}
