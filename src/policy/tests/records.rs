//! Rules over a record that M3 was asked for: what they see of it, and what becomes of a call where there is none.

use super::super::declare::FACTS;
use super::super::schema;
use super::sliced::{everywhere, whole};
use super::*;

const HEAD: &str = r#"[[fact]]
of = ["PPS200MI/ApprovePO", "PPS200MI/DltLine"]
read = "PPS200MI/GetHead"
key = { PUNO = "PUNO" }
fields = ["DIVI", "NTAM", "PUDT"]
"#;

const SMALL: &str = r#"@id("small") permit (principal, action == Action::"PPS200MI/ApprovePO", resource)
when { context.company == 100 && context.record.DIVI == "AAA" && context.record.NTAM.lessThan(decimal("10000.0")) };
@id("closed") forbid (principal, action == Action::"PPS200MI/ApprovePO", resource)
when { context.company == 100 && context.record.PUDT == "20260101" };"#;

type Columns = &'static [(&'static str, FieldKind, bool)];

fn columns(columns: Columns) -> Layout {
    let field = |(name, kind, mandatory): &(&str, FieldKind, bool)| FieldLayout {
        name: field(name),
        kind: *kind,
        from: 16,
        length: 17,
        mandatory: *mandatory,
        description: "".into(),
    };
    Layout::new(columns.iter().map(field).collect())
}

fn field(name: &str) -> FieldName {
    FieldName::parse(name).expect("a field of the test")
}

fn layouts(program: ProgramName, name: TransactionName) -> Option<Arc<TransactionLayout>> {
    const A: FieldKind = FieldKind::Alphanumeric;
    const N: FieldKind = FieldKind::Number;
    const KEY: (&str, FieldKind, bool) = ("PUNO", A, true);
    let (input, output): (Columns, Columns) = match (program.as_str(), name.as_str()) {
        ("PPS200MI", "ApprovePO") => (&[KEY], &[]),
        ("PPS200MI", "DltLine") => (&[KEY, ("PNLI", N, true)], &[]),
        ("PPS200MI", "GetHead" | "LstHead") => {
            (&[("CONO", N, false), KEY], &[("DIVI", A, false), ("NTAM", N, false), ("PUDT", FieldKind::Date, false)])
        }
        ("PPS200MI", "GetLine") => (&[KEY, ("PNLI", N, true)], &[("WHLO", A, false), ("ORQA", N, false)]),
        _ => return layout(program, name),
    };
    let (input, output) = (columns(input), columns(output));
    let multi = name.as_str().starts_with("Lst");
    Some(Arc::new(TransactionLayout { program, name, description: "".into(), multi, input, output }))
}

fn guarded() -> Site {
    Site { guard_user: true, ..site() }
}

fn load(rules: &str, facts: &str, site: &Site) -> Result<Set, Vec<super::super::Fault>> {
    let facts = Source { name: FACTS.into(), text: facts.into() };
    Set::load(&[source(rules), facts], site, &layouts)
}

fn set_of(rules: &str, facts: &str) -> Set {
    load(rules, facts, &guarded()).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

/// An approval, with what was read of its order.
fn approve(set: &Set, record: Option<[(&str, &str); 3]>) -> Try {
    let (program, transaction) = identity::pair("PPS200MI/ApprovePO").expect("a call");
    let layout = layouts(program, transaction).expect("a layout");
    let record = record.map(|record| {
        let told = record.iter().map(|(name, text)| (field(name), *text));
        set.fact(program, transaction).expect("a fact").values(told).expect("values")
    });
    let effect = Effect::of(program, transaction);
    Try { program, transaction, effect, layout, record, ..caller() }.with("PUNO", "2000003")
}

fn order(division: &'static str, amount: &'static str) -> Option<[(&'static str, &'static str); 3]> {
    Some([("DIVI", division), ("NTAM", amount), ("PUDT", "20261123")])
}

#[test]
fn a_rule_over_a_record_sees_what_was_read_of_it() {
    let set = set_of(SMALL, HEAD);
    assert_eq!(set.warnings().iter().map(|fault| fault.code).collect::<Vec<_>>(), ["unread-fact"], "of DltLine");
    assert!(approve(&set, order("AAA", "9999.99")).of(&set).allowed);
    assert_eq!(approve(&set, order("AAA", "10000")).of(&set).reason, Reason::NoPermit);
    assert_eq!(approve(&set, order("BBB", "1")).of(&set).reason, Reason::NoPermit);
    assert_eq!(approve(&set, order("", "")).of(&set).reason, Reason::NoPermit, "blank is nothing that a rule asks for");
    let old = approve(&set, Some([("DIVI", "AAA"), ("NTAM", "1"), ("PUDT", "20260101")])).of(&set);
    assert_eq!((old.reason, &*old.rules), (Reason::Forbidden, &["closed".into()][..]));
    // Nothing but the record differs, and what was decided on one is never remembered for another.
    assert!(approve(&set, order("AAA", "1")).of(&set).allowed);
}

#[test]
fn without_the_record_neither_a_permit_nor_a_forbid_over_it_is_guessed() {
    let set = set_of(SMALL, HEAD);
    let ask = approve(&set, None);
    let decision = ask.of(&set);
    assert_eq!((decision.reason, decision.rules.len()), (Reason::FactMissing, 2));
    assert_eq!(
        set.wants_record(&ask.ask()).map(|fact| fact.text().to_string()),
        Some("PPS200MI/GetHead PUNO=PUNO".into())
    );
    // After a decision with one, none is still none.
    assert!(approve(&set, order("AAA", "1")).of(&set).allowed);
    assert_eq!(ask.of(&set).reason, Reason::FactMissing);
    let forbid = set_of(
        r#"@id("all") permit (principal, action, resource);
        @id("f") forbid (principal, action == Action::"PPS200MI/ApprovePO", resource) unless { context has record };"#,
        HEAD,
    );
    assert_eq!(approve(&forbid, None).of(&forbid).reason, Reason::FactMissing);
    assert!(approve(&forbid, order("AAA", "1")).of(&forbid).allowed);
}

#[test]
fn where_no_rule_looks_at_the_record_nobody_has_to_read_it() {
    let set = set_of(SMALL, HEAD);
    let elsewhere = approve(&set, None).company(200);
    assert_eq!(set.wants_record(&elsewhere.ask()), None, "both rules are of company 100");
    assert_eq!(elsewhere.of(&set).reason, Reason::NoPermit);
    assert_eq!(set.wants_record(&caller().ask()), None);
    let unread = set_of(r#"permit (principal, action == Action::"PPS200MI/ApprovePO", resource);"#, HEAD);
    assert_eq!(unread.wants_record(&approve(&unread, None).ask()), None);
    assert!(approve(&unread, None).of(&unread).allowed);
}

#[test]
fn what_was_read_by_another_fact_or_in_part_is_not_the_record() {
    let set = set_of(SMALL, HEAD);
    let other = set_of(SMALL, &HEAD.replace("GetHead", "GetOther"));
    let theirs = approve(&other, order("AAA", "1")).record;
    assert!(theirs.is_some());
    assert_eq!(Try { record: theirs, ..approve(&set, None) }.of(&set).reason, Reason::FactMissing);
    let (program, name) = identity::pair("PPS200MI/ApprovePO").expect("a call");
    let part = set.fact(program, name).expect("a fact").values([(field("DIVI"), "AAA")]).expect("values");
    assert_eq!(Try { record: Some(part), ..approve(&set, None) }.of(&set).reason, Reason::FactMissing);
}

#[test]
fn an_amount_that_a_rule_cant_compare_is_refused() {
    let set = set_of(SMALL, HEAD);
    for amount in ["0.00001", "99999999999999999"] {
        let reason = approve(&set, order("AAA", amount)).of(&set).reason;
        assert_eq!(reason, Reason::ValueNotComparable(field("NTAM")), "{amount}");
    }
}

#[test]
fn a_decision_that_hangs_on_a_record_holds_for_no_call_by_itself() {
    let set = set_of(SMALL, HEAD);
    let ask = approve(&set, None);
    assert!(ask.named(&set), "by its name it may be permitted");
    assert!(!set.holds_whatever_is_sent(&ask.ask(), &set.decide(&ask.ask())));
    let ask = approve(&set, order("AAA", "1"));
    assert!(!set.holds_whatever_is_sent(&ask.ask(), &set.decide(&ask.ask())));
    let over = r#"permit (principal, action == Action::"PPS200MI/ApprovePO", resource)
        when { context.record.DIVI == "AAA" && context.record.DIVI == "BBB" };"#;
    assert!(
        set_of(over, HEAD)
            .review((&[], &layouts), Default::default(), NOW)
            .iter()
            .any(|found| found.fault.code == "never-fires")
    );
}

#[test]
fn a_record_whose_layout_nobody_knows_refuses_what_looks_at_it() {
    let set = set_of(SMALL, &HEAD.replace("GetHead", "GetOther"));
    assert!(
        set.warnings().iter().any(|fault| fault.code == "unverified" && fault.spot.to_string() == "facts.toml:3:8")
    );
    let decision = approve(&set, None).of(&set);
    assert_eq!((decision.reason, decision.rules.len()), (Reason::Unverifiable, 2));
    let nobody = load(SMALL, HEAD, &site()).expect("a set");
    assert!(nobody.warnings().iter().any(|fault| fault.code == "no-guard-user"));
}

#[track_caller]
fn refused(rules: &str, facts: &str, code: &str, place: &str) {
    let faults = load(rules, facts, &guarded()).expect_err("a set with faults");
    let found = faults.iter().find(|fault| fault.code == code).unwrap_or_else(|| panic!("{code}: {faults:#?}"));
    assert!(found.spot.to_string().starts_with(place) && found.hint.is_some(), "{found:#?}");
}

#[test]
fn facts_that_could_not_hold_what_they_say_are_refused_where_they_stand() {
    let fact = |old: &str, new: &str| HEAD.replace(old, new);
    for (facts, code, place) in [
        (fact("key =", "keys ="), "bad-fact", "facts.toml:4:"),
        ("[[fact".to_owned(), "bad-fact", "facts.toml:1:"),
        (fact("PPS200MI/GetHead", "GetHead"), "bad-fact", "facts.toml:3:"),
        (fact("\"NTAM\"", "\"ntam!\""), "bad-fact", "facts.toml:5:"),
        (fact("GetHead", "ChgHead"), "not-a-read", "facts.toml:3:"),
        (fact("PPS200MI/GetHead", "EXPORTMI/Select"), "not-a-read", "facts.toml:3:"),
        (fact("GetHead", "LstHead"), "not-one-record", "facts.toml:3:"),
        (fact("{ PUNO =", "{ SUNO ="), "unknown-field", "facts.toml:4:"),
        (fact("{ PUNO =", "{ SUNO ="), "key-not-whole", "facts.toml:4:"),
        (fact("= \"PUNO\" }", "= \"ORNO\" }"), "unknown-field", "facts.toml:2:"),
        (fact("{ PUNO", "{ CONO = \"PUNO\", PUNO"), "key-is-place", "facts.toml:4:"),
        (fact("\"NTAM\"", "\"SUNO\""), "unknown-field", "facts.toml:5:"),
        (format!("{HEAD}{HEAD}"), "fact-twice", "facts.toml:7:"),
        (fact("\"PPS200MI/ApprovePO\", \"PPS200MI/DltLine\"", ""), "too-many", "facts.toml:1:"),
        (fact("[\"DIVI\"", &format!("[{} \"DIVI\"", "\"DIVI\", ".repeat(40))), "too-many", "facts.toml:1:"),
    ] {
        refused(SMALL, &facts, code, place);
    }
}

#[test]
fn a_rule_over_what_nobody_reads_is_refused_where_it_stands() {
    let rule = |call: &str, condition: &str| {
        format!("permit (principal, action == Action::\"{call}\", resource) when {{ {condition} }};")
    };
    refused(&rule("PPS200MI/ApprovePO", "context.record.SUNO == \"S1\""), HEAD, "unknown-fact-field", "t.cedar:1:");
    refused(&rule("PPS200MI/ApprovePO", "context.record has SUNO"), HEAD, "unknown-fact-field", "t.cedar:1:");
    refused(&rule("CRS610MI/ChgFinancial", "context.record.NTAM == decimal(\"1.0\")"), HEAD, "no-fact", "t.cedar:1:");
    refused(&rule("CRS610MI/ChgFinancial", "context has record"), HEAD, "no-fact", "t.cedar:1:");
    refused(&rule("PPS200MI/ApprovePO", "context.record.NTAM == \"1\""), HEAD, "type", "t.cedar:1:");
    let anything = "permit (principal, action, resource) when { context.record.NTAM == decimal(\"1.0\") };";
    let faults = load(anything, HEAD, &guarded()).expect_err("a rule of no transaction");
    assert!(faults[0].message.contains("of which transaction"), "{faults:#?}");
    let whole = load(&rule("PPS200MI/ApprovePO", "context.record == {}"), HEAD, &guarded()).expect_err("the whole");
    assert!(whole[0].message.contains("as a whole"), "{whole:#?}");
}

#[test]
fn the_division_may_be_that_of_a_warehouse_and_is_asked_for_by_it() {
    let line = r#"[[fact]]
        of = ["PPS200MI/DltLine"]
        read = "PPS200MI/GetLine"
        key = { PUNO = "PUNO", PNLI = "PNLI" }
        fields = ["DIVI"]"#;
    let rule =
        r#"permit (principal, action == Action::"PPS200MI/DltLine", resource) when { context.record.DIVI == "AAA" };"#;
    let set = set_of(rule, line);
    let (program, name) = identity::pair("PPS200MI/DltLine").expect("a call");
    let fact = set.fact(program, name).expect("a fact");
    assert_eq!((&fact.division_by, fact.kind(field("DIVI"))), (&vec![field("WHLO")], Some(FieldKind::Alphanumeric)));
    assert!(set.schema_text().contains("record: { \"DIVI\": String, }"), "{}", set.schema_text());
}

/// Conditions over the record and over what needs no record, in front of it and behind it.
fn rules() -> impl Strategy<Value = String> {
    let condition = prop::sample::select(vec![
        "context.company == 100",
        "context.record.DIVI == \"AAA\"",
        "context.record.NTAM.lessThan(decimal(\"500.0\"))",
        "context has record",
        "context.weekday == 1 || context.record.PUDT == \"20260101\"",
        "context.fields has PUNO && context.fields.PUNO == \"2000003\"",
        "!(context.company == 200)",
    ]);
    let head = prop::sample::select(vec!["permit", "forbid"]);
    let rule = (head, prop::collection::vec((any::<bool>(), condition), 0..3)).prop_map(|(head, clauses)| {
        let clause = |(when, text): (bool, &str)| format!(" {} {{ {text} }}", if when { "when" } else { "unless" });
        let clauses: String = clauses.into_iter().map(clause).collect();
        format!("{head} (principal, action == Action::\"PPS200MI/ApprovePO\", resource){clauses};\n")
    });
    prop::collection::vec(rule, 1..6)
        .prop_map(|rules| rules.iter().enumerate().map(|(at, rule)| format!("@id(\"r{at}\") {rule}")).collect())
}

#[test]
fn with_a_record_it_is_cedars_answer_and_without_one_it_hangs_on_none() {
    let amount = prop::sample::select(vec!["499", "500"]);
    let division = prop::sample::select(vec!["AAA", "BBB", ""]);
    let asks = prop::collection::vec((any::<bool>(), any::<bool>(), division, amount), 6);
    proptest!(ProptestConfig::with_cases(300), |(text in rules(), asks in asks)| {
        let site = Site { zones: everywhere(), ..guarded() };
        let set = load(&text, HEAD, &site).unwrap_or_else(|faults| panic!("{text}{faults:#?}"));
        let schema = schema::schema(&set.typed, &set.facts, &set.site.claims).expect("the schema of the set");
        for (here, central, division, amount) in asks {
            let ask = |record| {
                let mut ask = approve(&set, record).company(if here { 100 } else { 200 });
                ask.place.division = Division::parse(if central { "" } else { "AAA" }).expect("a division");
                ask
            };
            let all = [order(division, amount), order("AAA", "1"), order("", "9999")];
            let whole = all.map(|record| whole(&set, &schema, &ask(record)).expect("a context"));
            let ours = all.map(|record| ask(record).of(&set));
            let like = |ours: &Decision, whole: &Decision| {
                let settled = ours.reason == Reason::NoPermit && !whole.allowed;
                settled || ours == whole
            };
            for (ours, whole) in ours.iter().zip(&whole) {
                prop_assert!(like(ours, whole), "{text}\n{ours:?}\n{whole:?}");
            }
            let without = ask(None).of(&set);
            let wanted = set.wants_record(&ask(None).ask()).is_some();
            prop_assert_eq!(wanted, without.reason == Reason::FactMissing, "{}", text);
            if !wanted {
                prop_assert!(whole.iter().all(|whole| like(&without, whole)), "{text}\n{without:?}");
            }
        }
    });
}
