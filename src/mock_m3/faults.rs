//! Faults on request: latency, NOK, half an answer, a dropped connection, no answer.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The rules in force; the first that fits a call is applied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    pub rules: Vec<Fault>,
}

/// One rule. Without a program or a transaction it fits every call that is not technical.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fault {
    pub program: Option<String>,
    /// A technical transaction has to be named.
    pub transaction: Option<String>,
    /// How often it is applied; `null`: always.
    pub times: Option<u32>,
    pub latency_ms: Option<u64>,
    pub action: Option<Action>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    Nok {
        id: String,
        field: String,
        text: String,
    },
    /// Answered so, whatever the mock holds: with these records, and then with a refusal if there is one.
    Answer {
        records: Vec<BTreeMap<String, String>>,
        #[serde(default)]
        nok: Option<Refusal>,
    },
    /// After so many records of a list.
    NokAfter {
        records: u32,
        id: String,
        field: String,
        text: String,
    },
    /// The call is executed, and its answer breaks off in the middle.
    HalfAnswer,
    /// The connection ends before the call is executed.
    DropBefore,
    /// The call is executed, and the connection ends without an answer.
    DropAfter,
    /// The call is executed and never answered.
    NoAnswer,
    /// The call is executed and answered with what is not of the protocol.
    Garbage,
    /// A list stops after so many records, and nothing more comes.
    SilentAfter {
        records: u32,
    },
}

/// M3's words, its message id, and the field that it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    pub id: String,
    #[serde(default)]
    pub field: String,
    pub text: String,
}

impl Faults {
    /// What befalls this call; a rule with a number of times is counted down.
    pub(super) fn take(&mut self, program: &str, transaction: &str, technical: bool) -> Option<Fault> {
        let fits = |rule: &&mut Fault| {
            rule.times != Some(0)
                && rule.program.as_deref().is_none_or(|name| name == program)
                && match &rule.transaction {
                    Some(name) => name == transaction,
                    None => !technical,
                }
        };
        let rule = self.rules.iter_mut().find(fits)?;
        if let Some(times) = &mut rule.times {
            *times -= 1;
        }
        Some(rule.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_applied_as_often_as_it_says() {
        let text = r#"{"rules":[{"program":"CRS610MI","times":2,"action":"no_answer"},{"latency_ms":5}]}"#;
        let mut faults: Faults = serde_json::from_str(text).expect("faults of the test");
        assert_eq!(faults.take("CRS610MI", "Get", false).and_then(|f| f.action), Some(Action::NoAnswer));
        assert!(faults.take("CRS610MI", "GetUserInfo", true).is_none(), "technical ones have to be named");
        assert!(faults.take("CRS610MI", "Get", false).is_some_and(|f| f.action.is_some()));
        assert_eq!(faults.take("CRS610MI", "Get", false).and_then(|f| f.latency_ms), Some(5));
    }

    #[test]
    fn an_unknown_word_is_refused() {
        assert!(serde_json::from_str::<Faults>(r#"{"rule":[]}"#).is_err());
    }
}
