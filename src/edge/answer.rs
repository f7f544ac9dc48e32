//! The service as the connection sees it: requests carry their peer, answers are counted until their last byte.
//!
//! Does not know: what is answered, save that a target too long to read is refused here.

use super::watch::{InFlight, Watch};
use crate::model::{ClientCertificate, Peer};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower::{Service, ServiceExt};

/// Who is at the other end of a connection, as far as the connection proves it.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) peer: Peer,
    pub(super) certificate: Option<Arc<ClientCertificate>>,
}

#[derive(Debug, Clone)]
pub(super) struct Counted<S> {
    service: S,
    watch: Arc<Watch>,
    caller: Caller,
}

impl<S> Counted<S> {
    pub(super) fn new(service: S, watch: Arc<Watch>, caller: Caller) -> Self {
        Self { service, watch, caller }
    }
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Counted<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<Answer<B>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let in_flight = self.watch.request();
        let most = self.watch.limits().max_uri;
        if request.uri().path_and_query().is_some_and(|target| target.as_str().len() > most) {
            return Box::pin(std::future::ready(Ok(too_long(in_flight))));
        }
        request.extensions_mut().insert(self.caller.peer);
        if let Some(certificate) = &self.caller.certificate {
            request.extensions_mut().insert(Arc::clone(certificate));
        }
        let service = self.service.clone();
        Box::pin(async move {
            let (head, body) = service.oneshot(request).await?.into_parts();
            Ok(Response::from_parts(head, Answer { body: Whose::Service(Box::pin(body)), in_flight: Some(in_flight) }))
        })
    }
}

fn too_long<B>(in_flight: InFlight) -> Response<Answer<B>> {
    const BODY: &[u8] =
        br#"{"type":"urn:mi-gateway:problem:uri-too-long","code":"uri-too-long","title":"URI too long","status":414}"#;
    let body = Whose::Edge(Some(Bytes::from_static(BODY)));
    let mut response = Response::new(Answer { body, in_flight: Some(in_flight) });
    *response.status_mut() = StatusCode::URI_TOO_LONG;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}

/// The body of an answer. Its request is in flight until it ended or was dropped.
#[derive(Debug)]
pub(super) struct Answer<B> {
    body: Whose<B>,
    in_flight: Option<InFlight>,
}

#[derive(Debug)]
enum Whose<B> {
    Service(Pin<Box<B>>),
    Edge(Option<Bytes>),
}

impl<B: Body<Data = Bytes>> Body for Answer<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = &mut *self;
        if let Some(in_flight) = &mut this.in_flight {
            in_flight.asked();
        }
        let frame = match &mut this.body {
            Whose::Service(body) => body.as_mut().poll_frame(cx),
            Whose::Edge(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
        };
        match &frame {
            Poll::Ready(Some(Ok(_))) => {
                if let Some(in_flight) = &mut this.in_flight {
                    in_flight.offered();
                }
            }
            Poll::Ready(_) => this.in_flight = None,
            Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Whose::Service(body) => body.is_end_stream(),
            Whose::Edge(bytes) => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Whose::Service(body) => body.size_hint(),
            Whose::Edge(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
        }
    }
}
