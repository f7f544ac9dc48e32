//! One transaction of a run, with the first word of its answer.
//!
//! It is polled by its run, which may stand still while a caller does not read: whatever others wait for too, such as a
//! layout or a logon, is on a task of its own, and so is a write from the moment M3 may see it.

use super::super::super::exchange::{Answer, Exchange};
use super::super::super::problem::Kind;
use super::super::super::refused::Refused;
use super::super::super::visit::Visit;
use crate::model::Principal;
use crate::translate::{Item, Shape};
use futures_util::future::{BoxFuture, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long a run may be held back by rates, in all.
const PACE: Duration = Duration::from_secs(2);

/// The time that rates may still cost a run.
pub(super) struct Pace(AtomicU64);

impl Pace {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(PACE.as_micros() as u64))
    }

    pub(super) fn take(&self, wait: Duration) -> bool {
        let wait = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(wait)).is_ok()
    }
}

/// A transaction that was begun, with the first word of its answer.
pub(super) struct Done {
    pub(super) name: String,
    pub(super) extended: bool,
    pub(super) answer: Result<Answer, Refused>,
}

/// Without `pace` a spent rate is the answer at once.
pub(super) fn begin(
    exchange: Arc<Exchange>,
    who: Arc<Principal>,
    visit: Arc<Visit>,
    pace: Option<Arc<Pace>>,
    item: Item,
) -> BoxFuture<'static, Done> {
    let name = item.name;
    let asked = match item.asked {
        Ok(asked) => asked,
        Err(fault) => return Box::pin(ready(Done { name, extended: false, answer: Err(fault.into()) })),
    };
    let extended = asked.options.extended;
    Box::pin(async move {
        loop {
            let answer = exchange.run(&asked, Shape::V2, &who, &visit).await;
            // The program's own rate is asked before M3 is: nothing was done yet.
            if let (Err(Refused::Problem(problem)), Some(pace)) = (&answer, &pace)
                && let Some(wait) = problem.wait.filter(|_| problem.kind == Kind::RateLimited)
                && pace.take(wait)
            {
                tokio::time::sleep(wait).await;
                continue;
            }
            return Done { name, extended, answer };
        }
    })
}
