//! One transaction of a run, with the first word of its answer.
//!
//! It is polled by its run, which may stand still while a caller does not read: whatever others wait for too, such as a
//! layout or a logon, is on a task of its own, and so is a write from the moment M3 may see it.

use super::super::super::exchange::{Answer, Exchange};
use super::super::super::refused::Refused;
use super::super::super::visit::Visit;
use crate::model::{Effect, Principal};
use crate::translate::{Item, Shape};
use futures_util::future::{BoxFuture, ready};
use std::sync::Arc;

/// A transaction that was begun, with the first word of its answer.
pub(super) struct Done {
    pub(super) name: String,
    pub(super) extended: bool,
    pub(super) answer: Result<Answer, Refused>,
}

/// What can't be read is none, and is answered in its place.
pub(super) fn is_write(item: &Item) -> bool {
    item.asked.as_ref().is_ok_and(|asked| Effect::of(asked.program, asked.transaction).is_write())
}

pub(super) fn begin(
    exchange: Arc<Exchange>,
    who: Arc<Principal>,
    visit: Arc<Visit>,
    item: Item,
) -> BoxFuture<'static, Done> {
    let name = item.name;
    let asked = match item.asked {
        Ok(asked) => asked,
        Err(fault) => return Box::pin(ready(Done { name, extended: false, answer: Err(fault.into()) })),
    };
    let extended = asked.options.extended;
    Box::pin(async move {
        let answer = exchange.run(&asked, Shape::V2, &who, &visit).await;
        Done { name, extended, answer }
    })
}
