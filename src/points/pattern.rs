//! The name of a file, made of a message: `{verb}{noun}_{document}_{variation}.xml`.
//!
//! Whatever a record's key holds, a name has no slash, doesn't begin with a point and fits into a folder; two different
//! values never become the same name.

use super::message::Message;
use std::fmt::Write as _;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Plain(String),
    Keyword(&'static str),
}

/// Why a pattern is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadPattern(String);

const KEYWORDS: [&str; 11] =
    ["verb", "noun", "action", "document", "entity", "company", "division", "location", "variation", "created", "id"];
/// Bytes of a name.
const MOST: usize = 200;

impl Pattern {
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(begin) = rest.find(['{', '}']) {
            let (plain, keyword) = rest.split_at(begin);
            let end = keyword.strip_prefix('{').and_then(|inside| inside.find('}').map(|end| (&inside[..end], end)));
            let Some((word, end)) = end else { return Err(BadPattern("a { or a } stands alone".to_owned())) };
            let known = KEYWORDS.into_iter().find(|known| *known == word);
            let Some(known) = known else {
                return Err(BadPattern(format!("{{{word}}} is none of {{{}}}", KEYWORDS.join("} {"))));
            };
            parts.push(Part::Plain(plain.to_owned()));
            parts.push(Part::Keyword(known));
            rest = &keyword[end + 2..];
        }
        parts.push(Part::Plain(rest.to_owned()));
        parts.retain(|part| !matches!(part, Part::Plain(plain) if plain.is_empty()));
        let pattern = Self { text: text.to_owned(), parts };
        let plain = |part: &Part| matches!(part, Part::Plain(plain) if !plain.bytes().all(keeps));
        if pattern.parts.iter().any(plain) || text.starts_with('.') || text.len() > MOST {
            let why = "letters, digits, . _ and - may stand around the keywords, no point at the beginning";
            return Err(BadPattern(why.to_owned()));
        }
        if !pattern.has("document") && !pattern.has("id") {
            return Err(BadPattern("without {document} or {id} every document would have the same name".to_owned()));
        }
        Ok(pattern)
    }

    /// What every name of this pattern ends with.
    pub(super) fn ending(&self) -> &str {
        match self.parts.last() {
            Some(Part::Plain(plain)) => plain,
            _ => "",
        }
    }

    fn has(&self, keyword: &str) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Keyword(word) if *word == keyword))
    }

    pub(super) fn name(&self, message: &Message<'_>) -> String {
        let mut name = String::new();
        for part in &self.parts {
            match part {
                Part::Plain(plain) => name.push_str(plain),
                Part::Keyword("variation") => {
                    let _ = write!(name, "{}", message.variation);
                }
                Part::Keyword(word) => encode(value(word, message), &mut name),
            }
        }
        if name.starts_with('.') {
            name.replace_range(..1, "%2E");
        }
        if name.len() <= MOST {
            return name;
        }
        // Cut, and told apart by what was cut off.
        let ending = self.ending();
        let ending = if ending.len() < 40 { ending } else { "" };
        let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes());
        let sum: String = sum.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        name.truncate(MOST - sum.len() - 1 - ending.len());
        format!("{name}-{sum}{ending}")
    }
}

fn value<'a>(keyword: &str, message: &Message<'a>) -> &'a str {
    match keyword {
        "verb" => message.verb.as_str(),
        "noun" => message.noun,
        "action" => message.action.as_str(),
        "document" => message.document_id,
        "entity" => message.entity,
        "company" => message.company,
        "division" => message.division,
        "location" => message.location,
        "created" => message.created,
        _ => message.id,
    }
}

fn keeps(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if keeps(byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::message;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_is_made_of_what_the_message_says() {
        let pattern = Pattern::parse("{verb}{noun}_{document}_{entity}_{variation}.xml").expect("a pattern");
        assert_eq!(pattern.name(&message("<a/>")), "SyncItemMaster_A1_100_7.xml");
        let hostile = Message { document_id: "../../etc/*pass wd", ..message("<a/>") };
        let pattern = Pattern::parse("{document}.xml").expect("a pattern");
        assert_eq!(pattern.name(&hostile), "%2E.%2F..%2Fetc%2F%2Apass%20wd.xml");
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        for (text, why) in [
            ("{what}.xml", "is none of"),
            ("a{document", "stands alone"),
            ("../{document}", "may stand around"),
            (".{document}", "no point"),
            ("order.xml", "the same name"),
        ] {
            let bad = Pattern::parse(text).expect_err(text).to_string();
            assert!(bad.contains(why), "{text}: {bad}");
        }
    }

    proptest! {
        #[test]
        fn every_key_has_a_name_of_its_own_that_stays_in_the_folder(one in ".{0,120}", other in ".{0,120}") {
            let pattern = Pattern::parse("{document}_{variation}.xml").expect("a pattern");
            let name = |key: &str| pattern.name(&Message { document_id: key, ..message("<a/>") });
            let (first, second) = (name(&one), name(&other));
            prop_assert!(first.len() <= MOST && !first.starts_with('.') && first.ends_with(".xml"));
            prop_assert!(first.bytes().all(|b| keeps(b) || b == b'%'));
            prop_assert_eq!(one == other, first == second);
        }
    }
}
