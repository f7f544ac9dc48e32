//! The whole way: TLS, token, limit, policy, metadata, MI over a real socket, JSON.

use crate::house::House;
use http::StatusCode;
use serde_json::json;

#[tokio::test]
async fn a_customer_is_read_the_whole_way() {
    let house = House::start().await;
    let demo = house.demo().await;
    let reply = demo.m3("CRS610MI/GetBasicData?CUNO=C00001").await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let records = reply.records();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["CUNO"], "C00001");
    assert_eq!(reply.header("cache-control"), "no-store");
    assert!(reply.json()["results"][0].get("errorMessage").is_none());
    assert_eq!(house.asked(), ["CRS610MI/GetBasicData CONO=100 CUNO=C00001"]);
}

#[tokio::test]
async fn an_item_is_added_and_read_back() {
    let house = House::start().await;
    let demo = house.demo().await;
    let added = demo.m3("MMS200MI/AddItmViaItmTyp?ITTY=001&ITNO=new-1&ITDS=A%20first%20item").await;
    assert_eq!(added.json()["nrOfSuccessfullTransactions"], 1, "{}", added.text());
    let read = demo.m3("MMS200MI/GetItmBasic?ITNO=NEW-1").await;
    assert_eq!(read.records()[0]["ITDS"], "A first item");
    let again = demo.m3("MMS200MI/AddItmViaItmTyp?ITTY=001&ITNO=NEW-1&ITDS=x").await;
    assert_eq!(again.status, StatusCode::OK);
    let (kind, code, field) = again.error();
    assert_eq!((kind.as_str(), field.as_str()), ("ServerReturnedNOK", "ITNO"), "{code}");
}

#[tokio::test]
async fn a_list_is_cut_at_maxrecs_and_whole_with_none() {
    let house = House::start().await;
    let demo = house.demo().await;
    assert_eq!(demo.m3("CRS610MI/LstByNumber?maxrecs=7").await.records().len(), 7);
    assert_eq!(demo.m3("CRS610MI/LstByNumber").await.records().len(), 100);
    // The same session serves both: what the one asked for never sticks to the other.
    assert!(demo.m3("CRS610MI/LstByNumber;maxrecs=0").await.records().len() >= 200);
    assert_eq!(
        demo.m3("CRS610MI/LstByNumber?maxrecs=3&returncols=CUNO").await.records()[0].as_object().map(|r| r.len()),
        Some(1)
    );
}

#[tokio::test]
async fn the_three_prefixes_are_one_contract() {
    let house = House::start().await;
    let demo = house.demo().await;
    let mut answers = Vec::new();
    for prefix in ["/DEMO_TST/M3", "/M3", ""] {
        let path = format!("{prefix}/m3api-rest/v2/execute/CRS610MI/GetBasicData?CUNO=C00001");
        answers.push(demo.get(&path).await.json());
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
}

#[tokio::test]
async fn v1_answers_json_or_xml_as_asked() {
    let house = House::start().await;
    let demo = house.demo().await;
    let json = demo.v1("CRS610MI/GetBasicData;returncols=CUNO,CUNM;metadata=true?CUNO=C00001&_rid=1").await.json();
    assert_eq!(json["Metadata"]["Field"][0]["@name"], "CUNO");
    let value = json["MIRecord"][0]["NameValue"][0]["Value"].as_str().unwrap_or_default().to_owned();
    assert_eq!(value, format!("{:<10}", "C00001"), "v1 pads to the field's length");
    let xml = demo.get("/M3/m3api-rest/execute/CRS610MI/GetBasicData;returncols=CUNO?CUNO=C00001").await;
    assert!(xml.header("content-type").starts_with("application/xml"));
    assert!(xml.text().contains("<Name>CUNO</Name>"), "{}", xml.text());
    let nok = demo.v1("CRS610MI/GetBasicData?CUNO=NOBODY").await;
    assert_eq!(nok.status, StatusCode::OK);
    assert_eq!(nok.json()["@type"], "ServerReturnedNOK");
    assert_eq!(nok.json()["@field"], "CUNO");
}

#[tokio::test]
async fn what_is_wrong_with_a_call_is_said_before_m3_is_asked() {
    let house = House::start().await;
    let demo = house.demo().await;
    for (call, kind) in [
        ("CRS610MI/GetNothing?CUNO=1", "TransactionNotFound"),
        ("CRS610MI/GetBasicData", "MandatoryInputFieldNotFound"),
        ("CRS610MI/GetBasicData?CUNO=12345678901", "InputFieldTooLong"),
        ("CRS610MI/GetBasicData?CUNO=1&NOPE=1", "InputFieldNotFound"),
        ("CRS610MI/GetBasicData?CUNO=1&returncols=NOPE", "InputFieldInvalid"),
    ] {
        let reply = demo.m3(call).await;
        assert_eq!((reply.status, reply.error().0.as_str()), (StatusCode::BAD_REQUEST, kind), "{call}");
        assert!(reply.records().is_empty(), "records are there, and empty");
        assert_eq!(reply.json()["nrOfFailedTransactions"], 1);
        let v1 = demo.v1(call).await;
        assert_eq!((v1.status, &v1.json()["@type"]), (StatusCode::OK, &json!(kind)), "{call}");
    }
    assert_eq!(house.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_request_that_cannot_be_read_is_a_problem_of_its_own() {
    let house = House::start().await;
    let demo = house.demo().await;
    for call in [
        "CRS610MI/GetBasicData?CUNO=1&CUNO=2",
        "CRS610MI/GetBasicData;maxrecs=1?CUNO=1&maxrecs=2",
        "CRS610MI%2FGetBasicData",
        "CRS610MI;cono=200/GetBasicData?CUNO=1",
        "CRS610MI/GetBasicData?CUNO=%zz",
        "CRS610MI/GetBasicData?maxrecs=many&CUNO=1",
    ] {
        let reply = demo.m3(call).await;
        assert_eq!((reply.status.as_u16(), reply.problem().as_str()), (400, "request-unreadable"), "{call}");
    }
    assert_eq!(house.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_restart_keeps_clients_and_keys() {
    let house = House::start().await;
    let demo = house.demo().await;
    let (token, ionapi) = (demo.token.clone().unwrap_or_default(), house.ionapi("demo"));
    let state = house.stop().await;
    // The public URL names the port; the token is the same house's only under the same name.
    let house = House::again(state, |settings| settings.public_url = Some("https://localhost:1".into())).await;
    assert_eq!(house.ionapi("demo")["ci"], ionapi["ci"]);
    let fresh = house.token(&house.ionapi("demo")).await;
    let state = house.stop().await;
    let house = House::again(state, |settings| settings.public_url = Some("https://localhost:1".into())).await;
    let reply = house.stranger().with_token(&fresh).m3("CRS610MI/GetBasicData?CUNO=C00001").await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert!(!token.is_empty());
}

#[tokio::test]
async fn numbers_dates_and_texts_come_as_the_options_ask() {
    let house = House::start().await;
    let demo = house.demo().await;
    let of = async |options: &str| demo.m3(&format!("CRS610MI/GetBasicData?CUNO=C00001&{options}")).await;
    let plain = of("").await.records();
    let dashed = of("dateformat=YMD8-").await.records();
    let date = plain[0]["LMDT"].as_str().unwrap_or_default().to_owned();
    assert_eq!(date.len(), 8, "{plain:?}");
    assert_eq!(dashed[0]["LMDT"], format!("{}-{}-{}", &date[..4], &date[4..6], &date[6..]));
    let full = plain[0].as_object().map_or(0, |record| record.len());
    let short = of("excludeempty=true").await.records()[0].as_object().map_or(0, |record| record.len());
    assert!(short < full);
    assert!(of("format=UNFORMATTED").await.text().lines().count() == 1);
    assert_eq!(of("extendedresult=true").await.json()["results"][0]["parameters"]["CUNO"], "C00001");
    let padded = of("righttrim=false").await.records()[0]["CUNO"].as_str().unwrap_or_default().to_owned();
    assert_eq!(padded, "C00001    ");
}
