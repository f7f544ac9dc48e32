//! Whether the receiver of a document shall answer it: its confirmation code.

use std::borrow::Cow;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConfirmationCode {
    /// Also when all is well.
    Always,
    OnError,
    Never,
}

const OPEN: &str = "<ConfirmationCode>";
const CLOSE: &str = "</ConfirmationCode>";
/// The code stands before it, and no other element of that name does.
const AREA: &str = "</ApplicationArea>";

impl ConfirmationCode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::OnError => "OnError",
            Self::Never => "Never",
        }
    }

    /// As a document has it. What is none of the three is what everybody uses: an answer on errors.
    pub fn of(text: &str) -> Self {
        Self::parse(text).unwrap_or(Self::OnError)
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Always, Self::OnError, Self::Never].into_iter().find(|code| code.as_str() == text)
    }

    /// Of a document of ours.
    pub fn stands_in(xml: &str) -> Option<Self> {
        let (_, code, _) = parted(xml)?;
        Self::parse(code)
    }

    /// The same document of ours, which asks for this.
    pub fn asked_by(self, xml: &str) -> Cow<'_, str> {
        match parted(xml) {
            Some((before, code, behind)) if code != self.as_str() => {
                Cow::Owned(format!("{before}{}{behind}", self.as_str()))
            }
            _ => Cow::Borrowed(xml),
        }
    }
}

fn parted(xml: &str) -> Option<(&str, &str, &str)> {
    let area = xml.find(AREA)?;
    let begin = xml[..area].find(OPEN)? + OPEN.len();
    let end = begin + xml[begin..area].find(CLOSE)?;
    Some((&xml[..begin], &xml[begin..end], &xml[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_asks_one_receiver_for_more_than_another() {
        let xml = "<A><ApplicationArea><Sender><ConfirmationCode>OnError</ConfirmationCode></Sender></ApplicationArea>\
                   <ConfirmationCode>OnError</ConfirmationCode></A>";
        assert_eq!(ConfirmationCode::stands_in(xml), Some(ConfirmationCode::OnError));
        assert!(matches!(ConfirmationCode::OnError.asked_by(xml), Cow::Borrowed(_)));
        let asked = ConfirmationCode::Always.asked_by(xml);
        assert_eq!(asked, xml.replacen("OnError", "Always", 1));
        assert_eq!(ConfirmationCode::stands_in(&asked), Some(ConfirmationCode::Always));
        let without = "<A><ApplicationArea/><ConfirmationCode>Never</ConfirmationCode></A>";
        assert_eq!(ConfirmationCode::stands_in(without), None);
        assert_eq!(ConfirmationCode::Always.asked_by(without), without);
    }
}
