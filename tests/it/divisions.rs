//! Records of a whole company that are told to each of its divisions.

use crate::bod::{bod, text};
use crate::house::House;
use crate::publisher::{documents, done, folder, listed, publishing, publishing_again, quiet, told};
use mi_gateway::bod::{Filter, OnLeave};
use mi_gateway::config::Settings;
use mi_gateway::model::Company;
use mi_gateway::outbox::{self, Ledger, Operator};
use mi_gateway::relay::{Entity, Mode, Rule};

fn item(rule: Rule) -> Rule {
    Rule { document: Some("Sync.ItemMaster".into()), ..rule }
}

fn by_division(settings: &mut Settings) {
    settings.publish.rules.push(item(Rule { entity: Some(Entity::Division), ..Rule::default() }));
}

fn mode(division: &str, mode: Mode) -> Rule {
    let company = Company::new(100).ok();
    item(Rule { company, division: Some(division.into()), mode: Some(mode), ..Rule::default() })
}

fn place<'a>(document: &'a str, name: &str) -> &'a str {
    let (_, behind) = document.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("{name}: {document}"));
    behind.split('<').next().unwrap_or_default()
}

/// Whose they are, by verb of what is done: `+100_AAA` and `-100_AAA`.
fn whose(documents: &[String]) -> Vec<String> {
    let sign = |document: &str| if document.contains("actionCode=\"Delete\"") { '-' } else { '+' };
    let mut all: Vec<_> =
        documents.iter().map(|one| format!("{}{}", sign(one), place(one, "AccountingEntityID"))).collect();
    all.sort();
    all
}

async fn named(house: &House, caller: &crate::house::Caller, name: &str) {
    done(caller, &format!("MMS200MI/UpdItmBasic?ITNO=A00001&ITDS={name}")).await;
    quiet(house).await;
}

#[tokio::test]
async fn a_change_of_an_item_is_told_to_each_division_that_m3_has_under_its_own_name() {
    let (house, caller) = publishing(by_division).await;
    done(&caller, "MMS200MI/UpdItmBasic?ITNO=A00001&ITDS=New").await;
    let first = told(&house, "A00001", 2).await;
    assert_eq!(whose(&first), ["+100_AAA", "+100_BBB"]);
    for document in &first {
        let entity = place(document, "AccountingEntityID");
        assert!(document.contains(&format!("<ID accountingEntity=\"{entity}\"")), "{document}");
    }
    assert_ne!(place(&first[0], "BODID"), place(&first[1], "BODID"));
    // A record that says its division is of that one alone.
    done(&caller, "PPS200MI/UpdHead?PUNO=2000001&YRE1=Ours").await;
    quiet(&house).await;
    assert_eq!(whose(&documents(&house, "2000001")), ["+100_AAA"]);
    // Numbers rise over all of them: the second round stands behind the first.
    named(&house, &caller, "Newer").await;
    let second = documents(&house, "A00001");
    assert_eq!(whose(&second[2..]), ["+100_AAA", "+100_BBB"]);
    assert!(second[2..].iter().all(|document| document.contains("Newer")), "{second:?}");
    done(&caller, "MMS200MI/DltItm?ITNO=A00001").await;
    quiet(&house).await;
    let all = documents(&house, "A00001");
    assert_eq!(whose(&all[4..]), ["-100_AAA", "-100_BBB"]);
    assert!(all[4..].iter().all(|document| document.contains("Newer")), "as it was: {all:?}");
}

#[tokio::test]
async fn a_division_that_is_off_is_not_told_and_keeps_no_other_from_it() {
    let (house, caller) = publishing(|settings| {
        by_division(settings);
        // Those who write in it are told of elsewhere.
        settings.publish.rules.push(mode("AAA", Mode::Off));
    })
    .await;
    named(&house, &caller, "One").await;
    assert_eq!(whose(&documents(&house, "A00001")), ["+100_BBB"]);
    let state = house.stop().await;
    // Over a restart that switches the one off and another on.
    let (house, caller) = publishing_again(state, |settings| {
        by_division(settings);
        settings.publish.rules.push(mode("BBB", Mode::Off));
    })
    .await;
    named(&house, &caller, "Two").await;
    assert_eq!(whose(&documents(&house, "A00001")), ["+100_AAA", "+100_BBB"]);
    let last = documents(&house, "A00001").pop().expect("one");
    assert!(last.contains("Two") && place(&last, "AccountingEntityID") == "100_AAA", "{last}");
}

#[tokio::test]
async fn what_one_division_only_looks_at_goes_nowhere_and_is_kept() {
    let (house, caller) = publishing(|settings| {
        by_division(settings);
        settings.publish.rules.push(mode("BBB", Mode::Shadow));
    })
    .await;
    named(&house, &caller, "Seen").await;
    assert_eq!(whose(&documents(&house, "A00001")), ["+100_AAA"]);
    let listed = listed(&house).await;
    let states: Vec<_> = listed.iter().map(|entry| (entry["entity"].as_str(), entry["state"].as_str())).collect();
    assert!(states.contains(&(Some("100_BBB"), Some("no-route"))), "{listed:?}");
}

#[tokio::test]
async fn each_division_leaves_a_filter_by_itself_and_is_sent_again_by_itself() {
    let (house, caller) = publishing(|settings| {
        by_division(settings);
        let mut filter = Filter::default().with("ItemMasterHeader/Description = 'Ours'").expect("a condition");
        (filter.divisions, filter.on_leave) = (vec!["BBB".into()], OnLeave::Delete);
        settings.points = vec![folder("bods", &settings.state, filter)];
    })
    .await;
    named(&house, &caller, "Ours").await;
    assert_eq!(whose(&documents(&house, "A00001")), ["+100_BBB"]);
    for name in ["Theirs", "Theirs%20still"] {
        named(&house, &caller, name).await;
    }
    assert_eq!(whose(&documents(&house, "A00001")), ["+100_BBB", "-100_BBB"], "told once that it left");
    named(&house, &caller, "Ours").await;
    let before = documents(&house, "A00001").len();
    let one = place(&documents(&house, "A00001")[before - 1], "BODID").to_owned();
    let ledger = Ledger::open(&outbox::Settings::under(house.state.path().join("outbox"))).await.expect("the outbox");
    let who = Operator { by: "ann".into(), reason: "lost".into() };
    ledger.replay(&one, true, &who).await.expect("ordered");
    ledger.close().await;
    quiet(&house).await;
    let all = documents(&house, "A00001");
    assert_eq!(whose(&all[before..]), ["+100_BBB"], "with a number of its own: {all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_shows_what_each_division_is_told() {
    let house = House::start().await;
    let settings = r#"
[[publish.documents]]
document = "Sync.ItemMaster"
entity = "division"
[[publish.documents]]
document = "Sync.ItemMaster"
company = 100
division = "AAA"
mode = "shadow"
"#;
    let file = house.state.path().join("gateway.toml");
    std::fs::write(&file, settings).expect("a file");
    let preview = async |words: &[&str]| {
        let mut all = vec!["preview", "ItemMaster", "ITNO=A00001"];
        all.extend(words);
        let (state, words): (_, Vec<String>) =
            (house.state.path().to_owned(), all.into_iter().map(str::to_owned).collect());
        let asked = move || bod(&state, &words.iter().map(String::as_str).collect::<Vec<_>>());
        let ended = tokio::task::spawn_blocking(asked).await.expect("it ends");
        assert!(ended.status.success(), "{}", text(&ended.stderr));
        let shown = text(&ended.stdout);
        shown.split("<?xml").skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(whose(&preview(&[]).await), ["+100_AAA", "+100_BBB"]);
    assert_eq!(whose(&preview(&["--division", "BBB"]).await), ["+100_BBB"]);
    house.stop().await;
}

/// Whose the locations of an item are, in their order.
fn locations(document: &str) -> Vec<&str> {
    let of = |location: &'static str| move |part: &&str| part.contains(location);
    let parts: Vec<&str> = document.split("<Facility><IDs>").skip(1).collect();
    assert!(parts.iter().all(|part| of("<ID accountingEntity=")(part)), "{document}");
    parts.iter().map(|part| part.split('"').nth(1).unwrap_or_default()).collect()
}

#[tokio::test]
async fn a_warehouse_of_an_item_is_its_divisions_and_the_header_the_companys() {
    let (house, caller) = publishing(|_| {}).await;
    named(&house, &caller, "One").await;
    named(&house, &caller, "Two").await;
    for document in told(&house, "A00001", 2).await {
        assert_eq!(place(&document, "AccountingEntityID"), "100");
        assert_eq!(locations(&document), ["100_AAA", "100_AAA", "100_BBB"], "{document}");
        assert_eq!(document.matches("<ItemLocation><ItemID><ID accountingEntity=\"100_").count(), 3, "{document}");
    }
    let asked = house.asked();
    let lists = asked.iter().filter(|call| call.contains("LstWarehouses")).count();
    assert_eq!(lists, 1, "what is the same for every item is not asked for each: {asked:?}");
}

#[tokio::test]
async fn where_m3_does_not_say_whose_a_warehouse_is_it_is_the_headers() {
    let refuses =
        r#"{"rules":[{"program":"MMS005MI","action":{"nok":{"id":"XAU0008","field":"","text":"No authority"}}}]}"#;
    let (house, caller) = publishing(|_| {}).await;
    house.faults(refuses);
    named(&house, &caller, "Refused").await;
    let document = told(&house, "A00001", 1).await.remove(0);
    assert_eq!(locations(&document), ["100"; 3], "{document}");
    let line = "mi_gateway_reads_left_out_total{program=\"MMS005MI\",transaction=\"LstWarehouses\"} 1";
    let metrics = house.operations("/metrics").await.text();
    assert!(metrics.contains(line), "somebody can see it: {metrics}");
    // Once it said no and may say yes the next time: no document lacks a part for that.
    let (house, caller) = publishing(|_| {}).await;
    let locked = r#"{"nok":{"id":"WWH0108","field":"","text":"Warehouses are being updated"}}"#;
    house.faults(&format!(r#"{{"rules":[{{"program":"MMS005MI","times":1,"action":{locked}}}]}}"#));
    named(&house, &caller, "Locked").await;
    let documents = told(&house, "A00001", 1).await;
    assert_eq!(locations(&documents[0]), ["100_AAA", "100_AAA", "100_BBB"], "{documents:?}");
    // Of one of them it says nothing.
    let (house, caller) = publishing(by_division).await;
    let one = r#"{"WHLO":"003","DIVI":"BBB"}"#;
    house.faults(&format!(r#"{{"rules":[{{"program":"MMS005MI","action":{{"answer":{{"records":[{one}]}}}}}}]}}"#));
    named(&house, &caller, "Some").await;
    for document in told(&house, "A00001", 2).await {
        let header = place(&document, "AccountingEntityID");
        assert_eq!(locations(&document), [header, header, "100_BBB"], "{document}");
    }
}

#[tokio::test]
async fn a_value_of_a_dimension_is_told_where_a_row_says_so_and_is_no_account() {
    let on = Rule { document: Some("Sync.CodeDefinition".into()), mode: Some(Mode::Publish), ..Rule::default() };
    for (rules, many) in [(vec![], 0), (vec![on], 1)] {
        let (house, caller) = publishing(|settings| settings.publish.rules = rules).await;
        done(&caller, "CRS630MI/UpdAccountID?AITP=2&AITM=1600&TX40=Marketing").await;
        quiet(&house).await;
        let told = documents(&house, "1600");
        assert_eq!(told.len(), many, "{told:?}");
        for document in &told {
            assert!(document.contains("<SyncCodeDefinition ") && document.contains(">Marketing<"), "{document}");
            assert!(document.contains("<CodeValue listID=\"Accounting Dimension2\">1600</CodeValue>"), "{document}");
        }
        done(&caller, "CRS630MI/UpdAccountID?AITP=1&AITM=1000&TX40=Cash").await;
        quiet(&house).await;
        let told = documents(&house, "1000");
        assert!(told.len() == 1 && told[0].contains("<SyncChartOfAccounts "), "{told:?}");
    }
}
