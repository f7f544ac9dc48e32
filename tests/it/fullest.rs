//! Documents of records that have something in every field: each row of a shipped mapping shows in one of them.

use crate::bod::{agrees, bod, layout, text};
use bytes::Bytes;
use insta::assert_snapshot;
use mi_gateway::bod::{Action, Envelope, Mapping, Rows, Verb, shipped, validate};
use mi_gateway::mock_m3::Metadata;
use mi_gateway::model::{Charset, Conventions, FieldKind, FieldLayout, Record, TransactionLayout};
use std::collections::BTreeMap;

/// Numbers that M3 describes as texts.
const NUMBERS: [&str; 6] = ["ORQA", "ORQT", "POSS", "POSX", "SACD", "SAPR"];

/// What stands in a field besides its own name, by what the mapping makes of it.
struct Words {
    by_field: BTreeMap<String, String>,
    places: Vec<String>,
}

/// The mapping file as text, for what can't be asked of a mapping: its rows, and what they make of fields.
fn words(noun: &str) -> Words {
    let path = format!("{}/src/bod/mappings/{noun}.toml", env!("CARGO_MANIFEST_DIR"));
    let file: toml::Table = std::fs::read_to_string(path).expect("a file").parse().expect("TOML");
    let mut by_field = BTreeMap::new();
    let mut places = Vec::new();
    for row in file["document"]["elements"].as_array().expect("rows") {
        match (row.get("path"), row.get("property")) {
            (Some(path), _) => places.push(path.as_str().expect("a path").to_owned()),
            (_, Some(name)) => places.push(format!("property {}", name.as_str().expect("a name"))),
            _ => panic!("{row} is at no place"),
        }
        let Some(value) = row.get("value").and_then(|value| value.as_str()) else { continue };
        for part in value.split("or(") {
            let Some((_, field)) = part.split('|').next().and_then(|first| first.trim().split_once('.')) else {
                continue;
            };
            let field = field.trim_end_matches([')', ' ']);
            let word = match part.split('|').nth(1).map(|made| made.trim().trim_end_matches(')')) {
                Some("date") => "20260301",
                Some("instant") => "1772366400000",
                Some("flag" | "days") => "1",
                Some(map) if map.starts_with("map(") => {
                    let table = file["table"][&map[4..]].as_table().expect("a table");
                    table.keys().find(|key| *key != "*").expect("a word")
                }
                _ => continue,
            };
            by_field.insert(field.to_owned(), word.to_owned());
        }
    }
    Words { by_field, places }
}

fn record(layout: &TransactionLayout, words: &Words) -> Record {
    let mut columns = vec![u16::from(b' '); 15];
    for field in layout.output.fields() {
        let FieldLayout { name, kind, from, length, .. } = field;
        let (from, length) = (usize::from(*from) - 1, usize::from(*length));
        columns.resize(columns.len().max(from + length), u16::from(b' '));
        let word = match (words.by_field.get(name.as_str()), kind) {
            (Some(word), _) => word.as_str(),
            (None, FieldKind::Number) => "12",
            (None, _) if NUMBERS.contains(&name.as_str()) => "12",
            (None, FieldKind::Date) => "20260301",
            (None, FieldKind::Alphanumeric) => name.as_str(),
        };
        columns[from..from + length].iter_mut().zip(word.encode_utf16()).for_each(|(column, unit)| *column = unit);
    }
    let payload: Vec<u8> = columns.iter().flat_map(|unit| unit.to_be_bytes()).collect();
    Record::new(Bytes::from(payload), Charset::Ucs2, Conventions::default())
}

fn envelope<'a>(key: &'a [&'a str]) -> Envelope<'a> {
    Envelope {
        verb: Verb::Sync,
        action: Action::Replace,
        tenant: "DEMO_TST",
        entity: "100_AAA",
        company: "100",
        division: "AAA",
        location: "001",
        logical_id: "lid://mi-gateway.m3",
        component: "mi-gateway",
        reference: "r-1",
        confirmation: "OnError",
        created: "2026-03-01T12:00:00.000Z",
        bod_id: "0198",
        variation: 7,
        key,
    }
}

fn composed(mapping: &Mapping, words: &Words) -> String {
    let metadata = Metadata::shipped();
    let layouts: Vec<TransactionLayout> = mapping
        .reads()
        .iter()
        .map(|read| {
            let known = metadata.transaction(read.program().as_str(), read.transaction().as_str());
            known.and_then(layout).expect("the mock knows it")
        })
        .collect();
    let records: Vec<[Record; 1]> = layouts.iter().map(|layout| [record(layout, words)]).collect();
    let rows: Vec<Rows<'_>> = layouts.iter().zip(&records).map(|(layout, records)| Rows { layout, records }).collect();
    let known: Vec<Option<&TransactionLayout>> = layouts.iter().map(Some).collect();
    let key: Vec<String> = mapping.key().iter().map(|name| format!("K{name}")).collect();
    let key: Vec<&str> = key.iter().map(String::as_str).collect();
    mapping.bind(&known).expect("the mock has what it reads").compose(&envelope(&key), &rows).xml
}

/// The places where something stands in a document.
fn stand(document: &str) -> Vec<String> {
    let (mut open, mut found) = (Vec::new(), Vec::new());
    for piece in document.split('<').skip(1) {
        let (tag, value) = piece.split_once('>').unwrap_or((piece, ""));
        if tag.starts_with(['?', '!']) {
            continue;
        }
        if tag.starts_with('/') {
            open.pop();
            continue;
        }
        open.push(tag.split([' ', '/']).next().unwrap_or_default());
        if tag.ends_with('/') {
            open.pop();
            continue;
        }
        if let Some((_, name)) = tag.split_once(" name=\"") {
            found.push(format!("property {}", name.split('"').next().unwrap_or_default()));
        }
        if !value.is_empty() {
            // Without what stands around the noun.
            found.push(open.iter().skip(3).copied().collect::<Vec<_>>().join("/"));
        }
    }
    found
}

#[test]
fn every_row_of_every_mapping_shows_in_the_document_of_a_full_record() {
    let folder = tempfile::tempdir().expect("a folder");
    for mapping in shipped().expect("shipped mappings") {
        let noun = mapping.noun();
        let words = words(noun);
        let document = composed(&mapping, &words);
        assert_eq!(validate(noun, &document), [], "{document}");
        let file = folder.path().join("document.xml");
        std::fs::write(&file, &document).expect("a file");
        agrees(folder.path(), noun, &file.display().to_string());
        let mut standing = stand(&document);
        let mut missing = Vec::new();
        for place in &words.places {
            let steps: Vec<&str> = place.split('/').map(|step| step.split('#').next().unwrap_or_default()).collect();
            let (bare, below) = (steps.join("/"), format!("{}/", steps.join("/")));
            // Two rows of one name are two elements.
            if let Some(at) = standing.iter().position(|one| *one == bare) {
                standing.remove(at);
            } else if !standing.iter().any(|one| one.starts_with(&below)) {
                missing.push(place.as_str());
            }
        }
        assert_eq!(missing, [] as [&str; 0], "{noun}: {document}");
        assert_snapshot!(format!("full {noun}"), document.replace("><", ">\n<"));
    }
}

#[test]
fn a_document_that_is_none_is_told_flaw_by_flaw_and_by_the_exit_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let mapping = shipped().expect("shipped mappings").into_iter().find(|one| one.noun() == "PurchaseOrder");
    let mapping = mapping.expect("orders are shipped");
    let good = composed(&mapping, &words("PurchaseOrder"));
    let bad = good.replacen("<LineNumber>", "<LineNumber>x", 1).replacen("<BODID>", "<BODID>1</BODID><BODID>", 1);
    let (good_file, bad_file) = (folder.path().join("good.xml"), folder.path().join("bad.xml"));
    std::fs::write(&good_file, &good).and_then(|()| std::fs::write(&bad_file, &bad)).expect("files");
    let validated = |words: &[&str], file: &std::path::Path| {
        let ended = bod(folder.path(), &[&["validate"], words, &[&file.display().to_string()]].concat());
        (ended.status.code(), text(&ended.stdout) + &text(&ended.stderr))
    };
    assert_eq!(validated(&[], &good_file).0, Some(0));
    let (code, said) = validated(&[], &bad_file);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("bad.xml:1:") && said.contains("LineNumber is no Integer"), "{said}");
    assert!(said.contains("ApplicationArea holds 2 of BODID, and may hold one"), "{said}");
    let (code, said) = validated(&["--json"], &bad_file);
    let told: Vec<serde_json::Value> = said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let message = "LineNumber is no Integer: \"x12012\"";
    assert!(told.iter().any(|flaw| flaw["line"] == 1 && flaw["message"] == message), "{said}");
    assert_eq!((code, told.len()), (Some(1), 2), "{said}");
}
