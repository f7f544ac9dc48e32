//! JSON without end: a text that nests, numbers that nobody needs and names that should collide, at every door that reads
//! some. Each is refused in time, and the house answers its next caller.

use crate::house::{Caller, House, Reply};
use crate::rest::{READ, before};
use crate::signer::{AUDIENCE, Says, Signer};
use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use mi_gateway::config::ForeignIntrospection;
use mi_gateway::mock_m3::Profile;
use mi_gateway::tasks::Tasks;
use secrecy::SecretString;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Far more than any of this takes on a slow machine, and far less than something that grows with the square.
const PATIENCE: Duration = Duration::from_secs(20);

fn nested(depth: usize, open: &str, inner: &str, close: &str) -> String {
    format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
}

/// Values that a careless reader stumbles over, none much longer than this.
fn monsters(most: usize) -> Vec<(&'static str, String)> {
    let names = |count: usize| (0..count).map(|n| format!("\"k{n}\":{n}")).collect::<Vec<_>>().join(",");
    vec![
        ("arrays in arrays", nested(most / 2, "[", "", "]")),
        ("arrays that never end", "[".repeat(most)),
        ("objects in objects", nested(most / 6, "{\"a\":", "1", "}")),
        ("objects that never end", "{\"a\":".repeat(most / 5)),
        ("both by turns", nested(most / 8, "[{\"a\":", "1", "}]")),
        ("a number of many digits", "9".repeat(most)),
        ("a number of many decimals", format!("0.{}1", "0".repeat(most - 3))),
        ("a number beyond all", "1e999999999".to_owned()),
        ("a number below all", "-1e-999999999".to_owned()),
        ("many names", format!("{{{}}}", names(most / 14))),
        ("one name many times", format!("{{{}}}", vec!["\"a\":1"; most / 6].join(","))),
        ("a text of escapes", format!("\"{}\"", "\\u0000".repeat(most / 6 - 1))),
        ("half a pair", "\"\\ud800\"".to_owned()),
        ("a name of great length", format!("{{\"{}\":1}}", "n".repeat(most - 8))),
        ("braces in a text", format!("\"{}\"", "[{".repeat(most / 2 - 1))),
    ]
}

async fn in_time<T>(what: &str, asked: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| panic!("{what} was not answered in time"))
}

async fn still_open(house: &House, caller: &Caller) {
    // After an M3 whose answers did not fit their layout, that is asked for again first.
    let served = async { while caller.m3(READ).await.status != StatusCode::OK {} };
    in_time("the next caller", served).await;
    assert_eq!(house.operations("/livez").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_body_of_a_bulk_call() {
    let (house, caller) = House::open_to_all("MIDEMO", "rate = \"10000/second\"\nburst = 10000", |_| {}).await;
    let send = async |body: String| {
        let headers = [("content-type", "application/json")];
        caller.send(Method::POST, "/m3api-rest/v2/execute", &headers, Bytes::from(body)).await
    };
    let good = |value: &str| format!("{{\"program\":\"CRS610MI\",\"transactions\":[{value}]}}");
    let field = |value: &str| good(&format!("{{\"transaction\":\"GetBasicData\",\"record\":{{\"CUNO\":{value}}}}}"));
    let first = send(field("\"C00001\"")).await;
    assert_eq!((first.status, first.json()["nrOfSuccessfullTransactions"].as_u64()), (StatusCode::OK, Some(1)));
    let asked = house.asked().len();
    for (name, monster) in monsters(200_000) {
        let places = [
            ("the body", monster.clone()),
            ("a property", format!("{{\"program\":\"CRS610MI\",\"more\":{monster},\"transactions\":[]}}")),
            ("the program", format!("{{\"program\":{monster},\"transactions\":[]}}")),
            ("a transaction", good(&monster)),
            ("a name", good(&format!("{{\"transaction\":{monster},\"record\":{{}}}}"))),
            ("a record", good(&format!("{{\"transaction\":\"GetBasicData\",\"record\":{monster}}}"))),
            ("a field", field(&monster)),
            (
                "a column",
                good(&format!("{{\"transaction\":\"GetBasicData\",\"record\":{{}},\"selectedColumns\":[{monster}]}}")),
            ),
        ];
        for (place, body) in places {
            let what = format!("{name} as {place}");
            let reply = in_time(&what, send(body)).await;
            let refused = reply.status.is_client_error()
                || reply.json()["nrOfSuccessfullTransactions"].as_u64().is_none_or(|done| done == 0);
            assert!(refused, "{what}: {} {}", reply.status, reply.text());
            assert!(reply.body.len() < 16 * 1024, "{what}: what is wrong is not repeated at its length");
        }
    }
    // A value of none of these is one that M3 is asked about.
    assert_eq!(house.asked().len(), asked);
    still_open(&house, &caller).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_of_a_single_call() {
    let (house, caller) = House::open_to_all("MIDEMO", "rate = \"10000/second\"\nburst = 10000", |_| {}).await;
    let many = |n: usize| (0..n).map(|n| format!("&F{n}=1")).collect::<String>();
    for query in [
        format!("CUNO={}", "9".repeat(7_000)),
        format!("CUNO=C00001&maxrecs={}", "9".repeat(7_000)),
        "CUNO=C00001&maxrecs=1e9".to_owned(),
        format!("CUNO=C00001&cono={}", "1".repeat(7_000)),
        format!("CUNO=C00001&returncols={}", "CUNO,".repeat(1_400) + "%"),
        format!("CUNO=C00001{}", many(900)),
        format!("CUNO=C00001{}", "&F=1".repeat(1_700)),
        format!("CUNO=C00001{}", "&cono=100".repeat(800)),
        format!("CUNO=C00001;{}", ";a=b".repeat(1_700)),
        format!("CUNO={}", "%25".repeat(2_300)),
    ] {
        for version in ["v2/", ""] {
            let path = format!("/m3api-rest/{version}execute/CRS610MI/GetBasicData?{query}");
            let reply = in_time(&query, caller.get(&path)).await;
            let wrong = reply.status.is_client_error()
                || ["@type", "<ErrorMessage"].iter().any(|mark| reply.text().contains(mark));
            assert!(wrong, "{:.60}: {} {}", query, reply.status, reply.text());
            assert!(reply.body.len() < 16 * 1024, "{query:.60}");
        }
    }
    assert_eq!(house.asked(), Vec::<String>::new());
    still_open(&house, &caller).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_proofs_and_assertions() {
    let tasks = Tasks::new();
    let signer = Signer::start(&tasks).await;
    let (house, caller) = House::open_to_all("MIDEMO", "rate = \"10000/second\"\nburst = 10000", |settings| {
        signer.trusted(settings, |_| {});
        signer.client(settings, "shop", "DEMO_TST", "test", ("MIDEMO", 100));
    })
    .await;
    let bearer = |token: &str| caller.clone().with_token(token);
    assert_eq!(bearer(&signer.token("shop")).m3(READ).await.status, StatusCode::OK);
    let (header, claims) = (Signer::header().to_string(), signer.claims("shop"));
    let (expires, claims) = (claims["exp"].to_string(), claims.to_string());
    let more = |object: &str, value: &str| format!("{},\"more\":{value}}}", &object[..object.len() - 1]);
    let asked = house.asked().len();
    // Signed by its own issuer, each: nothing but its JSON can be what is wrong. Base64 takes a third more.
    for (name, monster) in monsters(5_000) {
        for (place, token) in [
            ("the header", signer.signs(&monster, &claims)),
            ("the claims", signer.signs(&header, &monster)),
            (
                "the key id",
                signer.signs(&format!("{{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":{monster}}}"), &claims),
            ),
            ("a time", signer.signs(&header, &claims.replacen(&expires, &monster, 1))),
            ("an audience", signer.signs(&header, &claims.replacen(&json!(AUDIENCE).to_string(), &monster, 1))),
        ] {
            let what = format!("{name} as {place}");
            let reply = in_time(&what, bearer(&token).m3(READ)).await;
            assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{what}: {}", reply.text());
        }
        // What is not looked at may be anything that can be read; nothing deep can.
        for token in [signer.signs(&more(&header, &monster), &claims), signer.signs(&header, &more(&claims, &monster))]
        {
            let reply = in_time(name, bearer(&token).m3(READ)).await;
            let deep =
                name.contains(" in ") && !name.contains("text") || name.contains("end") || name.contains("by turns");
            assert!(reply.status == StatusCode::UNAUTHORIZED || !deep, "{name}: {}", reply.status);
        }
        for part in [&monster, &format!("{{\"typ\":\"dpop+jwt\",\"alg\":\"ES256\",\"jwk\":{monster}}}")] {
            let proof = signer.signs(part, &claims);
            let token = format!("DPoP {}", signer.token("shop"));
            let headers = [("authorization", token.as_str()), ("dpop", proof.as_str())];
            let stranger = house.stranger();
            let reply = in_time(name, stranger.get_with(&format!("/m3api-rest/v2/execute/{READ}"), &headers)).await;
            assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{name}");
        }
        for assertion in [signer.signs(&monster, &claims), signer.signs(&header, &monster)] {
            let form = [
                ("grant_type", "client_credentials"),
                ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                ("client_assertion", assertion.as_str()),
            ];
            let reply: Reply = in_time(name, house.stranger().post_form("/oauth2/token", &form)).await;
            assert!(reply.status.is_client_error(), "{name}: {}", reply.status);
        }
        let reply = in_time(name, house.stranger().post_form("/oauth2/token", &[("grant_type", &monster)])).await;
        assert!(reply.status.is_client_error(), "{name}: {}", reply.status);
    }
    assert!(house.asked().len() - asked <= monsters(5_000).len() * 3, "tokens that were good in the end");
    assert_eq!(bearer(&signer.token("shop")).m3(READ).await.status, StatusCode::OK);
    still_open(&house, &caller).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_posts() {
    let (house, caller) = House::open_to_all("MIDEMO", "rate = \"10000/second\"\nburst = 10000", |_| {}).await;
    let token = std::fs::read_to_string(house.state.path().join("operator.token")).expect("the operator's token");
    for (name, monster) in monsters(60_000) {
        for body in [monster.clone(), format!("{{\"program\":{monster}}}"), format!("{{\"reason\":{monster}}}")] {
            for path in ["/catalog/clear", "/blocks", "/revocations", "/mock/faults"] {
                let request = http::Request::post(format!("{}{path}", house.operations))
                    .header("authorization", format!("Bearer {}", token.trim()))
                    .header("content-type", "application/json")
                    .body(Full::from(body.clone()))
                    .expect("a request");
                let reply = in_time(name, crate::house::send(&house.https, request)).await;
                assert!(reply.status.is_client_error(), "{name} to {path}: {} {}", reply.status, reply.text());
                assert!(reply.body.len() < 16 * 1024, "{name} to {path}");
            }
        }
    }
    still_open(&house, &caller).await;
}

/// Those of which each is refused, or read, on a way of its own.
const SOME: [&str; 6] = [
    "arrays that never end",
    "objects in objects",
    "a number of many digits",
    "many names",
    "one name many times",
    "half a pair",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_an_issuer_publishes() {
    for (name, monster) in monsters(900_000).into_iter().filter(|(name, _)| SOME.contains(name)) {
        for place in ["/.well-known", "/jwks", "/a-key"] {
            let tasks = Tasks::new();
            let body = if place == "/a-key" { format!("{{\"keys\":[{monster}]}}") } else { monster.clone() };
            let path = if place == "/a-key" { "/jwks" } else { place };
            let says: Says =
                Arc::new(move |asked| asked.starts_with(path).then(|| Response::new(Full::from(body.clone()))));
            let signer = Signer::with(&tasks, says).await;
            let (house, caller) = House::open_to_all("MIDEMO", "rate = \"10000/second\"\nburst = 10000", |settings| {
                signer.trusted(settings, |_| {});
                signer.client(settings, "shop", "DEMO_TST", "test", ("MIDEMO", 100));
            })
            .await;
            let what = format!("{name} from {place}");
            let reply = in_time(&what, caller.clone().with_token(&signer.token("shop")).m3(READ)).await;
            assert_eq!(reply.problem(), "keys-unavailable", "{what}");
            still_open(&house, &caller).await;
            house.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_issuer_says_of_a_token() {
    let (tasks, told) = (Tasks::new(), Arc::new(Mutex::new(String::new())));
    let body = Arc::clone(&told);
    let says: Says = Arc::new(move |asked| {
        (asked == "/introspect").then(|| Response::new(Full::from(body.lock().expect("held for a moment").clone())))
    });
    let signer = Signer::with(&tasks, says).await;
    let (house, caller) = House::open_to_all("MIDEMO", "rate = \"10000/second\"\nburst = 10000", |settings| {
        signer.trusted(settings, |foreign| {
            foreign.introspection = Some(ForeignIntrospection {
                client_id: "gateway".into(),
                secret: SecretString::from("secret"),
                endpoint: None,
                cap: Duration::from_secs(60),
                negative: Duration::from_secs(1),
            });
        });
        signer.client(settings, "shop", "DEMO_TST", "test", ("MIDEMO", 100));
    })
    .await;
    let active = json!({ "active": true, "token_type": "Bearer" });
    let mut good = signer.claims("shop");
    good.as_object_mut().expect("claims").extend(active.as_object().expect("an object").clone());
    *told.lock().expect("held for a moment") = good.to_string();
    assert_eq!(caller.clone().with_token("opaque-good").m3(READ).await.status, StatusCode::OK);
    // Of 64 KiB, and beyond what is read of such an answer.
    for (size, (name, monster)) in
        [30_000, 900_000].into_iter().flat_map(|size| monsters(size).into_iter().map(move |m| (size, m)))
    {
        for (place, body) in [
            ("the answer", monster.clone()),
            ("active", format!("{{\"active\":{monster}}}")),
            (
                "the client",
                format!("{{\"active\":true,\"token_type\":\"Bearer\",\"aud\":\"{AUDIENCE}\",\"client_id\":{monster}}}"),
            ),
            ("the end", good.to_string().replacen(&good["exp"].to_string(), &monster, 1)),
        ] {
            *told.lock().expect("held for a moment") = body;
            let what = format!("{name} of {size} as {place}");
            let token = format!("opaque-{}", what.replace(' ', "-"));
            let reply = in_time(&what, caller.clone().with_token(&token).m3(READ)).await;
            let refused = [StatusCode::UNAUTHORIZED, StatusCode::SERVICE_UNAVAILABLE].contains(&reply.status);
            assert!(refused, "{what}: {} {}", reply.status, reply.text());
        }
    }
    still_open(&house, &caller).await;
}

/// A server that answers the gateway's call with what it is told, and everything else as M3 does.
async fn server(tasks: &Tasks, told: &Arc<Mutex<String>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let (serving, told) = (tasks.clone(), Arc::clone(told));
    let (_, good) = crate::rest::mock(tasks, Profile::default()).await;
    let good: SocketAddr = good.trim_start_matches("http://").parse().expect("an address");
    tasks.spawn_until_stop(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let told = Arc::clone(&told);
            serving.spawn_until_stop(async move {
                let mut request = vec![0; 16 * 1024];
                let length = stream.read(&mut request).await.unwrap_or(0);
                let head = String::from_utf8_lossy(&request[..length]).into_owned();
                let body = told.lock().expect("held for a moment").clone();
                if head.contains("/GetBasicData") && !body.is_empty() {
                    let length = body.len();
                    let head =
                        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length";
                    let _ = stream.write_all(format!("{head}: {length}\r\n\r\n{body}").as_bytes()).await;
                    return;
                }
                let mut on = tokio::net::TcpStream::connect(good).await.expect("the mock");
                let once = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
                on.write_all(once.as_bytes()).await.expect("it listens");
                let _ = tokio::io::copy(&mut on, &mut stream).await;
            });
        }
    });
    base
}

#[tokio::test(flavor = "multi_thread")]
async fn what_m3_behind_rest_answers() {
    let (tasks, told) = (Tasks::new(), Arc::new(Mutex::new(String::new())));
    let base = server(&tasks, &told).await;
    let (house, caller) = before(&base, |_| {}).await;
    still_open(&house, &caller).await;
    let of = |record: &str| format!("{{\"results\":[{{\"transaction\":\"GetBasicData\",\"records\":[{record}]}}]}}");
    for (name, monster) in monsters(900_000) {
        for (place, body) in [
            ("the answer", monster.clone()),
            ("a record", of(&monster)),
            ("a value", of(&format!("{{\"CUNO\":{monster}}}"))),
            ("a member", format!("{{\"more\":{monster},\"results\":[]}}")),
        ] {
            *told.lock().expect("held for a moment") = body;
            let what = format!("{name} as {place}");
            let reply = in_time(&what, caller.m3(READ)).await;
            assert!(reply.status == StatusCode::OK || reply.status.is_server_error(), "{what}: {}", reply.status);
            assert!(reply.body.len() < 64 * 1024, "{what}: {} bytes of nothing that a field holds", reply.body.len());
        }
    }
    told.lock().expect("held for a moment").clear();
    still_open(&house, &caller).await;
}
