//! `token`: a token for scripts, with the credentials of an .ionapi file.

use super::args;
use super::client_auth::{JWT_BEARER, assertion};
use super::connection::tls;
use super::failure::Failure;
use super::proof::Prover;
use super::show;
use super::state::{secret, settings};
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
use zeroize::Zeroizing;

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
    let prover = words.dpop_key.as_deref().map(Prover::of).transpose()?;
    let asked = ask(&file, words, authority(words, &settings), prover.as_ref());
    let late = |_| Err(Failure::on_the_way(format!("{}{} has not answered in {} s", file.pu, file.ot, WAIT.as_secs())));
    let Answer { said, nonce } = tokio::time::timeout(WAIT, asked).await.unwrap_or_else(late)?;
    if words.json {
        show::line(&said.to_string());
        return Ok(ExitCode::SUCCESS);
    }
    let Some(token) = said.get("access_token").and_then(Value::as_str) else {
        return Err(Failure::on_the_way("the answer has no access_token"));
    };
    match (&prover, &words.proof) {
        (None, _) => show::line(token),
        (Some(prover), None) => {
            show::line(token);
            bound(&said, words, prover);
        }
        (Some(prover), Some(url)) => {
            let proof = prover.proof(&words.method, url, Some(token), nonce.as_deref(), unix_seconds())?;
            // As `curl -H @-` reads them.
            show::line(&format!("Authorization: DPoP {token}"));
            show::line(&format!("DPoP: {proof}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// How it is used, for whoever has one for the first time.
fn bound(said: &Value, words: &args::Token, prover: &Prover) {
    let key = words.dpop_key.as_deref().unwrap_or_else(|| Path::new("")).display().to_string();
    if prover.new {
        show::note(&format!("A new key was made: {key}"));
    }
    if !said["token_type"].as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("dpop")) {
        return show::note("The issuer has not bound the token to the key: anybody can use it.");
    }
    show::note("The token is bound to that key. A call needs it as `Authorization: DPoP …` and a proof of its own:");
    show::note(&format!("  mi-gateway token {} --dpop-key {key} --proof URL | curl -H @- URL", words.ionapi.display()));
}

fn file(path: &Path) -> Result<IonApiFile, Failure> {
    if !path.exists() {
        let hint = "start the gateway once, or name another .ionapi file";
        return Err(Failure::begin(format!("{} is not there; {hint}", path.display())));
    }
    // What is wrong with it may be told by its text, which is a secret's.
    serde_json::from_slice(&secret(path)?)
        .map_err(|error| Failure::begin(format!("{} is no .ionapi file: line {}", path.display(), error.line())))
}

fn authority(words: &args::Token, settings: &Settings) -> Option<PathBuf> {
    match (&words.cacert, &settings.certificate) {
        (Some(path), _) => Some(path.clone()),
        (None, Certificate::Development(folder)) => Some(folder.join("ca.pem")).filter(|path| path.exists()),
        (None, Certificate::Files { .. }) => None,
    }
}

/// What was answered, and the nonce that the next proof has to carry.
struct Answer {
    said: Value,
    nonce: Option<String>,
}

async fn ask(
    file: &IonApiFile,
    words: &args::Token,
    authority: Option<PathBuf>,
    prover: Option<&Prover>,
) -> Result<Answer, Failure> {
    let url = format!("{}{}", file.pu, file.ot);
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls(words, authority)?)
        .https_only()
        .enable_http1()
        .build();
    let client = Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(connector);
    let failed = |error: &dyn std::error::Error| Failure::on_the_way(format!("{url}: {}", causes(error)));
    let mut nonce = None;
    // Once more where the first answer names the nonce that a proof must carry.
    for again in [false, true] {
        let mut request = Request::post(&url).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(prover) = prover {
            request = request.header("dpop", prover.proof("POST", &url, None, nonce.as_deref(), unix_seconds())?);
        }
        // Made anew: what a key has signed is good once.
        let request = request.body(Full::new(Bytes::from_owner(form(file, words, &url)?)));
        let request = request.map_err(|error| Failure::begin(format!("{url} is no URL: {error}")))?;
        let response = client.request(request).await.map_err(|error| failed(&error))?;
        let status = response.status();
        let given = response.headers().get("dpop-nonce").and_then(|value| value.to_str().ok()).map(str::to_owned);
        nonce = given.or(nonce);
        let text = read(response.into_body()).await.map_err(|error| failed(&*error))?;
        let said: Value = serde_json::from_slice(&text).unwrap_or_default();
        if status.is_success() {
            return Ok(Answer { said, nonce });
        }
        if again || prover.is_none() || nonce.is_none() || said["error"] != "use_dpop_nonce" {
            let word = |name: &str| said.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let why = format!("{} {}", word("error"), word("error_description"));
            return Err(Failure::on_the_way(format!("{url} answered {status}: {why}")));
        }
    }
    Err(Failure::on_the_way(format!("{url} wants another nonce each time")))
}

fn form(file: &IonApiFile, words: &args::Token, url: &str) -> Result<Zeroizing<String>, Failure> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials").append_pair("client_id", &file.ci);
    match (&words.key, &file.cs) {
        (Some(key), _) => {
            form.append_pair("client_assertion_type", JWT_BEARER);
            form.append_pair("client_assertion", &assertion(key, &file.ci, url, unix_seconds())?);
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
    Ok(Zeroizing::new(form.finish()))
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
