//! What a bulk body means, whatever the order of its properties and however it arrives.

use super::super::json::Splitter;
use super::*;
use insta::assert_snapshot;
use proptest::prelude::*;
use std::fmt::Write as _;

/// A body read to its end, item by item as they are given out.
fn read(pieces: &[&[u8]], query: &str) -> String {
    let mut bulk = match Bulk::new("", Some(query)) {
        Ok(bulk) => bulk,
        Err(fault) => return fault.to_string(),
    };
    let mut splitter = Splitter::new(BULK_PATH, BULK_LIMITS);
    let (mut shown, mut more, mut parts) = (String::new(), true, VecDeque::new());
    for piece in pieces {
        let split = splitter.feed(piece, &mut parts);
        for part in parts.drain(..) {
            bulk.take(part);
            more = more && give(&mut bulk, &mut shown);
        }
        if let Err(fault) = split {
            bulk.break_off(fault);
            break;
        }
    }
    if let Err(fault) = splitter.finish() {
        bulk.break_off(fault);
    }
    if more {
        give(&mut bulk, &mut shown);
    }
    while let Some(name) = bulk.next_left_out() {
        let _ = writeln!(shown, "left out: {name}");
    }
    shown
}

fn give(bulk: &mut Bulk, shown: &mut String) -> bool {
    loop {
        let _ = match bulk.next_item() {
            Next::Item(Item { name, asked: Err(fault) }) => writeln!(shown, "{name}: {}: {fault}", fault.kind.as_str()),
            Next::Item(Item { asked: Ok(asked), .. }) => {
                let fields: Vec<_> = asked.fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
                let company = asked.options.company.map(|company| company.to_string()).unwrap_or_default();
                let most = asked.options.max_records.map(|most| format!(" maxrecs={most}")).unwrap_or_default();
                let columns = asked.options.columns.map(|names| format!(" {names:?}")).unwrap_or_default();
                let fields = fields.join(" ");
                writeln!(shown, "{}/{} [{company}] {fields}{most}{columns}", asked.program, asked.transaction)
            }
            Next::More => return true,
            Next::End => {
                shown.push_str("end\n");
                return false;
            }
            Next::Broken(fault) => {
                let _ = writeln!(shown, "broken: {fault}");
                return false;
            }
        };
    }
}

fn of(text: &str) -> String {
    read(&[text.as_bytes()], "")
}

#[test]
fn properties_may_stand_in_any_order() {
    let first = r#"{"program":"CRS610MI","cono":200,"transactions":[{"transaction":"Get","record":{"CUNO":"1"}}]}"#;
    let last = r#"{"transactions":[{"record":{"CUNO":"1"},"transaction":"Get"}],"cono":"200","program":"CRS610MI"}"#;
    assert_snapshot!(of(first), @r"
    CRS610MI/Get [200] CUNO=1
    end
    ");
    assert_eq!(of(first), of(last));
}

#[test]
fn numbers_keep_the_digits_that_were_written() {
    assert_snapshot!(of(r#"{"program":"CRS610MI","maxReturnedRecords":"5","transactions":[
        {"transaction":"Chg","record":{"CRLM":12345678901234567.10,"RESP":-0.1,"CUNM":"a\u00e9\"b","PHNO":null,"_x":1},"selectedColumns":["CUNO","CUNM"]}]}"#), @r#"
        CRS610MI/Chg [] CRLM=12345678901234567.10 RESP=-0.1 CUNM=aé"b maxrecs=5 [CUNO, CUNM]
        end
        "#);
}

#[test]
fn the_query_wins_over_the_body() {
    let body = br#"{"program":"CRS610MI","cono":200,"maxReturnedRecords":7,"transactions":[{"transaction":"Lst","selectedColumns":["A"]}]}"#;
    assert_snapshot!(read(&[body], "cono=100&returncols=CUNO"), @r"
    CRS610MI/Lst [100]  maxrecs=7 [CUNO]
    end
    ");
    assert_snapshot!(read(&[body], "CUNO=1"), @"CUNO is a field; those of a bulk call stand in the records of its body");
}

#[test]
fn a_fault_of_one_transaction_is_its_own() {
    assert_snapshot!(of(r#"{"program":"CRS610MI","transactions":[{"transaction":"get it"},{"transaction":"Get","record":{"cuno":"1"}},{"transaction":"Get"}]}"#), @r#"
    get it: TransactionNotFound: Transaction get it not found in program CRS610MI
    Get: InputFieldNotFound: "cuno" is no field name (upper case letters and digits)
    CRS610MI/Get [] 
    end
    "#);
}

#[test]
fn what_comes_before_a_fault_runs_and_what_comes_behind_it_does_not() {
    let with = |middle: &str| {
        format!(r#"{{"program":"CRS610MI","transactions":[{{"transaction":"One"}},{middle},{{"transaction":"Two"}}]}}"#)
    };
    assert_snapshot!(of(&with(r#"{"transaction":"X","transaction":"Y"}"#)), @r"
    CRS610MI/One [] 
    broken: transaction is given twice
    left out: X
    left out: Two
    ");
    assert_snapshot!(of(&with(r#"{"transaction":"X","record":{"A":"1","A":"2"}}"#)), @r"
    CRS610MI/One [] 
    broken: A is given twice
    left out: X
    left out: Two
    ");
    assert_snapshot!(of(&with("7")), @r"
    CRS610MI/One [] 
    broken: a transaction must be an object
    left out: 
    left out: Two
    ");
    assert_snapshot!(of(&with(r#"{"record":{}}"#)), @r"
    CRS610MI/One [] 
    broken: transaction must be there, in every item
    left out: 
    left out: Two
    ");
    assert_snapshot!(of(&with(r#"{"transaction":"X","record":{"A":{}}}"#)), @r"
    CRS610MI/One [] 
    broken: A must be a string or a number
    left out: X
    left out: Two
    ");
    assert_snapshot!(of(r#"{"program":"CRS610MI","transactions":[{"transaction":"One"}],"cono":100}"#), @r"
    CRS610MI/One [] 
    broken: cono stands behind transactions, which have begun to run; put it before them
    ");
    assert_snapshot!(of(r#"{"program":"CRS610MI","transactions":[{"transaction":"One"}"#), @r"
    CRS610MI/One [] 
    broken: the body: it ends in the middle, after 59 bytes
    ");
}

#[test]
fn a_body_that_is_wrong_as_a_whole_runs_nothing() {
    assert_snapshot!(of(r#"{"transactions":[{"transaction":"One"}]}"#), @r"
    broken: the body names no program
    left out: One
    ");
    assert_snapshot!(of(r#"{"transactions":[{"transaction":"One"}],"program":"CRS610MI","program":"X"}"#), @r"
    broken: program is given twice
    left out: One
    ");
    assert_snapshot!(of(r#"{"program":"CRS610MI"}"#), @"broken: the body must be an object with program and transactions");
    assert_snapshot!(of(r#"{"program":"CRS610MI","transactions":{}}"#), @"broken: the body must be an object with program and transactions");
    assert_snapshot!(of(r#"{"program":"CRS610MI","transactions":null}"#), @"broken: the body must be an object with program and transactions");
    assert_snapshot!(of(r#"{"program":"crs610mi","transactions":[]}"#), @"broken: program must be the name of an MI program");
    assert_snapshot!(of(r#"{"program":"CRS610MI","cono":1000,"transactions":[]}"#), @"broken: cono must be a company, 1 to 999");
    assert_snapshot!(of("[]"), @"broken: the body must be an object with program and transactions");
    assert_snapshot!(of(r#"{"a":[[[[[[[[1]]]]]]]]}"#), @"broken: the body: the JSON nests deeper than 8 levels at byte 13");
}

proptest! {
    #[test]
    fn wherever_a_body_is_cut_it_gives_the_same(
        order in prop::sample::subsequence(vec![0, 1, 2, 3, 4, 5], 0..=6).prop_shuffle(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        const PROPERTIES: [&str; 6] = [
            r#""program": "CRS610MI""#,
            r#""transactions" : [{"transaction":"One","record":{"CUNO":"é\"]}"}} , {"transaction":"Two"}, {"transaction":3}]"#,
            r#""cono":100"#,
            r#""x":{"transactions":[{}]}"#,
            r#""transactions":[]"#,
            r#""program":"MMS200MI""#,
        ];
        let text = format!("{{{}}}", order.iter().map(|at| PROPERTIES[*at]).collect::<Vec<_>>().join(","));
        let text = text.as_bytes();
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        at.extend([0, text.len()]);
        at.sort_unstable();
        let pieces: Vec<&[u8]> = at.windows(2).map(|two| &text[two[0]..two[1]]).collect();
        prop_assert_eq!(read(&[text], ""), read(&pieces, ""));
    }
}
