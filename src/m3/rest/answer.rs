//! An answer of m3api-rest taken apart while it arrives: records as they come, then how it ended.
//!
//! Error members are understood wherever either version puts them. Bounded in depth and in the length of one record. Does not know: sockets, layouts, or the clock.

use crate::model::{FieldName, Refusal};
use crate::translate::{Part, SplitFault, SplitLimits, Splitter};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;

/// What an answer holds, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Field and value, in the answer's order.
    Record(Vec<(String, String)>),
    /// NOK, or what the REST layer itself found wrong: M3 did nothing.
    Refused(Refusal),
    /// The run was ended by M3's REST layer, which does not say that nothing was done.
    Terminated(String),
    /// The document ended well.
    End,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error(transparent)]
    Json(#[from] SplitFault),
    #[error("a record is not one of m3api-rest")]
    Record,
    #[error("a member is not one of m3api-rest")]
    Member,
    #[error("an answer to one call holds several")]
    Several,
}

/// v2: `results`, an element, its `records`. v1's `MIRecord` stands at the first level and comes as one path of its own.
const V2: &[&str] = &["results", "[]", "records"];
const V1: &[&str] = &["MIRecord"];
const DEPTH: usize = 8;

#[derive(Debug)]
pub struct Reader {
    splitter: Splitter,
    parts: VecDeque<Part>,
    found: VecDeque<Found>,
    v2: bool,
    results: u32,
    /// v1: a member that only an answer of M3's has.
    known: bool,
    terminated: bool,
    failed: bool,
    left_out: bool,
    why: Why,
    ended: bool,
}

/// Error members, wherever they stood.
#[derive(Debug, Default)]
struct Why {
    kind: String,
    message: String,
    code: String,
    field: String,
}

/// Kinds that are told of a call that M3 refused, or that it never got.
const NOT_MADE: &[&str] = &[
    "ServerReturnedNOK",
    "ProgramNotFound",
    "TransactionNotFound",
    "MandatoryInputFieldNotFound",
    "InputFieldTooLong",
    "InputFieldNotFound",
    "InputFieldInvalid",
];

impl Reader {
    /// `value`: bytes of one record at most.
    pub fn new(v2: bool, value: usize) -> Self {
        let limits = SplitLimits { depth: DEPTH, value };
        Self {
            splitter: Splitter::new(if v2 { V2 } else { V1 }, limits),
            parts: VecDeque::new(),
            found: VecDeque::new(),
            v2,
            results: 0,
            known: false,
            terminated: false,
            failed: false,
            left_out: false,
            why: Why::default(),
            ended: false,
        }
    }

    /// The next bytes. What was found before a fault is still given out.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let split = self.splitter.feed(bytes, &mut self.parts);
        while let Some(part) = self.parts.pop_front() {
            self.take(part)?;
        }
        Ok(split?)
    }

    /// What has come and was not given out yet.
    pub fn found(&mut self) -> Option<Found> {
        self.found.pop_front()
    }

    /// The whole document came.
    pub fn is_whole(&self) -> bool {
        self.ended
    }

    fn take(&mut self, part: Part) -> Result<(), Fault> {
        let record_depth = if self.v2 { 4 } else { 2 };
        match part {
            Part::Value { depth, key: None, raw } if depth == record_depth => {
                let record = if self.v2 { flat(&raw) } else { named(&raw) };
                self.found.push_back(Found::Record(record.ok_or(Fault::Record)?));
                Ok(())
            }
            Part::Value { depth: 1 | 3, key: Some(key), raw } => self.member(&key, &raw),
            Part::Open { depth: 2, array: false, .. } if self.v2 => {
                self.results += 1;
                if self.results > 1 { Err(Fault::Several) } else { Ok(()) }
            }
            Part::Close { depth: 0 } => {
                self.end();
                Ok(())
            }
            Part::Open { depth: 0, array, .. } if !array => Ok(()),
            Part::Open { depth: 1 | 3, array: true, .. } => {
                self.known = true;
                Ok(())
            }
            Part::Close { .. } => Ok(()),
            Part::Open { .. } | Part::Value { .. } => Err(Fault::Member),
        }
    }

    fn member(&mut self, key: &str, raw: &[u8]) -> Result<(), Fault> {
        let slot = match key {
            "@type" | "errorType" => &mut self.why.kind,
            "Message" | "errorMessage" => &mut self.why.message,
            "@code" | "errorCode" => &mut self.why.code,
            "@field" | "errorField" => &mut self.why.field,
            "terminationErrorType" if self.why.kind.is_empty() => &mut self.why.kind,
            "terminationReason" if self.why.message.is_empty() => &mut self.why.message,
            "wasTerminated" => {
                self.terminated = raw == b"true";
                return Ok(());
            }
            "notProcessed" => {
                self.left_out = raw == b"true";
                return Ok(());
            }
            "nrOfFailedTransactions" => {
                self.failed = std::str::from_utf8(raw).is_ok_and(|text| text.parse::<u64>().is_ok_and(|n| n > 0));
                return Ok(());
            }
            "Program" | "MIRecord" => {
                self.known = true;
                return Ok(());
            }
            "ErrorMessage" if raw.first() == Some(&b'"') => &mut self.why.message,
            // v1's own form of an error behind records: an object with the same members in it.
            "ErrorMessage" if raw.first() == Some(&b'{') => {
                let members = members(raw).ok_or(Fault::Member)?;
                return members.iter().try_for_each(|(key, value)| self.set(key, value));
            }
            _ => return Ok(()),
        };
        *slot = text(raw).ok_or(Fault::Member)?;
        Ok(())
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), Fault> {
        let slot = match key {
            "@type" => &mut self.why.kind,
            "Message" => &mut self.why.message,
            "@code" => &mut self.why.code,
            "@field" => &mut self.why.field,
            _ => return Ok(()),
        };
        value.clone_into(slot);
        Ok(())
    }

    fn end(&mut self) {
        self.ended = true;
        let Why { kind, message, code, field } = std::mem::take(&mut self.why);
        let told = !(kind.trim().is_empty() && message.trim().is_empty() && code.trim().is_empty());
        let message = if told { message } else { "M3 says that the call failed, and not why".to_owned() };
        let failed = told || self.failed || self.left_out;
        let answered = if self.v2 { self.results > 0 } else { self.known };
        // Of a run that was ended it is not said what came of the call, unless it says that it was never made.
        let not_made = self.left_out || NOT_MADE.contains(&kind.trim());
        self.found.push_back(if self.terminated && !not_made {
            Found::Terminated(message.trim().to_owned())
        } else if !failed && !answered {
            // Nothing says that the call was made: for a write that is not success.
            Found::Terminated("an answer without a result".to_owned())
        } else if failed {
            let field = FieldName::parse(field.trim()).ok();
            Found::Refused(Refusal { message: message.trim().to_owned(), id: code.trim().to_owned(), field })
        } else {
            Found::End
        });
    }
}

/// A string, a number as it was written, a flag; nothing for null.
fn text(raw: &[u8]) -> Option<String> {
    match raw.first()? {
        b'"' => serde_json::from_slice(raw).ok(),
        b'n' => Some(String::new()),
        b'{' | b'[' => None,
        _ => std::str::from_utf8(raw).ok().map(str::to_owned),
    }
}

/// Members in their order, values as text.
struct Members(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Taken;
        impl<'de> Visitor<'de> for Taken {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &serde_json::value::RawValue>()? {
                    let value = text(value.get().as_bytes());
                    members.push((name, value.ok_or_else(|| serde::de::Error::custom("no text"))?));
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(Taken)
    }
}

fn members(raw: &[u8]) -> Option<Vec<(String, String)>> {
    serde_json::from_slice::<Members>(raw).ok().map(|members| members.0)
}

/// v2: an object of fields.
fn flat(raw: &[u8]) -> Option<Vec<(String, String)>> {
    members(raw)
}

#[derive(Deserialize)]
struct Row<'a> {
    #[serde(rename = "NameValue", default, borrow)]
    values: Option<Vec<NameValue<'a>>>,
}

#[derive(Deserialize)]
struct NameValue<'a> {
    #[serde(rename = "Name", borrow)]
    name: Cow<'a, str>,
    #[serde(rename = "Value", default, borrow)]
    value: Option<Cow<'a, str>>,
}

/// v1: a list of names and values.
fn named(raw: &[u8]) -> Option<Vec<(String, String)>> {
    let row: Row<'_> = serde_json::from_slice(raw).ok()?;
    let pair = |pair: NameValue<'_>| (pair.name.into_owned(), pair.value.unwrap_or_default().into_owned());
    Some(row.values.unwrap_or_default().into_iter().map(pair).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(v2: bool, text: &str, piece: usize) -> Result<Vec<Found>, Fault> {
        let mut reader = Reader::new(v2, 1_024);
        let mut found = Vec::new();
        for piece in text.as_bytes().chunks(piece) {
            reader.feed(piece)?;
            found.extend(std::iter::from_fn(|| reader.found()));
        }
        Ok(found)
    }

    fn record(pairs: &[(&str, &str)]) -> Found {
        Found::Record(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    fn refused(message: &str, id: &str, field: &str) -> Found {
        let field = FieldName::parse(field).ok();
        Found::Refused(Refusal { message: message.to_owned(), id: id.to_owned(), field })
    }

    const V2_LIST: &str = r#"{"results":[{"transaction":"LstByNumber","records":[{"CUNO":"C1","CUNM":"A \"B\""},{"CUNO":"C2","QTY":12.50,"X":null}]}],"wasTerminated":false,"nrOfSuccessfullTransactions":1,"nrOfFailedTransactions":0}"#;
    const V1_LIST: &str = r#"{"Program":"CRS610MI","Transaction":"LstByNumber","Metadata":{"Field":{"@name":"CUNO"}},"MIRecord":[{"RowIndex":0,"NameValue":[{"Name":"CUNO","Value":"C1   "},{"Name":"CUNM","Value":null}]}]}"#;

    #[test]
    fn records_come_as_they_arrive_however_the_bytes_are_cut() {
        for piece in [1, 7, 4_096] {
            let two = [
                record(&[("CUNO", "C1"), ("CUNM", "A \"B\"")]),
                record(&[("CUNO", "C2"), ("QTY", "12.50"), ("X", "")]),
                Found::End,
            ];
            assert_eq!(read(true, V2_LIST, piece), Ok(two.to_vec()), "{piece}");
            let one = [record(&[("CUNO", "C1   "), ("CUNM", "")]), Found::End];
            assert_eq!(read(false, V1_LIST, piece), Ok(one.to_vec()), "{piece}");
        }
        let mut reader = Reader::new(true, 1_024);
        let (half, rest) = V2_LIST.split_at(V2_LIST.find("},{").expect("two records") + 2);
        reader.feed(half.as_bytes()).expect("half of it");
        assert!(matches!(reader.found(), Some(Found::Record(_))) && reader.found().is_none() && !reader.is_whole());
        reader.feed(rest.as_bytes()).expect("the rest");
        assert!(reader.is_whole());
    }

    #[test]
    fn a_refusal_is_found_in_each_of_its_forms() {
        let nok = refused("Customer does not exist", "WCU0103", "CUNO");
        for (v2, text) in [
            (
                false,
                r#"{"@type":"ServerReturnedNOK","@code":"WCU0103","@field":"CUNO      ","@cfg":null,"Message":"Customer does not exist   "}"#,
            ),
            (
                true,
                r#"{"results":[{"transaction":"Get","records":[],"errorMessage":"Customer does not exist","errorCode":"WCU0103","errorField":"CUNO","errorType":"ServerReturnedNOK"}],"wasTerminated":false}"#,
            ),
            (true, r#"{"errorMessage":"Customer does not exist","errorCode":"WCU0103","errorField":"CUNO"}"#),
        ] {
            assert_eq!(read(v2, text, 5), Ok(vec![nok.clone()]), "{text}");
        }
        let partial = r#"{"MIRecord":[{"RowIndex":0,"NameValue":[{"Name":"A","Value":"1"}]}],"ErrorMessage":{"@type":"ServerReturnedNOK","@code":"XIM0002","@field":null,"Message":"Enough"}}"#;
        assert_eq!(read(false, partial, 3), Ok(vec![record(&[("A", "1")]), refused("Enough", "XIM0002", "")]));
    }

    #[test]
    fn a_run_that_was_ended_is_no_refusal() {
        let text = r#"{"results":[],"wasTerminated":true,"terminationReason":"time","terminationErrorType":"Timeout"}"#;
        assert_eq!(read(true, text, 9), Ok(vec![Found::Terminated("time".to_owned())]));
    }

    #[test]
    fn a_result_that_does_not_say_success_is_none() {
        for (v2, text) in [(true, "{}"), (true, r#"{"results":[]}"#), (false, "{}"), (false, r#"{"error":"proxy"}"#)] {
            assert!(matches!(read(v2, text, 1).as_deref(), Ok([Found::Terminated(_)])), "{text}");
        }
        for text in [
            r#"{"results":[{"records":[],"notProcessed":true}]}"#,
            r#"{"results":[{"records":[]}],"nrOfFailedTransactions":1}"#,
            r#"{"results":[{"records":[],"notProcessed":true}],"wasTerminated":true,"terminationReason":"x"}"#,
            r#"{"results":[],"wasTerminated":true,"terminationErrorType":"TransactionNotFound"}"#,
        ] {
            assert!(matches!(read(true, text, 1).as_deref(), Ok([Found::Refused(_)])), "{text}");
        }
        assert_eq!(read(false, r#"{"Program":"P","Transaction":"T","MIRecord":null}"#, 1), Ok(vec![Found::End]));
        assert_eq!(read(true, r#"{"results":[{"transaction":"T","records":[]}]}"#, 1), Ok(vec![Found::End]));
        for count in ["null", "0", "\"0\"", "0.0"] {
            let text = format!(r#"{{"results":[{{"records":[]}}],"nrOfFailedTransactions":{count}}}"#);
            assert_eq!(read(true, &text, 1), Ok(vec![Found::End]), "{text}: a write that was done is not refused");
        }
    }

    #[test]
    fn what_is_no_answer_of_m3_is_a_fault() {
        for text in
            ["<html>", "[]", r#"{"results":[{},{}]}"#, r#"{"results":[{"records":[{"A":{}}]}]}"#, r#"{"errorCode":[]}"#]
        {
            assert!(read(true, text, 2).is_err(), "{text}");
        }
        assert_eq!(read(true, r#"{"results":[{"records":[{"A":"1"#, 2), Ok(vec![]), "half of it is not whole");
    }
}
