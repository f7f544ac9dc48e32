//! Every error to one HTTP answer: the only place that knows them all, and the only status map.
//!
//! RFC 9457 problem JSON on the gateway's own account. What M3 itself refuses keeps the contract's shape and is not
//! here. No wildcard arm: a new error does not compile before it has an answer.

mod causes;
mod kind;
#[cfg(test)]
mod tests;

pub(super) use causes::{of_m3, token_status};
pub use kind::Kind;

use super::body::{Response, full};
use super::visit::Visit;
use crate::audit::DecisionId;
use crate::auth::{Scheme, proof_algorithms};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue};
use serde::Serialize;
use std::borrow::Cow;
use std::time::Duration;

/// One answer on the gateway's own account.
#[derive(Debug, Clone)]
pub struct Problem {
    pub kind: Kind,
    pub detail: Cow<'static, str>,
    /// How long until the call may succeed.
    pub(in crate::gateway) wait: Option<Duration>,
    headers: Vec<(HeaderName, HeaderValue)>,
    intent: Option<String>,
    decision: Option<DecisionId>,
}

#[derive(Serialize)]
struct Shown<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: &'a str,
    hint: &'static str,
    request_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    intent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision_id: Option<String>,
}

impl Problem {
    pub fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, detail: detail.into(), wait: None, headers: Vec::new(), intent: None, decision: None }
    }

    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.header(RETRY_AFTER, HeaderValue::from(seconds.max(1)))
    }

    /// RFC 6750: a request without a token is told where to begin, one with a bad token what is bad.
    pub fn challenge(self, error: Option<(&str, &str)>) -> Self {
        let value = match error {
            None => "Bearer realm=\"mi-gateway\"".to_owned(),
            Some((code, words)) => {
                format!("Bearer realm=\"mi-gateway\", error=\"{code}\", error_description=\"{words}\"")
            }
        };
        // Codes and descriptions are constants of ours; what could not be a header is left out.
        match HeaderValue::try_from(value) {
            Ok(value) => self.header(WWW_AUTHENTICATE, value),
            Err(_) => self.header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"mi-gateway\"")),
        }
    }

    /// RFC 9449: how a token is to be presented, in both schemes that are known here, and what was wrong in the one that
    /// was used. Goes by the challenge that is there; an answer without one stays without.
    pub(in crate::gateway) fn schemes(mut self, used: Scheme, only_dpop: bool) -> Self {
        const BEARER: &str = "Bearer realm=\"mi-gateway\"";
        let Some(at) = self.headers.iter().position(|(name, _)| *name == WWW_AUTHENTICATE) else { return self };
        let (_, told) = self.headers.remove(at);
        let told = told.to_str().unwrap_or(BEARER).to_owned();
        let words = told.strip_prefix("Bearer ").filter(|_| used == Scheme::Dpop || only_dpop);
        let algorithms = proof_algorithms().collect::<Vec<_>>().join(" ");
        let dpop = format!("DPoP {}, algs=\"{algorithms}\"", words.unwrap_or("realm=\"mi-gateway\""));
        let both = match used {
            _ if only_dpop => vec![dpop],
            Scheme::Dpop => vec![dpop, BEARER.to_owned()],
            Scheme::Bearer => vec![told, dpop],
        };
        let headers = both.into_iter().filter_map(|one| HeaderValue::try_from(one).ok());
        self.headers.extend(headers.map(|one| (WWW_AUTHENTICATE, one)));
        self
    }

    /// One more word for every challenge of this answer; an answer without one stays without.
    pub fn challenge_with(mut self, name: &str, value: &str) -> Self {
        for (_, held) in self.headers.iter_mut().filter(|(header, _)| *header == WWW_AUTHENTICATE) {
            let longer = format!("{}, {name}=\"{value}\"", held.to_str().unwrap_or_default());
            // The values are URLs and scopes of the settings; what could not be a header is left out.
            if let Ok(longer) = HeaderValue::try_from(longer) {
                *held = longer;
            }
        }
        self
    }

    pub fn allow(self, methods: &'static str) -> Self {
        self.header(ALLOW, HeaderValue::from_static(methods))
    }

    /// The id under which the outcome of a write will be found.
    pub fn intent(mut self, id: String) -> Self {
        self.intent = Some(id);
        self
    }

    /// The id under which the audit log tells why.
    pub(in crate::gateway) fn decided(mut self, id: DecisionId) -> Self {
        self.decision = Some(id);
        self
    }

    /// In one line, for an answer that has no place for the members.
    pub(in crate::gateway) fn told(&self) -> String {
        let (_, _, hint) = self.kind.words();
        match (&self.intent, &self.decision) {
            (Some(intent), _) => format!("{} {hint} (intent {intent})", self.detail),
            (None, Some(decision)) => format!("{} {hint} (decision {decision})", self.detail),
            (None, None) => format!("{} {hint}", self.detail),
        }
    }

    fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(in crate::gateway) fn answer(self, visit: &Visit) -> Response {
        visit.learnt().problem = Some(self.kind.slug());
        let decision = self.decision.or(visit.learnt().decision);
        Self { decision, ..self }.response(visit.id.to_string())
    }

    pub(in crate::gateway) fn response(self, request_id: String) -> Response {
        let (code, title, hint) = self.kind.words();
        let status = self.kind.status();
        let shown = Shown {
            r#type: format!("urn:mi-gateway:problem:{code}"),
            title,
            status: status.as_u16(),
            code,
            detail: &self.detail,
            hint,
            request_id,
            intent: self.intent.as_deref(),
            decision_id: self.decision.map(|id| id.to_string()),
        };
        // Strings and a number: nothing that serialising could fail on.
        let text = serde_json::to_vec(&shown).unwrap_or_default();
        let mut response = Response::new(full(text));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, value) in self.headers {
            headers.append(name, value);
        }
        response
    }
}
