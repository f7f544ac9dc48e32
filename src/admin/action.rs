//! What an operator may do, registered by `app`: a method, a path and what runs.

use futures_util::future::BoxFuture;
use http::Method;
use serde_json::Value;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

/// Gets the body (null without one), gives the answer's body.
pub type Run = Arc<dyn Fn(Value) -> BoxFuture<'static, Result<Value, ActionError>> + Send + Sync>;

#[derive(Clone)]
pub struct Action {
    pub method: Method,
    pub path: &'static str,
    pub run: Run,
}

/// Why an action did nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    /// The operator's fault: 422, and the text is shown.
    #[error("{0}")]
    Refused(String),
    /// The machine's fault: 500, and the text is shown, since it says what helps.
    #[error("{0}")]
    Unable(String),
    /// Ours: 500, and the text goes to the log only.
    #[error("{0}")]
    Failed(String),
}

impl Action {
    pub fn new<F, R>(method: Method, path: &'static str, run: F) -> Self
    where
        F: Fn(Value) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Value, ActionError>> + Send + 'static,
    {
        Self { method, path, run: Arc::new(move |body| Box::pin(run(body))) }
    }
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}
