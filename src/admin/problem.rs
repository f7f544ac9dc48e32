//! The operations door's refusals, as problem JSON.

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::json;

/// Characters of an action's own words.
const MOST_DETAIL: usize = 1_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    NoToken,
    BadToken,
    Host,
    NotFound,
    Method {
        allow: Vec<Method>,
    },
    NotJson,
    TooLarge,
    TooSlow,
    BadBody,
    TooDeep,
    /// The action's own no.
    Action {
        detail: String,
    },
    /// What keeps it from being done.
    Unable {
        detail: String,
    },
    Failed,
}

impl Refused {
    /// What is said of a body may repeat what stands in it, and does so at no length.
    pub(super) fn action(detail: String) -> Self {
        Self::Action { detail: short(detail) }
    }

    pub(super) fn unable(detail: String) -> Self {
        Self::Unable { detail: short(detail) }
    }

    fn shape(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::NoToken => {
                (StatusCode::UNAUTHORIZED, "operator-token-missing", "Send the operator's token as Bearer")
            }
            Self::BadToken => (StatusCode::UNAUTHORIZED, "operator-token-invalid", "This is not the operator's token"),
            Self::Host => (StatusCode::MISDIRECTED_REQUEST, "host-unknown", "The Host is not one of this door"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "There is nothing here"),
            Self::Method { .. } => (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Not with this method"),
            Self::NotJson => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-type", "Send Content-Type: application/json")
            }
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large"),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "body-too-slow", "The body did not come in time"),
            Self::BadBody => (StatusCode::BAD_REQUEST, "body-invalid", "The body is not JSON"),
            Self::TooDeep => (StatusCode::BAD_REQUEST, "body-too-deep", "The body's JSON nests too deep"),
            Self::Action { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "action-refused", "The action was refused"),
            Self::Unable { .. } => {
                (StatusCode::INTERNAL_SERVER_ERROR, "action-hindered", "The action can't be done now")
            }
            Self::Failed => (StatusCode::INTERNAL_SERVER_ERROR, "action-failed", "The action failed; see the log"),
        }
    }
}

fn short(mut detail: String) -> String {
    if let Some((end, _)) = detail.char_indices().nth(MOST_DETAIL) {
        detail.truncate(end);
        detail.push('…');
    }
    detail
}

impl From<Refused> for Response<Full<Bytes>> {
    fn from(refused: Refused) -> Self {
        let (status, code, title) = refused.shape();
        let mut body = json!({
            "type": format!("urn:mi-gateway:problem:{code}"),
            "code": code,
            "title": title,
            "status": status.as_u16(),
        });
        if let Refused::Action { detail } | Refused::Unable { detail } = &refused {
            body["detail"] = detail.as_str().into();
        }
        let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match refused {
            Refused::NoToken | Refused::BadToken => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"operations\""));
            }
            Refused::Method { allow } => {
                let allow = allow.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
                if let Ok(allow) = HeaderValue::try_from(allow) {
                    headers.insert(header::ALLOW, allow);
                }
            }
            _ => {}
        }
        response
    }
}
