//! Mappings, documents and their checks, over records made by hand.

use super::*;
use crate::model::{Charset, Conventions, FieldKind, FieldLayout, FieldName, Layout, ProgramName, Record};
use crate::model::{TransactionLayout, TransactionName};
use bytes::Bytes;
use insta::assert_snapshot;

fn source(text: &str) -> Source {
    Source { name: "site.toml".into(), text: text.into() }
}

fn faults(text: &str) -> String {
    match Mapping::parse(&source(text)) {
        Ok(_) => "no fault".into(),
        Err(faults) => faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    }
}

/// A layout of `NAME:length:kind` columns, and records of it.
fn layout(program: &str, transaction: &str, multi: bool, input: &str, output: &str) -> TransactionLayout {
    let fields = |text: &str| {
        let mut from = 16;
        let made = text.split_whitespace().map(|field| {
            let (name, kind) = field.split_once(':').unwrap_or((field, "A"));
            let name = FieldName::parse(name).expect("a field's name");
            let kind = FieldKind::of(kind).expect("a kind");
            let at = FieldLayout { name, kind, from, length: 20, mandatory: false, description: "".into() };
            from += 20;
            at
        });
        Layout::new(made.collect())
    };
    TransactionLayout {
        program: ProgramName::parse(program).expect("a program's name"),
        name: TransactionName::parse(transaction).expect("a transaction's name"),
        description: "".into(),
        multi,
        input: fields(input),
        output: fields(output),
    }
}

fn record(layout: &TransactionLayout, values: &[(&str, &str)]) -> Record {
    let mut text = "OK             ".to_owned();
    for field in layout.output.fields() {
        let value = values.iter().find(|(name, _)| *name == field.name.as_str()).map_or("", |(_, value)| value);
        text.push_str(&format!("{value:<20}"));
    }
    let charset = Charset::Ucs2;
    let payload: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    Record::new(Bytes::from(payload), charset, Conventions::default())
}

fn envelope<'a>(key: &'a [&'a str]) -> Envelope<'a> {
    Envelope {
        verb: Verb::Sync,
        action: Action::Replace,
        tenant: "DEMO_TST",
        entity: "100_AAA",
        company: "100",
        division: "AAA",
        location: "",
        logical_id: "lid://infor.m3.gateway",
        component: "mi-gateway",
        reference: "r-1",
        confirmation: "OnError",
        created: "2026-03-01T12:00:00.000Z",
        bod_id: "0198",
        variation: 7,
        key,
    }
}

/// One element a line, for a reader.
fn lines(xml: &str) -> String {
    xml.replace("><", ">\n<")
}

const ORDER: &str = r#"
noun = "PurchaseOrder"
key = ["PUNO"]
entity = "division"
location = "head.WHLO"
[table.status]
"90" = "Closed"
"*" = "Open"
[[read]]
name = "head"
transaction = "PPS200MI/GetHead"
with = { PUNO = "key.PUNO" }
[[read]]
name = "line"
transaction = "PPS200MI/LstLine"
list = true
with = { PUNO = "key.PUNO" }
[[read]]
name = "wide"
transaction = "PPS200MI/LstLine2"
list = true
joins = "line"
on = ["PNLI"]
[[write]]
transaction = "PPS200MI/DltLine"
proof = "state-only"
deletes = "parent"
[document]
elements = [
  { path = "PurchaseOrderHeader/DocumentID/ID", value = "key.PUNO", id = "document" },
  { path = "PurchaseOrderHeader/Status/Code", value = "head.PUSL | map(status)" },
  { path = "PurchaseOrderHeader/ExtendedAmount", value = "head.NTAM", attributes = { currencyID = "head.CUCD" } },
  { path = "PurchaseOrderHeader/OrderDateTime", value = "head.PUDT | date" },
  { property = "m3.REMK", in = "PurchaseOrderHeader", value = "head.REMK" },
  { path = "PurchaseOrderLine", each = "line" },
  { path = "PurchaseOrderLine/LineNumber", value = "line.PNLI | times(1000) | plus(line.PNLS)" },
  { path = "PurchaseOrderLine/Item/ItemID/ID", value = "line.ITNO", id = "company" },
  { path = "PurchaseOrderLine/Item/Description", value = "wide.PITD | or(line.ITDS)" },
]
"#;

fn head() -> TransactionLayout {
    layout("PPS200MI", "GetHead", false, "CONO PUNO", "PUSL NTAM:N CUCD PUDT:D WHLO REMK")
}

fn line() -> TransactionLayout {
    layout("PPS200MI", "LstLine", true, "CONO PUNO", "PNLI:N PNLS:N ITNO ITDS")
}

fn wide() -> TransactionLayout {
    layout("PPS200MI", "LstLine2", true, "CONO PUNO", "PNLI:N PITD")
}

fn composed(currency: &str, remark: &str) -> Composed {
    composed_by(ORDER, currency, remark)
}

fn composed_by(mapping: &str, currency: &str, remark: &str) -> Composed {
    let mapping = Mapping::parse(&source(mapping)).expect("the mapping has no fault");
    let (head, line, wide) = (head(), line(), wide());
    let bound = mapping.bind(&[Some(&head), Some(&line), Some(&wide)]).expect("M3 has all of it");
    let heads = [record(
        &head,
        &[
            ("PUSL", "20"),
            ("NTAM", "12.50"),
            ("CUCD", currency),
            ("PUDT", "20260301"),
            ("WHLO", "001"),
            ("REMK", remark),
        ],
    )];
    let lines = [
        record(&line, &[("PNLI", "10"), ("PNLS", "0"), ("ITNO", "A<1>"), ("ITDS", "short")]),
        record(&line, &[("PNLI", "20"), ("PNLS", "1"), ("ITNO", "B"), ("ITDS", "kept")]),
    ];
    // In another order, and without the second line.
    let wides = [record(&wide, &[("PNLI", "30")]), record(&wide, &[("PNLI", "10"), ("PITD", "the whole of it")])];
    let rows = [
        Rows { layout: &head, records: &heads },
        Rows { layout: &line, records: &lines },
        Rows { layout: &wide, records: &wides },
    ];
    let (key, location) = (["4711"], bound.location(&["4711"], &rows));
    bound.compose(&Envelope { location: &location, ..envelope(&key) }, &rows)
}

#[test]
fn a_document_is_written_in_the_outlines_order_and_validates() {
    let composed = composed("EUR", "mind & hurry");
    assert_eq!(validate("document", &composed.xml), []);
    assert_eq!(composed.replaced, 0);
    assert!(composed.xml.contains("<LocationID>001</LocationID>"), "as the head says");
    assert_snapshot!(lines(&composed.xml));
}

/// Each with each would take minutes.
#[test]
fn long_lists_that_are_off_by_one_are_joined_all_the_same() {
    const LINES: usize = 20_000;
    let mapping = Mapping::parse(&source(ORDER)).expect("the mapping has no fault");
    let (head, line, wide) = (head(), line(), wide());
    let bound = mapping.bind(&[Some(&head), Some(&line), Some(&wide)]).expect("M3 has all of it");
    let heads = [record(&head, &[("PUSL", "20")])];
    let numbered = |at: usize| (at.to_string(), format!("of {at}."));
    let lines: Vec<_> = (1..=LINES)
        .map(|at| record(&line, &[("PNLI", &numbered(at).0), ("PNLS", "0"), ("ITNO", "A"), ("ITDS", "short")]))
        .collect();
    let wides: Vec<_> = (2..=LINES)
        .map(numbered)
        .map(|(number, text)| record(&wide, &[("PNLI", number.as_str()), ("PITD", text.as_str())]))
        .collect();
    let rows = [
        Rows { layout: &head, records: &heads },
        Rows { layout: &line, records: &lines },
        Rows { layout: &wide, records: &wides },
    ];
    let begun = std::time::Instant::now();
    let xml = bound.compose(&envelope(&["4711"]), &rows).xml;
    assert!(begun.elapsed() < std::time::Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!(xml.matches(">short<").count(), 1, "the first line alone has no other half");
    for at in [2, LINES / 2, LINES] {
        assert_eq!(xml.matches(&format!(">of {at}.<")).count(), 1, "line {at}");
    }
}

#[test]
fn an_amount_without_a_currency_is_not_written_and_neither_is_what_m3_left_blank() {
    let xml = composed("", "").xml;
    assert!(!xml.contains("ExtendedAmount") && !xml.contains("UserArea"), "{xml}");
    assert_eq!(validate("document", &xml), []);
}

#[test]
fn a_list_that_this_m3_does_not_have_may_be_left_out_where_the_mapping_says_so() {
    let head = layout("PPS200MI", "GetHead", false, "PUNO", "PUNO PUSL NTAM:N CUCD PUDT:D REMK WHLO");
    let line = layout("PPS200MI", "LstLine", true, "PUNO", "PNLI:N PNLS:N ITNO ITDS");
    let wide = layout("PPS200MI", "LstLine2", true, "", "");
    let optional = ORDER.replace("joins = \"line\"", "optional = true\njoins = \"line\"");
    let [must, may] = [ORDER, optional.as_str()].map(|text| Mapping::parse(&source(text)).expect("a mapping"));
    for wide in [None, Some(&wide)] {
        assert!(must.bind(&[Some(&head), Some(&line), wide]).is_err());
        assert!(may.bind(&[Some(&head), Some(&line), wide]).is_ok());
    }
    let bound = may.bind(&[Some(&head), Some(&line), Some(&wide)]).expect("it is bound");
    let (heads, lines) =
        ([record(&head, &[("PUNO", "1")])], [record(&line, &[("PNLI", "1"), ("ITNO", "A1"), ("ITDS", "Bolt")])]);
    let rows = [
        Rows { layout: &head, records: &heads },
        Rows { layout: &line, records: &lines },
        Rows { layout: &wide, records: &[] },
    ];
    let document = bound.compose(&envelope(&["1"]), &rows).xml;
    assert!(document.contains("<Description>Bolt</Description>"), "{document}");
    let no_list = ORDER.replace("name = \"head\"", "name = \"head\"\noptional = true");
    assert!(faults(&no_list).contains("head is optional and no list"), "{}", faults(&no_list));
}

#[test]
fn what_xml_forbids_is_replaced_and_counted_and_poisons_nothing() {
    let composed = composed("EUR", "a\u{1}b");
    assert_eq!(composed.replaced, 1);
    assert_eq!(validate("document", &composed.xml), []);
}

#[test]
fn the_shipped_mappings_have_no_fault() {
    let mappings = shipped().map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    let nouns = mappings.map(|all| all.iter().map(|one| one.noun().to_owned()).collect::<Vec<_>>().join(" "));
    assert_eq!(
        nouns.as_deref(),
        Ok(
            "ItemMaster CustomerPartyMaster ShipToPartyMaster BillToPartyMaster PayFromPartyMaster SupplierPartyMaster \
            PurchaseOrder SalesOrder CodeDefinition ChartOfAccounts"
        )
    );
}

#[test]
fn every_fault_of_a_mapping_is_told_with_its_place() {
    let text = ORDER
        .replace("\"head.PUDT | date\"", "\"head.PUDT\"")
        .replace("PurchaseOrderHeader/Status/Code", "PurchaseOrderHeader/Status/Kode")
        .replace("head.REMK", "haed.REMK")
        .replace("map(status)", "map(statuses)");
    assert_snapshot!(faults(&text));
}

#[test]
fn an_element_out_of_its_order_is_a_fault_with_its_line() {
    let moved =
        "  { path = \"PurchaseOrderHeader/DisplayID\", value = \"key.PUNO\" },\n  { path = \"PurchaseOrderLine\",";
    let text = ORDER.replace("  { path = \"PurchaseOrderLine\",", moved);
    assert_snapshot!(faults(&text), @"site.toml:35:3: DisplayID stands behind Status; in PurchaseOrderHeader it comes before it: move it up");
}

#[test]
fn custom_fields_of_every_type_stand_at_the_noun_its_header_and_its_lines() {
    let last = "value = \"wide.PITD | or(line.ITDS)\" },\n";
    let more = r#"
  { property = "m3.CUCD", in = "", value = "head.CUCD" },
  { property = "m3.NTAM", in = "", value = "head.NTAM", type = "NumericType" },
  { property = "m3.PUDT", in = "PurchaseOrderHeader", value = "head.PUDT | date", type = "DateTimeType" },
  { property = "m3.PNLS", in = "PurchaseOrderLine", value = "line.PNLS", type = "IntegerNumericType" },
  { property = "m3.SUB", in = "PurchaseOrderLine", value = "line.PNLS | flag", type = "IndicatorType" },
"#;
    let text = ORDER.replace(last, &format!("{last}{more}"));
    let xml = composed_by(&text, "EUR", "x").xml;
    assert_eq!(validate("document", &xml), []);
    let (header, rest) = xml.split_once("</PurchaseOrderHeader>").expect("a header");
    let (line, rest) = rest.split_once("</PurchaseOrderLine>").expect("a line");
    let (second, noun) = rest.split_once("</PurchaseOrderLine>").expect("another line");
    let properties = |part: &str| {
        let (_, area) = part.split_once("<UserArea>").expect("custom fields");
        let all = area.split("<NameValue ").skip(1).map(|one| one.split("</").next().unwrap_or_default());
        all.collect::<Vec<_>>().join("; ")
    };
    assert_snapshot!([header, line, second, noun].map(properties).join("\n"), @r#"
    name="m3.REMK" type="StringType">x; name="m3.PUDT" type="DateTimeType">2026-03-01
    name="m3.PNLS" type="IntegerNumericType">0; name="m3.SUB" type="IndicatorType">false
    name="m3.PNLS" type="IntegerNumericType">1; name="m3.SUB" type="IndicatorType">true
    name="m3.CUCD" type="StringType">EUR; name="m3.NTAM" type="NumericType">12.50
    "#);
    assert!(faults(&text.replace("IndicatorType", "FlagType")).contains("the property's type is \"FlagType\""));
    for (value, of, flaw) in [
        ("Type\">12.50<", "Type\">twelve<", "NameValue is no Number: \"twelve\""),
        ("Type\">0<", "Type\">0.5<", "NameValue is no Integer: \"0.5\""),
        (">false<", ">no<", "NameValue is no Flag: \"no\""),
        ("DateTimeType\">2026-03-01<", "DateTimeType\">1.3.2026<", "NameValue is no Date: \"1.3.2026\""),
        ("\"StringType\"", "\"TextType\"", "\"TextType\" is no type"),
    ] {
        assert!(xml.contains(value), "{value} in {xml}");
        let flaws: Vec<String> = validate("d", &xml.replace(value, of)).iter().map(ToString::to_string).collect();
        assert!(flaws.iter().any(|one| one.contains(flaw)), "{flaw}: {flaws:?}");
    }
}

#[test]
fn a_list_is_read_only_where_it_is_walked() {
    let text = ORDER.replace("value = \"head.PUSL | map(status)\"", "value = \"line.ITNO\"");
    assert!(faults(&text).contains("Code takes line.ITNO of a list outside of each = \"line\""), "{}", faults(&text));
}

#[test]
fn a_site_adds_takes_out_and_has_elements_of_its_own() {
    let base = Mapping::parse(&source(ORDER)).expect("the mapping has no fault");
    let site = r#"
noun = "PurchaseOrder"
extends = "shipped"
[document]
without = ["PurchaseOrderHeader/ExtendedAmount"]
elements = [
  { path = "PurchaseOrderHeader/DisplayID", value = "key.PUNO" },
  { path = "PurchaseOrderHeader/custom:Urgency", value = "'high'", when = "head.REMK in ('hurry', 'now')" },
]
"#;
    let site = Mapping::parse_over(&source(site), &[base]).map_err(|faults| faults[0].to_string());
    let site = site.expect("the site's file has no fault");
    let (head, line, wide) = (head(), line(), wide());
    let bound = site.bind(&[Some(&head), Some(&line), Some(&wide)]).expect("M3 has all of it");
    let of = |remark| {
        let heads = [record(&head, &[("NTAM", "1"), ("CUCD", "EUR"), ("REMK", remark)])];
        let none = |layout| Rows { layout, records: &[] };
        bound.compose(&envelope(&["1"]), &[Rows { layout: &head, records: &heads }, none(&line), none(&wide)]).xml
    };
    let hurry = of("hurry");
    assert_eq!(validate("document", &hurry), []);
    let header = hurry.split("<PurchaseOrderHeader>").nth(1).unwrap_or_default();
    assert_snapshot!(lines(header.split("</PurchaseOrderHeader>").next().unwrap_or_default()));
    assert!(!of("").contains("Urgency"));
}

#[test]
fn what_m3_does_not_know_is_a_fault_of_the_file() {
    let mapping = Mapping::parse(&source(ORDER)).expect("the mapping has no fault");
    let (line, wide) = (line(), wide());
    let less = layout("PPS200MI", "GetHead", true, "CONO", "PUSL NTAM:N CUCD WHLO REMK");
    let faults = mapping.bind(&[Some(&less), Some(&line), Some(&wide)]).map(|_| ()).unwrap_err();
    let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_snapshot!(told.join("\n"));
}

#[test]
fn every_flaw_of_a_document_is_told() {
    let good = composed("EUR", "x").xml;
    let of = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        validate("d.xml", &good.replace(from, to)).iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    let flaws = [
        of("<OrderDateTime>2026-03-01</OrderDateTime>", "<OrderDateTime>1.3.2026</OrderDateTime>"),
        of(" currencyID=\"EUR\"", ""),
        of("<LineNumber>10000</LineNumber>", "<LineNumber>x</LineNumber>"),
        of("<Status>", "<Stratus/><Status>"),
        of("<CreationDateTime>2026-03-01T12:00:00.000Z</CreationDateTime>", ""),
        of("<BODID>0198</BODID>", "<BODID>0198</BODID><BODID>2</BODID>"),
        of("<DataArea>", "<DataArea>text"),
        of("</SyncPurchaseOrder>", ""),
        of("<?xml version=\"1.0\" encoding=\"UTF-8\"?>", "<!DOCTYPE x [<!ENTITY a \"b\">]>"),
    ];
    assert_snapshot!(flaws.join("\n"));
    assert!(validate("d.xml", "not xml").iter().any(|flaw| flaw.message.contains("outside")));
    assert!(!validate("d.xml", "").is_empty());
}

#[test]
fn a_schema_is_written_for_each_noun() {
    for mapping in shipped().expect("no fault") {
        let schema = schema(mapping.noun()).expect("the noun is known");
        assert!(schema.contains(&format!("<xs:element name=\"Sync{}\">", mapping.noun())));
    }
    assert_eq!(schema("Item"), None);
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_check_panic(text in "[<>a-zA-Z/&;\"= !\\[\\]-]{0,200}") {
        let _ = validate("d", &text);
    }
}

const WATCH: &str = r#"
noun = "PurchaseOrder"
extends = "shipped"
[[write]]
transaction = "EXT100MI/Close"
proof = "never"
key = { PUNO = "ORDR" }
[[watch]]
transaction = "EXT100MI/Finish"
batch = "MSGN"
enters = ["EXT100MI/Enter"]
asks = "EXT100MI/Ask"
status = "STAT"
done = ["90"]
part = "PNLI"
asks_part = "EXT100MI/AskLine"
"#;

#[test]
fn everything_that_a_mapping_names_is_held_against_what_is_at_hand_of_m3() {
    let shipped = shipped().expect("shipped");
    let mapping = Mapping::parse_over(&source(WATCH), &shipped).expect("no fault");
    let all = [
        layout("EXT100MI", "Close", false, "ORDR", ""),
        layout("EXT100MI", "Finish", false, "MSGN", ""),
        layout("EXT100MI", "Enter", false, "MSGN ITNO", "PUNO"),
        layout("EXT100MI", "Ask", false, "PUNO", "STAT"),
        layout("EXT100MI", "AskLine", false, "PUNO PNLI", "STAT"),
    ];
    let fit = |layouts: &[TransactionLayout]| {
        let found = |program, name| layouts.iter().find(|one| (one.program, one.name) == (program, name)).cloned();
        mapping.fit(&|program, name| found(program, name).map(std::sync::Arc::new))
    };
    let good = fit(&all);
    assert!(good.faults.is_empty(), "{:?}", good.faults);
    assert!(good.unseen.iter().all(|(program, _)| program.as_str() != "EXT100MI"), "{:?}", good.unseen);
    for (at, (input, output), expected) in [
        (0, ("PUNO", ""), "site.toml:5:15: EXT100MI/Close neither takes nor gives ORDR"),
        (1, ("", ""), "site.toml:9:15: EXT100MI/Finish has no input field MSGN"),
        (2, ("MSGN", ""), "EXT100MI/Enter neither takes nor gives PUNO"),
        (2, ("PUNO", ""), "EXT100MI/Enter has no input field MSGN"),
        (3, ("PUNO", ""), "EXT100MI/Ask gives no field STAT"),
        (3, ("", "STAT"), "EXT100MI/Ask has no input field PUNO"),
        (4, ("PUNO", "STAT"), "EXT100MI/AskLine has no input field PNLI"),
    ] {
        let mut one = all.to_vec();
        one[at] = layout("EXT100MI", one[at].name.as_str(), false, input, output);
        let faults: Vec<String> = fit(&one).faults.iter().map(ToString::to_string).collect();
        assert!(faults.len() == 1 && faults[0].contains(expected), "{expected}: {faults:?}");
    }
    // What was taken over is told where the file says that it takes it over.
    let faults = fit(&[layout("PPS200MI", "GetHead", false, "PUNO", "")]).faults;
    assert!(!faults.is_empty() && faults[0].to_string().contains("site.toml:3:11"), "{faults:?}");
}

#[test]
fn a_text_that_is_read_narrower_than_it_was_written_is_told() {
    let mapping = Mapping::parse(&source(ORDER)).expect("no fault");
    let mut narrow = line();
    let mut fields = narrow.output.fields().to_vec();
    fields.iter_mut().for_each(|field| field.length = 10);
    narrow.output = Layout::new(fields);
    let delete = |taken: &str| layout("PPS200MI", "DltLine", false, taken, "");
    let cuts = |taken: &str, wide: &TransactionLayout| -> Vec<String> {
        let all = [head(), narrow.clone(), wide.clone(), delete(taken)];
        let found = |program, name| all.iter().find(|one| (one.program, one.name) == (program, name)).cloned();
        let fit = mapping.fit(&|program, name| found(program, name).map(std::sync::Arc::new));
        fit.cuts.iter().map(ToString::to_string).collect()
    };
    let told = cuts("PUNO ITDS", &wide());
    assert!(told.len() == 1 && told[0].contains("ITDS is read with 10 characters"), "{told:?}");
    assert_eq!(cuts("PUNO PITD", &wide()), [] as [String; 0], "it is read whole");
    assert_eq!(cuts("PUNO ITDS:N", &wide()), [] as [String; 0], "numbers are not cut");
}

#[test]
fn a_watch_says_what_ends_it() {
    for (from, to, expected) in [
        ("done = [\"90\"]", "done = []", "no status that ends the watch"),
        ("done = [\"90\"]", "done = [\"90\"]\nfailed = [\"90\"]", "among done and among failed"),
        ("part = \"PNLI\"\n", "", "go together"),
    ] {
        let shipped = shipped().expect("shipped");
        let faults = Mapping::parse_over(&source(&WATCH.replace(from, to)), &shipped).expect_err(expected);
        assert!(faults.len() == 1 && faults[0].message.contains(expected), "{faults:?}");
    }
}

#[test]
fn every_write_states_what_can_be_known_of_it_and_no_more_than_can_be_held() {
    let shipped = shipped().expect("shipped");
    let of = |from: &str, to: &str| Mapping::parse_over(&source(&WATCH.replace(from, to)), &shipped);
    for (from, to, expected) in [
        ("proof = \"never\"\n", "", "does not say what can be known of it"),
        ("\"never\"", "\"maybe\"", "proof is \"maybe\""),
        ("\"never\"", "\"provable\"", "can't be proven by reading the record back"),
        ("\"never\"", "\"provable\"\ndeletes = \"self\"", "can't be proven"),
    ] {
        let faults = of(from, to).expect_err(expected);
        assert!(faults.len() == 1 && faults[0].message.contains(expected), "{faults:?}");
        assert!(faults[0].to_string().starts_with("site.toml:"), "{faults:?}");
    }
    // A part that goes shows nothing of itself, and a site's word on a shipped write stands in its place.
    let part =
        ("EXT100MI/Close\"\nproof = \"never\"", "EXT100MI/DelPart\"\nproof = \"provable\"\ndeletes = \"parent\"");
    assert!(of(part.0, part.1).is_err());
    let name =
        |of: &str| (ProgramName::parse("PPS200MI").expect("a name"), TransactionName::parse(of).expect("a name"));
    let own = of(
        "EXT100MI/Close\"\nproof = \"never\"\nkey = { PUNO = \"ORDR\" }",
        "PPS200MI/UpdHead\"\nproof = \"state-only\"",
    );
    let own = own.expect("no fault");
    let head = name("UpdHead");
    let same = own.writes().iter().filter(|write| (write.program, write.transaction) == head);
    assert_eq!(same.map(|write| write.proof).collect::<Vec<_>>(), [Proof::StateOnly]);
}

#[test]
fn what_is_called_provable_sends_what_can_be_read_back() {
    let text = ORDER.replace(
        "PPS200MI/DltLine\"\nproof = \"state-only\"\ndeletes = \"parent\"",
        "PPS200MI/UpdHead\"\nproof = \"provable\"",
    );
    let text = text
        + "[[reference]]\ntransaction = \"PPS200MI/UpdHead\"\nfield = \"YREF\"\nnumber = \"PUNO\"\nlist = \"PPS200MI/LstHead\"\nwith = [\"SUNO\"]\nshows = \"PPS200MI/GetHead\"\n";
    let mapping = Mapping::parse(&source(&text)).expect("no fault");
    let nobodys =
        Mapping::parse(&source(&text.replace("number = \"PUNO\"", "number = \"SUNO\""))).expect_err("a fault");
    assert!(nobodys.len() == 1 && nobodys[0].message.contains("SUNO is no part of the name"), "{nobodys:?}");
    let faults = |sent: &str, takes: &str, gives: &str| -> Vec<String> {
        let all = [
            layout("PPS200MI", "GetHead", false, "PUNO", "PUNO WHLO PUSL NTAM:N CUCD PUDT REMK YREF"),
            layout("PPS200MI", "UpdHead", false, sent, ""),
            layout("PPS200MI", "LstHead", true, takes, gives),
        ];
        let found = |program, name| all.iter().find(|one| (one.program, one.name) == (program, name)).cloned();
        let fit = mapping.fit(&|program, name| found(program, name).map(std::sync::Arc::new));
        let mine = fit.faults.iter().map(ToString::to_string);
        mine.filter(|fault| fault.contains("Upd") || fault.contains("LstHead")).collect()
    };
    assert_eq!(faults("PUNO SUNO YREF REMK", "SUNO", "PUNO YREF"), [] as [String; 0]);
    for (sent, takes, gives, expected) in [
        ("PUNO SUNO YREF", "", "PUNO YREF", "LstHead has no input field SUNO"),
        ("PUNO SUNO YREF", "SUNO", "PUNO", "LstHead gives no field YREF"),
        ("PUNO SUNO REMK", "SUNO", "PUNO YREF", "UpdHead has no input field YREF"),
    ] {
        let told = faults(sent, takes, gives);
        assert!(told.len() == 1 && told[0].contains(expected), "{told:?}");
    }
    let told = faults("PUNO SUNO", "SUNO", "PUNO YREF");
    assert!(
        told.iter().any(|fault| fault.contains("nothing that PPS200MI/UpdHead sends can be read back")),
        "{told:?}"
    );
}
