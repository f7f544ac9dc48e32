//! Tokens of an identity provider elsewhere: a certified one, run for real.

use crate::idp::Idp;
use http::StatusCode;

const READ: &str = "CRS610MI/GetBasicData?CUNO=C00001";

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_a_certified_provider_is_its_clients_and_a_new_key_is_found_at_once() {
    let mut idp = Idp::start().await;
    let (_house, caller) = idp.house(|_| {}).await;
    let reads = async |token: &str| caller.clone().with_token(token).m3(READ).await;
    let old = idp.token("jwt").await;
    let reply = reads(&old).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    idp.rotate().await;
    let new = idp.token("jwt").await;
    assert_eq!(reads(&new).await.status, StatusCode::OK, "the new key is fetched when it is first seen");
    assert_eq!(reads(&old).await.status, StatusCode::OK, "the old one is still published");
    assert_eq!(idp.asked("/jwks").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_whose_key_is_no_longer_published_is_refused() {
    let mut idp = Idp::start().await;
    let old = idp.token("jwt").await;
    idp.rotate_alone().await;
    let (_house, caller) = idp.house(|_| {}).await;
    let reply = caller.with_token(&old).m3(READ).await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::UNAUTHORIZED, "token-invalid"));
}
