//! The laws of the parsers of foreign bytes: one function a law, which panics where the law is broken.
//!
//! libFuzzer looks for bytes that break one (`fuzz_targets/`); the corpus replays as ordinary tests, here and in the
//! gateway's own test binary, so a find stays found. A new law: the function, its line in [`LAWS`], a folder of samples
//! `corpus/NAME/`, then `fuzz_targets/NAME.rs` and its `[[bin]]`. A test says what was forgotten.

mod foreign;

pub use foreign::{
    answers, assertions, bods, bulk, bundles, comparisons, documents, forms, frames, heads, inbound, issuers, keysets,
    layouts, mappings, parts, proofs, proxies, replies, requests, settings, tokens, traceparent,
};

use mi_gateway::model::{
    Charset, DateForm, Export, FieldKind, FieldLayout, FieldName, ProgramName, TransactionName, Value, ValueFault,
};

pub type Law = fn(&[u8]);

/// Every law by the name of its target and its corpus.
pub const LAWS: &[(&str, Law)] = &[
    ("names", names),
    ("value", value),
    ("charset", charset),
    ("date", date),
    ("frames", frames),
    ("replies", replies),
    ("layouts", layouts),
    ("requests", requests),
    ("tokens", tokens),
    ("proofs", proofs),
    ("assertions", assertions),
    ("keysets", keysets),
    ("issuers", issuers),
    ("forms", forms),
    ("traceparent", traceparent),
    ("settings", settings),
    ("heads", heads),
    ("documents", documents),
    ("bulk", bulk),
    ("answers", answers),
    ("bods", bods),
    ("bundles", bundles),
    ("comparisons", comparisons),
    ("inbound", inbound),
    ("mappings", mappings),
    ("parts", parts),
    ("proxies", proxies),
    ("exports", exports),
];

/// A query over a table is understood to its end or not at all: what is sent is understood as what was asked, and has no
/// word in it that a rule was not shown.
pub fn exports(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(export) = Export::parse(text) else { return };
    assert_eq!(Export::parse(&export.text).as_ref(), Ok(&export));
    let bare = bare(&export.text);
    let words: Vec<&str> = bare.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    assert_eq!(words.iter().filter(|word| **word == "FROM").count(), 1, "{}", export.text);
    assert_eq!(export.text.len(), text.len());
    const LANGUAGE: [&str; 9] = ["SELECT", "FROM", "WHERE", "AND", "OR", "NOT", "IN", "LIKE", "BETWEEN"];
    let named = words.iter().filter(|word| word.starts_with(|c: char| c.is_ascii_uppercase()));
    for name in named.filter(|word| !LANGUAGE.contains(*word)) {
        assert!(*name == export.table || export.columns.contains(*name), "{name} in {}", export.text);
    }
}

/// Without what stands in quotes.
fn bare(text: &str) -> String {
    text.split('\'').step_by(2).collect()
}

/// A name that is accepted is written as it was read, and holds nothing that means something in a URL or a policy.
pub fn names(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let read = [
        (ProgramName::MOST, ProgramName::parse(text).ok().map(|name| name.to_string())),
        (TransactionName::MOST, TransactionName::parse(text).ok().map(|name| name.to_string())),
        (FieldName::MOST, FieldName::parse(text).ok().map(|name| name.to_string())),
    ];
    for (most, name) in read {
        let Some(name) = name else { continue };
        assert_eq!(name, text);
        assert!((1..=most).contains(&name.len()));
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'), "{name:?}");
    }
}

/// What is sent is read again as the same value, and fits its field.
///
/// The first byte picks the kind, the second the length, the third the form of a date; the rest is the text.
pub fn value(bytes: &[u8]) {
    let [kind, length, form, rest @ ..] = bytes else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let name = ["ITNO", "ITDS"][usize::from(kind / 3 % 2)];
    let field = FieldLayout {
        name: FieldName::parse(name).expect("a field name of the table above"),
        kind: [FieldKind::Alphanumeric, FieldKind::Number, FieldKind::Date][usize::from(kind % 3)],
        from: 16,
        length: u16::from(*length),
        mandatory: false,
        description: "".into(),
    };
    let form = date_form(*form);
    match Value::parse(&field, text, form) {
        Ok(Some(value)) => {
            assert!(value.as_str().encode_utf16().count() <= usize::from(field.length).max(1), "{value:?} is too long");
            assert!(!value.as_str().chars().any(char::is_control));
            assert_eq!(Value::parse(&field, value.as_str(), DateForm::Ymd8), Ok(Some(value)));
        }
        Ok(None) => assert!(text.bytes().all(|b| b == b' ')),
        Err(ValueFault::Control) => assert!(text.chars().any(char::is_control)),
        Err(ValueFault::TooLong { most }) => assert_eq!(most, field.length),
        Err(ValueFault::NotANumber | ValueFault::NotADate) => {}
    }
}

/// What was read from a session can be sent over it again, and is then read the same, in as many units as was said.
///
/// The first byte picks the encoding.
pub fn charset(bytes: &[u8]) {
    let [which, rest @ ..] = bytes else { return };
    let name = Charset::NAMES[usize::from(*which) % Charset::NAMES.len()];
    let charset = Charset::named(name).expect("a name of its own list");
    let read = charset.decode(rest);
    let mut sent = Vec::new();
    // A page has bytes that stand for nothing; what they were read as can't be sent, and is refused, never replaced.
    if let Ok(units) = charset.encode(&read, &mut sent) {
        assert_eq!(units * charset.unit(), sent.len());
        assert_eq!(charset.decode(&sent), read, "{name}");
    }
}

/// A date that is read is a day of the calendar, and comes back from the form it was read from.
///
/// The first byte picks the form.
pub fn date(bytes: &[u8]) {
    let [form, rest @ ..] = bytes else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let form = date_form(*form);
    let Some(day) = form.read(text) else { return };
    assert!(day.len() == 8 && day.bytes().all(|b| b.is_ascii_digit()), "{day:?}");
    assert_eq!(DateForm::Ymd8.read(&day), Some(day.clone()), "a date that is no day");
    // Two digits of a year mean 1940 to 2039; the edges stay out, for a week's year may lie over them.
    let in_window = ("1941".."2039").contains(&&day[..4]);
    if let Some(written) = form.write(&day).filter(|_| in_window || form == DateForm::Ymd8Dashed) {
        assert_eq!(form.read(&written), Some(day), "as {form:?}");
    }
}

fn date_form(which: u8) -> DateForm {
    let name = DateForm::NAMES[usize::from(which) % DateForm::NAMES.len()];
    DateForm::named(name).expect("a name of its own list")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::PathBuf;

    /// The package is found from either of the two test binaries that this file is built into.
    fn package() -> PathBuf {
        let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        if here.ends_with("fuzz") { here } else { here.join("tests/fuzz") }
    }

    #[test]
    fn every_sample_of_the_corpus_keeps_its_law() {
        for (name, law) in LAWS {
            let folder = package().join("corpus").join(name);
            let samples = fs::read_dir(&folder).unwrap_or_else(|fault| panic!("{}: {fault}", folder.display()));
            let mut read = 0;
            for sample in samples {
                let path = sample.expect("an entry of a folder just opened").path();
                let bytes = fs::read(&path).expect("a sample can be read");
                let kept = std::panic::catch_unwind(|| law(&bytes));
                assert!(kept.is_ok(), "{} breaks the law `{name}`; what it says stands above", path.display());
                read += 1;
            }
            assert!(read > 0, "{} has no sample", folder.display());
        }
    }

    #[test]
    fn every_law_has_its_target() {
        let manifest = fs::read_to_string(package().join("Cargo.toml")).expect("the package has a manifest");
        for (name, _) in LAWS {
            let file = format!("fuzz_targets/{name}.rs");
            assert!(manifest.contains(&format!("path = \"{file}\"")), "Cargo.toml has no [[bin]] for `{name}`");
            let target = fs::read_to_string(package().join(&file)).unwrap_or_else(|fault| panic!("{file}: {fault}"));
            assert!(target.contains(&format!("laws::{name}(")), "{file} calls another law");
        }
        assert_eq!(manifest.matches("[[bin]]").count(), LAWS.len(), "Cargo.toml has a target without a law");
    }
}
