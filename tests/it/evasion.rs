//! Nobody gets a fresh bucket: not by another token, another spelling, another door or another connection.

use crate::house::{House, https};
use http::{Method, StatusCode};

const BURST: usize = 6;

/// So slow that no machine is slower; what a program, a transaction and a class may have is tighter still.
const LIMITS: &str = "rate = \"1/hour\"\nburst = 6\n";
const TIGHT: &str = r#"rate = "1000/second"
burst = 1000
[[program]]
program = "CRS610MI"
rate = "1/hour"
burst = 6
"#;

const READ: &str = "CRS610MI/GetBasicData?CUNO=C00001";

#[tokio::test(flavor = "multi_thread")]
async fn another_token_or_way_of_the_same_client_has_the_same_bucket() {
    let (house, caller) = House::open_to_all("MIDEMO", LIMITS, |_| {}).await;
    let ionapi = house.ionapi("tester");
    let mut served = 0;
    for round in 0..4 * BURST {
        // Each time another token; connections, dialects, tenants and headers by turns.
        let token = house.token(&ionapi).await;
        let mut who = caller.clone().with_token(&token);
        if round % 3 == 0 {
            who = who.over(&https(&house.running.authority));
        }
        let address = format!("192.0.2.{round}");
        let user = format!("agent {round}");
        let bearer = format!("{} {token}", ["bearer", "BEARER", "Bearer"][round % 3]);
        let headers =
            [("x-forwarded-for", address.as_str()), ("user-agent", user.as_str()), ("x-client-id", user.as_str())];
        let reply = match round % 5 {
            0 => who.get_with(&format!("/DEMO_TST/M3/m3api-rest/v2/execute/{READ}"), &headers).await,
            1 => who.get_with(&format!("/M3/m3api-rest/v2/execute/{READ}&_rid={round}"), &headers).await,
            2 => who.v1(READ).await,
            3 => who.get("/m3api-rest/metadata").await,
            _ => {
                let with = [("authorization", bearer.as_str())];
                house.stranger().get_with(&format!("/m3api-rest/v2/execute/{READ}"), &with).await
            }
        };
        if reply.status == StatusCode::TOO_MANY_REQUESTS {
            assert_eq!(reply.problem(), "rate-limited");
        } else {
            assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
            served += 1;
        }
    }
    assert_eq!(served, BURST);
    // Nor does a refusal by something else cost nothing: what is asked at the door is paid at the door.
    let reply = caller.m3("NOSUCHMI/Nothing").await;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS, "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_or_transaction_spelt_otherwise_is_no_other() {
    let (house, caller) = House::open_to_all("MIDEMO", TIGHT, |_| {}).await;
    let mut served = 0;
    for round in 0..4 {
        for call in [
            READ.to_owned(),
            "CRS610MI/GetBasicData?CUNO=c00001".to_owned(),
            format!("CRS610MI/GetBasicData;cono=100;divi=?CUNO=C0000{round}"),
            "CRS610MI/LstByNumber?maxrecs=1".to_owned(),
            "crs610mi/GetBasicData?CUNO=C00001".to_owned(),
            "CRS610MI/getbasicdata?CUNO=C00001".to_owned(),
            "CRS610MI/GETBASICDATA?CUNO=C00001".to_owned(),
            "CRS610MI%20/GetBasicData?CUNO=C00001".to_owned(),
            "%43RS610MI/GetBasicData?CUNO=C00001".to_owned(),
            "CRS610MI./GetBasicData?CUNO=C00001".to_owned(),
            "CRS610MI//GetBasicData?CUNO=C00001".to_owned(),
            "CRS610MI/GetBasicData%00?CUNO=C00001".to_owned(),
        ] {
            served += usize::from(caller.m3(&call).await.status == StatusCode::OK && house.asked().len() > served);
        }
    }
    assert_eq!((served, house.asked().len()), (BURST, BURST), "{:?}", house.asked());
    let body = r#"{"program":"CRS610MI","transactions":[{"transaction":"GetBasicData","record":{"CUNO":"C00001"}}]}"#;
    let headers = [("content-type", "application/json")];
    caller.send(Method::POST, "/m3api-rest/v2/execute", &headers, body.into()).await;
    assert_eq!(house.asked().len(), BURST, "nor is it in a bulk");
}
