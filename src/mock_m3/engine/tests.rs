//! The mock behaves as M3 does, as far as its table goes.

use super::*;
use table::plays;

fn engine() -> (Engine, Arc<Metadata>) {
    let metadata = Arc::new(Metadata::shipped());
    (Engine::new(metadata.clone(), Options::default()), metadata)
}

fn context() -> Context {
    Context {
        user: "MIDEMO".into(),
        company: 100,
        division: "AAA".into(),
        today: "20301231".into(),
        time: "120000".into(),
    }
}

fn row(values: &[(&str, &str)]) -> Row {
    values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn run(engine: &Engine, metadata: &Metadata, call: &str, input: &[(&str, &str)]) -> Answer {
    let (program, name) = call.split_once('/').expect("PROGRAM/Transaction");
    let transaction = metadata.transaction(program, name).unwrap_or_else(|| panic!("{call} is in the table"));
    engine.run(&context(), transaction, &row(input))
}

#[track_caller]
fn record(answer: Answer) -> Row {
    match answer {
        Answer::Record(row) => row,
        Answer::Done => panic!("no record"),
        Answer::List(_) => panic!("a list"),
        Answer::Nok(nok) => panic!("{nok:?}"),
    }
}

#[track_caller]
fn nok(answer: Answer) -> (String, String) {
    match answer {
        Answer::Nok(nok) => (nok.id, nok.field),
        Answer::Record(_) | Answer::Done | Answer::List(_) => panic!("no NOK"),
    }
}

#[track_caller]
fn list(answer: Answer) -> Vec<Row> {
    match answer {
        Answer::List(rows) => rows.collect(),
        Answer::Nok(nok) => panic!("{nok:?}"),
        Answer::Record(_) | Answer::Done => panic!("no list"),
    }
}

#[test]
fn chg_changes_only_what_was_sent() {
    let (engine, metadata) = engine();
    let before = engine.record("CRS610MI", 100, &[("CUNO", "C00001")]).expect("a seeded customer");
    let changed =
        run(&engine, &metadata, "CRS610MI/ChgBasicData", &[("CUNO", "c00001"), ("CUNM", "New name"), ("PHNO", "?")]);
    assert!(matches!(changed, Answer::Record(_)));
    let after = engine.record("CRS610MI", 100, &[("CUNO", "C00001")]).expect("still there");
    assert_eq!((after["CUNM"].as_str(), after["PHNO"].as_str()), ("New name", ""));
    assert_eq!((after["LMDT"].as_str(), after["CHID"].as_str()), ("20301231", "MIDEMO"));
    assert_ne!(after["CHNO"], before["CHNO"]);
    for (name, value) in &before {
        if !["CUNM", "PHNO", "LMDT", "CHID", "CHNO"].contains(&name.as_str()) {
            assert_eq!(after.get(name), Some(value), "{name}");
        }
    }
}

#[test]
fn missing_and_double_records_are_refused_with_id_and_field() {
    let (engine, metadata) = engine();
    let say = |call, input: &[(&str, &str)]| nok(run(&engine, &metadata, call, input));
    assert_eq!(say("CRS610MI/GetBasicData", &[("CUNO", "NOBODY")]), ("WCU0203".into(), "CUNO".into()));
    assert_eq!(say("CRS610MI/GetBasicData", &[]), ("WCU0202".into(), "CUNO".into()));
    assert_eq!(
        say("MMS200MI/AddItmViaItmTyp", &[("ITTY", "001"), ("ITDS", "x"), ("ITNO", "A00001")]),
        ("WIT0104".into(), "ITNO".into())
    );
    assert_eq!(say("OIS100MI/AddOrderLine", &[("ORNO", "1"), ("ITNO", "A00001")]), ("WOR0103".into(), "ORNO".into()));
}

#[test]
fn companies_do_not_see_one_another() {
    let (engine, metadata) = engine();
    let of = |company: &str| {
        record(run(&engine, &metadata, "CRS610MI/GetBasicData", &[("CONO", company), ("CUNO", "C00001")]))
    };
    assert_ne!(of("100")["CUNM"], of("200")["CUNM"]);
    run(&engine, &metadata, "CRS610MI/ChgBasicData", &[("CONO", "200"), ("CUNO", "C00001"), ("CUNM", "Changed")]);
    assert_eq!(of("200")["CUNM"], "Changed");
    assert_ne!(of("100")["CUNM"], "Changed");
}

#[test]
fn a_list_starts_at_or_after_what_is_given() {
    let (engine, metadata) = engine();
    let rows = list(run(&engine, &metadata, "CMS100MI/Lst_Customers_1", &[("OKCUNO", "C00240")]));
    assert_eq!((rows[0]["OKCUNO"].as_str(), rows[0]["OKCONO"].as_str()), ("C00240", "100"), "a list of a site's own");
    let rows = list(run(&engine, &metadata, "CRS610MI/LstByNumber", &[("CUNO", "C00240")]));
    assert_eq!(rows.first().map(|row| row["CUNO"].as_str()), Some("C00240"));
    assert_eq!(rows.len(), 11);
    let lines = list(run(&engine, &metadata, "OIS100MI/LstLine", &[("ORNO", "1000001")]));
    assert!(!lines.is_empty() && lines.iter().all(|line| line["ORNO"] == "1000001"));
}

#[test]
fn a_batch_entry_makes_orders_when_it_is_finished() {
    let (engine, metadata) = engine();
    let message = record(run(&engine, &metadata, "PPS370MI/StartEntry", &[("BAOR", "EDI")]))["MSGN"].clone();
    let head = [("MSGN", message.as_str()), ("FACI", "A01"), ("WHLO", "001"), ("SUNO", "S00001"), ("DWDT", "20300101")];
    let number = record(run(&engine, &metadata, "PPS370MI/AddHead", &head))["PUNO"].clone();
    let line = [("MSGN", message.as_str()), ("PUNO", number.as_str()), ("ITNO", "A00001"), ("ORQA", "5")];
    assert_eq!(record(run(&engine, &metadata, "PPS370MI/AddLine", &line))["PNLI"], "1");
    assert!(engine.record("PPS200MI", 100, &[("PUNO", &number)]).is_none(), "nothing before it is finished");
    assert!(matches!(run(&engine, &metadata, "PPS370MI/FinishEntry", &[("MSGN", &message)]), Answer::Done));
    assert!(engine.record("PPS200MI", 100, &[("PUNO", &number)]).is_some());
    let batch = record(run(&engine, &metadata, "OIS100MI/AddBatchHead", &[("CUNO", "C00001")]))["ORNO"].clone();
    let confirmed = record(run(&engine, &metadata, "OIS100MI/Confirm", &[("ORNO", &batch)]));
    assert_ne!(confirmed["ORNO"], batch, "the real order has a number of its own");
    assert!(engine.record("OIS100MI", 100, &[("ORNO", &confirmed["ORNO"])]).is_some());
}

#[test]
fn copies_and_deletes() {
    let (engine, metadata) = engine();
    run(&engine, &metadata, "MMS200MI/CpyItmBasic", &[("STAT", "20"), ("ITNO", "A00001"), ("CITN", "COPY1")]);
    let copy = engine.record("MMS200MI", 100, &[("ITNO", "COPY1")]).expect("the copy");
    assert_eq!(copy["ITDS"], engine.record("MMS200MI", 100, &[("ITNO", "A00001")]).expect("the original")["ITDS"]);
    assert!(matches!(run(&engine, &metadata, "MMS200MI/DltItm", &[("ITNO", "COPY1")]), Answer::Done));
    assert!(engine.record("MMS200MI", 100, &[("ITNO", "COPY1")]).is_none());
}

#[test]
fn the_repository_tells_the_layouts_that_are_served() {
    let (engine, metadata) = engine();
    let input = [("MINM", "CRS610MI"), ("TRNM", "GetBasicData"), ("TRTP", "O")];
    let fields = list(run(&engine, &metadata, "MRS001MI/LstFields", &input));
    let layout = &metadata.transaction("CRS610MI", "GetBasicData").expect("a transaction").output;
    assert_eq!(fields.len(), layout.len());
    assert_eq!(
        (fields[3]["FLNM"].as_str(), fields[3]["FRPO"].as_str()),
        (layout[3].name.as_str(), layout[3].from.to_string().as_str())
    );
    assert_eq!(list(run(&engine, &metadata, "MRS001MI/LstPrograms", &[])).len(), 38);
}

#[test]
fn every_transaction_answers_something_and_the_table_names_real_ones() {
    let (engine, metadata) = engine();
    for (program, name) in plays() {
        assert!(metadata.transaction(program, name).is_some(), "{program}/{name}");
    }
    assert!(plays().count() >= 90, "{}", plays().count());
    for transaction in metadata.programs().flat_map(|program| &program.transactions) {
        let filled: Row = transaction.input.iter().map(|field| (field.name.clone(), "1".to_owned())).collect();
        for input in [Row::new(), filled] {
            if let Answer::List(rows) = engine.run(&context(), transaction, &input) {
                assert!(rows.count() < 10_000);
            }
        }
    }
}

#[test]
fn the_world_is_the_same_at_every_start() {
    let rows = |engine: &Engine| table::Kind::ALL.map(|kind| engine.store.rows(kind, 100));
    let (first, second) = (engine().0, engine().0);
    assert_eq!(rows(&first), rows(&second));
    let [customers, ..] = rows(&first);
    assert!(customers.len() >= 200);
}

#[test]
fn the_journal_keeps_changes_over_a_restart_and_a_torn_line_does_not_matter() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options { journal: Some(folder.path().join("journal")), ..Options::default() };
    let metadata = Arc::new(Metadata::shipped());
    let engine = Engine::new(metadata.clone(), options.clone());
    run(&engine, &metadata, "CRS610MI/ChgBasicData", &[("CUNO", "C00001"), ("CUNM", "Kept")]);
    run(&engine, &metadata, "CRS610MI/Delete", &[("CUNO", "C00002")]);
    let mut text = std::fs::read_to_string(folder.path().join("journal")).expect("a journal");
    text.push_str("{\"kind\":0,\"comp");
    std::fs::write(folder.path().join("journal"), text).expect("a torn journal");
    let engine = Engine::new(metadata.clone(), options.clone());
    assert_eq!(engine.record("CRS610MI", 100, &[("CUNO", "C00001")]).expect("a customer")["CUNM"], "Kept");
    assert!(engine.record("CRS610MI", 100, &[("CUNO", "C00002")]).is_none());
    // What comes after a torn line counts as well, and a record has one line, however often it was changed.
    for name in ["Once", "Twice", "Kept again"] {
        run(&engine, &metadata, "CRS610MI/ChgBasicData", &[("CUNO", "C00001"), ("CUNM", name)]);
    }
    let engine = Engine::new(metadata, options);
    assert_eq!(engine.record("CRS610MI", 100, &[("CUNO", "C00001")]).expect("a customer")["CUNM"], "Kept again");
    let text = std::fs::read_to_string(folder.path().join("journal")).expect("a journal");
    assert_eq!(text.lines().count(), 2, "{text}");
}
