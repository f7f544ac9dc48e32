//! What the gateway publishes of itself: the contract for all, a program for those who may call something of it.

use crate::house::{House, sockets_alone};
use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::Value;

#[tokio::test]
async fn anybody_may_read_the_contract_and_it_names_the_address_that_callers_use() {
    let house = House::start().await;
    let reply = house.stranger().get("/openapi.json").await;
    assert_eq!((reply.status, reply.header("content-type")), (StatusCode::OK, "application/json"));
    let told = reply.json();
    assert_eq!(told["servers"][0]["url"], house.base);
    let flows = &told["components"]["securitySchemes"]["oauth2"]["flows"];
    assert_eq!(flows["clientCredentials"]["tokenUrl"], format!("{}/oauth2/token", house.base));
    assert_eq!(
        house.stranger().send(Method::POST, "/openapi.json", &[], Bytes::new()).await.header("allow"),
        "GET, HEAD"
    );
}

#[tokio::test]
async fn every_path_of_the_contract_is_a_route() {
    let house = House::start().await;
    let demo = house.demo().await;
    let told = demo.get("/openapi.json").await.json();
    let paths = told["paths"].as_object().expect("paths");
    assert!(paths.len() >= 14, "{}", paths.len());
    for (path, item) in paths {
        let called = path.replace("{program}", "CRS610MI").replace("{transaction}", "GetBasicData");
        for method in item.as_object().expect("methods").keys() {
            let method: Method = method.to_uppercase().parse().expect("a method");
            let reply = demo.send(method.clone(), &called, &[], Bytes::new()).await;
            assert_ne!(reply.status, StatusCode::NOT_FOUND, "{method} {called}: {}", reply.text());
            assert_ne!(reply.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {called}: {}", reply.text());
        }
    }
}

#[tokio::test]
async fn a_program_is_described_to_those_who_may_call_it_with_the_fields_that_m3_tells() {
    let house = House::start().await;
    let (demo, reader) = (house.demo().await, house.reader().await);
    let path = "/DEMO_TST/M3/m3api-rest/openapi/CRS610MI";
    let reply = demo.get(path).await;
    let told = reply.json();
    assert_eq!(demo.get("/m3api-rest/openapi/CRS610MI").await.json(), told);
    let of =
        |told: &Value, name: &str| told["paths"][format!("/M3/m3api-rest/v2/execute/CRS610MI/{name}")]["get"].clone();
    let get = of(&told, "GetBasicData");
    let customer = get["parameters"].as_array().expect("a list").iter().find(|one| one["name"] == "CUNO");
    let customer = customer.expect("the input that M3 tells");
    assert_eq!((&customer["required"], &customer["schema"]["maxLength"]), (&true.into(), &10.into()), "{customer}");
    assert_eq!(of(&told, "ChgBasicData")["x-mi-effect"], "write");
    assert_eq!(of(&reader.get(path).await.json(), "ChgBasicData"), Value::Null, "who may only read is told of reads");
    assert_eq!(house.stranger().get(path).await.status, StatusCode::UNAUTHORIZED);
    for path in ["/m3api-rest/openapi/CUSEXTMI", "/m3api-rest/openapi/NOSUCH", "/m3api-rest/openapi/a%2fb"] {
        let reply = demo.get(path).await;
        assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::NOT_FOUND, "route-unknown"), "{path}");
    }
    let tag = reply.header("etag").to_owned();
    assert_eq!(demo.get_with(path, &[("if-none-match", &tag)]).await.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn a_widened_field_of_m3s_is_wider_in_the_document_too() {
    if sockets_alone("fields travel by name, so a layout that only grew is not noticed") {
        return;
    }
    let house = House::start().await;
    let demo = house.demo().await;
    let path = "/m3api-rest/openapi/CRS610MI";
    assert_eq!(demo.get(path).await.status, StatusCode::OK);
    house.m3().widen("CRS610MI", "ChgBasicData", "CUNM", 4);
    assert_eq!(demo.m3("CRS610MI/ChgBasicData?CUNO=C00001&CUNM=Wider").await.status, StatusCode::OK, "it is learnt");
    let told = demo.get(path).await.json();
    let change = &told["paths"]["/M3/m3api-rest/v2/execute/CRS610MI/ChgBasicData"]["get"]["parameters"];
    let name = change.as_array().expect("a list").iter().find(|one| one["name"] == "CUNM").expect("the field");
    assert_eq!(name["schema"]["maxLength"], 40, "{name}");
}
