//! A division that nothing of a call holds it to is its caller's word, and no rule over a class believes it.

use super::super::review::Severity;
use super::super::site::Site;
use super::super::{Outside, Unheld, outside};
use super::*;
use crate::model::Standing;

const OWN: &str = r#"@id("own") permit (principal in Group::"branch", action in [Action::"read", Action::"write"], resource)
when { context.division == "AAA" };
@id("all") permit (principal in Group::"office", action in [Action::"read", Action::"write"], resource);"#;

fn layouts(program: ProgramName, name: TransactionName) -> Option<Arc<TransactionLayout>> {
    let (input, output): (&[&str], &[&str]) = match (program.as_str(), name.as_str()) {
        ("PPS200MI", "ApprovePO") => (&["PUNO"], &["DIVI"]),
        ("PPS200MI", "GetHead") => (&["PUNO"], &["DIVI", "SUNO"]),
        ("PPS200MI", "GetLine") => (&["PUNO", "PNLI"], &["ORQA"]),
        ("PPS200MI", "GetDelPrevPrtNo") => (&["WHLO*", "ITNO*", "DSPN*"], &["DSPN"]),
        ("MMS200MI", "DltItmWhs") => (&["WHLO*", "ITNO*"], &[]),
        ("OIS100MI", "AddOrderHead") => (&["CUNO*", "FACI", "WHLO"], &["ORNO"]),
        ("OIS100MI", "AddOrderLine") => (&["ORNO*", "ITNO*", "WHLO"], &[]),
        ("OIS100MI", "ChgBatchHead") => (&["ORNO*", "ORTP*", "FACI*"], &[]),
        ("PPS370MI", "AddHead") => (&["MSGN*", "FACI*", "WHLO*", "SUNO*", "PUNO"], &["PUNO"]),
        ("PMS070MI", "RptOperation") => (&["FACI", "MFNO", "WOSQ"], &[]),
        ("PMS300MI", "UpdSchedule") => (&["FACI*", "WOSQ#"], &[]),
        ("MMS100MI", "AddDOLine") => (&["TRNR*", "ITNO*", "WHLO"], &[]),
        ("MMS888MI", "Update") => (&["KEYN", "WHLO"], &[]),
        ("MMS889MI", "CpyAll") => (&["KEYN*", "CDIV*"], &[]),
        ("MMS889MI", "StrJob") => (&["FDIV*", "TDIV"], &[]),
        ("EXT001MI", "Update") => (&["WHLO*", "KEYN"], &[]),
        ("EXT001MI", "Chg") => (&["DIVI*", "KEYN*"], &[]),
        ("EXT001MI", "LstAll") => (&["DIVI"], &["DIVI", "KEYN"]),
        ("EXT001MI", "GetServerTime") => (&[], &["TIME"]),
        ("MNS150MI", "ChgDefaultValue") => (&["CONO", "DIVI", "USID*", "FACI", "WHLO"], &[]),
        ("MMS200MI", "UpdItmWhs") => (&["WHLO*", "ITNO*", "DIVI"], &[]),
        ("PMS050MI", "RptReceipt") => (&["FACI", "PRNO", "MFNO", "WOSQ#", "PLNO#"], &[]),
        ("OIS100MI", "GetLine") => (&["ORNO*", "PONR*", "POSX"], &["WHLO"]),
        ("OIS100MI", "LstLine") => (&["ORNO*", "ORST", "ITNO"], &["WHLO"]),
        ("OIS100MI", "GetHead") => (&["ORNO*"], &["DIVI", "FACI", "WHLO"]),
        ("OIS100MI", "GetBatchHead") => (&["ORNO*"], &["FACI"]),
        ("PMS060MI", "LstMatBySchedNo") => (&["FACI*", "SCHN*"], &["FACI", "WHLO"]),
        ("PMS100MI", "CrtMO") => (&["FACI*", "PRNO*", "WHLO", "SCHN#"], &[]),
        ("PMS100MI", "CloseMtrlLine") => (&["FACI*", "SCHN#"], &[]),
        ("MMS850MI", "AddMove") => (&["WHLO*", "MSNR"], &[]),
        ("MMS850MI", "AddStkId") => (&["WHLO*", "MSNR*"], &[]),
        ("OIS320MI", "LstPrices") => (&["CUNO", "WHLO"], &["SAPR"]),
        ("GENERAL", "GetServerTime") => (&[], &["TIME"]),
        _ => return layout(program, name),
    };
    let columns = |names: &[&str]| {
        // `*`: a call must give it; `#`: a number.
        let field = |name: &&str| FieldLayout {
            name: FieldName::parse(name.trim_end_matches(['*', '#'])).expect("a field of the test"),
            kind: if name.ends_with('#') { FieldKind::Number } else { FieldKind::Alphanumeric },
            from: 16,
            length: 15,
            mandatory: name.ends_with('*'),
            description: "".into(),
        };
        Layout::new(names.iter().map(field).collect())
    };
    let (input, output, multi) = (columns(input), columns(output), name.as_str().starts_with("Lst"));
    Some(Arc::new(TransactionLayout { program, name, description: "".into(), multi, input, output }))
}

fn load(rules: &str) -> Result<Set, Vec<super::super::Fault>> {
    Set::load(&[source(rules)], &Site { ..site() }, &layouts)
}

fn set_of(rules: &str) -> Set {
    load(rules).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

/// Said to be of the division AAA.
fn say(call: &str, groups: &[&str]) -> Try {
    let mut ask = caller().call(call);
    ask.layout = layouts(ask.program, ask.transaction).expect("a layout of the test");
    ask.place.division = Division::parse("AAA").expect("a division");
    groups.iter().fold(ask, |ask, group| ask.group(group))
}

#[test]
fn a_permit_over_a_class_believes_no_division_that_a_call_does_not_carry() {
    let set = set_of(OWN);
    let not_carried = |ask: &Try| {
        let decision = ask.of(&set);
        (decision.reason, &*decision.rules) == (Reason::DivisionNotCarried, &["own".into()][..])
    };
    for call in ["PPS200MI/ApprovePO", "PPS200MI/GetLine", "PPS200MI/GetDelPrevPrtNo", "MMS200MI/DltItmWhs"] {
        assert!(not_carried(&say(call, &["branch"])), "{call}");
        assert!(say(call, &["branch", "office"]).of(&set).allowed, "{call}: another rule asks for no division");
    }
    // Answers say of which division they are, and what is of another is withheld.
    assert!(say("PPS200MI/GetHead", &["branch"]).of(&set).allowed);
    assert!(say("CRS610MI/ChgFinancial", &["branch"]).of(&set).allowed, "M3 is told of it");
    assert!(say("GENERAL/GetServerTime", &["branch"]).of(&set).allowed, "it tells of no record");
    // Of a site the gateway learns whose it is; a list begins there, and goes on with others.
    for call in ["PPS200MI/GetDelPrevPrtNo", "MMS200MI/DltItmWhs"] {
        assert!(say(call, &["branch"]).with("WHLO", "001").of(&set).allowed, "{call}");
        assert!(not_carried(&say(call, &["branch"]).with("WHLO", "?")), "{call}");
    }
    assert!(not_carried(&say("OIS320MI/LstPrices", &["branch"]).with("WHLO", "001")));
    // It would be refused there however much it was believed.
    let mut elsewhere = say("PPS200MI/ApprovePO", &["branch"]);
    elsewhere.place.division = Division::parse("BBB").expect("a division");
    assert_eq!(elsewhere.of(&set).reason, Reason::NoPermit);
}

#[test]
fn a_site_is_believed_where_it_names_the_record_and_nothing_else_could() {
    let set = set_of(OWN);
    let believed = |call: &str, with: &[(&str, &str)]| {
        let ask = with.iter().fold(say(call, &["branch"]), |ask, (field, value)| ask.with(field, value));
        let decision = ask.of(&set);
        assert!(decision.allowed || decision.reason == Reason::DivisionNotCarried, "{call}: {decision:?}");
        decision.allowed
    };
    // The number names the order, of whichever division; the warehouse is where one line of it is delivered from.
    assert!(!believed("OIS100MI/AddOrderLine", &[("ORNO", "1"), ("ITNO", "A"), ("WHLO", "001")]));
    assert!(!believed("MMS100MI/AddDOLine", &[("TRNR", "1"), ("ITNO", "A"), ("WHLO", "001")]));
    // Demanded, and a value all the same: the order's new facility.
    assert!(!believed("OIS100MI/ChgBatchHead", &[("ORNO", "1"), ("ORTP", "A"), ("FACI", "A01")]));
    // A new order is of the division of its facility, wherever its goods come from; its number is its own.
    assert!(believed("OIS100MI/AddOrderHead", &[("CUNO", "C"), ("FACI", "A01")]));
    assert!(!believed("OIS100MI/AddOrderHead", &[("CUNO", "C"), ("WHLO", "001")]));
    assert!(believed("PPS370MI/AddHead", &[("MSGN", "1"), ("FACI", "A01"), ("WHLO", "001"), ("PUNO", "9")]));
    // The key of a manufacturing order begins with its facility; an operation's reporting number needs none.
    assert!(believed("PMS070MI/RptOperation", &[("FACI", "A01"), ("MFNO", "1")]));
    assert!(!believed("PMS070MI/RptOperation", &[("MFNO", "1")]));
    assert!(!believed("PMS070MI/RptOperation", &[("FACI", "A01"), ("MFNO", "1"), ("WOSQ", "7")]));
    assert!(believed("PMS300MI/UpdSchedule", &[("FACI", "A01"), ("WOSQ", "0")]), "of numbers, none is 0");
    assert!(!believed("PMS300MI/UpdSchedule", &[("FACI", "A01"), ("WOSQ", "7")]));
    // What may be left out names nothing, though nothing else is demanded either.
    assert!(!believed("MMS888MI/Update", &[("KEYN", "1"), ("WHLO", "001")]));
    // Where a copy goes to says nothing of what is copied; of what a job does from one division to another M3 tells.
    assert!(!believed("MMS889MI/CpyAll", &[("KEYN", "1"), ("CDIV", "AAA")]));
    assert!(!believed("MMS889MI/StrJob", &[("FDIV", "AAA"), ("TDIV", "AAA")]));
    // A lot of production is of one order.
    assert!(!believed("PMS050MI/RptReceipt", &[("FACI", "A01"), ("PRNO", "P"), ("PLNO", "7")]));
    // What is made has its number of its own, and what is done to what is there goes by that.
    assert!(believed("PMS100MI/CrtMO", &[("FACI", "A01"), ("PRNO", "P"), ("SCHN", "7")]));
    assert!(!believed("PMS100MI/CloseMtrlLine", &[("FACI", "A01"), ("SCHN", "7")]));
    assert!(believed("MMS850MI/AddMove", &[("WHLO", "001"), ("MSNR", "7")]));
    assert!(!believed("MMS850MI/AddStkId", &[("WHLO", "001"), ("MSNR", "7")]));
}

#[test]
fn a_division_that_is_a_value_of_the_record_holds_no_call_to_it() {
    let set = set_of(OWN);
    let user = say("MNS150MI/ChgDefaultValue", &["branch"]).with("USID", "BOSS").with("DIVI", "AAA");
    assert_eq!(user.of(&set).reason, Reason::DivisionNotCarried, "a user is named by USID, in whatever division");
    assert_eq!(user.with("WHLO", "001").of(&set).reason, Reason::DivisionNotCarried);
    let item = say("MMS200MI/UpdItmWhs", &["branch"]).with("ITNO", "A").with("DIVI", "AAA");
    assert_eq!(item.of(&set).reason, Reason::DivisionNotCarried, "it is named by a warehouse and an item");
    assert!(item.with("WHLO", "001").of(&set).allowed);
}

#[test]
fn nothing_of_a_program_that_a_customer_made_is_believed() {
    let set = set_of(OWN);
    for call in ["EXT001MI/Update", "EXT001MI/Chg", "EXT001MI/LstAll", "EXT001MI/GetServerTime"] {
        let ask = ["WHLO", "DIVI", "KEYN"].into_iter().fold(say(call, &["branch"]), |ask, field| {
            let takes = FieldName::parse(field).is_ok_and(|name| ask.layout.input.position(name).is_some());
            if takes { ask.with(field, "AAA") } else { ask }
        });
        assert_eq!(ask.of(&set).reason, Reason::DivisionNotCarried, "{call}: who made it marks what he likes");
    }
}

#[test]
fn lines_that_are_read_by_the_number_of_an_order_are_believed_no_more_than_writes_of_them() {
    let set = set_of(OWN);
    for call in ["OIS100MI/GetLine", "OIS100MI/LstLine"] {
        let decision = say(call, &["branch"]).with("ORNO", "1").of(&set);
        assert_eq!(decision.reason, Reason::DivisionNotCarried, "{call}: its warehouse is where its goods are");
    }
    for call in ["OIS100MI/GetHead", "OIS100MI/GetBatchHead"] {
        assert!(say(call, &["branch"]).with("ORNO", "1").of(&set).allowed, "{call} says whose the order is");
    }
    assert!(say("PMS060MI/LstMatBySchedNo", &["branch"]).with("FACI", "A01").with("SCHN", "7").of(&set).allowed);
}

#[test]
fn what_a_call_is_not_believed_for_is_named() {
    let why = |ask: Try| Unheld::of(&ask.layout, ask.effect, &ask.inputs);
    assert_eq!(why(say("PMS070MI/RptOperation", &[]).with("FACI", "A01").with("WOSQ", "7")), Unheld::By("WOSQ"));
    assert_eq!(why(say("OIS100MI/LstLine", &[]).with("ORNO", "1")), Unheld::By("ORNO"));
    assert_eq!(why(say("OIS100MI/AddOrderHead", &[])), Unheld::Without("FACI"));
    assert_eq!(why(say("MMS850MI/AddMove", &[]).with("MSNR", "7")), Unheld::Without("WHLO"));
    assert_eq!(why(say("MMS889MI/StrJob", &[])), Unheld::Plainly);
}

#[test]
fn a_forbid_over_a_class_holds_whichever_division_is_said_where_none_is_carried() {
    let forbids = |conditions: &str| {
        let rule = "@id(\"f\") forbid (principal, action in Action::\"write\", resource)";
        let set = set_of(&format!("{OWN}\n{rule} {conditions};"));
        let of = |call| say(call, &["office"]).of(&set);
        let told = of("PPS200MI/ApprovePO");
        assert!(told.allowed || (told.reason, &*told.rules) == (Reason::Forbidden, &["f".into()][..]), "{told:?}");
        assert!(of("CRS610MI/ChgFinancial").allowed, "{conditions}: AAA is carried, and not forbidden");
        !told.allowed
    };
    assert!(forbids("when { context.division == \"BBB\" }"));
    assert!(forbids("unless { context.division == \"AAA\" }"));
    assert!(forbids("when { context.company == 100 && context.division == \"BBB\" }"));
    assert!(forbids("when { context.minute < 1440 } unless { [\"AAA\", \"CCC\"].contains(context.division) }"));
    assert!(!forbids("when { context.company == 200 && context.division == \"BBB\" }"), "it is of another company");
    assert!(!forbids("when { context.division == \"BBB\" } unless { context.address.isLoopback() || true }"));
}

#[test]
fn an_access_review_knows_that_a_division_is_not_carried() {
    let set = set_of(OWN);
    let certain = |ask: &Try| set.holds_whatever_is_sent(&ask.ask(), &set.decide(&ask.ask()));
    assert!(certain(&say("PPS200MI/ApprovePO", &["branch"])), "never, whatever is sent");
    assert!(!certain(&say("MMS200MI/DltItmWhs", &["branch"])), "with a warehouse it may be allowed");
    assert!(certain(&say("MMS100MI/AddDOLine", &["branch"])), "nor with one, where a number names the record");
    let hours = set_of(&OWN.replace("== \"AAA\"", "== \"AAA\" && context.minute < 600"));
    let ask = say("PPS200MI/ApprovePO", &["branch"]);
    assert!(hours.holds_whatever_is_sent(&ask.ask(), &hours.decide(&ask.ask())), "at no hour either");
    assert!(certain(&say("PPS200MI/ApprovePO", &["branch", "office"])));
    assert!(certain(&say("CRS610MI/ChgFinancial", &["branch"])));
}

#[test]
fn a_rule_that_names_a_transaction_can_not_ask_it_for_a_division_that_it_does_not_carry() {
    let rule = |call: &str| {
        format!("permit (principal, action == Action::\"{call}\", resource) when {{ context.division == \"AAA\" }};")
    };
    for call in ["PPS200MI/ApprovePO", "PPS200MI/GetLine", "OIS320MI/LstPrices", "OIS100MI/AddOrderLine"] {
        let faults = load(&rule(call)).expect_err("a rule that looks enforced");
        assert!(faults.iter().any(|fault| fault.code == "division-not-carried" && fault.hint.is_some()), "{faults:?}");
    }
    for call in ["PPS200MI/GetHead", "CRS610MI/ChgFinancial"] {
        assert!(load(&rule(call)).is_ok(), "{call}");
    }
    // Carried where the call gives a warehouse, and not believed where it gives none.
    let set = set_of(&rule("MMS200MI/DltItmWhs"));
    assert_eq!(say("MMS200MI/DltItmWhs", &[]).of(&set).reason, Reason::DivisionNotCarried);
    assert!(say("MMS200MI/DltItmWhs", &[]).with("WHLO", "001").of(&set).allowed);
}

#[test]
fn a_check_tells_which_transactions_of_a_class_carry_no_division() {
    let call = |text: &str| identity::pair(text).expect("a call");
    let (approve, head, change) = (call("PPS200MI/ApprovePO"), call("PPS200MI/GetHead"), call("CRS610MI/ChgFinancial"));
    let found = |known: &[_]| {
        let found = set_of(OWN).review((known, &layouts), Default::default(), NOW);
        let found: Vec<_> = found.into_iter().filter(|one| one.fault.code == "division-not-carried").collect();
        found.into_iter().map(|one| (one.severity, one.fault.message)).collect::<Vec<_>>()
    };
    let some = found(&[approve, head, change]);
    assert_eq!(some.len(), 1, "of the rule that asks: {some:?}");
    assert!(some[0].0 == Severity::Note && some[0].1.contains("1 of the 3"), "{some:?}");
    assert!(some[0].1.contains("permits none of them (PPS200MI/ApprovePO)"), "{some:?}");
    assert_eq!(found(&[approve])[0].0, Severity::Warning, "it permits nothing at all");
    assert!(found(&[head, change]).is_empty());
}

#[test]
fn whoever_is_bound_to_divisions_makes_calls_that_carry_none_only_for_the_company_as_a_whole() {
    let (company, aaa) = (Company::new(100).expect("a company"), Division::parse("AAA").expect("a division"));
    let bound = |divisions: &[Division]| Standing {
        companies: vec![company],
        divisions: divisions.to_vec(),
        ..Standing::default()
    };
    let (branch, chief, of_company) = (bound(&[aaa]), bound(&[aaa, Division::BLANK]), bound(&[]));
    let whole = |unheld| Some(Outside::Whole(company, unheld));
    for (ask, found) in [
        (say("PPS200MI/ApprovePO", &[]), whole(Unheld::Plainly)),
        (say("OIS320MI/LstPrices", &[]).with("WHLO", "001"), whole(Unheld::Plainly)),
        (say("OIS100MI/AddOrderLine", &[]).with("ORNO", "1").with("WHLO", "001"), whole(Unheld::By("ORNO"))),
        (say("MMS200MI/DltItmWhs", &[]), whole(Unheld::Without("WHLO"))),
        (say("MMS200MI/DltItmWhs", &[]).with("WHLO", "001"), None),
        (say("OIS100MI/AddOrderHead", &[]).with("FACI", "A01"), None),
        (say("CRS610MI/ChgFinancial", &[]), None),
        (say("PPS200MI/GetHead", &[]), None),
        (say("GENERAL/GetServerTime", &[]), None),
    ] {
        assert_eq!(outside(&branch, &ask.ask()), found, "{}/{}", ask.program, ask.transaction);
        for wider in [&chief, &of_company, &Standing::default()] {
            assert_eq!(outside(wider, &ask.ask()), None, "{}/{}", ask.program, ask.transaction);
        }
    }
    // What it is bound to holds all the same for what a call says.
    let mut elsewhere = say("PPS200MI/ApprovePO", &[]);
    elsewhere.place.division = Division::parse("BBB").expect("a division");
    assert_eq!(outside(&chief, &elsewhere.ask()), Some(Outside::Place(elsewhere.place)));
}

#[test]
fn the_clock_is_the_companys_where_nothing_holds_a_call_to_its_division() {
    let sydney = TimeZone::get("Australia/Sydney").expect("a zone");
    let rules = r#"@id("hours") permit (principal, action in [Action::"read", Action::"write"], resource)
        when { context.local_minute >= 480 && context.local_minute < 1020 };
        @id("closed") forbid (principal in Group::"office", action in Action::"write", resource)
        unless { context.local_minute >= 480 && context.local_minute < 1020 };
        @id("any") permit (principal in Group::"office", action in Action::"write", resource);"#;
    let of = |zones: &[(&str, &TimeZone)]| {
        let mut site = Site::of(LOCAL);
        zones.iter().for_each(|(whose, zone)| assert!(site.zones.set(whose, (*zone).clone())));
        Set::load(&[source(rules)], &site, &layouts).unwrap_or_else(|faults| panic!("{faults:#?}"))
    };
    // Ten in the morning in Sydney, and night in UTC.
    let now = "2026-03-03T23:00:00Z".parse::<jiff::Timestamp>().expect("a moment").as_second() as u64;
    let set = of(&[("100", &TimeZone::UTC), ("100/AAA", &sydney)]);
    let at = |call: &str, groups: &[&str]| Try { now, ..say(call, groups) };
    assert!(at("PPS200MI/GetHead", &[]).of(&set).allowed, "the answer says its division");
    assert!(!at("PPS200MI/ApprovePO", &[]).of(&set).allowed, "the order may be of any");
    assert_eq!(at("PPS200MI/ApprovePO", &["office"]).of(&set).reason, Reason::Forbidden);
    // Without a clock of the company it is nowhere known.
    assert_eq!(at("PPS200MI/ApprovePO", &[]).of(&of(&[("100/AAA", &sydney)])).reason, Reason::NoZone);
}
