//! The socket as it is, telling the pace what it takes.

use super::pace::Pace;
use super::tap::{Ear, Tap};
use std::io;
use std::sync::Arc;
use std::task::Poll;

pub(super) type Metered<T> = Tap<T, Arc<Pace>>;

impl Ear for Arc<Pace> {
    fn written(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Pending => self.waits(),
            Poll::Ready(Ok(count)) => self.moved(*count),
            Poll::Ready(Err(_)) => {}
        }
    }
}
