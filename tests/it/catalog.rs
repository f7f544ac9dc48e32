//! What M3 says of itself may be late, wrong or missing: nothing of that is believed for longer than it has to be.

use crate::house::{Caller, House, sockets_alone};
use crate::stops::order;
use http::{Method, StatusCode};
use serde_json::json;
use std::time::Duration;

const READ: &str = "CRS610MI/GetBasicData?CUNO=C00001";

fn listed(house: &House, transaction: &str) -> usize {
    house.m3().calls().iter().filter(|call| call.transaction == transaction).count()
}

fn no_to(transaction: &str, times: u32) -> String {
    format!(
        r#"{{"rules":[{{"program":"MRS001MI","transaction":"{transaction}","times":{times},
            "action":{{"nok":{{"id":"XMI0001","field":"","text":"Try again"}}}}}}]}}"#
    )
}

async fn demo(house: &House) -> Caller {
    house.demo().await
}

#[tokio::test]
async fn a_list_that_m3_refused_is_asked_for_again_as_soon_as_any_unknown_name() {
    let house = House::with(|settings| settings.catalog.negative_for = Duration::ZERO).await;
    let demo = demo(&house).await;
    house.faults(&no_to("LstTransactions", 1));
    assert_eq!(demo.m3(READ).await.error().0, "ProgramNotFound");
    assert_eq!(demo.m3(READ).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_transaction_that_m3_got_meanwhile_is_found() {
    let house = House::with(|settings| settings.catalog.negative_for = Duration::ZERO).await;
    let demo = demo(&house).await;
    let gone = house.m3().remove_transaction("CRS610MI", "GetOrderInfo");
    assert_eq!(demo.m3(READ).await.status, StatusCode::OK, "the list is known");
    assert_eq!(demo.m3("CRS610MI/GetOrderInfo?CUNO=C00001").await.error().0, "TransactionNotFound");
    house.m3().add_transaction(gone);
    let found = demo.m3("CRS610MI/GetOrderInfo?CUNO=C00001").await;
    assert_eq!(found.status, StatusCode::OK, "{}", found.text());
}

#[tokio::test]
async fn fields_that_m3_refused_to_list_are_no_layout() {
    let house = House::start().await;
    let demo = demo(&house).await;
    house.faults(&no_to("LstFields", 2));
    let reply = demo.m3(READ).await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "layout-unstable"));
    assert_eq!(demo.m3(READ).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_refresh_that_finds_nothing_leaves_what_was_good() {
    let house = House::with(|settings| settings.catalog.fresh_for = Duration::ZERO).await;
    let demo = demo(&house).await;
    assert_eq!(demo.m3(READ).await.status, StatusCode::OK);
    house.faults(&no_to("LstTransactions", 100));
    for _ in 0..5 {
        assert_eq!(demo.m3(READ).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn while_m3s_lists_and_sessions_disagree_it_is_not_asked_by_every_call() {
    if sockets_alone("there is no session that could disagree") {
        return;
    }
    let house = House::start().await;
    let demo = demo(&house).await;
    house.m3().leave_repository_behind("CRS610MI", "LstByNumber");
    for _ in 0..5 {
        let reply = demo.m3("CRS610MI/LstByNumber?maxrecs=1").await;
        assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "layout-unstable"));
        assert_eq!(reply.header("retry-after"), "5");
    }
    assert_eq!(listed(&house, "LstFields"), 4, "input and output, looked at twice");
    assert_eq!(demo.m3("CRS610MI/GetOrderInfo?CUNO=C00001").await.status, StatusCode::OK, "another is as good as ever");
    assert!(house.asked().iter().all(|call| !call.contains("LstByNumber")), "nothing ran by a layout in doubt");
}

#[tokio::test]
async fn an_upgrade_of_m3s_own_repository_needs_no_restart() {
    let house = House::start().await;
    let demo = demo(&house).await;
    assert_eq!(demo.m3(READ).await.status, StatusCode::OK);
    house.m3().widen("MRS001MI", "LstFields", "FLDS", 5);
    house.m3().kill_sessions(mi_gateway::mock_m3::Kill::Fin);
    let another = "MMS200MI/GetItmBasic?ITNO=A00001";
    demo.m3(another).await;
    assert_eq!(demo.m3(another).await.status, StatusCode::OK, "its lists were read anew");
}

#[tokio::test]
async fn a_program_that_is_pulled_and_is_as_it_was_costs_its_sessions_nothing() {
    if sockets_alone("there is no session that confirms a layout") {
        return;
    }
    let house = House::start().await;
    let demo = demo(&house).await;
    let confirmed = || {
        let calls = house.m3().calls();
        calls.iter().filter(|call| call.program == "CRS610MI" && call.transaction == "GetOutLayout").count()
    };
    assert_eq!(demo.m3(READ).await.status, StatusCode::OK);
    assert!(confirmed() > 0, "its session has confirmed what it reads by");
    let pulled = order(&house, Method::POST, "/catalog/pull", json!({ "program": "CRS610MI" })).await;
    assert!(pulled["transactions"].as_u64().is_some_and(|many| many > 10), "{pulled}");
    house.m3().clear_calls();
    assert_eq!(demo.m3(READ).await.status, StatusCode::OK);
    assert_eq!(confirmed(), 0, "and need not again");
}
