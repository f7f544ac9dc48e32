//! The body, split while it arrives. It is read to its end or to a limit, whatever becomes of the run.

use super::super::super::body::{Body, ReadFault, read_fault};
use crate::translate::{BULK_LIMITS, BULK_PATH, Part, SplitFault, Splitter};
use http_body_util::BodyExt;
use std::collections::VecDeque;
use tokio::sync::mpsc::UnboundedSender;

/// What came of the body, in its order; the last one, if any, says why there is no more.
#[derive(Debug)]
pub(super) enum Read {
    Part(Part),
    NoJson(SplitFault),
    /// Longer than a bulk body may be.
    TooLarge,
    /// More transactions than may run, and than are told one by one that they did not.
    TooMany,
    /// The caller broke off.
    Lost,
}

/// Transactions beyond those that may run which are still told by name.
const TOLD: u32 = 1_000;

/// What waits in the channel is bounded: in bytes by the body's own limit, in number by the transactions of a call. Ends
/// early when nobody wants the parts any more.
pub(super) async fn read(mut body: Body, transactions: u32, to: UnboundedSender<Read>) {
    let mut left = transactions.saturating_add(TOLD);
    let mut splitter = Splitter::new(BULK_PATH, BULK_LIMITS);
    let mut parts = VecDeque::new();
    while let Some(frame) = tokio::select! { frame = body.frame() => frame, () = to.closed() => return } {
        let data = match frame {
            Ok(frame) => frame.into_data().unwrap_or_default(),
            Err(fault) => {
                let _ = to.send(match read_fault(&fault) {
                    ReadFault::TooLarge => Read::TooLarge,
                    ReadFault::Broken => Read::Lost,
                });
                return;
            }
        };
        let split = splitter.feed(&data, &mut parts);
        for part in parts.drain(..) {
            if matches!(part, Part::Value { depth: 2, .. }) {
                let Some(fewer) = left.checked_sub(1) else {
                    let _ = to.send(Read::TooMany);
                    return;
                };
                left = fewer;
            }
            if to.send(Read::Part(part)).is_err() {
                return;
            }
        }
        if let Err(fault) = split {
            let _ = to.send(Read::NoJson(fault));
            return;
        }
    }
    if let Err(fault) = splitter.finish() {
        let _ = to.send(Read::NoJson(fault));
    }
}
