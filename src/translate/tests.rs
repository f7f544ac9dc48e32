//! Laws of the translation, over a small layout of the tests' own.

use super::*;
use crate::model::{
    Charset, Company, Conventions, DateForm, Division, FieldKind, FieldLayout, FieldName, Layout, Place, ProgramName,
    Record, TransactionLayout, TransactionName,
};
use bytes::Bytes;
use insta::assert_snapshot;
use proptest::prelude::*;
use std::sync::Arc;

fn fields(list: &[(&str, FieldKind, u16, bool)]) -> Layout {
    let mut from = 16;
    let mut fields = Vec::new();
    for (name, kind, length, mandatory) in list {
        let name = FieldName::parse(name).expect("a field name of the test");
        let description = format!("The {name}").into();
        fields.push(FieldLayout { name, kind: *kind, from, length: *length, mandatory: *mandatory, description });
        from += length;
    }
    Layout::new(fields)
}

fn layout() -> Arc<TransactionLayout> {
    use FieldKind::{Alphanumeric as A, Date as D, Number as N};
    Arc::new(TransactionLayout {
        program: ProgramName::parse("CRS610MI").expect("a program name"),
        name: TransactionName::parse("GetBasicData").expect("a transaction name"),
        description: "".into(),
        multi: true,
        input: fields(&[
            ("CONO", N, 3, false),
            ("DIVI", A, 3, false),
            ("CUNO", A, 10, true),
            ("CRLM", N, 9, false),
            ("LMDT", D, 8, false),
        ]),
        output: fields(&[("CUNO", A, 10, false), ("CUNM", A, 12, false), ("CRLM", N, 9, false), ("LMDT", D, 8, false)]),
    })
}

fn place() -> Place {
    Place { company: Company::new(100).expect("a company"), division: Division::parse("AAA").expect("a division") }
}

fn record(text: &str) -> Record {
    Record::new(Bytes::copy_from_slice(text.as_bytes()), Charset::Latin1, Conventions::default())
}

fn sent(tail: &str, query: &str) -> String {
    let asked = match read(tail, Some(query)) {
        Ok(asked) => asked,
        Err(fault) => return format!("unreadable: {fault}"),
    };
    match asked.typed(&layout()) {
        Ok(typed) => {
            let layout = layout();
            let inputs = placed(typed, &layout, place());
            let each = inputs.iter().map(|i| format!("{}={}", layout.input.fields()[usize::from(i.at)].name, i.value));
            each.collect::<Vec<_>>().join(" ")
        }
        Err(fault) => format!("{}: {fault}", fault.kind.as_str()),
    }
}

#[test]
fn company_and_division_are_always_sent_filled() {
    assert_snapshot!(sent("CRS610MI/GetBasicData", "CUNO=c1"), @"CONO=100 DIVI=AAA CUNO=C1");
}

#[test]
fn what_is_wrong_is_said_before_m3_is_asked() {
    let of = |query: &str| sent("CRS610MI/GetBasicData", query);
    assert_snapshot!(of(""), @"MandatoryInputFieldNotFound: Mandatory input field CUNO not found");
    assert_snapshot!(of("CUNO=%20%20"), @"MandatoryInputFieldNotFound: Mandatory input field CUNO not found");
    assert_snapshot!(of("CUNO=12345678901"), @"InputFieldTooLong: Input field CUNO is longer than its 10 characters");
    assert_snapshot!(of("CUNO=1&CRLM=1e2"), @"InputFieldInvalid: Input field CRLM is not a number; write digits, a leading minus, a decimal point");
    assert_snapshot!(of("CUNO=1&LMDT=20260231"), @"InputFieldInvalid: Input field LMDT is not a date of the form Ymd8; yyyyMMdd is always understood");
    assert_snapshot!(of("CUNO=1&XXXX=1"), @"InputFieldNotFound: CRS610MI/GetBasicData has no input field XXXX");
    assert_snapshot!(of("CUNO=1&CUNO=2"), @"unreadable: CUNO is given twice; say it once, in the path or in the query");
    assert_snapshot!(of("CUNO=1&maxrecs=-1"), @"unreadable: the option maxrecs must be a whole number; 0 asks for all records");
    assert_snapshot!(of("CUNO=1&Cuno=2"), @r#"unreadable: "Cuno" is neither an option (lower case) nor a field name (upper case letters and digits)"#);
}

#[test]
fn cache_busters_and_unknown_options_are_ignored_as_m3_does() {
    assert_snapshot!(sent("CRS610MI/GetBasicData;whatever=1", "CUNO=1&_rid=x&_rid=y&locale=sv&readtimeoutmillis=9"), @"CONO=100 DIVI=AAA CUNO=1");
}

#[test]
fn an_option_counts_once_in_whatever_spelling() {
    assert_snapshot!(sent("CRS610MI/GetBasicData;excludempty=true", "CUNO=1&excludeEmpty=true"), @"unreadable: excludeEmpty is given twice; say it once, in the path or in the query");
}

#[test]
fn the_field_wins_over_the_option() {
    let asked =
        read("CRS610MI/GetBasicData;cono=100;divi=", Some("CONO=200&CUNO=1")).expect("a request of the contract");
    let wanted = asked.wanted().expect("places of the contract");
    assert_eq!(wanted.company, Company::new(200).ok());
    assert_eq!(wanted.division, Some(Division::BLANK));
}

const ROW: &str = "OK             C1        Ann \"A\" <b> 000012.5020260105";

fn written(tail: &str, query: &str, shape: Shape, failure: Option<&Failure>) -> String {
    let asked = read(tail, Some(query)).expect("a request of the contract");
    let inputs = placed(asked.typed(&layout()).expect("inputs of the contract"), &layout(), place());
    let table =
        Table::new(&asked.options, layout(), shape.trims_by_default(), |_| true).expect("columns of the layout");
    let mut document = Document::new(shape, table, asked.options, inputs);
    let mut out = Vec::new();
    document.head(&mut out);
    document.record(&record(ROW), &mut out);
    document.record(&record("REP            C2"), &mut out);
    document.tail(failure, None, &mut out);
    String::from_utf8(out).expect("documents are UTF-8")
}

#[test]
fn a_v2_document() {
    let text = written("CRS610MI/GetBasicData", "CUNO=1&extendedresult=true&dateformat=YMD8-", Shape::V2, None);
    assert_snapshot!(text, @r#"
    {
      "results" : [
        {
          "transaction" : "GetBasicData",
          "parameters" : {
            "CONO" : "100",
            "DIVI" : "AAA",
            "CUNO" : "1"
          },
          "records" : [
            {
              "CUNO" : "C1",
              "CUNM" : "Ann \"A\" <b>",
              "CRLM" : "000012.50",
              "LMDT" : "2026-01-05"
            },
            {
              "CUNO" : "C2",
              "CUNM" : "",
              "CRLM" : "",
              "LMDT" : ""
            }
          ]
        }
      ],
      "wasTerminated" : false,
      "nrOfSuccessfullTransactions" : 1,
      "nrOfFailedTransactions" : 0,
      "nrOfNotProcessedTransactions" : 0
    }
    "#);
}

#[test]
fn a_v2_list_that_ends_in_nok_keeps_its_records() {
    let failure = Failure {
        kind: "ServerReturnedNOK",
        message: "No".into(),
        code: "XIM0002".into(),
        field: "CUNO".into(),
        terminated: false,
    };
    let text = written(
        "CRS610MI/GetBasicData",
        "CUNO=1&format=UNFORMATTED&excludeempty=true&returncols=CUNM,CUNO,CUNM",
        Shape::V2,
        Some(&failure),
    );
    assert_snapshot!(text, @r#"{"results":[{"transaction":"GetBasicData","records":[{"CUNM":"Ann \"A\" <b>","CUNO":"C1"},{"CUNO":"C2"}],"errorMessage":"No","errorCode":"XIM0002","errorCfg":"","errorField":"CUNO","errorType":"ServerReturnedNOK"}],"wasTerminated":false,"nrOfSuccessfullTransactions":0,"nrOfFailedTransactions":1,"nrOfNotProcessedTransactions":0}"#);
}

#[test]
fn a_v1_document_is_padded_and_tells_its_fields() {
    let text = written("CRS610MI/GetBasicData;metadata=true;returncols=CUNO", "CUNO=1", Shape::V1Json, None);
    assert_snapshot!(text, @r#"{"Program":"CRS610MI","Transaction":"GetBasicData","Metadata":{"Field":[{"@name":"CUNO","@type":"A","@length":10,"@description":"The CUNO"}]},"MIRecord":[{"RowIndex":0,"NameValue":[{"Name":"CUNO","Value":"C1        "}]},{"RowIndex":1,"NameValue":[{"Name":"CUNO","Value":"C2        "}]}]}"#);
}

#[test]
fn a_v1_xml_document_escapes_what_xml_gives_a_meaning() {
    let failure = Failure::cut_short("gone".into());
    let text = written("CRS610MI/GetBasicData;returncols=CUNM", "CUNO=1&righttrim=true", Shape::V1Xml, Some(&failure));
    assert_snapshot!(text, @r#"<?xml version="1.0" encoding="UTF-8"?><miResult xmlns="http://lawson.com/m3/miaccess"><Program>CRS610MI</Program><Transaction>GetBasicData</Transaction><MIRecord><RowIndex>0</RowIndex><NameValue><Name>CUNM</Name><Value>Ann &quot;A&quot; &lt;b&gt;</Value></NameValue></MIRecord><MIRecord><RowIndex>1</RowIndex><NameValue><Name>CUNM</Name><Value></Value></NameValue></MIRecord><ErrorMessage type="ConnectionLost" code="" field=""><Message>gone</Message></ErrorMessage></miResult>"#);
}

#[test]
fn a_column_that_policy_hides_is_not_there() {
    let asked = read("CRS610MI/GetBasicData", Some("CUNO=1&returncols=CUNO,CRLM")).expect("a request");
    let table = Table::new(&asked.options, layout(), true, |name| name.as_str() != "CRLM").expect("columns");
    assert_eq!(table.fields().map(|f| f.name.to_string()).collect::<Vec<_>>(), ["CUNO"]);
}

proptest! {
    #[test]
    fn any_request_is_read_or_refused_and_never_a_panic(tail in "\\PC{0,60}", query in "\\PC{0,120}") {
        let _ = read(&tail, Some(&query));
    }

    #[test]
    fn every_spelling_of_a_value_is_decided_as_it_is_sent(value in "[A-Z0-9]{1,10}", encode_all: bool, blanks in 0usize..4) {
        let padded = format!("{value}{}", " ".repeat(blanks));
        let spelled: String = if encode_all {
            padded.bytes().map(|b| format!("%{b:02x}")).collect()
        } else {
            percent_encoding::utf8_percent_encode(&padded, percent_encoding::NON_ALPHANUMERIC).to_string()
        };
        prop_assert_eq!(
            sent("CRS610MI/GetBasicData", &format!("%43UNO={spelled}")),
            format!("CONO=100 DIVI=AAA CUNO={value}")
        );
    }

    #[test]
    fn a_document_is_valid_json_whatever_m3_sends(bytes in proptest::collection::vec(any::<u8>(), 0..120), pretty: bool) {
        let format = if pretty { "PRETTY" } else { "COMPACT" };
        let asked = read("CRS610MI/GetBasicData", Some(&format!("CUNO=1&format={format}"))).expect("a request");
        for shape in [Shape::V1Json, Shape::V2] {
            let table = Table::new(&asked.options, layout(), true, |_| true).expect("columns");
            let mut document = Document::new(shape, table, asked.options.clone(), vec![]);
            let mut out = Vec::new();
            document.head(&mut out);
            for charset in [Charset::Ucs2, Charset::Latin1] {
                document.record(&Record::new(Bytes::from(bytes.clone()), charset, Conventions::default()), &mut out);
            }
            document.tail(None, None, &mut out);
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&out).is_ok());
        }
    }
}

proptest::proptest! {
    #[test]
    fn a_value_written_straight_from_its_columns_is_the_value(
        text in "[ -~é€😀\"\\\\]{0,12}",
        number in "[ 0-9.,-]{0,10}",
        exclude: bool, trim: bool, wide: bool, dashed: bool,
    ) {
        let field = |name: &str, kind, from, length| FieldLayout {
            name: FieldName::parse(name).expect("a name"),
            kind,
            from,
            length,
            mandatory: false,
            description: "".into(),
        };
        let fields = vec![
            field("AAAA", FieldKind::Alphanumeric, 16, 14),
            field("BBBB", FieldKind::Number, 30, 10),
            field("CCCC", FieldKind::Date, 40, 8),
        ];
        let layout = Arc::new(TransactionLayout { output: Layout::new(fields), ..(*layout()).clone() });
        let charset = if wide { Charset::Ucs2 } else { Charset::Latin1 };
        let columns: String = text.chars().filter(|c| wide || (*c as u32) < 256).collect();
        let units: usize = if wide { columns.encode_utf16().count() } else { columns.chars().count() };
        let row = format!("REP            {columns}{}{number:<10}20260105", " ".repeat(14 - units.min(14)));
        let mut payload = Vec::new();
        proptest::prop_assume!(units <= 14 && charset.encode(&row, &mut payload).is_ok());
        let record = Record::new(payload.into(), charset, Conventions::default());
        let dates = if dashed { DateForm::Ymd8Dashed } else { DateForm::Ymd8 };
        let options = Options { exclude_empty: exclude, right_trim: Some(trim), dates, ..Options::default() };
        let table = Table::new(&options, layout, true, |_| true).expect("columns");
        let mut written = b"{".to_vec();
        let before = |at: usize, name: FieldName, out: &mut Vec<u8>| {
            out.extend_from_slice(format!("{}\"{name}\":", if at > 0 { "," } else { "" }).as_bytes());
        };
        table.write(&record, &mut written, before, b"");
        written.push(b'}');
        let read: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&written).expect("JSON");
        let read: Vec<_> = read.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap_or("?").to_owned())).collect();
        let values: Vec<_> = table.values(&record).map(|(name, value)| (name.to_string(), value.into_owned())).collect();
        proptest::prop_assert_eq!(read, values);
    }
}
