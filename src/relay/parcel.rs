//! A document as points see it, whether it was made just now or a week ago: what of it is text in the outbox is read
//! back in this one place.

use crate::bod::{Action, Verb};
use crate::outbox::{DueDocument, Kept, Made};
use crate::points::{Message, Point};

/// What of a message does not stand with its text.
#[derive(Debug, Clone, Copy)]
pub(super) struct About<'a> {
    verb: Verb,
    noun: &'a str,
    company: &'a str,
    cause: &'a str,
}

impl<'a> About<'a> {
    pub(super) fn kept(kept: &'a Kept) -> Self {
        Self::of(&kept.verb, &kept.noun, &kept.company, &kept.cause)
    }

    pub(super) fn due(due: &'a DueDocument, company: &'a str) -> Self {
        Self::of(&due.verb, &due.noun, company, &due.cause)
    }

    fn of(verb: &str, noun: &'a str, company: &'a str, cause: &'a str) -> Self {
        Self { verb: Verb::parse(verb).unwrap_or(Verb::Sync), noun, company, cause }
    }

    pub(super) fn verb(self) -> Verb {
        self.verb
    }
}

/// What a document says is done to its record; a ConfirmBOD says nothing of the kind.
pub(super) fn action(made: &Made) -> Action {
    Action::parse(&made.action).unwrap_or(Action::Replace)
}

/// `xml`: as it goes out, where that is not as it was made.
pub(super) fn parcel<'a>(point: &'a Point, about: About<'a>, made: &'a Made, xml: &'a str) -> Message<'a> {
    let About { verb, noun, company, cause } = about;
    Message {
        id: &made.bod_id,
        bod_id: &made.bod_id,
        verb,
        noun,
        action: action(made),
        tenant: &made.tenant,
        from: &made.lid,
        to: point.receiver(),
        company,
        division: &made.division,
        entity: &made.entity,
        location: &made.location,
        document_id: &made.document_id,
        variation: made.variation,
        created: &made.created,
        correlation: cause,
        xml,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_and_actions_are_read_back_as_they_are_written() {
        for verb in Verb::ALL {
            assert_eq!(About::of(verb.as_str(), "ItemMaster", "100", "c").verb(), verb);
        }
        let mut made = Made {
            bod_id: "b".into(),
            action: String::new(),
            variation: 1,
            tenant: String::new(),
            lid: String::new(),
            division: String::new(),
            entity: String::new(),
            location: String::new(),
            document_id: String::new(),
            created: String::new(),
            xml: String::new(),
        };
        assert_eq!(action(&made), Action::Replace, "of what is said of documents of others");
        for of in Action::ALL {
            made.action = of.as_str().to_owned();
            assert_eq!(action(&made), of);
        }
    }
}
