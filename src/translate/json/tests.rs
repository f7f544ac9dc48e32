//! What the splitter promises: the same parts however the bytes come, and nothing without bound.

use super::*;
use insta::assert_snapshot;
use proptest::prelude::*;
use std::collections::VecDeque;

const LIMITS: SplitLimits = SplitLimits { depth: 8, value: 1_000 };
const BULK: &[&str] = &["transactions"];
const ANSWER: &[&str] = &["results", "[]", "records"];

fn split(path: &'static [&'static str], pieces: &[&[u8]]) -> Result<Vec<Part>, SplitFault> {
    let mut splitter = Splitter::new(path, LIMITS);
    let mut parts = VecDeque::new();
    for piece in pieces {
        splitter.feed(piece, &mut parts)?;
    }
    splitter.finish()?;
    Ok(parts.into())
}

fn shown(path: &'static [&'static str], text: &str) -> String {
    let parts = match split(path, &[text.as_bytes()]) {
        Ok(parts) => parts,
        Err(fault) => return fault.to_string(),
    };
    let line = |part: &Part| {
        let (depth, what) = match part {
            Part::Open { depth, key, .. } => (*depth, format!("{} opens", key.as_deref().unwrap_or("-"))),
            Part::Value { depth, key, raw } => {
                (*depth, format!("{} = {}", key.as_deref().unwrap_or("-"), String::from_utf8_lossy(raw)))
            }
            Part::Close { depth } => (*depth, "closes".to_owned()),
        };
        format!("{}{what}", "  ".repeat(depth))
    };
    parts.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_stands_on_the_path_comes_one_by_one_and_the_rest_whole() {
    let text = r#" {"program":"CRS610MI", "cono":100,"x":{"transactions":[1]}, "transactions" : [ {"a":"]}\""} , 7,[],{}],"last":null } "#;
    assert_snapshot!(shown(BULK, text), @r#"
    - opens
      program = "CRS610MI"
      cono = 100
      x = {"transactions":[1]}
      transactions opens
        - = {"a":"]}\""}
        - = 7
        - = []
        - = {}
      closes
      last = null
    closes
    "#);
}

#[test]
fn a_path_goes_through_elements() {
    let text =
        r#"{"results":[{"transaction":"Lst","records":[{"A":"1"},{"A":"2"}]},{"records":[]}],"wasTerminated":false}"#;
    assert_snapshot!(shown(ANSWER, text), @r#"
    - opens
      results opens
        - opens
          transaction = "Lst"
          records opens
            - = {"A":"1"}
            - = {"A":"2"}
          closes
        closes
        - opens
          records opens
          closes
        closes
      closes
      wasTerminated = false
    closes
    "#);
}

#[test]
fn what_is_no_json_is_refused_where_it_stands() {
    let of = |text: &str| shown(BULK, text);
    assert_snapshot!(of("{,}"), @"it is no JSON at byte 2: a key in quotes should stand there");
    assert_snapshot!(of(r#"{"a" 1}"#), @"it is no JSON at byte 6: a colon should stand there");
    assert_snapshot!(of(r#"{"a":1 "b":2}"#), @"it is no JSON at byte 8: a comma or the end of what was opened should stand there");
    assert_snapshot!(of(r#"{"transactions":[1,]}"#), @"it is no JSON at byte 20: a value should stand there");
    assert_snapshot!(of(r#"{"a":1,}"#), @"it is no JSON at byte 8: a key in quotes should stand there");
    assert_snapshot!(of(r#"{"transactions":[1}"#), @"it is no JSON at byte 19: a comma or the end of what was opened should stand there");
    assert_snapshot!(of("{} {}"), @"it is no JSON at byte 4: nothing more should stand there");
    assert_snapshot!(of(r#"{"\ud800":1}"#), @"it is no JSON at byte 9: a key of JSON should stand there");
    assert_snapshot!(of(r#"{"a":[1"#), @"it ends in the middle, after 7 bytes");
    assert_snapshot!(of(""), @"it ends in the middle, after 0 bytes");
}

#[test]
fn depth_and_length_have_their_bounds() {
    let deep = |levels: usize| format!("{{\"a\":{}1{}}}", "[".repeat(levels), "]".repeat(levels));
    assert!(split(BULK, &[deep(7).as_bytes()]).is_ok());
    assert_eq!(split(BULK, &[deep(8).as_bytes()]), Err(SplitFault::TooDeep { at: 13, most: 8 }));
    let walked = r#"{"transactions":[[[[[[[[1]]]]]]]]}"#;
    assert_eq!(split(BULK, &[walked.as_bytes()]), Err(SplitFault::TooDeep { at: 24, most: 8 }));
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(998));
    assert!(split(BULK, &[long.as_bytes()]).is_ok());
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(999));
    assert_eq!(split(BULK, &[long.as_bytes()]), Err(SplitFault::TooLong { at: 1_006, most: 1_000 }));
    let key = format!("{{\"{}\":1}}", "x".repeat(2_000));
    assert!(matches!(split(BULK, &[key.as_bytes()]), Err(SplitFault::TooLong { .. })));
    assert_eq!(within_depth(b"[[[]]]", 3), Ok(()));
    assert_eq!(within_depth(b"[[[]]]", 2), Err(TooDeep { most: 2 }));
    assert_eq!(within_depth(br#"["[[[[\"[[["]"#, 1), Ok(()));
}

/// Any JSON value, written in some way.
fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        "[ -~é😀\"\\\\\\n]{0,12}".prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::vec((prop_oneof!["[a-z\"é]{0,4}", Just("transactions".to_owned())], inner), 0..4)
                .prop_map(|pairs| serde_json::Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn wherever_the_bytes_are_cut_the_parts_are_the_same(value in value(), pretty: bool, cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.expect("JSON");
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        at.extend([0, text.len()]);
        at.sort_unstable();
        let pieces: Vec<&[u8]> = at.windows(2).map(|two| &text[two[0]..two[1]]).collect();
        let limits_ok = text.len() < LIMITS.value;
        let whole = split(BULK, &[&text]);
        prop_assert_eq!(&whole, &split(BULK, &pieces));
        // A number that is the whole document ends with what follows it, and nothing does.
        if limits_ok && value.is_object() {
            for part in whole.expect("a document that fits") {
                if let Part::Value { raw, .. } = part {
                    prop_assert!(serde_json::from_slice::<serde_json::Value>(&raw).is_ok());
                }
            }
        }
    }
}
