//! The one hand-written `Service`: a step around, or in front of, what lies below it.
//!
//! Takes the ready inner service and leaves a clone behind, as tower asks for. `Clone` is written by hand, for a
//! derive would ask the state to be `Clone` in ways it need not be.

use super::super::body::{Request, Response};
use futures_util::future::BoxFuture;
use std::convert::Infallible;
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower::{Layer, Service};

/// What lies below a step; called once.
pub(crate) type Below = Box<dyn FnOnce(Request) -> BoxFuture<'static, Response> + Send>;

/// A step around what is below: sees the request first and the answer last.
pub(crate) fn around<T, F, R>(step: F, state: T) -> Around<T, F>
where
    T: Clone,
    F: Fn(T, Request, Below) -> R + Send + Sync + 'static,
    R: Future<Output = Response> + Send,
{
    Around { step: Arc::new(step), state }
}

/// A step in front of what is below: lets the request through, changed or not, or answers itself.
pub(crate) fn checkpoint<T, F, R>(step: F, state: T) -> Checkpoint<T, F>
where
    T: Clone,
    F: Fn(T, Request) -> R + Send + Sync + 'static,
    R: Future<Output = ControlFlow<Response, Request>> + Send,
{
    Checkpoint { step: Arc::new(step), state }
}

macro_rules! step_layer {
    ($layer:ident) => {
        pub(crate) struct $layer<T, F> {
            step: Arc<F>,
            state: T,
        }

        impl<T: Clone, F> Clone for $layer<T, F> {
            fn clone(&self) -> Self {
                Self { step: self.step.clone(), state: self.state.clone() }
            }
        }

        impl<S, T: Clone, F> Layer<S> for $layer<T, F> {
            type Service = Step<$layer<T, F>, S>;

            fn layer(&self, inner: S) -> Self::Service {
                Step { layer: self.clone(), inner }
            }
        }
    };
}

step_layer!(Around);
step_layer!(Checkpoint);

pub(crate) struct Step<L, S> {
    layer: L,
    inner: S,
}

impl<L: Clone, S: Clone> Clone for Step<L, S> {
    fn clone(&self) -> Self {
        Self { layer: self.layer.clone(), inner: self.inner.clone() }
    }
}

/// What is below a step: a service that can't fail.
pub(crate) trait Inner:
    Service<Request, Response = Response, Error = Infallible, Future: Send + 'static> + Clone + Send + 'static
{
}

impl<S> Inner for S where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send + 'static> + Clone + Send + 'static
{
}

/// What a step does with one request and the service below it.
pub(crate) trait Run<S> {
    fn run(&self, inner: S, request: Request) -> BoxFuture<'static, Response>;
}

impl<S, T, F, R> Run<S> for Around<T, F>
where
    S: Inner,
    T: Clone,
    F: Fn(T, Request, Below) -> R,
    R: Future<Output = Response> + Send + 'static,
{
    fn run(&self, mut inner: S, request: Request) -> BoxFuture<'static, Response> {
        let below: Below = Box::new(move |request| {
            let answer = inner.call(request);
            Box::pin(async move { infallible(answer.await) })
        });
        Box::pin((self.step)(self.state.clone(), request, below))
    }
}

impl<S, T, F, R> Run<S> for Checkpoint<T, F>
where
    S: Inner,
    T: Clone,
    F: Fn(T, Request) -> R,
    R: Future<Output = ControlFlow<Response, Request>> + Send + 'static,
{
    fn run(&self, mut inner: S, request: Request) -> BoxFuture<'static, Response> {
        let verdict = (self.step)(self.state.clone(), request);
        Box::pin(async move {
            match verdict.await {
                ControlFlow::Continue(request) => infallible(inner.call(request).await),
                ControlFlow::Break(response) => response,
            }
        })
    }
}

impl<S: Inner, L: Run<S>> Service<Request> for Step<L, S> {
    type Response = Response;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let spare = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, spare);
        Answering(self.layer.run(ready, request))
    }
}

/// A step's answer, which can't fail.
pub(crate) struct Answering(BoxFuture<'static, Response>);

impl Future for Answering {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context).map(Ok)
    }
}

fn infallible(answer: Result<Response, Infallible>) -> Response {
    match answer {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
