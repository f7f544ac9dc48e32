//! Mutual TLS (RFC 8705) over real connections: who a client is by its certificate, and tokens that only its holder can use.

use crate::house::{Caller, House, Https, Reply, https_showing, text};
use crate::idp::{Idp, certified};
use http::StatusCode;
use mi_gateway::auth::RequireBound;
use mi_gateway::config::Settings;
use mi_gateway::edge::{ClientCertificates, client_certificate};
use mi_gateway::issuer::{Authentication, NewClient};
use mi_gateway::model::{Standing, TenantId};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use serde_json::{Value, json};

const READ: &str = "CRS610MI/GetBasicData?CUNO=C00001";

type Authority = CertifiedIssuer<'static, KeyPair>;
/// A certificate and its key, PEM.
type Card = (String, String);

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).expect("a name");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

fn own(name: &str) -> Card {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new([name.to_owned()]).expect("a name");
    (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
}

/// That nobody may take any more.
fn over(authority: &Authority, name: &str) -> Card {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    (params.signed_by(&key, authority).expect("a certificate").pem(), key.serialize_pem())
}

fn asks(settings: &mut Settings, authorities: std::path::PathBuf, self_signed: bool) {
    settings.edge.clients = Some(ClientCertificates { authorities: Some(authorities), self_signed });
    settings.gateway.client_certificates = true;
}

/// 401 in the words of RFC 6750, with a problem that says what was missing.
fn refused(reply: &Reply, what: &str) {
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::UNAUTHORIZED, "token-invalid"), "{what}");
    assert!(reply.header("www-authenticate").contains("error=\"invalid_token\""), "{what}");
    let told = reply.json();
    let detail = told["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("certificate") && told["hint"].is_string(), "{what}: {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_a_certified_provider_bound_is_good_over_its_certificate_and_nowhere_else() {
    let idp = Idp::start().await;
    let (house, caller) = idp
        .house(|settings| {
            asks(settings, idp.ca(), false);
            settings.issuers.iter_mut().for_each(|issuer| issuer.introspection = Some(Idp::introspection()));
        })
        .await;
    let (right, wrong) = (certified(&idp.authority, "shop.example"), certified(&idp.authority, "shop.example"));
    let to_idp = https_showing(&idp.ca(), &right);
    let on = |card: &Card| caller.clone().over(&https_showing(&house.running.authority, card));
    let (with_right, with_wrong) = (on(&right), on(&wrong));
    for client in ["mtls", "opaque-mtls"] {
        let token = idp.token_over(&to_idp, client).await;
        for round in ["first", "remembered"] {
            let reads = async |caller: &Caller| caller.clone().with_token(&token).m3(READ).await;
            refused(&reads(&with_wrong).await, round);
            refused(&reads(&caller).await, round);
            let reply = reads(&with_right).await;
            assert_eq!(reply.status, StatusCode::OK, "{client}, {round}: {}", reply.text());
        }
        // What a header says of a certificate is nobody's proof.
        let pem = right.0.replace('\n', " ");
        let headers = [
            ("x-forwarded-client-cert", pem.as_str()),
            ("x-ssl-client-cert", pem.as_str()),
            ("client-cert", pem.as_str()),
            ("x-client-cert", pem.as_str()),
        ];
        let path = format!("/DEMO_TST/M3/m3api-rest/v2/execute/{READ}");
        let reply = caller.clone().with_token(&token).get_with(&path, &headers).await;
        refused(&reply, "a header");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_an_issuers_tokens_must_be_bound_a_loose_one_opens_nothing() {
    let idp = Idp::start().await;
    let (house, caller) = idp
        .house(|settings| {
            asks(settings, idp.ca(), false);
            settings.issuers.iter_mut().for_each(|issuer| issuer.require_bound = RequireBound::Anything);
        })
        .await;
    let card = certified(&idp.authority, "shop.example");
    let caller = caller.over(&https_showing(&house.running.authority, &card));
    let reply = caller.clone().with_token(&idp.token("jwt").await).m3(READ).await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::UNAUTHORIZED, "token-invalid"));
    let bound = idp.token_over(&https_showing(&idp.ca(), &card), "mtls").await;
    assert_eq!(caller.with_token(&bound).m3(READ).await.status, StatusCode::OK);
}

/// A house that asks for certificates of this authority, and the words of its clients.
struct Mutual {
    house: House,
    authority: Authority,
    _folder: tempfile::TempDir,
}

impl Mutual {
    async fn new(self_signed: bool) -> Self {
        let (folder, authority) = (tempfile::tempdir().expect("a folder"), authority());
        let path = folder.path().join("clients.pem");
        std::fs::write(&path, authority.pem()).expect("a file");
        let all = "rate = \"10000/second\"\nburst = 10000";
        let (house, _) = House::open_to_all("MIDEMO", all, |settings| asks(settings, path, self_signed)).await;
        Self { house, authority, _folder: folder }
    }

    async fn client(&self, name: &str, authentication: Authentication) -> String {
        let new = NewClient {
            name: name.to_owned(),
            tenant: TenantId::parse("DEMO_TST").expect("a tenant"),
            scopes: Vec::new(),
            groups: vec!["test".to_owned()],
            standing: Standing::default(),
            authentication,
            bound: true,
            dpop: false,
        };
        self.house.running.add_new_client(new).await.expect("a client");
        let file = self.house.ionapi(name);
        assert!(["cs", "saak", "sask"].iter().all(|secret| file.get(secret).is_none()), "{file}");
        text(&file, "ci").to_owned()
    }

    fn on(&self, card: &Card) -> Https {
        https_showing(&self.house.running.authority, card)
    }

    async fn ask(&self, https: &Https, client: &str, more: &[(&str, &str)]) -> Reply {
        let form = [&[("client_id", client)], more].concat();
        self.house.stranger().over(https).post_form("/oauth2/token", &form).await
    }

    async fn reads(&self, https: &Https, token: &str) -> Reply {
        self.house.stranger().over(https).with_token(token).m3(READ).await
    }
}

const GRANT: &[(&str, &str)] = &[("grant_type", "client_credentials")];

fn invalid_client(reply: &Reply, what: &str) {
    assert_eq!((reply.status, &reply.json()["error"]), (StatusCode::UNAUTHORIZED, &"invalid_client".into()), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_proves_itself_by_its_certificate_and_its_tokens_are_worth_nothing_to_a_thief() {
    let mutual = Mutual::new(false).await;
    let client = mutual.client("shop", Authentication::TlsDns("shop.example".into())).await;
    let card = certified(&mutual.authority, "shop.example");
    let (right, thief) = (mutual.on(&card), mutual.on(&certified(&mutual.authority, "thief.example")));
    let answer = mutual.ask(&right, &client, GRANT).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let answer = answer.json();
    let token = text(&answer, "access_token");
    invalid_client(&mutual.ask(&thief, &client, GRANT).await, "another one of the same authority");
    invalid_client(&mutual.ask(&mutual.house.https, &client, GRANT).await, "none");
    for round in ["first", "remembered"] {
        assert_eq!(mutual.reads(&right, token).await.status, StatusCode::OK, "{round}");
        refused(&mutual.reads(&thief, token).await, round);
        refused(&mutual.reads(&mutual.house.https, token).await, round);
    }
    // A new certificate of the same name is the same client, and yet not what the old tokens are bound to.
    let renewed = mutual.on(&certified(&mutual.authority, "shop.example"));
    refused(&mutual.reads(&renewed, token).await, "renewed");
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", text(&answer, "refresh_token"))];
    let stolen = mutual.ask(&renewed, &client, &refresh).await;
    assert_eq!((stolen.status, &stolen.json()["error"]), (StatusCode::BAD_REQUEST, &"invalid_grant".into()));
    let again = mutual.ask(&right, &client, &refresh).await.json();
    assert_eq!(mutual.reads(&right, text(&again, "access_token")).await.status, StatusCode::OK);
    refused(&mutual.reads(&renewed, text(&again, "access_token")).await, "refreshed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_over_or_of_nobody_known_makes_no_connection() {
    let mutual = Mutual::new(false).await;
    for (what, card) in [
        ("over", over(&mutual.authority, "shop.example")),
        ("of another authority", certified(&authority(), "shop.example")),
        ("of its own making", own("shop.example")),
    ] {
        let request = http::Request::get(format!("{}/oauth2/jwks", mutual.house.base))
            .body(http_body_util::Full::default())
            .expect("a request");
        assert!(mutual.on(&card).request(request).await.is_err(), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_ones_own_making_is_as_good_as_its_registration() {
    let mutual = Mutual::new(true).await;
    let (card, other) = (own("shop.example"), own("shop.example"));
    let registered = client_certificate(card.0.as_bytes(), "the test").expect("a certificate");
    let client = mutual.client("shop", Authentication::SelfSigned(registered.thumbprint)).await;
    // The same names, which nobody answers for.
    let named = mutual.client("named", Authentication::TlsDns("shop.example".into())).await;
    let (right, wrong) = (mutual.on(&card), mutual.on(&other));
    let answer = mutual.ask(&right, &client, GRANT).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    invalid_client(&mutual.ask(&wrong, &client, GRANT).await, "not registered");
    invalid_client(&mutual.ask(&right, &named, GRANT).await, "a name that nobody answers for");
    let answer = answer.json();
    let token = text(&answer, "access_token");
    assert_eq!(mutual.reads(&right, token).await.status, StatusCode::OK);
    refused(&mutual.reads(&wrong, token).await, "another one");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_metadata_documents_tell_what_certificates_are_good_for() {
    let mutual = Mutual::new(true).await;
    let plain = House::start().await;
    let told = async |house: &House, path: &str| -> Value { house.stranger().get(path).await.json() };
    let (issuer, resource) = ("/.well-known/oauth-authorization-server", "/.well-known/oauth-protected-resource");
    for (house, certificates) in [(&mutual.house, true), (&plain, false)] {
        let issuer = told(house, issuer).await;
        let word = "tls_client_certificate_bound_access_tokens";
        assert_eq!((&issuer[word], &told(house, resource).await[word]), (&json!(certificates), &json!(certificates)));
        let methods = issuer["token_endpoint_auth_methods_supported"].as_array().expect("a list");
        for method in ["tls_client_auth", "self_signed_tls_client_auth"] {
            assert_eq!(methods.contains(&method.into()), certificates, "{methods:?}");
        }
    }
}
