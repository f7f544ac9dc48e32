//! `token`: a token for scripts, with the credentials of an .ionapi file.

use super::args;
use super::client_auth::{JWT_BEARER, assertion};
use super::connection::tls;
use super::failure::Failure;
use super::show;
use super::state::settings;
use crate::auth::install_crypto;
use crate::clock::unix_seconds;
use crate::config::{Certificate, Settings};
use bytes::Bytes;
use http::Request;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// What of the file is needed here.
#[derive(Deserialize)]
struct IonApiFile {
    ci: String,
    cs: Option<SecretString>,
    pu: String,
    ot: String,
}

const WAIT: Duration = Duration::from_secs(15);
const MOST_ANSWER: usize = 64 * 1024;

pub(super) async fn token(config: Option<&Path>, words: &args::Token) -> Result<ExitCode, Failure> {
    install_crypto();
    let settings = settings(config)?;
    let file = file(&words.ionapi)?;
    let answer =
        tokio::time::timeout(WAIT, ask(&file, words, authority(words, &settings))).await.unwrap_or_else(|_| {
            Err(Failure::on_the_way(format!("{}{} has not answered in {} s", file.pu, file.ot, WAIT.as_secs())))
        })?;
    if words.json {
        show::line(&answer.to_string());
        return Ok(ExitCode::SUCCESS);
    }
    match answer.get("access_token").and_then(Value::as_str) {
        Some(token) => {
            show::line(token);
            Ok(ExitCode::SUCCESS)
        }
        None => Err(Failure::on_the_way("the answer has no access_token")),
    }
}

fn file(path: &Path) -> Result<IonApiFile, Failure> {
    let text = std::fs::read(path).map_err(|error| {
        Failure::begin(format!("{}: {error}; start the gateway once, or name another .ionapi file", path.display()))
    })?;
    serde_json::from_slice(&text)
        .map_err(|error| Failure::begin(format!("{} is no .ionapi file: {error}", path.display())))
}

fn authority(words: &args::Token, settings: &Settings) -> Option<PathBuf> {
    match (&words.cacert, &settings.certificate) {
        (Some(path), _) => Some(path.clone()),
        (None, Certificate::Development(folder)) => Some(folder.join("ca.pem")).filter(|path| path.exists()),
        (None, Certificate::Files { .. }) => None,
    }
}

async fn ask(file: &IonApiFile, words: &args::Token, authority: Option<PathBuf>) -> Result<Value, Failure> {
    let url = format!("{}{}", file.pu, file.ot);
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls(words, authority)?)
        .https_only()
        .enable_http1()
        .build();
    let client = Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(connector);
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials").append_pair("client_id", &file.ci);
    match (&words.key, &file.cs) {
        (Some(key), _) => {
            form.append_pair("client_assertion_type", JWT_BEARER);
            form.append_pair("client_assertion", &assertion(key, &file.ci, &url, unix_seconds())?);
        }
        (None, Some(secret)) => {
            form.append_pair("client_secret", secret.expose_secret());
        }
        // The connection's certificate says who it is.
        (None, None) if words.cert.is_some() => {}
        (None, None) => {
            return Err(Failure::begin(
                "the file holds no secret: give the client's --key, or its certificate with --cert",
            ));
        }
    }
    let form = form.finish();
    let request = Request::post(&url)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Full::from(form))
        .map_err(|error| Failure::begin(format!("{url} is no URL: {error}")))?;
    let failed = |error: &dyn std::error::Error| Failure::on_the_way(format!("{url}: {}", causes(error)));
    let response = client.request(request).await.map_err(|error| failed(&error))?;
    let status = response.status();
    let text = read(response.into_body()).await.map_err(|error| failed(&*error))?;
    let answer: Value = serde_json::from_slice(&text).unwrap_or_default();
    if status.is_success() {
        return Ok(answer);
    }
    let word = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    Err(Failure::on_the_way(format!("{url} answered {status}: {} {}", word("error"), word("error_description"))))
}

async fn read(body: hyper::body::Incoming) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let mut body = Limited::new(body, MOST_ANSWER);
    let mut out = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            out.extend_from_slice(&data);
        }
    }
    Ok(out)
}

/// An error and what is behind it: "connection refused" is at the end of the chain.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
