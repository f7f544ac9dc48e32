//! How a record is read back for its document: as whom, in whose words, and under which number it is told.

use crate::house::House;
use crate::publisher::{done, publishing, publishing_again, told};
use mi_gateway::clock::unix_micros;
use mi_gateway::mock_m3::SeenCall;
use mi_gateway::model::M3User;
use mi_gateway::store::Store;

fn users(house: &House, wanted: impl Fn(&SeenCall) -> bool) -> Vec<String> {
    let mut users: Vec<String> =
        house.m3().calls().into_iter().filter(|call| !call.technical && wanted(call)).map(|call| call.user).collect();
    users.sort();
    users.dedup();
    users
}

#[tokio::test]
async fn records_are_read_back_as_the_publishers_user_whatever_the_caller_asked_for() {
    let reader = M3User::parse("MIREAD").expect("a user of the mock");
    let (house, caller) = publishing(|settings| settings.publish.user = Some(reader)).await;
    let of = async |options: &str, item: &str| {
        let call = format!("MMS200MI/AddItmViaItmTyp;{options}?ITTY=001&ITNO={item}&ITDS=Plain");
        done(&caller, &call).await;
        told(&house, item, 1).await.remove(0).replace(item, "ITEM")
    };
    let plain = crate::bod::timeless(&of("cono=100", "READ1").await);
    let asked = of("cono=100;dateformat=DMY6;excludeempty=false;righttrim=false", "READ2").await;
    assert_eq!(crate::bod::timeless(&asked), plain, "no option of a caller reaches it");
    assert_eq!(users(&house, |call| call.transaction == "Get"), ["MIREAD"]);
    assert_eq!(users(&house, |call| call.transaction == "AddItmViaItmTyp"), ["MIDEMO"]);
}

fn variation(document: &str) -> u64 {
    let (_, rest) = document.split_once("variationID=\"").expect("a variation");
    rest.split('"').next().and_then(|number| number.parse().ok()).expect("a number")
}

#[tokio::test]
async fn a_variation_is_the_time_and_where_the_clock_is_behind_one_more_than_the_last() {
    let (house, caller) = publishing(|_| {}).await;
    let before = unix_micros() / 1_000;
    done(&caller, "MMS200MI/UpdItmBasic?ITNO=A00011&ITDS=First").await;
    let first = variation(&told(&house, "A00011", 1).await[0]);
    assert!((before..=unix_micros() / 1_000).contains(&first), "{first} is in milliseconds since 1970");
    let state = house.stop().await;
    // It was told under a clock that went ahead.
    let ahead = 4_102_444_800_000_i64;
    let store = Store::open(&state.path().join("outbox")).await.expect("the outbox");
    let mut write = store.write().await.expect("a transaction");
    sqlx::query("UPDATE documents SET variation = ?").bind(ahead).execute(&mut *write).await.expect("updated");
    write.commit().await.expect("commits");
    store.close().await;
    let (house, caller) = publishing_again(state, |_| {}).await;
    done(&caller, "MMS200MI/UpdItmBasic?ITNO=A00011&ITDS=Second").await;
    let second = variation(&told(&house, "A00011", 2).await[1]);
    assert_eq!(second, ahead.unsigned_abs() + 1, "a receiver takes it for the newer one");
}
