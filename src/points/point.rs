//! One point: a name, what it wants, and the way there.

use super::database::Tables;
use super::failure::Failure;
use super::file::FileDrop;
use super::http::Webhook;
use super::ims::Ims;
use super::message::Message;
use super::settings::{Answers, Settings, Target};
use crate::bod::{Action, ConfirmationCode, Filter, Mask, OnLeave};
use crate::outbound;
use std::borrow::Cow;
use std::time::Duration;

#[derive(Debug)]
pub struct Point {
    name: String,
    filter: Filter,
    mask: Mask,
    most_bytes: usize,
    receiver: String,
    answers: Answers,
    way: Way,
}

#[derive(Debug)]
enum Way {
    File(FileDrop),
    Http(Box<Webhook>),
    Ims(Box<Ims>),
    Database(Tables),
}

/// Where it lies now, or what the receiver answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    pub reference: String,
}

const ANYBODY: &str = "lid://default";

impl Point {
    /// Asks nobody yet: a target that is away now is no reason not to start.
    pub fn open(settings: Settings) -> Result<Self, outbound::Error> {
        let Settings { name, filter, mask, most_bytes, receiver, answers, target } = settings;
        let way = match target {
            Target::File(file) => Way::File(FileDrop::new(file)),
            Target::Http(http) => Way::Http(Box::new(Webhook::new(http)?)),
            Target::Ims(ims) => Way::Ims(Box::new(Ims::new(*ims)?)),
            Target::Database(database) => Way::Database(Tables::new(database)),
        };
        let receiver = receiver.unwrap_or_else(|| ANYBODY.to_owned());
        Ok(Self { name, filter, mask, most_bytes, receiver, answers, way })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// What a message to it names as its receiver.
    pub fn receiver(&self) -> &str {
        &self.receiver
    }

    /// The document as this point's receiver gets it, and how long that has for an answer, where it must give one.
    pub fn asks<'x>(&self, xml: &'x str) -> (Cow<'x, str>, Option<Duration>) {
        let xml = self.answers.code.map_or(Cow::Borrowed(xml), |code| code.asked_by(xml));
        let always = ConfirmationCode::stands_in(&xml) == Some(ConfirmationCode::Always);
        (xml, always.then_some(self.answers.within))
    }

    /// What becomes of a record that its filter keeps away from now on.
    pub fn on_leave(&self) -> OnLeave {
        self.filter.on_leave
    }

    /// Whether its filter lets any document of this action through.
    pub fn takes(&self, action: Action) -> bool {
        self.filter.takes(action)
    }

    /// `Err` names the rule of the point's filter that keeps the message away.
    pub fn wants(&self, message: &Message<'_>) -> Result<(), String> {
        self.filter.wants(&message.facts(), message.xml)
    }

    pub async fn deliver(&self, message: &Message<'_>) -> Result<Delivered, Failure> {
        if message.xml.len() > self.most_bytes {
            let (size, most) = (message.xml.len(), self.most_bytes);
            return Err(Failure::lasting(format!(
                "the document has {size} bytes, and {} takes {most}; raise its most_bytes if its receiver takes more",
                self.name
            )));
        }
        let shown = self.mask.apply(message.xml).map_err(|error| Failure::lasting(error.to_string()))?;
        let message = &Message { xml: &shown, ..*message };
        let reference = match &self.way {
            Way::File(drop) => drop.deliver(message).await?,
            Way::Http(webhook) => webhook.deliver(message).await?,
            Way::Ims(ims) => ims.deliver(message).await?,
            Way::Database(tables) => tables.deliver(message).await?,
        };
        Ok(Delivered { reference })
    }
}
