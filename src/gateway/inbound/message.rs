//! What stands around a document on its way: the message's headers, and how its content is packed.

use bytes::Bytes;
use serde::Deserialize;
use std::collections::BTreeMap;

/// One message as it was read: its bounds hold, and nothing of it is believed yet.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) head: Head,
    /// As it came, packed or not.
    pub(super) payload: Bytes,
    pub(super) packing: Packing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    None,
    Deflate,
}

/// The headers that mean something here. Others are let by: every release of the service has more of them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Head {
    pub(super) tenant_id: Option<String>,
    /// `Confirm.BOD`.
    pub(super) document_name: String,
    pub(super) message_id: String,
    pub(super) from_logical_id: String,
    pub(super) to_logical_id: String,
    pub(super) encoding: Option<String>,
    pub(super) character_set: Option<String>,
    /// Of the form in one part alone.
    pub(super) document: Option<Content>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Content {
    pub(super) value: String,
    pub(super) encoding: Option<String>,
    pub(super) character_set: Option<String>,
}

impl Head {
    /// Of a message in XML, whose elements are named as the members of the JSON form are.
    pub(super) fn of_words(mut words: BTreeMap<String, String>) -> Self {
        let mut word = |name: &str| words.remove(name).map(|text| text.trim().to_owned());
        let head = Self {
            tenant_id: word("tenantId"),
            document_name: word("documentName").unwrap_or_default(),
            message_id: word("messageId").unwrap_or_default(),
            from_logical_id: word("fromLogicalId").unwrap_or_default(),
            to_logical_id: word("toLogicalId").unwrap_or_default(),
            encoding: word("encoding"),
            character_set: word("characterSet"),
            document: None,
        };
        let (encoding, character_set) = (word("document/encoding"), word("document/characterSet"));
        let value = words.remove("document/value");
        Self { document: value.map(|value| Content { value, encoding, character_set }), ..head }
    }
}

const MOST_MESSAGE_ID: usize = 250;
const MOST_NAME: usize = 250;

impl Head {
    /// `Err` says what is missing or wrong.
    pub(super) fn check(&self) -> Result<(), String> {
        let told =
            |text: &str, most: usize| !text.is_empty() && text.len() <= most && !text.chars().any(char::is_control);
        let lid = |text: &str| told(text, MOST_NAME) && text.starts_with("lid://");
        let wrong = if !told(&self.message_id, MOST_MESSAGE_ID) {
            "messageId, of at most 250 characters,"
        } else if !told(&self.document_name, MOST_NAME) || self.document_name.split('.').count() != 2 {
            "documentName, like Confirm.BOD,"
        } else if !lid(&self.from_logical_id) {
            "fromLogicalId, like lid://infor.wms.north,"
        } else if !lid(&self.to_logical_id) {
            "toLogicalId, like lid://default,"
        } else {
            return Ok(());
        };
        Err(format!("The message needs {wrong} and has none that can be used."))
    }
}

/// How it is packed; `Err`: in no way that is known here.
pub(super) fn packing(encoding: Option<&str>, characters: Option<&str>) -> Result<Packing, String> {
    if let Some(other) = characters.filter(|set| !set.is_empty() && !set.eq_ignore_ascii_case("UTF-8")) {
        return Err(format!("The content is of the character set {other:?}; send UTF-8."));
    }
    match encoding.unwrap_or_default().to_ascii_uppercase().as_str() {
        "" | "NONE" => Ok(Packing::None),
        "DEFLATE" => Ok(Packing::Deflate),
        other => Err(format!("The content is packed as {other:?}; send NONE or DEFLATE.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_message_must_say_is_asked_for_by_its_name() {
        let good = Head {
            document_name: "Confirm.BOD".into(),
            message_id: "m-1".into(),
            from_logical_id: "lid://infor.wms.north".into(),
            to_logical_id: "lid://default".into(),
            ..Head::default()
        };
        assert_eq!(good.check(), Ok(()));
        type Change = fn(&mut Head);
        let cases: [(&str, Change); 6] = [
            ("messageId", |head| head.message_id.clear()),
            ("messageId", |head| head.message_id = "x".repeat(251)),
            ("messageId", |head| head.message_id = "a\nb".into()),
            ("documentName", |head| head.document_name = "ConfirmBOD".into()),
            ("fromLogicalId", |head| head.from_logical_id = "infor.wms".into()),
            ("toLogicalId", |head| head.to_logical_id.clear()),
        ];
        for (word, change) in cases {
            let mut head = good.clone();
            change(&mut head);
            assert!(head.check().is_err_and(|why| why.contains(word)), "{word}");
        }
        assert_eq!(packing(Some("deflate"), Some("utf-8")), Ok(Packing::Deflate));
        assert_eq!(packing(None, None), Ok(Packing::None));
        assert!(packing(Some("GZIP"), None).is_err() && packing(None, Some("latin1")).is_err());
    }
}
