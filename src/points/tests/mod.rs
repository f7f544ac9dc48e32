//! Deliveries over real sockets, to servers that say what they got.

mod ims;
mod server;
mod webhook;

use super::Message;
use crate::bod::{Action, Verb};

pub(super) fn message(xml: &str) -> Message<'_> {
    Message {
        id: "0198c0de000070008000000000000001",
        bod_id: "0198",
        verb: Verb::Sync,
        noun: "ItemMaster",
        action: Action::Replace,
        tenant: "DEMO_TST",
        from: "lid://mi-gateway.m3",
        to: "lid://default",
        company: "100",
        division: "",
        entity: "100",
        location: "001",
        document_id: "A1",
        variation: 7,
        created: "2026-03-01T12:00:00.000Z",
        correlation: "r-1",
        xml,
    }
}
