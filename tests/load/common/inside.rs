//! A gateway in this process, without a socket in front of it, and its M3 on a thread of its own.

use super::{mock_elsewhere, policies};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use mi_gateway::app::{self, Running};
use mi_gateway::config::{Backend, Settings};
use mi_gateway::gateway::{BodyFault, Service};
use mi_gateway::mock_m3;
use std::time::Duration;
use tower::{Service as _, ServiceExt};

pub(crate) struct Inside {
    pub(crate) running: Running,
    pub(crate) token: String,
    pub(crate) state: tempfile::TempDir,
}

impl Inside {
    pub(crate) async fn start(mock: mock_m3::Settings) -> Self {
        Self::start_with(mock, |_| {}).await
    }

    /// A gateway whose settings differ in what the bench is about.
    pub(crate) async fn start_with(mock: mock_m3::Settings, change: impl FnOnce(&mut Settings)) -> Self {
        let state = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder on a disk");
        let mut settings = Settings::embedded(state.path());
        settings.policies = state.path().join("policies");
        policies(&settings.policies);
        if let Backend::Mock { client, .. } = &settings.backend {
            let mut client = client.clone();
            client.address = mock_elsewhere(mock).to_string();
            settings.backend = Backend::Real(client);
        }
        change(&mut settings);
        let running = app::start(settings).await.expect("a house that starts");
        std::fs::create_dir_all(state.path().join("clients")).expect("a folder");
        running.add_client("bench", &[], &["demo"]).await.expect("a client");
        let ionapi = std::fs::read(state.path().join("clients/bench.ionapi")).expect("its file");
        let ionapi = serde_json::from_slice(&ionapi).expect("JSON");
        // The issuer looks for new clients twice a second.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let token = token(&mut running.gateway.clone(), &ionapi).await;
        Self { running, token, state }
    }
}

pub(crate) async fn send(service: &mut Service, request: Request<Bytes>) -> (StatusCode, Bytes) {
    let request = request.map(|bytes| Full::new(bytes).map_err(BodyFault::new).boxed_unsync());
    let service = service.ready().await.expect("a service that never fails");
    let response = service.call(request).await.expect("a service that never fails");
    let (head, mut body) = response.into_parts();
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        whole.extend_from_slice(&frame.expect("a whole body").into_data().unwrap_or_default());
    }
    (head.status, whole.into())
}

async fn token(service: &mut Service, ionapi: &serde_json::Value) -> String {
    let request = Request::builder()
        .method(Method::POST)
        .uri("/oauth2/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Bytes::from(super::credentials(ionapi)))
        .expect("a request");
    let (status, body) = send(service, request).await;
    assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&body));
    let answer: serde_json::Value = serde_json::from_slice(&body).expect("a token answer");
    answer["access_token"].as_str().expect("a token").to_owned()
}
