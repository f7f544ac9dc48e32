//! Clients that prove themselves by their connection's certificate, and tokens that are bound to it (RFC 8705).

use super::super::{Authentication, Client, Settings, TokenAnswer, TokenAsk, TokenError};
use super::{House, code, form, now, settings};
use crate::auth::{Error as Refused, Presented};
use crate::model::ClientCertificate;

fn shown(thumbprint: u8, vouched: bool) -> ClientCertificate {
    ClientCertificate {
        thumbprint: [thumbprint; 32],
        vouched,
        subject: "CN=web-shop,O=Acme".into(),
        dns_names: ["shop.example".into()].into(),
    }
}

async fn ask(
    house: &House,
    client: &Client,
    with: Option<&ClientCertificate>,
    more: &[(&str, &str)],
) -> Result<TokenAnswer, TokenError> {
    let request = form(&[&[("client_id", &*client.id)], more].concat());
    let ask = TokenAsk { certificate: with, ..house.request(None, &request) };
    house.running.issuer.token(ask).await
}

const GRANT: &[(&str, &str)] = &[("grant_type", "client_credentials")];

#[tokio::test]
async fn a_client_is_who_its_certificate_says_where_somebody_answers_for_it() {
    let house = House::new().await;
    for (name, registered) in [
        ("a", Authentication::TlsSubject("CN=web-shop,O=Acme".into())),
        ("b", Authentication::TlsDns("SHOP.example".into())),
    ] {
        let client = house.other(name, registered, false).await;
        assert_eq!(code(&ask(&house, &client, Some(&shown(1, true)), GRANT).await), "ok");
        assert_eq!(code(&ask(&house, &client, Some(&shown(1, false)), GRANT).await), "invalid_client", "of itself");
        assert_eq!(code(&ask(&house, &client, None, GRANT).await), "invalid_client");
        let other = ClientCertificate {
            subject: "CN=web-shop,O=Other".into(),
            dns_names: ["shop.example.org".into()].into(),
            ..shown(1, true)
        };
        assert_eq!(code(&ask(&house, &client, Some(&other), GRANT).await), "invalid_client");
        let secret = [("grant_type", "client_credentials"), ("client_secret", "")];
        assert_eq!(code(&ask(&house, &client, None, &secret).await), "invalid_client");
        let secret = [("grant_type", "client_credentials"), ("client_secret", "x")];
        assert_eq!(code(&ask(&house, &client, Some(&shown(1, true)), &secret).await), "invalid_client");
    }
    for unfit in [Authentication::TlsDns("*.example".into()), Authentication::TlsSubject("".into())] {
        let new = super::NewClient { authentication: unfit, ..super::new_client("c") };
        assert!(house.running.clients.add(new, now()).await.is_err());
    }
}

#[tokio::test]
async fn a_certificate_of_its_own_making_is_the_one_that_was_registered() {
    let house = House::new().await;
    let client = house.other("own", Authentication::SelfSigned([1; 32]), false).await;
    assert_eq!(code(&ask(&house, &client, Some(&shown(1, false)), GRANT).await), "ok");
    assert_eq!(code(&ask(&house, &client, Some(&shown(2, false)), GRANT).await), "invalid_client");
    assert_eq!(code(&ask(&house, &client, Some(&shown(2, true)), GRANT).await), "invalid_client", "whoever answers");
    assert_eq!(code(&ask(&house, &client, None, GRANT).await), "invalid_client");
    // Nor does a certificate make anybody a client that has a secret.
    assert_eq!(code(&ask(&house, &house.client, Some(&shown(1, true)), GRANT).await), "invalid_client");
}

#[tokio::test]
async fn tokens_of_a_bound_client_are_good_over_its_certificate_alone_and_so_are_their_refreshes() {
    let house = House::new().await;
    let client = house.other("own", Authentication::SelfSigned([1; 32]), true).await;
    let own = shown(1, false);
    let answer = ask(&house, &client, Some(&own), GRANT).await.expect("a token");
    let says = async |token: &str, certificate| {
        let with = Presented { certificate, ..Presented::BEARER };
        house.running.verifier.verify(token, &with, now()).await.err()
    };
    let refresh = answer.refresh_token.clone().expect("a refresh token");
    let again = [("grant_type", "refresh_token"), ("refresh_token", refresh.as_str())];
    let second = ask(&house, &client, Some(&own), &again).await.expect("a refreshed token");
    for token in [&answer.access_token, &second.access_token] {
        assert_eq!(says(token, Some([1; 32])).await, None);
        assert_eq!(says(token, Some([2; 32])).await, Some(Refused::Certificate));
        assert_eq!(says(token, None).await, Some(Refused::Certificate));
    }
    assert!(says(&refresh, Some([1; 32])).await.is_some(), "a refresh token opens nothing");
    // Another certificate of the same client does not refresh what was bound to the old one.
    house.running.clients.rekey("own", Authentication::SelfSigned([2; 32]), now()).await.expect("another one");
    house.running.issuer.reload().await.expect("reads");
    assert_eq!(code(&ask(&house, &client, Some(&shown(2, false)), &again).await), "invalid_grant");
    assert_eq!(code(&ask(&house, &client, Some(&shown(2, false)), GRANT).await), "ok");
}

#[tokio::test]
async fn a_client_with_a_secret_can_have_bound_tokens_too_and_gets_no_others() {
    let house = House::new().await;
    let new = super::NewClient { bound: true, ..super::new_client("bound") };
    let (client, credentials) = house.running.clients.add(new, now()).await.expect("a client");
    house.running.issuer.reload().await.expect("reads");
    let credentials = credentials.expect("a secret");
    let secret = secrecy::ExposeSecret::expose_secret(&credentials.client_secret);
    let grant = [("grant_type", "client_credentials"), ("client_secret", secret)];
    assert_eq!(code(&ask(&house, &client, None, &grant).await), "invalid_request");
    let answer = ask(&house, &client, Some(&shown(1, true)), &grant).await.expect("a token");
    let refused = house.running.verify(&answer.access_token).await.err();
    assert_eq!(refused, Some(Refused::Certificate));
}

#[tokio::test]
async fn the_metadata_tell_every_way_that_there_is() {
    let told = async |settings: Settings| House::with(settings).await.running.issuer.metadata();
    let plain = told(settings()).await;
    let methods = &plain["token_endpoint_auth_methods_supported"];
    assert_eq!(*methods, serde_json::json!(["client_secret_basic", "client_secret_post", "private_key_jwt"]));
    assert_eq!(plain["tls_client_certificate_bound_access_tokens"], false);
    let algorithms = plain["token_endpoint_auth_signing_alg_values_supported"].as_array().expect("a list");
    assert!(algorithms.contains(&"ES256".into()) && algorithms.contains(&"RS256".into()));
    assert!(!algorithms.iter().any(|name| name == "none" || name == "HS256"));
    let mutual = told(Settings { tls_client_auth: true, self_signed_tls_client_auth: true, ..settings() }).await;
    let methods = mutual["token_endpoint_auth_methods_supported"].as_array().expect("a list");
    assert!(methods.contains(&"tls_client_auth".into()) && methods.contains(&"self_signed_tls_client_auth".into()));
    assert_eq!(mutual["tls_client_certificate_bound_access_tokens"], true);
}
