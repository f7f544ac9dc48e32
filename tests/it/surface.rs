//! The rest of m3api-rest's surface: CSRF, sessions, metadata, browsers of other origins, compressed answers.

use crate::house::{Caller, House, Reply, sockets_alone};
use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::Value;

fn names(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|one| one["@name"].as_str().unwrap_or("")).collect()
}

#[tokio::test]
async fn any_bearer_client_gets_a_csrf_token_and_its_own_session() {
    let house = House::start().await;
    let demo = house.demo().await;
    for path in ["/m3api-rest/csrf", "/M3/m3api-rest/csrf", "/DEMO_TST/M3/m3api-rest/csrf"] {
        let reply = demo.get(path).await;
        assert_eq!((reply.status, reply.header("cache-control")), (StatusCode::OK, "no-store"), "{path}");
        assert!(reply.header("content-type").starts_with("text/plain") && !reply.text().is_empty());
    }
    let session = demo.get("/grid/rest/security/sessions/oauth?forceRefresh=true&rid=x").await;
    assert_eq!(Some(session.text()), demo.token);
    assert_eq!(session.header("cache-control"), "no-store");
    assert_eq!(house.stranger().get("/grid/rest/security/sessions/oauth").await.status, StatusCode::UNAUTHORIZED);
    let wadl = demo.get("/m3api-rest/application.wadl").await;
    assert_eq!((wadl.status, wadl.problem().as_str()), (StatusCode::NOT_FOUND, "route-unknown"));
}

#[tokio::test]
async fn metadata_names_what_the_client_may_call_and_nothing_else() {
    let house = House::start().await;
    let (demo, reader) = (house.demo().await, house.reader().await);
    let all = demo.get("/m3api-rest/metadata").await.json();
    let programs = names(&all["Program"]);
    assert!(programs.contains(&"CRS610MI") && programs.contains(&"MMS200MI"), "{programs:?}");
    assert!(!programs.contains(&"CUSEXTMI") && !programs.contains(&"EXPORTMI"), "{programs:?}");
    for path in ["/m3api-rest/metadata/CRS610MI", "/DEMO_TST/M3/m3api-rest/v2/metadata/CRS610MI"] {
        let program = demo.get(path).await.json();
        let transactions = names(&program["Transaction"]);
        assert!(transactions.contains(&"GetBasicData") && transactions.contains(&"ChgBasicData"), "{transactions:?}");
        let get = program["Transaction"].as_array().expect("a list").iter().find(|one| one["@name"] == "GetBasicData");
        let input = &get.expect("it is there")["Input"]["Field"];
        assert_eq!(names(input), ["CONO", "CUNO"]);
        assert_eq!(
            (&input[1]["@type"], &input[1]["@length"], &input[1]["@mandatory"]),
            (&"A".into(), &10.into(), &true.into())
        );
    }
    let read = reader.get("/m3api-rest/metadata/CRS610MI").await.json();
    assert!(!names(&read["Transaction"]).contains(&"ChgBasicData"), "who may only read is told of reads");
    for path in ["/m3api-rest/metadata/CUSEXTMI", "/m3api-rest/metadata/NOSUCH", "/m3api-rest/metadata/a%2fb"] {
        let reply = demo.get(path).await;
        assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::NOT_FOUND, "route-unknown"), "{path}");
    }
}

#[tokio::test]
async fn who_has_the_newest_metadata_gets_nothing_again() {
    if sockets_alone("fields travel by name, so a layout that only grew is not noticed") {
        return;
    }
    let house = House::start().await;
    let demo = house.demo().await;
    let path = "/m3api-rest/metadata/CRS610MI";
    let first = demo.get(path).await;
    let tag = first.header("etag").to_owned();
    assert!(tag.len() > 10, "{tag}");
    for held in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        let again = demo.get_with(path, &[("if-none-match", &held)]).await;
        assert_eq!((again.status, again.body.len(), again.header("etag")), (StatusCode::NOT_MODIFIED, 0, tag.as_str()));
    }
    assert_eq!(demo.get_with(path, &[("if-none-match", "\"other\"")]).await.status, StatusCode::OK);
    house.m3().widen("CRS610MI", "GetBasicData", "CUNM", 4);
    assert_eq!(demo.m3("CRS610MI/GetBasicData?CUNO=C00001").await.status, StatusCode::OK, "the new layout is learnt");
    assert_eq!(demo.get_with(path, &[("if-none-match", &tag)]).await.status, StatusCode::OK, "it has changed");
}

#[tokio::test]
async fn a_browser_may_call_from_the_origins_of_the_settings() {
    let house = House::with(|settings| {
        settings.gateway.cors = vec!["https://app.example.com".parse().expect("an origin")];
    })
    .await;
    let path = "/m3api-rest/v2/execute/CRS610MI/GetBasicData?CUNO=C00001";
    let preflight = async |origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "GET"),
            ("access-control-request-headers", "authorization,mi-next"),
        ];
        house.stranger().send(Method::OPTIONS, path, &headers, Bytes::new()).await
    };
    let allowed = preflight("https://app.example.com").await;
    assert_eq!(
        (allowed.status, allowed.header("access-control-allow-origin")),
        (StatusCode::OK, "https://app.example.com")
    );
    assert!(allowed.header("access-control-allow-headers").contains("authorization"));
    assert_eq!(preflight("https://evil.example.com").await.header("access-control-allow-origin"), "");
    let demo = house.demo().await;
    let called = demo.get_with(path, &[("origin", "https://app.example.com")]).await;
    assert_eq!(called.header("access-control-allow-origin"), "https://app.example.com");
    assert!(called.header("access-control-expose-headers").contains("mi-next"));
    let refused = house.stranger().get_with(path, &[("origin", "https://app.example.com")]).await;
    assert_eq!(
        (refused.status, refused.header("access-control-allow-origin")),
        (StatusCode::UNAUTHORIZED, "https://app.example.com")
    );
    // Without origins in the settings nothing of this is there.
    let plain = House::start().await;
    let reply = plain.demo().await.get_with(path, &[("origin", "https://app.example.com")]).await;
    assert_eq!(reply.header("access-control-allow-origin"), "");
}

async fn zipped(caller: &Caller, call: &str, accept: &str) -> Reply {
    caller.get_with(&format!("/m3api-rest/v2/execute/{call}"), &[("accept-encoding", accept)]).await
}

#[tokio::test]
async fn large_answers_come_compressed_to_those_who_can_read_it() {
    let house = House::start().await;
    let demo = house.demo().await;
    // All of them: a list that is cut says so in its head or in its end, as it is known.
    const ALL: &str = "CRS610MI/LstByNumber?maxrecs=0";
    let plain = zipped(&demo, ALL, "identity").await;
    assert_eq!(plain.header("content-encoding"), "");
    for encoding in ["gzip", "br", "zstd"] {
        let reply = zipped(&demo, ALL, encoding).await;
        assert_eq!((reply.status, reply.header("content-encoding")), (StatusCode::OK, encoding));
        assert!(reply.body.len() * 3 < plain.body.len(), "{encoding}: {} of {}", reply.body.len(), plain.body.len());
        assert!(reply.header("vary").contains("accept-encoding"), "{}", reply.header("vary"));
    }
    let gzip = zipped(&demo, ALL, "gzip").await;
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&gzip.body[..]), &mut text).expect("gzip");
    assert_eq!(text, plain.text());
    let body = r#"{"program":"CRS610MI","transactions":[{"transaction":"LstByNumber"},{"transaction":"LstByNumber"}]}"#;
    let headers = [("content-type", "application/json"), ("accept-encoding", "gzip")];
    let bulk = demo.send(Method::POST, "/m3api-rest/v2/execute", &headers, Bytes::from_static(body.as_bytes())).await;
    assert_eq!((bulk.status, bulk.header("content-encoding")), (StatusCode::OK, "gzip"));
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&bulk.body[..]), &mut text).expect("gzip");
    let text: Value = serde_json::from_str(&text).expect("one document");
    assert_eq!(text["nrOfSuccessfullTransactions"], 2);
    let small = zipped(&demo, "CRS610MI/GetBasicData?CUNO=C00001&returncols=CUNO", "gzip").await;
    assert_eq!((small.status, small.header("content-encoding")), (StatusCode::OK, ""));
}

#[tokio::test]
async fn the_end_of_a_compressed_list_is_told_all_the_same() {
    let house = House::start().await;
    let demo = house.demo().await;
    let long = zipped(&demo, "CRS610MI/LstByNumber?maxrecs=240", "gzip").await;
    assert_eq!(long.header("content-encoding"), "gzip");
    let told = [long.header("mi-truncated"), long.trailer("mi-truncated")];
    assert!(told.contains(&"true"), "{told:?}");
}

#[tokio::test]
async fn the_first_record_of_a_slow_list_comes_before_its_last_compressed_or_not() {
    use http_body_util::BodyExt;
    use std::io::Write;
    let patience = std::time::Duration::from_secs(20);
    let house = House::with(|settings| settings.gateway.exchange.read_patience = patience).await;
    let demo = house.demo().await;
    assert_eq!(demo.m3("CRS610MI/LstByNumber?maxrecs=1").await.status, StatusCode::OK, "layouts are known");
    house.faults(r#"{"rules":[{"transaction":"LstByNumber","action":{"silent_after":{"records":3}}}]}"#);
    for encoding in ["identity", "gzip"] {
        let request = http::Request::get(format!("{}/m3api-rest/v2/execute/CRS610MI/LstByNumber", house.base))
            .header("authorization", format!("Bearer {}", demo.token.as_deref().unwrap_or_default()))
            .header("accept-encoding", encoding)
            .body(http_body_util::Full::default())
            .expect("a request");
        let mut body = house.https.request(request).await.expect("a head").into_body();
        let mut unzipped = flate2::write::GzDecoder::new(Vec::new());
        let mut text = String::new();
        let first = async {
            while !text.contains("C00003") {
                let frame = body.frame().await.expect("more of it").expect("a frame");
                let data = frame.into_data().unwrap_or_default();
                if encoding == "gzip" {
                    unzipped.write_all(&data).and_then(|()| unzipped.flush()).expect("gzip");
                    text = String::from_utf8_lossy(unzipped.get_ref()).into_owned();
                } else {
                    text.push_str(&String::from_utf8_lossy(&data));
                }
            }
        };
        tokio::time::timeout(patience / 2, first).await.unwrap_or_else(|_| panic!("{encoding}: held back to the end"));
    }
}
