use super::*;
use serde_json::json;

fn by(who: &str) -> Map<String, Value> {
    json!({ "by": who }).as_object().cloned().expect("an object")
}

#[tokio::test]
async fn an_order_waits_over_a_restart_until_it_is_taken_and_is_not_there_without_what_it_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path()).await.expect("a store");
    let orders = Orders::open(&store).await.expect("orders");
    orders.keep("policy-rollback", &by("ann"), 7).await.expect("kept");
    let mut given_up = store.write().await.expect("a transaction");
    keep_with(&mut given_up, "client-revoked", &by("ben"), 8).await.expect("kept");
    given_up.rollback().await.expect("given up");
    store.close().await;

    let again = Orders::open(&Store::open(folder.path()).await.expect("a store")).await.expect("orders");
    let waiting = again.waiting().await.expect("a list");
    let [only] = &waiting[..] else { panic!("{waiting:?}") };
    assert_eq!((&*only.kind, only.at, &only.members), ("policy-rollback", 7, &by("ann")));
    again.taken(only.id).await.expect("taken");
    again.keep("policy-resume", &by("ann"), 9).await.expect("kept");
    let waiting = again.waiting().await.expect("a list");
    assert_eq!(waiting.iter().map(|order| &*order.kind).collect::<Vec<_>>(), ["policy-resume"]);
}
