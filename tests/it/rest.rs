//! M3 behind m3api-rest: accounts and their tokens, whose place a call runs in, and answers that are none of M3's.

use crate::house::{Caller, House};
use http::StatusCode;
use mi_gateway::config::Backend;
use mi_gateway::m3::{self, RestIdentity, RestSettings, RestVersion};
use mi_gateway::mock_m3::{self, Mock, Profile};
use mi_gateway::model::{Language, M3User, Standing};
use mi_gateway::tasks::Tasks;
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

pub(crate) const READ: &str = "CRS610MI/GetBasicData?CUNO=C00001&returncols=CUNO,CUNM";
pub(crate) const WRITE: &str = "CRS610MI/ChgBasicData?CUNO=C00001&CUNM=Changed";

fn user(name: &str) -> M3User {
    M3User::parse(name).expect("a user of the test")
}

/// A mock that serves m3api-rest, on a port of its own.
pub(crate) async fn mock(tasks: &Tasks, profile: Profile) -> (Mock, String) {
    let rest = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    let settings = mock_m3::Settings { rest, profile, ..mock_m3::Settings::default() };
    let mock = Mock::start(settings, tasks).await.expect("a mock");
    let base = format!("http://{}", mock.rest_address().expect("its port"));
    (mock, base)
}

/// The text of the `.ionapi` file of a service account.
fn ionapi(base: &str, name: &str, password: &str) -> SecretString {
    let text = json!({
        "ti": "DEMO_TST", "cn": "gateway", "dt": "12", "ci": "DEMO_TST~1", "cs": "secret", "iu": base,
        "pu": format!("{base}/DEMO_TST/as/"), "oa": "authorization.oauth2", "ot": "token.oauth2",
        "or": "revoke_token.oauth2", "saak": name, "sask": password, "v": "1.0",
    });
    SecretString::from(text.to_string())
}

fn dev(name: &str) -> SecretString {
    SecretString::from(format!("{}-dev", name.to_lowercase()))
}

/// A house in front of this base, and a caller who may do everything as MIDEMO.
pub(crate) async fn before(base: &str, change: impl FnOnce(&mut m3::Settings)) -> (House, Caller) {
    House::open_to_all("MIDEMO", "rate = \"10000/second\"\nburst = 10000", |settings| {
        let address = base.trim_start_matches("http://").to_owned();
        let mut client = m3::Settings::new(address, user("MIGATE"));
        client.users = ["MIGATE", "MIDEMO"].into_iter().map(|name| (user(name), dev(name))).collect();
        client.rest = Some(RestSettings::new(base.to_owned()));
        change(&mut client);
        settings.backend = Backend::Real(Box::new(client));
    })
    .await
}

#[tokio::test]
async fn a_service_accounts_token_is_fetched_once_for_many_and_again_when_it_is_refused() {
    let tasks = Tasks::new();
    let (m3, base) = mock(&tasks, Profile::default()).await;
    let (_house, caller) = before(&base, |client| {
        client.users =
            [(user("MIGATE"), dev("MIGATE")), (user("MIDEMO"), ionapi(&base, "MIDEMO", "midemo-dev"))].into();
    })
    .await;
    let all = async |call: &'static str| {
        for reply in futures_util::future::join_all((0..20).map(|_| caller.m3(call))).await {
            assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        }
    };
    all(READ).await;
    assert_eq!(m3.tokens_of("MIDEMO"), 1);
    m3.end_tokens();
    all(WRITE).await;
    assert_eq!(m3.tokens_of("MIDEMO"), 2, "one renewal serves all, and a write that was not let in is not lost");
    assert_eq!(m3.calls().iter().filter(|call| call.transaction == "ChgBasicData").count(), 20, "nor done twice");
}

#[tokio::test]
async fn an_applications_own_keys_will_do_where_there_is_no_service_account() {
    let tasks = Tasks::new();
    let (_m3, base) = mock(&tasks, Profile::default()).await;
    let (_house, caller) = before(&base, |client| {
        let text = json!({ "ci": "MIDEMO", "cs": "midemo-dev", "pu": format!("{base}/as/"), "ot": "token.oauth2" });
        client.users.insert(user("MIDEMO"), SecretString::from(text.to_string()));
    })
    .await;
    assert_eq!(caller.m3(READ).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_wrong_secret_is_tried_once_however_many_wait() {
    for keys in [false, true] {
        let tasks = Tasks::new();
        let (m3, base) = mock(&tasks, Profile::default()).await;
        let (_house, caller) = before(&base, |client| {
            let wrong = if keys { ionapi(&base, "MIDEMO", "wrong") } else { SecretString::from("wrong") };
            client.users.insert(user("MIDEMO"), wrong);
        })
        .await;
        for reply in futures_util::future::join_all((0..10).map(|_| caller.m3(READ))).await {
            assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "m3-logon-refused"));
            assert!(!reply.text().contains("wrong"), "{}", reply.text());
        }
        assert_eq!(m3.refused(), 1, "a crowd would lock the user");
    }
}

#[tokio::test]
async fn an_account_of_somebody_else_writes_nothing_in_his_name() {
    let tasks = Tasks::new();
    let (m3, base) = mock(&tasks, Profile::default()).await;
    let (_house, caller) = before(&base, |client| {
        client.users.insert(user("MIDEMO"), ionapi(&base, "MIREAD", "miread-dev"));
    })
    .await;
    assert_eq!(caller.m3(WRITE).await.problem(), "m3-logon-refused");
    assert!(m3.calls().iter().all(|call| call.transaction != "ChgBasicData"));
}

#[tokio::test]
async fn the_gateways_account_names_users_only_where_it_may() {
    for names_users in [false, true] {
        let tasks = Tasks::new();
        let (m3, base) = mock(&tasks, Profile::default()).await;
        let (_house, caller) = before(&base, |client| {
            client.users.remove(&user("MIDEMO"));
            client.rest.as_mut().expect("over REST").names_users = names_users;
        })
        .await;
        let reply = caller.m3(READ).await;
        let seen: Vec<_> = m3.calls().into_iter().filter(|call| call.transaction == "GetBasicData").collect();
        if names_users {
            assert_eq!((reply.status, seen[0].user.as_str()), (StatusCode::OK, "MIDEMO"));
        } else {
            assert_eq!((reply.problem().as_str(), seen.len()), ("m3-logon-refused", 0));
        }
    }
}

#[tokio::test]
async fn one_client_with_a_user_that_m3_does_not_know_keeps_nobody_else_out() {
    let tasks = Tasks::new();
    let (m3, base) = mock(&tasks, Profile::default()).await;
    let (house, caller) = before(&base, |client| {
        client.users.remove(&user("MIDEMO"));
        client.rest.as_mut().expect("over REST").names_users = true;
    })
    .await;
    let standing = Standing { user: Some(user("STRANGER")), ..Standing::default() };
    house.running.add_client_with("strange", &[], &["test"], standing).await.expect("a client");
    let strange = house.caller("strange").await;
    for place in ["cono=100;divi=AAA", "cono=200;divi=CCC"] {
        let reply = strange.m3(&format!("CRS610MI/GetBasicData;{place}?CUNO=C00001")).await;
        assert_eq!(reply.problem(), "m3-logon-refused");
        assert_eq!(caller.m3(READ).await.status, StatusCode::OK, "after {place}");
    }
    assert_eq!(m3.refused(), 0, "no secret was wrong");
}

#[tokio::test]
async fn a_password_that_m3_changes_under_running_calls_is_not_tried_by_all_who_wait() {
    let tasks = Tasks::new();
    let (m3, base) = mock(&tasks, Profile::default()).await;
    let (_house, caller) = before(&base, |client| client.pool.max_per_key = 2).await;
    assert_eq!(caller.m3(READ).await.status, StatusCode::OK);
    m3.change_password("MIDEMO", "another");
    for reply in futures_util::future::join_all((0..20).map(|_| caller.m3(READ))).await {
        assert_eq!(reply.problem(), "m3-logon-refused");
    }
    assert!(m3.refused() <= 2, "{} wrong passwords were sent", m3.refused());
}

#[tokio::test]
async fn a_secret_that_was_set_right_is_tried_at_once() {
    let tasks = Tasks::new();
    let (_m3, base) = mock(&tasks, Profile::default()).await;
    let mut settings = m3::Settings::new(base.trim_start_matches("http://").to_owned(), user("MIDEMO"));
    settings.rest = Some(RestSettings::new(base.clone()));
    settings.users = [(user("MIDEMO"), SecretString::from("wrong"))].into();
    let client = m3::Client::new(settings, Arc::default(), tasks.clone()).expect("a client");
    assert!(client.home(&user("MIDEMO")).await.is_err());
    client.set_users([(user("MIDEMO"), dev("MIDEMO"))].into());
    assert!(client.home(&user("MIDEMO")).await.is_ok(), "the pause was for the old secret");
}

#[tokio::test]
async fn a_grid_that_wants_a_csrf_token_gets_one() {
    let tasks = Tasks::new();
    let (_m3, base) = mock(&tasks, Profile { csrf: true, ..Profile::default() }).await;
    let (_house, caller) = before(&base, |_| {}).await;
    assert_eq!(caller.m3(READ).await.status, StatusCode::OK);
    assert_eq!(caller.m3(WRITE).await.json()["nrOfSuccessfullTransactions"], 1);
}

#[tokio::test]
async fn an_m3_that_speaks_v1_alone_serves_both_versions_of_callers() {
    let tasks = Tasks::new();
    let (_m3, base) = mock(&tasks, Profile::default()).await;
    let (_house, caller) =
        before(&base, |client| client.rest.as_mut().expect("over REST").version = RestVersion::V1).await;
    assert_eq!(caller.m3(WRITE).await.json()["nrOfSuccessfullTransactions"], 1);
    assert_eq!(caller.m3(READ).await.records()[0]["CUNM"], "Changed");
    assert_eq!(caller.m3("CRS610MI/LstByNumber?maxrecs=3").await.records().len(), 3);
    let nok = caller.v1("CRS610MI/GetBasicData?CUNO=NOBODY").await.json();
    assert_eq!((&nok["@type"], &nok["@field"]), (&json!("ServerReturnedNOK"), &json!("CUNO")));
}

#[tokio::test]
async fn a_company_that_m3_does_not_take_over_is_not_written_in() {
    let tasks = Tasks::new();
    let (m3, base) = mock(&tasks, Profile { honours_place: false, ..Profile::default() }).await;
    let (_house, caller) = before(&base, |_| {}).await;
    let reply = caller.m3("PPS200MI/GetHead;cono=200?PUNO=2000001").await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::FORBIDDEN, "company-not-provable"));
    assert!(m3.calls().iter().all(|call| call.transaction != "GetHead"));
}

#[tokio::test]
async fn a_value_that_outgrew_its_layout_is_read_again_with_the_new_one() {
    let tasks = Tasks::new();
    let (m3, base) = mock(&tasks, Profile::default()).await;
    let (_house, caller) = before(&base, |_| {}).await;
    assert_eq!(caller.m3(READ).await.status, StatusCode::OK);
    m3.widen("CRS610MI", "GetBasicData", "CUNM", 20);
    let long = "A name that is longer than thirty-six characters";
    let faults = json!({ "rules": [{ "transaction": "GetBasicData", "action": { "answer": { "records": [{ "CUNM": long }] } } }] });
    m3.set_faults(serde_json::from_value(faults).expect("faults"));
    assert_eq!(caller.m3(READ).await.records()[0]["CUNM"], long);
}

#[tokio::test]
async fn m3_is_told_the_language_of_the_call_or_else_of_the_client() {
    let tasks = Tasks::new();
    let (m3, base) = mock(&tasks, Profile::default()).await;
    let (house, _) = before(&base, |_| {}).await;
    let standing = Standing { language: Language::parse("SV").ok(), user: Some(user("MIDEMO")), ..Standing::default() };
    house.running.add_client_with("swedish", &[], &["test"], standing).await.expect("a client");
    let swedish = house.caller("swedish").await;
    for (option, language) in [("", "SV"), ("&lanc=de", "DE")] {
        m3.clear_calls();
        assert_eq!(swedish.m3(&format!("{READ}{option}")).await.status, StatusCode::OK);
        let calls = m3.calls();
        assert_eq!(
            calls.iter().find(|call| call.transaction == "GetBasicData").expect("it was asked").language,
            language
        );
    }
}

/// TLS in front of this mock, for those who show the certificate that is asked for; its base and its certificate.
async fn behind_tls(tasks: &Tasks, base: &str, guest: &CertifiedKey<KeyPair>) -> (String, Vec<u8>) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut guests = rustls::RootCertStore::empty();
    guests.add(guest.cert.der().clone()).expect("a root");
    let asks =
        WebPkiClientVerifier::builder_with_provider(guests.into(), provider.clone()).build().expect("a verifier");
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions of the library's own")
        .with_client_cert_verifier(asks)
        .with_single_cert(vec![cert.der().clone()], key)
        .expect("a server");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let behind: SocketAddr = base.trim_start_matches("http://").parse().expect("an address");
    let serving = tasks.clone();
    tasks.spawn_until_stop(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            serving.spawn_until_stop(async move {
                let Ok(mut outer) = acceptor.accept(stream).await else { return };
                let Ok(mut inner) = tokio::net::TcpStream::connect(behind).await else { return };
                let _ = tokio::io::copy_bidirectional(&mut outer, &mut inner).await;
            });
        }
    });
    (format!("https://localhost:{port}"), cert.pem().into_bytes())
}

#[tokio::test]
async fn over_tls_m3_is_the_one_that_was_meant_and_sees_the_gateways_certificate() {
    let tasks = Tasks::new();
    let (m3, plain) = mock(&tasks, Profile::default()).await;
    let guest = generate_simple_self_signed(["mi-gateway".to_owned()]).expect("a certificate");
    let (base, ca) = behind_tls(&tasks, &plain, &guest).await;
    let (_, stranger) = behind_tls(&tasks, &plain, &guest).await;
    let identity = RestIdentity {
        chain_pem: guest.cert.pem().into_bytes(),
        key_pem: guest.signing_key.serialize_pem().into_bytes().into(),
    };
    for (ca, identity, let_in) in
        [(&ca, Some(&identity), true), (&ca, None, false), (&stranger, Some(&identity), false)]
    {
        m3.clear_calls();
        let (_house, caller) = before(&base, |client| {
            let rest = client.rest.as_mut().expect("over REST");
            (rest.ca_pem, rest.identity) = (Some(ca.clone()), identity.cloned());
        })
        .await;
        let reply = caller.m3(READ).await;
        if let_in {
            assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        } else {
            assert_eq!(reply.problem(), "m3-unreachable");
            assert!(m3.calls().is_empty(), "nobody was asked anything");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tells_whether_m3_answers_over_rest_and_as_whom() {
    let tasks = Tasks::new();
    let (_m3, base) = mock(&tasks, Profile::default()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let account = file("gateway.ionapi", ionapi(&base, "MIGATE", "migate-dev").expose_secret());
    let wrong = file("wrong", "not-his-password\n");
    for (secret, code, said) in
        [(&account, 0, "answers as MIGATE in company 100"), (&wrong, 2, "does not let the user")]
    {
        let ended = tokio::process::Command::new(env!("CARGO_BIN_EXE_mi-gateway"))
            .current_dir(folder.path())
            .env("MI_GATEWAY__M3__BACKEND", "rest")
            .env("MI_GATEWAY__M3__URL", &base)
            .env("MI_GATEWAY__M3__USER", "MIGATE")
            .env("MI_GATEWAY__M3__PASSWORD_FILE", secret)
            .args(["check", "--probe"])
            .output()
            .await
            .expect("it runs");
        let told = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
        assert_eq!(ended.status.code(), Some(code), "{told}");
        assert!(told.contains(said) && !told.contains("not-his-password") && !told.contains("migate-dev"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_compares_where_a_client_may_work_with_what_m3_says_of_its_user() {
    let tasks = Tasks::new();
    let (_m3, base) = mock(&tasks, Profile::default()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let account = folder.path().join("gateway.ionapi");
    std::fs::write(&account, ionapi(&base, "MIGATE", "migate-dev").expose_secret()).expect("a file");
    let run = async |words: &[&str]| {
        let ended = tokio::process::Command::new(env!("CARGO_BIN_EXE_mi-gateway"))
            .current_dir(folder.path())
            .env("MI_GATEWAY__M3__BACKEND", "rest")
            .env("MI_GATEWAY__M3__URL", &base)
            .env("MI_GATEWAY__M3__USER", "MIGATE")
            .env("MI_GATEWAY__M3__PASSWORD_FILE", &account)
            .args(words)
            .output()
            .await
            .expect("it runs");
        String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned()
    };
    let add = ["client", "add"];
    let user = ["--m3-user", "MIDEMO", "--group", "shop"];
    for (name, place) in [("here", ["--may-company", "100"]), ("strange", ["--may-company", "777"])] {
        let out = format!("{name}.ionapi");
        let told = run(&[&add[..], &[name], &user, &place, &["--out", &out]].concat()).await;
        assert!(folder.path().join(&out).exists(), "{told}");
    }
    let told = run(&["check", "--probe"]).await;
    assert!(told.contains("the client here: its M3 user MIDEMO may work in company 100"), "{told}");
    assert!(told.contains("company 777, and its M3 user MIDEMO has no authority there"), "{told}");
}
