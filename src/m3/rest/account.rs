//! Whom M3 lets in: a password for a grid, or a service account whose token is kept warm.
//!
//! One fetch of a token serves many callers. Nothing secret is ever printed.

use super::super::error::Error;
use super::super::settings::RestSettings;
use super::wire::{Http, short};
use crate::model::M3User;
use arc_swap::ArcSwap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use form_urlencoded::Serializer;
use http::{HeaderValue, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

/// What a request shows at M3's door.
#[derive(Clone)]
pub(super) struct Pass {
    pub(super) authorization: HeaderValue,
    pub(super) csrf: Option<HeaderValue>,
}

/// A clone is the same account.
#[derive(Clone)]
pub(super) struct Account(Arc<Inner>);

struct Inner {
    /// Whose it is.
    user: M3User,
    /// As it was configured, to be compared with a later one.
    text: SecretString,
    secret: Secret,
    token: Mutex<Held>,
    csrf: Mutex<Csrf>,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({})", self.0.user)
    }
}

enum Secret {
    Password(HeaderValue),
    Ion(Box<IonApi>),
}

/// The members of an `.ionapi` file that a backend service needs.
#[derive(Deserialize)]
struct IonApi {
    pu: String,
    ot: String,
    ci: String,
    cs: SecretString,
    saak: Option<String>,
    sask: Option<SecretString>,
}

#[derive(Default)]
struct Held {
    token: Option<Token>,
    /// The last fetch failed: for a moment that speaks for those who waited behind it.
    failed: Option<(Error, Instant)>,
}

struct Token {
    authorization: HeaderValue,
    /// From then on another is asked for.
    until: Instant,
}

/// Some grids want a token of theirs with every request; asked for once one has said so.
#[derive(Default)]
struct Csrf {
    wanted: bool,
    /// `None` inside: there is none to be had, as with an older M3.
    held: Option<(Option<HeaderValue>, Instant)>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The fault itself may repeat what stands there.
    #[error("the secret of {user} is not the text of an .ionapi file: see line {line}")]
    IonApi { user: M3User, line: usize },
    #[error("the secret of {0} can't be sent in a header")]
    Header(M3User),
    #[error(
        "the .ionapi file of {0} names a token service without TLS on another machine; say plaintext = \"accepted\" if that is known"
    )]
    Exposed(M3User),
}

#[derive(Debug)]
pub(super) struct Accounts {
    all: ArcSwap<HashMap<M3User, Account>>,
    names_users: bool,
    plaintext: bool,
}

/// A token is not used in its last minute, or tenth.
const MARGIN: Duration = Duration::from_secs(60);
/// How long a fetch that failed speaks for others.
const FAILED_FOR: Duration = Duration::from_secs(1);
/// What Infor's own clients believe a CSRF token to be good for.
const CSRF_FOR: Duration = Duration::from_secs(30);
const QUESTION: Duration = Duration::from_secs(10);

impl Accounts {
    /// `plaintext`: tokens may be asked for without TLS.
    pub(super) fn new(
        rest: &RestSettings,
        users: &HashMap<M3User, SecretString>,
        plaintext: bool,
    ) -> Result<Self, Fault> {
        let all = ArcSwap::from_pointee(accounts(users, plaintext)?);
        Ok(Self { all, names_users: rest.names_users, plaintext })
    }

    /// The users whose secret is another now.
    pub(super) fn replace(&self, users: &HashMap<M3User, SecretString>) -> Result<HashSet<M3User>, Fault> {
        let kept = self.all.load_full();
        let fresh = accounts(users, self.plaintext)?;
        let text = |of: &HashMap<M3User, Account>, user| of.get(user).map(|one| one.0.text.expose_secret().to_owned());
        let all = kept.keys().chain(fresh.keys());
        let changed: HashSet<M3User> = all.filter(|user| text(&kept, user) != text(&fresh, user)).cloned().collect();
        // The others keep their tokens.
        let all = fresh.into_iter().map(|(user, account)| match kept.get(&user) {
            Some(kept) if !changed.contains(&user) => (user, kept.clone()),
            _ => (user, account),
        });
        self.all.store(Arc::new(all.collect()));
        Ok(changed)
    }

    /// The user's own account, or the gateway's where that may name others.
    pub(super) fn of(&self, user: &M3User, gateway: &M3User) -> Result<Account, Error> {
        let all = self.all.load();
        let found = all.get(user).or_else(|| all.get(gateway).filter(|_| self.names_users));
        found.cloned().ok_or_else(|| Error::UnknownUser(user.clone()))
    }
}

fn accounts(users: &HashMap<M3User, SecretString>, plaintext: bool) -> Result<HashMap<M3User, Account>, Fault> {
    let account = |(user, secret): (&M3User, &SecretString)| {
        let account = Account::new(user, secret)?;
        let exposed = matches!(&account.0.secret, Secret::Ion(ion) if ion.is_exposed());
        if exposed && !plaintext { Err(Fault::Exposed(user.clone())) } else { Ok((user.clone(), account)) }
    };
    users.iter().map(account).collect()
}

fn basic(name: &str, password: &str) -> Option<HeaderValue> {
    let pair = Zeroizing::new(format!("{name}:{password}"));
    let coded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
    let mut value = HeaderValue::try_from(Zeroizing::new(format!("Basic {}", *coded)).as_str()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl IonApi {
    /// Its keys would cross a network readable.
    fn is_exposed(&self) -> bool {
        let url: Option<http::Uri> = format!("{}{}", self.pu, self.ot).parse().ok();
        let Some(url) = url else { return false };
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
        let inside = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
        url.scheme_str() == Some("http") && !inside
    }

    /// A service account's keys where there are some, else the application's own.
    fn form(&self) -> Zeroizing<String> {
        let mut form = Serializer::new(String::new());
        form.append_pair("client_id", &self.ci).append_pair("client_secret", self.cs.expose_secret());
        match (&self.saak, &self.sask) {
            (Some(name), Some(key)) => form
                .append_pair("grant_type", "password")
                .append_pair("username", name)
                .append_pair("password", key.expose_secret()),
            _ => form.append_pair("grant_type", "client_credentials"),
        };
        Zeroizing::new(form.finish())
    }
}

impl Account {
    /// The text of an `.ionapi` file is an object; a password is never taken for one that can be read as such.
    fn new(user: &M3User, secret: &SecretString) -> Result<Self, Fault> {
        let text = secret.expose_secret();
        let secret = if text.trim_start().starts_with('{') {
            let wrong = |fault: serde_json::Error| Fault::IonApi { user: user.clone(), line: fault.line() };
            Secret::Ion(Box::new(serde_json::from_str(text).map_err(wrong)?))
        } else {
            Secret::Password(basic(user.as_str(), text).ok_or_else(|| Fault::Header(user.clone()))?)
        };
        let (user, text) = (user.clone(), SecretString::from(text.to_owned()));
        Ok(Self(Arc::new(Inner { user, text, secret, token: Mutex::default(), csrf: Mutex::default() })))
    }

    pub(super) fn user(&self) -> &M3User {
        &self.0.user
    }

    /// The user to be named to M3, where this account is another's.
    pub(super) fn names<'a>(&self, user: &'a M3User) -> Option<&'a M3User> {
        (self.0.user != *user).then_some(user)
    }

    /// What was shown a moment ago and is good still, without waiting for anybody.
    pub(super) fn at_hand(&self) -> Option<Pass> {
        match &self.0.secret {
            Secret::Ion(_) => {
                let held = self.0.token.try_lock().ok()?;
                let token = held.token.as_ref().filter(|token| token.until > Instant::now())?;
                Some(Pass { authorization: token.authorization.clone(), csrf: None })
            }
            Secret::Password(basic) => {
                let csrf = self.0.csrf.try_lock().ok()?;
                let held = csrf.held.as_ref().filter(|(_, since)| since.elapsed() < CSRF_FOR);
                let csrf = if csrf.wanted { held?.0.clone() } else { None };
                Some(Pass { authorization: basic.clone(), csrf })
            }
        }
    }

    pub(super) async fn pass(&self, http: &Http) -> Result<Pass, Error> {
        match &self.0.secret {
            Secret::Ion(ion) => Ok(Pass { authorization: self.token(ion, http).await?, csrf: None }),
            Secret::Password(basic) => {
                let pass = Pass { authorization: basic.clone(), csrf: None };
                Ok(Pass { csrf: self.csrf(&pass, http).await?, ..pass })
            }
        }
    }

    /// Whether another try may be let in: what this pass showed is forgotten then.
    pub(super) async fn may_have_lapsed(&self, status: StatusCode, pass: &Pass) -> bool {
        match &self.0.secret {
            Secret::Ion(_) if status == StatusCode::UNAUTHORIZED => {
                let mut token = self.0.token.lock().await;
                // Another caller may have fetched a new one meanwhile.
                if token.token.as_ref().is_some_and(|token| token.authorization == pass.authorization) {
                    token.token = None;
                }
                true
            }
            Secret::Password(_) if status == StatusCode::FORBIDDEN => {
                let mut csrf = self.0.csrf.lock().await;
                csrf.wanted = true;
                let had = csrf.held.as_ref().and_then(|(token, _)| token.as_ref());
                // With none to be had another try would be no better.
                let hopeless =
                    csrf.held.as_ref().is_some_and(|(token, since)| token.is_none() && since.elapsed() < CSRF_FOR);
                if had == pass.csrf.as_ref() && !hopeless {
                    csrf.held = None;
                }
                !hopeless
            }
            _ => false,
        }
    }

    /// Held while it is fetched: one fetch for all who wait.
    async fn token(&self, ion: &IonApi, http: &Http) -> Result<HeaderValue, Error> {
        let mut held = self.0.token.lock().await;
        if let Some(token) = held.token.as_ref().filter(|token| token.until > Instant::now()) {
            return Ok(token.authorization.clone());
        }
        if let Some((error, _)) = held.failed.as_ref().filter(|(_, since)| since.elapsed() < FAILED_FOR) {
            return Err(error.clone());
        }
        *held = Held::default();
        match self.fetch(ion, http).await {
            Ok(token) => Ok(held.token.insert(token).authorization.clone()),
            Err(error) => {
                held.failed = Some((error.clone(), Instant::now()));
                Err(error)
            }
        }
    }

    async fn fetch(&self, ion: &IonApi, http: &Http) -> Result<Token, Error> {
        let url = format!("{}{}", ion.pu, ion.ot);
        // Whatever goes wrong here, the call itself was not sent.
        let (status, answer) = http.post(&url, ion.form(), QUESTION).await.map_err(Error::before_the_call)?;
        let refused = |message: String| Error::LogonRefused { user: self.0.user.clone(), message };
        if matches!(status.as_u16(), 400 | 401 | 403) {
            return Err(refused(format!("the token service answered HTTP {status}")));
        }
        let granted: Granted = (status == StatusCode::OK)
            .then(|| serde_json::from_slice(&answer).ok())
            .flatten()
            .ok_or(Error::Protocol { sent: false, what: "the token service gave no token" })?;
        let bearer = Zeroizing::new(format!("Bearer {}", granted.access_token.expose_secret()));
        let mut authorization = HeaderValue::try_from(bearer.as_str())
            .map_err(|_| refused("the token can't be sent in a header".to_owned()))?;
        authorization.set_sensitive(true);
        let life = Duration::from_secs(granted.expires_in.clamp(1, 86_400));
        let until = Instant::now() + life.saturating_sub(MARGIN.min(life / 10));
        Ok(Token { authorization, until })
    }

    async fn csrf(&self, pass: &Pass, http: &Http) -> Result<Option<HeaderValue>, Error> {
        let mut csrf = self.0.csrf.lock().await;
        if !csrf.wanted {
            return Ok(None);
        }
        if let Some((token, _)) = csrf.held.as_ref().filter(|(_, since)| since.elapsed() < CSRF_FOR) {
            return Ok(token.clone());
        }
        let response = http.get("/m3api-rest/csrf", pass, QUESTION).await.map_err(Error::before_the_call)?;
        // An older M3 has none, and does without.
        if response.status() != StatusCode::OK {
            csrf.held = Some((None, Instant::now()));
            return Ok(None);
        }
        let text = short(response, QUESTION).await?;
        let token = std::str::from_utf8(&text).ok().and_then(|text| HeaderValue::try_from(text.trim()).ok());
        csrf.held = Some((token.clone(), Instant::now()));
        Ok(token)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_shows_whose_it_is_and_nothing_of_its_secret() {
        let ionapi =
            r#"{"pu":"https://sso/","ot":"token.oauth2","ci":"T~1","cs":"MARK-cs","saak":"a","sask":"MARK-sask"}"#;
        let users: HashMap<M3User, SecretString> = [("PLAIN", "MARK-password"), ("CLOUD", ionapi)]
            .map(|(user, secret)| (M3User::parse(user).expect("a user"), SecretString::from(secret)))
            .into();
        let accounts =
            Accounts::new(&RestSettings::new("https://m3.example".to_owned()), &users, false).expect("accounts");
        let shown = format!("{accounts:?} {accounts:#?}");
        assert!(shown.contains("PLAIN") && shown.contains("CLOUD"), "{shown}");
        // As it stands, and as a header says it.
        let coded = STANDARD.encode("PLAIN:MARK-password");
        assert!(!shown.contains("MARK") && !shown.contains(&coded), "{shown}");
    }
}
