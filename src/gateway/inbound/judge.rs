//! What a document that came means: words on documents of ours, or something that nobody here can use.

use crate::bod::{Answer, Area, ConfirmationCode, Identity, Inbound, Outcome, Reason};
use crate::outbox::Word;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Judged {
    /// `area`: of the document itself, for a sender who always wants to hear.
    Words { words: Vec<Word>, area: Area },
    /// Of M3's own publisher: a document that is made here in shadow as well.
    Theirs { identity: Identity, area: Area },
    /// Its sender is told by a ConfirmBOD, with a word for programs and a sentence for people.
    Useless { code: &'static str, why: String, area: Area, taken: bool },
    /// Its sender can't be told in that way: a ConfirmBOD is never answered by one.
    Unreadable(String),
}

const CONFIRM: &str = "Confirm.BOD";
const ROOT: &str = "ConfirmBOD";
/// Characters of what a receiver says that are kept.
const MOST_WORDS: usize = 2_000;

/// `name`: as the message's headers say it. `text`: or why there is none. `compares`: it is one that M3's own publisher may send.
pub(super) fn judge(name: &str, text: Result<&str, &'static str>, compares: bool) -> Judged {
    let useless = |code, why, area| Judged::Useless { code, why, area, taken: true };
    let text = match text {
        Ok(text) => text,
        Err(why) if name == CONFIRM => return Judged::Unreadable(format!("The message can't be used: {why}.")),
        Err(why) => {
            return useless("content-unreadable", format!("The message can't be used: {why}."), Area::default());
        }
    };
    let document = match Inbound::read(text) {
        Ok(document) => document,
        Err(error) if name == CONFIRM || error.seen.name == ROOT => return Judged::Unreadable(error.why),
        Err(error) => return useless("document-unreadable", error.why, error.seen.area),
    };
    let (verb, noun) = name.split_once('.').unwrap_or((name, ""));
    if document.name != format!("{verb}{noun}") {
        let why = format!("The message is said to be {name}, and its document is {}.", document.name);
        let confirms = name == CONFIRM || document.name == ROOT;
        return if confirms { Judged::Unreadable(why) } else { useless("document-misnamed", why, document.area) };
    }
    match verb {
        _ if name == CONFIRM => confirmed(document),
        "Acknowledge" => acknowledged(document, noun),
        _ if compares => match document.identity {
            Some(identity) => Judged::Theirs { identity, area: document.area },
            None => {
                let why = "No element of it has a variationID: nobody can tell which record it is of.";
                useless("document-unnamed", why.to_owned(), document.area)
            }
        },
        _ => {
            let why = format!("Nothing here takes a {name}. Stop sending it to this connection point.");
            Judged::Useless { code: "document-not-taken", why, area: document.area, taken: false }
        }
    }
}

fn confirmed(document: Inbound) -> Judged {
    if document.answers.is_empty() || document.answers.iter().any(|answer| answer.original.bod_id.is_empty()) {
        let why = "The ConfirmBOD does not say which document it is about: OriginalApplicationArea/BODID is missing.";
        return Judged::Unreadable(why.to_owned());
    }
    let word = |answer: &Answer| {
        // Who sends no word of success means the other.
        let good = matches!(answer.outcome, Outcome::Accepted | Outcome::Modified);
        let words = told(&answer.reasons, if good { "" } else { "no reason is given" });
        Word { bod_id: answer.original.bod_id.clone(), request: None, good, words }
    };
    Judged::Words { words: document.answers.iter().map(word).collect(), area: document.area }
}

fn acknowledged(document: Inbound, noun: &str) -> Judged {
    let useless = |why: &str, area| Judged::Useless { code: "answer-unclear", why: why.to_owned(), area, taken: true };
    let Inbound { answers, area, .. } = document;
    let Some(answer) = answers.into_iter().next().filter(|answer| !answer.original.bod_id.is_empty()) else {
        return useless("The Acknowledge does not say which request it is about.", area);
    };
    let (good, usual) = match answer.outcome {
        Outcome::Accepted => (true, "accepted"),
        Outcome::Modified => (true, "taken, but not as it was asked"),
        Outcome::Rejected => (false, "rejected"),
        Outcome::Unsaid => return useless("The Acknowledge does not say whether the request was accepted.", area),
    };
    let words = told(&answer.reasons, usual);
    let word = Word { bod_id: answer.original.bod_id, request: Some(noun.to_owned()), good, words };
    Judged::Words { words: vec![word], area }
}

fn told(reasons: &[Reason], without: &str) -> String {
    let one = |reason: &Reason| {
        let warning = if reason.warning { "warning " } else { "" };
        let code = if reason.code.is_empty() { String::new() } else { format!("{}: ", reason.code) };
        format!("{warning}{code}{}", reason.text)
    };
    let all = reasons.iter().map(one).collect::<Vec<_>>().join("; ");
    let all = if all.is_empty() { without.to_owned() } else { all };
    all.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST_WORDS).collect()
}

impl Judged {
    /// Whether its sender wants to be told of what became of it.
    pub(super) fn is_asked_for(&self, name: &str) -> bool {
        match self {
            Self::Words { area, .. } => {
                name != CONFIRM && ConfirmationCode::of(&area.confirmation) == ConfirmationCode::Always
            }
            Self::Useless { area, .. } => ConfirmationCode::of(&area.confirmation) != ConfirmationCode::Never,
            Self::Theirs { .. } | Self::Unreadable(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(root: &str, code: &str, data: &str) -> String {
        format!(
            "<{root}><ApplicationArea><Sender><LogicalID>lid://infor.wms.north</LogicalID>\
             <ConfirmationCode>{code}</ConfirmationCode></Sender><CreationDateTime>2026-03-01T12:00:00Z</CreationDateTime>\
             <BODID>own</BODID></ApplicationArea><DataArea>{data}</DataArea></{root}>"
        )
    }

    const ABOUT: &str = "<OriginalApplicationArea><BODID>b-1</BODID></OriginalApplicationArea>";

    fn acknowledge(code: &str) -> String {
        let said = format!("<ResponseCriteria><ResponseExpression actionCode=\"{code}\"/></ResponseCriteria>");
        document("AcknowledgePurchaseOrder", "Always", &format!("<Acknowledge>{ABOUT}{said}</Acknowledge>"))
    }

    #[track_caller]
    fn words(judged: &Judged) -> &[Word] {
        match judged {
            Judged::Words { words, .. } => words,
            other => panic!("no words: {other:?}"),
        }
    }

    #[test]
    fn a_confirm_bod_without_a_word_of_success_tells_of_a_failure() {
        let failure = format!(
            "<BOD>{ABOUT}<BODFailureMessage><ErrorProcessMessage><Description>No such item</Description>\
             <ReasonCode>E7</ReasonCode></ErrorProcessMessage></BODFailureMessage></BOD>"
        );
        for (data, good, told) in [
            (failure, false, "E7: No such item"),
            (format!("<BOD>{ABOUT}</BOD>"), false, "no reason is given"),
            (format!("<BOD>{ABOUT}<BODSuccessMessage/></BOD>"), true, ""),
        ] {
            let judged = judge("Confirm.BOD", Ok(&document("ConfirmBOD", "Always", &data)), false);
            let [word] = words(&judged) else { panic!("one word") };
            assert_eq!((word.bod_id.as_str(), word.good, word.words.as_str()), ("b-1", good, told));
            assert!(!judged.is_asked_for("Confirm.BOD"), "it is answered by nothing");
        }
    }

    #[test]
    fn an_acknowledge_speaks_of_a_request_for_its_noun() {
        for (code, good) in [("Accepted", true), ("Modified", true), ("Rejected", false)] {
            let judged = judge("Acknowledge.PurchaseOrder", Ok(&acknowledge(code)), false);
            let [word] = words(&judged) else { panic!("one word") };
            assert_eq!((word.request.as_deref(), word.good), (Some("PurchaseOrder"), good));
            assert!(judged.is_asked_for("Acknowledge.PurchaseOrder"));
        }
        let unclear = judge("Acknowledge.PurchaseOrder", Ok(&acknowledge("Perhaps")), false);
        assert!(matches!(unclear, Judged::Useless { code: "answer-unclear", taken: true, .. }), "{unclear:?}");
    }

    #[test]
    fn a_confirm_bod_that_is_useless_is_never_answered_by_one() {
        let confirm = document("ConfirmBOD", "Always", &format!("<BOD>{ABOUT}</BOD>"));
        let nameless = document("ConfirmBOD", "Always", "<BOD><BODSuccessMessage/></BOD>");
        let torn = &confirm[..confirm.len() - 3];
        let cases = [
            ("Confirm.BOD", Ok("no xml")),
            ("Confirm.BOD", Ok(torn)),
            ("Confirm.BOD", Err("its content is not deflated")),
            ("Confirm.BOD", Ok(nameless.as_str())),
            ("Sync.ItemMaster", Ok(confirm.as_str())),
            ("Acknowledge.PurchaseOrder", Ok(torn)),
        ];
        for (name, text) in cases {
            let judged = judge(name, text, false);
            assert!(matches!(judged, Judged::Unreadable(_)) && !judged.is_asked_for(name), "{name} {judged:?}");
        }
    }

    #[test]
    fn a_document_of_m3s_own_publisher_is_kept_for_its_record_and_one_without_a_record_is_useless() {
        let item = |id: &str| document("SyncItemMaster", "Always", &format!("<Sync/><ItemMaster>{id}</ItemMaster>"));
        let named = item("<ID variationID=\"1\" accountingEntity=\"100\">A1</ID>");
        let judged = judge("Sync.ItemMaster", Ok(&named), true);
        let Judged::Theirs { identity, .. } = &judged else { panic!("{judged:?}") };
        assert_eq!((identity.document_id.as_str(), identity.entity.as_str()), ("A1", "100"));
        let unnamed = judge("Sync.ItemMaster", Ok(&item("<ID>A1</ID>")), true);
        assert!(matches!(unnamed, Judged::Useless { code: "document-unnamed", taken: true, .. }), "{unnamed:?}");
        let confirm = document("ConfirmBOD", "", &format!("<BOD>{ABOUT}<BODSuccessMessage/></BOD>"));
        assert!(matches!(judge("Confirm.BOD", Ok(&confirm), true), Judged::Words { .. }), "an answer is none");
    }

    #[test]
    fn what_nobody_takes_is_told_unless_its_sender_wants_no_answer() {
        for (code, asked) in [("OnError", true), ("Always", true), ("", true), ("Never", false)] {
            let order = document("SyncPurchaseOrder", code, "");
            let judged = judge("Sync.PurchaseOrder", Ok(&order), false);
            assert!(matches!(judged, Judged::Useless { code: "document-not-taken", taken: false, .. }), "{judged:?}");
            assert_eq!(judged.is_asked_for("Sync.PurchaseOrder"), asked, "{code}");
            let cut = judge("Sync.PurchaseOrder", Ok(&order[..order.len() - 5]), false);
            let Judged::Useless { code: "document-unreadable", area, taken: true, .. } = cut else { panic!("{cut:?}") };
            assert_eq!(area.bod_id, "own", "its sender learns which one");
        }
        let other = judge("Sync.ItemMaster", Ok(&document("SyncPurchaseOrder", "", "")), false);
        assert!(matches!(other, Judged::Useless { code: "document-misnamed", .. }), "{other:?}");
    }
}
