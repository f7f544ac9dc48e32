//! The body, split while it arrives. It is read to its end or its limit, whatever becomes of the run.

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
    /// The caller broke off.
    Lost,
}

/// What waits in the channel is bounded by the body's own limit. Ends early when nobody wants the parts any more.
pub(super) async fn read(mut body: Body, to: UnboundedSender<Read>) {
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
