//! The head of a run's answer: sent once, with what the limits said to the first transaction, and its decision.
//! Does not know: why a run begins to answer, or ends.

use super::super::super::problem::Problem;
use super::super::super::visit::Visit;
use std::sync::Arc;
use tokio::sync::oneshot;

pub(super) struct Head {
    visit: Arc<Visit>,
    first: Option<Arc<Visit>>,
    /// Told once: the answer begins, or why there is none.
    told: Option<oneshot::Sender<Option<Problem>>>,
}

impl Head {
    pub(super) fn new(visit: Arc<Visit>, told: oneshot::Sender<Option<Problem>>) -> Self {
        Self { visit, first: None, told: Some(told) }
    }

    pub(super) fn is_sent(&self) -> bool {
        self.told.is_none()
    }

    /// A transaction was begun; the first of them counts.
    pub(super) fn with(&mut self, item: &Arc<Visit>) {
        self.first.get_or_insert_with(|| Arc::clone(item));
    }

    pub(super) fn send(&mut self) {
        self.tell(None);
    }

    pub(super) fn refuse(&mut self, problem: Problem) {
        self.tell(Some(problem));
    }

    fn tell(&mut self, problem: Option<Problem>) {
        let Some(told) = self.told.take() else { return };
        if let Some(first) = &self.first {
            self.visit.learns_of(first);
        }
        // Whoever waits no longer has gone away.
        let _ = told.send(problem);
    }
}
