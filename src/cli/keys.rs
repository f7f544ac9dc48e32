//! `keys`: what the embedded issuer signs with.

use super::args;
use super::failure::Failure;
use super::show;
use super::state::{issuer_failed, settings, store};
use crate::clock::unix_seconds;
use crate::issuer::{KeyInfo, SigningAlgorithm, SigningKeys};
use jiff::Timestamp;
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

pub(super) async fn keys(config: Option<&Path>, words: &args::Keys) -> Result<ExitCode, Failure> {
    let settings = settings(config)?;
    let store = store(&settings).await?;
    let keys = SigningKeys::open(&store).await.map_err(issuer_failed)?;
    match words {
        args::Keys::List { json } => {
            let keys = keys.list().await.map_err(issuer_failed)?;
            if keys.is_empty() {
                show::note("No keys yet; the first start makes one.");
            }
            keys.iter().for_each(|key| show::line(&shown(key, *json)));
        }
        args::Keys::Rotate { by } => {
            let algorithm = settings.tokens.as_ref().map_or(SigningAlgorithm::default(), |tokens| tokens.algorithm);
            let key = keys.by(&by.name()).rotate(algorithm, unix_seconds()).await.map_err(issuer_failed)?;
            show::line(&key.kid);
            show::note("New tokens are signed with this key; live tokens stay good.");
        }
    }
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

fn shown(key: &KeyInfo, json: bool) -> String {
    let (made, retired) = (time(key.created_at), key.retired_at.map(time));
    if json {
        return json!({ "kid": key.kid, "algorithm": key.algorithm.as_str(), "created": made, "retired": retired })
            .to_string();
    }
    let state = retired.map_or_else(|| "signing".to_owned(), |retired| format!("published, retired {retired}"));
    format!("{}  {}  made {made}  {state}", key.kid, key.algorithm.as_str())
}

pub(super) fn time(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(|| seconds.to_string(), |time| time.to_string())
}
