//! Tokens that the gateway itself asks for: the service account of an `.ionapi` file, its token kept warm.
//!
//! One fetch serves all who wait. Nothing secret is printed.

use super::client::{Client, Error};
use bytes::Bytes;
use form_urlencoded::Serializer;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Method, Request};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

/// A clone is the same account.
#[derive(Clone)]
pub struct TokenSource {
    account: Arc<Account>,
    held: Arc<Mutex<Held>>,
}

#[derive(Default)]
struct Held {
    token: Option<Token>,
    /// What the service said last, where it gave none.
    refusal: Option<Refusal>,
}

/// Nobody asks again before then: each wrong logon brings an account nearer to being locked, and a service that hangs
/// keeps one waiting and not all.
struct Refusal {
    until: Instant,
    times: u32,
    why: String,
}

/// The members of the file that a backend service needs.
#[derive(Deserialize)]
struct Account {
    pu: String,
    ot: String,
    ci: String,
    cs: SecretString,
    saak: Option<String>,
    sask: Option<SecretString>,
}

struct Token {
    authorization: HeaderValue,
    /// From then on another is asked for.
    until: Instant,
}

#[derive(Debug, thiserror::Error)]
pub enum NoToken {
    /// The line; the fault itself may repeat what stands there.
    #[error("it is not the text of an .ionapi file: see line {0}")]
    File(usize),
    #[error("the token service can't be asked: {0}")]
    Unreachable(#[from] Error),
    #[error("the token service answered with status {0}; its account may have been locked, or its keys replaced")]
    Refused(u16),
    #[error("the token service gave no token that can be used")]
    None,
    #[error("{why}; it is asked again in {again:?}")]
    Held { why: String, again: Duration },
}

/// After a refused logon, and twice as long after each one more.
const AGAIN: Duration = Duration::from_secs(60);
const DOUBLINGS: u32 = 6;
/// After a service that can't be asked.
const SOON: Duration = Duration::from_secs(5);

/// A token is not used in its last minute, or tenth.
const MARGIN: Duration = Duration::from_secs(60);

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenSource({})", self.account.ci)
    }
}

impl TokenSource {
    pub fn ionapi(text: &SecretString) -> Result<Self, NoToken> {
        let account = serde_json::from_str(text.expose_secret())
            .map_err(|fault: serde_json::Error| NoToken::File(fault.line()))?;
        Ok(Self { account: Arc::new(account), held: Arc::default() })
    }

    /// The value of `Authorization`.
    pub async fn authorization(&self, client: &Client) -> Result<HeaderValue, NoToken> {
        let mut held = self.held.lock().await;
        let now = Instant::now();
        if let Some(token) = held.token.as_ref().filter(|token| token.until > now) {
            return Ok(token.authorization.clone());
        }
        held.token = None;
        if let Some(Refusal { until, why, .. }) = held.refusal.as_ref().filter(|refusal| refusal.until > now) {
            let again = Duration::from_secs((*until - now).as_secs() + 1);
            return Err(NoToken::Held { why: why.clone(), again });
        }
        match self.fetch(client).await {
            Ok(token) => {
                held.refusal = None;
                Ok(held.token.insert(token).authorization.clone())
            }
            Err(error) => {
                let times = held.refusal.as_ref().map_or(0, |refusal| refusal.times);
                let (rest, times) = match error {
                    NoToken::Refused(400..=499) => (AGAIN * 2_u32.pow(times.min(DOUBLINGS)), times + 1),
                    _ => (SOON, times),
                };
                held.refusal = Some(Refusal { until: Instant::now() + rest, times, why: error.to_string() });
                Err(error)
            }
        }
    }

    /// It was refused: the next one to ask gets another, unless somebody has it already.
    pub async fn lapsed(&self, authorization: &HeaderValue) {
        let mut held = self.held.lock().await;
        if held.token.as_ref().is_some_and(|token| token.authorization == *authorization) {
            held.token = None;
        }
    }

    async fn fetch(&self, client: &Client) -> Result<Token, NoToken> {
        let account = &self.account;
        // By plain concatenation, as Infor's own clients do.
        let url = format!("{}{}", account.pu, account.ot);
        let mut request = Request::new(Bytes::from_owner(Zeroizing::new(account.form())));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = client.check(&url)?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let answered = client.ask(request).await?;
        if answered.status != 200 {
            return Err(NoToken::Refused(answered.status));
        }
        let granted: Granted = serde_json::from_slice(&answered.body).map_err(|_| NoToken::None)?;
        let value = Zeroizing::new(format!("Bearer {}", granted.access_token.expose_secret()));
        let mut authorization = HeaderValue::try_from(value.as_str()).map_err(|_| NoToken::None)?;
        authorization.set_sensitive(true);
        let life = Duration::from_secs(granted.expires_in.clamp(1, 86_400));
        Ok(Token { authorization, until: Instant::now() + life.saturating_sub(MARGIN.min(life / 10)) })
    }
}

impl Account {
    /// A service account's keys where there are some, else the application's own.
    fn form(&self) -> String {
        let mut form = Serializer::new(String::new());
        form.append_pair("client_id", &self.ci).append_pair("client_secret", self.cs.expose_secret());
        match (&self.saak, &self.sask) {
            (Some(name), Some(key)) => form
                .append_pair("grant_type", "password")
                .append_pair("username", name)
                .append_pair("password", key.expose_secret()),
            _ => form.append_pair("grant_type", "client_credentials"),
        };
        form.finish()
    }
}

#[derive(Deserialize)]
struct Granted {
    access_token: SecretString,
    #[serde(default = "two_hours")]
    expires_in: u64,
}

fn two_hours() -> u64 {
    7_200
}
