//! A webhook: the document as it is, signed as Standard Webhooks say, so that its receiver knows whose it is, that it is
//! whole, and that it is not an old one played again.

use super::failure::{Failure, retry_after, shown};
use super::message::Message;
use super::settings::HttpSettings;
use crate::clock::unix_seconds;
use crate::outbound::{self, Client};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Uri};
use secrecy::ExposeSecret;

pub(super) struct Webhook {
    client: Client,
    url: Uri,
    key: hmac::Key,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Webhook({})", self.url)
    }
}

/// Deliveries that go on at once keep their connections.
pub(super) const CONNECTIONS: usize = 32;
const ANSWER: usize = 64 * 1024;

impl Webhook {
    pub(super) fn new(settings: HttpSettings) -> Result<Self, outbound::Error> {
        let client = Client::new(outbound::Settings {
            timeout: settings.timeout,
            most_bytes: ANSWER,
            private_addresses: settings.allow_private,
            loopback_http: settings.allow_private,
            roots: settings.roots,
            idle_connections: CONNECTIONS,
        })?;
        let url = client.check(&settings.url)?;
        let secret = settings.secret.expose_secret();
        let coded = secret.strip_prefix("whsec_").and_then(|coded| STANDARD.decode(coded).ok());
        let key = hmac::Key::new(hmac::HMAC_SHA256, coded.as_deref().unwrap_or(secret.as_bytes()));
        Ok(Self { client, url, key })
    }

    pub(super) async fn deliver(&self, message: &Message<'_>) -> Result<String, Failure> {
        let answered = self.client.ask(self.request(message, unix_seconds())?).await?;
        let (status, said) = (answered.status, shown(&answered.body));
        let reason = format!("{} answered {status}: {said}", self.url.host().unwrap_or_default());
        match status {
            200..=299 => Ok(format!("{status}")),
            // The receiver has read it and won't have it, or there is no receiver any more.
            400 | 410 | 413 | 415 | 422 => Err(Failure::lasting(reason)),
            _ => Err(Failure::passing(reason).answered(status).after(retry_after(answered.retry_after.as_deref()))),
        }
    }

    fn request(&self, message: &Message<'_>, now: u64) -> Result<Request<Bytes>, Failure> {
        let mut signed = hmac::Context::with_key(&self.key);
        signed.update(format!("{}.{now}.", message.id).as_bytes());
        signed.update(message.xml.as_bytes());
        let signature = format!("v1,{}", STANDARD.encode(signed.sign()));
        let mut request = Request::new(Bytes::copy_from_slice(message.xml.as_bytes()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml; charset=utf-8"));
        let facts = [
            ("webhook-id", message.id),
            ("webhook-timestamp", &now.to_string()),
            ("webhook-signature", &signature),
            ("mi-document", &message.name()),
            ("mi-action", message.action.as_str()),
            ("mi-entity", message.entity),
            ("mi-variation", &message.variation.to_string()),
            ("mi-bod-id", message.bod_id),
            ("mi-correlation", message.correlation),
        ];
        for (name, value) in facts {
            let value = HeaderValue::try_from(value)
                .map_err(|_| Failure::lasting(format!("{name} can't be sent in a header: {value:?}")))?;
            headers.insert(name, value);
        }
        Ok(request)
    }
}
