//! A request refused by each layer in turn, and nothing below that layer was asked.

use crate::audit::{audit, lines};
use crate::house::House;
use bytes::Bytes;
use http::{Method, StatusCode};

const READ: &str = "/DEMO_TST/M3/m3api-rest/v2/execute/CRS610MI/GetBasicData?CUNO=C00001";

#[tokio::test]
async fn a_form_of_nobody_gets_little_room() {
    let house = House::start().await;
    let long = "a".repeat(40_000);
    let reply = house.stranger().post_form("/oauth2/token", &[("grant_type", &long)]).await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large"));
    assert!(reply.text().contains("32768"), "{}", reply.text());
}

#[tokio::test]
async fn without_a_token_nothing_is_asked() {
    let house = House::start().await;
    let reply = house.stranger().get(READ).await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::UNAUTHORIZED, "token-missing"));
    let challenge = reply.header("www-authenticate");
    assert!(challenge.starts_with("Bearer realm=\"mi-gateway\", resource_metadata="), "{challenge}");
    let bad = house.stranger().with_token("a.b.c").get(READ).await;
    assert_eq!((bad.status, bad.problem().as_str()), (StatusCode::UNAUTHORIZED, "token-invalid"));
    assert!(bad.header("www-authenticate").contains("error=\"invalid_token\""));
    assert_eq!(house.asked(), Vec::<String>::new());
    assert!(house.m3().calls().iter().all(|call| call.program != "CRS610MI"));
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_unread() {
    let house = House::with(|settings| settings.gateway.body_limit = 1_000).await;
    let demo = house.demo().await;
    let reply = demo
        .send(
            Method::POST,
            "/oauth2/token",
            &[("content-type", "application/x-www-form-urlencoded")],
            Bytes::from(vec![b'a'; 1_001]),
        )
        .await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large"));
}

#[tokio::test]
async fn another_tenant_is_refused_before_policy() {
    let house = House::start().await;
    let demo = house.demo().await;
    let reply = demo.get("/OTHER_TST/M3/m3api-rest/v2/execute/CRS610MI/GetBasicData?CUNO=C00001").await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::FORBIDDEN, "tenant-mismatch"));
    assert_eq!(house.asked(), Vec::<String>::new());
    let id = reply.json()["decision_id"].as_str().expect("the id of a decision").to_owned();
    let state = house.stop().await;
    let found = lines(&audit(state.path(), &["find", "--decision", &id]));
    let [line] = &found[..] else { panic!("the audit log tells of it: {found:?}") };
    assert_eq!((&line["verdict"], &line["reason"]), (&"deny".into(), &"tenant-mismatch".into()), "{line}");
}

#[tokio::test]
async fn a_client_that_hammers_is_told_when_to_come_back() {
    // So slow that no machine is slower.
    let limits = "rate = \"1/minute\"\nburst = 5";
    let (house, hammer) = House::open_to_all("MIDEMO", limits, |_| {}).await;
    let mut limited = None;
    for _ in 0..6 {
        let reply = hammer.get("/m3api-rest/v2/execute/CRS610MI/SetLstMaxRec").await;
        assert!(!reply.header("ratelimit").is_empty() && !reply.header("ratelimit-policy").is_empty());
        if reply.status == StatusCode::TOO_MANY_REQUESTS {
            limited = Some(reply);
        }
    }
    let reply = limited.expect("a burst of five ends before the sixth");
    assert_eq!(reply.problem(), "rate-limited");
    assert!(reply.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds >= 1));
    assert_eq!(house.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_client_without_rules_stops_at_the_door() {
    let house = House::start().await;
    house.running.add_client("stranger", &[], &["nobody"]).await.expect("a client");
    let nobody = house.caller("stranger").await;
    let reply = nobody.get(READ).await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::FORBIDDEN, "policy-denied"));
    assert_eq!(house.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn policy_on_names_refuses_before_the_catalog_is_asked() {
    let house = House::start().await;
    let demo = house.demo().await;
    for call in [
        "EXPORTMI/Select?QERY=OKCUNO%20from%20OCUSMA",
        "MDBREADMI/GetOCUSMA00",
        "MNS150MI/LstUserData",
        "CRS165MI/RtvNextNumber",
        "MMS200MI/SndItmDesc?LMDT=20260101",
        "MMS850MI/AddAdjust",
        "CRS610MI/SetLstMaxRec",
        "CRS610MI/ZipTransOn",
        "CRS610MI/CLOSE",
        "CRS610MI/setlstmaxrec",
        "NOSUCHMI/GetIt",
    ] {
        let reply = demo.m3(call).await;
        assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::FORBIDDEN, "policy-denied"), "{call}");
    }
    // Nor does the time of a look at metadata tell which programs there are.
    for program in ["NOSUCHMI", "MNS150MI", "MMS850MI"] {
        let reply = demo.get(&format!("/m3api-rest/metadata/{program}")).await;
        assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::NOT_FOUND, "route-unknown"), "{program}");
    }
    assert_eq!(house.asked(), Vec::<String>::new());
    assert!(house.m3().calls().iter().all(|call| call.program != "MRS001MI"), "the catalog was not asked either");
}

#[tokio::test]
async fn policy_on_values_refuses_what_the_name_allowed() {
    let house = House::start().await;
    let demo = house.demo().await;
    // Reading and writing in company 100 is allowed; 200 is not, however it is spelled.
    for call in [
        "MMS200MI/AddItmViaItmTyp;cono=200?ITTY=001&ITNO=X1&ITDS=x",
        "MMS200MI/AddItmViaItmTyp?ITTY=001&ITNO=X1&ITDS=x&CONO=200",
        "MMS200MI/AddItmViaItmTyp?ITTY=001&ITNO=X1&ITDS=x&CONO=0200",
        "MMS200MI/AddItmViaItmTyp?ITTY=001&ITNO=X1&ITDS=x&CONO=%20200",
        "MMS200MI/AddItmViaItmTyp;cono=100?ITTY=001&ITNO=X1&ITDS=x&CONO=200",
        "CRS620MI/DelSupplier;cono=200?SUNO=S00001",
    ] {
        let reply = demo.m3(call).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{call}: {}", reply.text());
    }
    let reader = house.reader().await;
    let write = reader.m3("MMS200MI/AddItmViaItmTyp?ITTY=001&ITNO=X1&ITDS=x").await;
    assert_eq!((write.status, write.problem().as_str()), (StatusCode::FORBIDDEN, "policy-denied"));
    assert_eq!(house.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn head_and_options_never_reach_m3() {
    let house = House::start().await;
    let demo = house.demo().await;
    for method in [Method::HEAD, Method::OPTIONS, Method::POST, Method::DELETE, Method::PUT] {
        let reply = demo.send(method.clone(), READ, &[], Bytes::new()).await;
        assert_eq!((reply.status, reply.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "GET"), "{method}");
    }
    assert_eq!(house.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn secrets_of_records_are_never_columns_of_the_demo_client() {
    let house = House::start().await;
    let demo = house.demo().await;
    let reply = demo.m3("CRS620MI/GetBasicData?SUNO=S00001").await;
    let records = reply.records();
    assert!(!records.is_empty(), "{}", reply.text());
    assert!(records[0].get("PWMT").is_none(), "a PIN code: {}", reply.text());
    let asked = demo.m3("CRS620MI/GetBasicData?SUNO=S00001&returncols=SUNO,PWMT").await;
    assert!(asked.records()[0].get("PWMT").is_none());
}
