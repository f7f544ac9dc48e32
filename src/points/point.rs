//! One point: a name, what it wants, and the way there.

use super::database::Tables;
use super::failure::Failure;
use super::file::FileDrop;
use super::http::Webhook;
use super::ims::Ims;
use super::message::Message;
use super::settings::{Settings, Target};
use crate::bod::Filter;
use crate::outbound;

#[derive(Debug)]
pub struct Point {
    name: String,
    filter: Filter,
    most_bytes: usize,
    receiver: String,
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
        let way = match settings.target {
            Target::File(file) => Way::File(FileDrop::new(file)),
            Target::Http(http) => Way::Http(Box::new(Webhook::new(http)?)),
            Target::Ims(ims) => Way::Ims(Box::new(Ims::new(*ims)?)),
            Target::Database(database) => Way::Database(Tables::new(database)),
        };
        let receiver = settings.receiver.unwrap_or_else(|| ANYBODY.to_owned());
        Ok(Self { name: settings.name, filter: settings.filter, most_bytes: settings.most_bytes, receiver, way })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// What a message to it names as its receiver.
    pub fn receiver(&self) -> &str {
        &self.receiver
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
        let reference = match &self.way {
            Way::File(drop) => drop.deliver(message).await?,
            Way::Http(webhook) => webhook.deliver(message).await?,
            Way::Ims(ims) => ims.deliver(message).await?,
            Way::Database(tables) => tables.deliver(message).await?,
        };
        Ok(Delivered { reference })
    }
}
