use super::*;
use crate::model::{ClientId, ProgramName, TransactionName};
use crate::store::Store;
use std::sync::Arc;

const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "https://login.example";

fn client(id: &str) -> ClientId {
    ClientId { issuer: ISSUER.into(), id: id.into() }
}

fn entry(what: What, until: Option<u64>) -> Arc<Entry> {
    let (reason, who) = (String::new(), "tests".into());
    Arc::new(Entry { id: format!("{what:?}").into(), what, reason, who, made: NOW, until, ended: None })
}

fn stops(all: Vec<What>) -> Stops {
    let stops = Stops::default();
    stops.replace(all.into_iter().map(|what| entry(what, None)).collect());
    stops
}

fn token() -> TokenFacts<'static> {
    TokenFacts {
        issuer: ISSUER,
        client: "shop",
        id: "t1",
        grant: Some("g1"),
        issued: Some(NOW - 100),
        text: Some(&[7; 32]),
        leeway: 10,
    }
}

#[test]
fn a_token_is_ended_by_each_of_its_names_and_by_no_other() {
    let issuer = || Arc::<str>::from(ISSUER);
    for (what, ends) in [
        (What::Token { issuer: issuer(), id: "t1".into() }, true),
        (What::Token { issuer: issuer(), id: "t2".into() }, false),
        (What::Token { issuer: "https://other.example".into(), id: "t1".into() }, false),
        (What::Grant { issuer: issuer(), id: "g1".into() }, true),
        (What::Grant { issuer: issuer(), id: "t1".into() }, false),
        (What::Text { digest: [7; 32] }, true),
        (What::Text { digest: [8; 32] }, false),
        (What::Client { client: client("shop"), before: NOW - 100 }, true),
        (What::Client { client: client("shop"), before: NOW - 111 }, false),
        (What::Client { client: client("other"), before: NOW }, false),
        (What::Issuer { issuer: issuer(), before: NOW - 100 }, true),
        (What::Issuer { issuer: "https://other.example".into(), before: NOW }, false),
    ] {
        let told = format!("{what:?}");
        assert_eq!(stops(vec![what]).held().revoked(&token(), NOW), ends, "{told}");
    }
}

#[test]
fn a_token_that_cannot_show_that_it_came_later_is_refused() {
    let list = stops(vec![What::Client { client: client("shop"), before: NOW - 1_000 }]);
    let held = list.held();
    assert!(!held.revoked(&token(), NOW));
    assert!(held.revoked(&TokenFacts { issued: None, ..token() }, NOW));
    assert!(held.revoked(&TokenFacts { issued: Some(NOW + 60), ..token() }, NOW), "from the future");
    assert!(held.revoked(&TokenFacts { issued: Some(NOW - 995), ..token() }, NOW), "within the clocks' difference");
    assert!(!held.revoked(&TokenFacts { client: "other", issued: None, ..token() }, NOW));
}

#[test]
fn the_latest_instant_counts_and_the_block_that_stays_longest_is_named() {
    let client_at = |before| What::Client { client: client("shop"), before };
    assert!(stops(vec![client_at(NOW), client_at(NOW - 5_000)]).held().revoked(&token(), NOW));
    let stops = Stops::default();
    let blocked = || What::BlockedClient(client("shop"));
    let (long, short) = (
        entry(blocked(), Some(NOW + 100)),
        Arc::new(Entry { id: "b-short".into(), ..(*entry(blocked(), Some(NOW + 1))).clone() }),
    );
    stops.replace(vec![short, long.clone()]);
    assert_eq!(stops.held().client(&client("shop"), NOW).map(|block| block.id.clone()), Some(long.id.clone()));
    assert_eq!(stops.held().client(&client("shop"), NOW + 100), None, "it is over");
    assert_eq!(stops.held().counts(NOW + 50), (1, 0));
}

#[test]
fn a_blocked_program_blocks_its_transactions_and_a_transaction_only_itself() {
    let name = |text| TransactionName::parse(text).unwrap();
    let program = |text| ProgramName::parse(text).unwrap();
    let list = stops(vec![What::program("MMS200MI").unwrap(), What::program("CRS610MI/ChgBasicData").unwrap()]);
    let held = list.held();
    assert!(held.call(program("MMS200MI"), name("GetItmBasic"), NOW).is_some());
    assert!(held.program(program("MMS200MI"), NOW).is_some() && held.program(program("CRS610MI"), NOW).is_none());
    assert!(held.call(program("CRS610MI"), name("ChgBasicData"), NOW).is_some());
    assert!(held.call(program("CRS610MI"), name("GetBasicData"), NOW).is_none());
    assert!(What::program("mms200mi").is_none() && What::program("MMS200MI/").is_none());
}

fn order(what: What) -> Order {
    Order { what: vec![what], reason: "lost laptop".into(), who: "anna".into(), until: None }
}

#[tokio::test]
async fn what_was_written_is_read_back_as_it_was_until_it_is_lifted_or_over() {
    let folder = tempfile::tempdir().unwrap();
    let book = Book::open(&Store::open(folder.path()).await.unwrap()).await.unwrap();
    let mut made = Vec::new();
    for what in [
        What::Token { issuer: ISSUER.into(), id: "t1".into() },
        What::Grant { issuer: ISSUER.into(), id: "g1".into() },
        What::Text { digest: [0xab; 32] },
        What::Client { client: client("shop"), before: NOW },
        What::Issuer { issuer: ISSUER.into(), before: NOW },
        What::BlockedClient(client("shop")),
        What::program("MMS200MI").unwrap(),
        What::program("MMS200MI/AddItmViaItmTyp").unwrap(),
    ] {
        made.extend(book.add(order(what), NOW).await.unwrap());
    }
    assert_eq!(book.list(NOW).await.unwrap(), made);
    assert!(made.iter().all(|one| one.what.is_block() == one.until.is_none()), "a revocation has an end");
    let block = made.last().unwrap();
    assert!(matches!(book.end(&block.id, false, "otto", NOW).await, Err(Error::NoSuchEntry(_))), "it is no revocation");
    assert_eq!(book.end(&block.id, true, "otto", NOW).await.unwrap().ended, Some((NOW, "otto".into())));
    assert!(matches!(book.end(&block.id, true, "otto", NOW).await, Err(Error::NoSuchEntry(_))));
    assert_eq!(book.list(NOW + 367 * 24 * 3_600).await.unwrap().len(), 2, "the blocks that nobody lifted");
    book.tidy(NOW + 400 * 24 * 3_600).await.unwrap();
    assert!(book.one(&made[0].id).await.unwrap().is_none());
}

#[tokio::test]
async fn an_order_that_makes_no_sense_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let book = Book::open(&Store::open(folder.path()).await.unwrap()).await.unwrap();
    let good = || order(What::BlockedClient(client("shop")));
    for wrong in [
        Order { reason: "x".repeat(201), ..good() },
        Order { who: "a\nb".into(), ..good() },
        Order { until: Some(NOW), ..good() },
        order(What::BlockedClient(client(""))),
    ] {
        let told = format!("{wrong:?}");
        assert!(book.add(wrong, NOW).await.is_err_and(|error| error.is_of_the_order()), "{told}");
    }
    assert!(book.list(NOW).await.unwrap().is_empty());
}
