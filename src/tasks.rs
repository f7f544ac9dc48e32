//! Every background task of the process: the only place that spawns.
//!
//! A task is tracked, so that a drain can wait for it, and told when to stop.
//! Does not know: what the tasks do, or in which order rooms stop (see `app`).

use futures_util::FutureExt;
use prometheus::IntCounter;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Before a task that met a bug begins anew.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs to its own end: nobody's time-out, disconnect or drain cuts it short.
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    pub fn spawn<F>(&self, task: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        tokio::spawn(self.tracker.track_future(task))
    }

    /// Runs until it ends or the house stops, whichever is first.
    pub fn spawn_until_stop(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// Runs until the house stops: a bug ends one run of it, is told and counted, and after a moment it begins anew.
    pub fn spawn_for_good<F>(&self, name: &'static str, bugs: IntCounter, begin: impl Fn() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.spawn_until_stop(async move {
            while AssertUnwindSafe(begin()).catch_unwind().await.is_err() {
                bugs.inc();
                tracing::error!(task = name, "a task met a bug and begins anew");
                tokio::time::sleep(AGAIN).await;
            }
        });
    }

    /// Resolves when the house is told to stop.
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// A set of its own that also stops with this one.
    pub fn child(&self) -> Self {
        Self { tracker: TaskTracker::new(), stop: self.stop.child_token() }
    }

    /// Tells every task to stop and waits for those that finish first; says whether all did.
    pub async fn finish(&self, limit: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(limit, self.tracker.wait()).await.is_ok()
    }

    pub fn running(&self) -> usize {
        self.tracker.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::Notify;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_meets_a_bug_begins_anew() {
        let (tasks, bugs) = (Tasks::new(), IntCounter::new("bugs", "Bugs.").expect("a counter"));
        let (begun, lives) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let told = lives.clone();
        tasks.spawn_for_good("a test", bugs.clone(), move || {
            let (at, told) = (begun.fetch_add(1, Ordering::Relaxed), told.clone());
            async move {
                assert!(at >= 2, "the first two times it meets a bug");
                told.notify_one();
                std::future::pending::<()>().await;
            }
        });
        tokio::time::timeout(Duration::from_secs(60), lives.notified()).await.expect("it begins anew");
        assert_eq!(bugs.get(), 2);
        assert!(tasks.finish(Duration::from_secs(1)).await);
    }
}
