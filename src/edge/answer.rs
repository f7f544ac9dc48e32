//! The service as the connection sees it: requests carry their peer, answers are counted until their last byte.
//!
//! Does not know: what is answered, save that a request without one host and a target too long to read are refused here.

use super::received::Received;
use super::serve::Door;
use super::watch::{InFlight, Watch};
use crate::model::{ClientCertificate, Peer};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
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

#[derive(Clone)]
pub(super) struct Counted<S> {
    service: S,
    door: Arc<Door>,
    watch: Arc<Watch>,
    caller: Caller,
}

impl<S> Counted<S> {
    pub(super) fn new(service: S, door: Arc<Door>, watch: Arc<Watch>, caller: Caller) -> Self {
        Self { service, door, watch, caller }
    }
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Counted<S>
where
    S: Service<Request<Received>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<Answer<B>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let in_flight = self.watch.request();
        let (most, http2) = (self.door.limits.max_uri, self.watch.is_http2());
        if !http2 {
            self.watch.has_body(request.body().size_hint().exact());
        }
        if !names_one_host(&request) {
            let mut response = refused(in_flight, StatusCode::BAD_REQUEST, HOST);
            if !http2 {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            return Box::pin(std::future::ready(Ok(response)));
        }
        if request.uri().path_and_query().is_some_and(|target| target.as_str().len() > most) {
            return Box::pin(std::future::ready(Ok(refused(in_flight, StatusCode::URI_TOO_LONG, TOO_LONG))));
        }
        request.extensions_mut().insert(self.caller.peer);
        if let Some(certificate) = &self.caller.certificate {
            request.extensions_mut().insert(Arc::clone(certificate));
        }
        let request = request.map(|body| Received::new(body, &self.door, &self.watch));
        let service = self.service.clone();
        Box::pin(async move {
            let (head, body) = service.oneshot(request).await?.into_parts();
            let parts = http2.then(Bytes::new);
            let body = Whose::Service(Box::pin(body));
            Ok(Response::from_parts(head, Answer { body, parts, in_flight: Some(in_flight) }))
        })
    }
}

const TOO_LONG: &[u8] =
    br#"{"type":"urn:mi-gateway:problem:uri-too-long","code":"uri-too-long","title":"URI too long","status":414}"#;
const HOST: &[u8] = br#"{"type":"urn:mi-gateway:problem:request-unreadable","code":"request-unreadable","title":"The request can't be read","status":400,"detail":"a request names its host once","hint":"Send one Host header."}"#;

/// RFC 9112, 3.2: of two hosts one server takes the first and another the last. On HTTP/2 the target names it.
fn names_one_host<T>(request: &Request<T>) -> bool {
    let mut named = request.headers().get_all(header::HOST).iter();
    let needed = request.version() == Version::HTTP_11;
    (named.next().is_some() || !needed) && named.next().is_none()
}

/// What the edge answers without the service.
fn refused<B>(in_flight: InFlight, status: StatusCode, problem: &'static [u8]) -> Response<Answer<B>> {
    let body = Whose::Edge(Some(Bytes::from_static(problem)));
    let mut response = Response::new(Answer { body, parts: None, in_flight: Some(in_flight) });
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}

/// The body of an answer. Its request is in flight until it ended or was dropped.
#[derive(Debug)]
pub(super) struct Answer<B> {
    body: Whose<B>,
    /// On HTTP/2, what is left of a piece that is given in parts.
    parts: Option<Bytes>,
    in_flight: Option<InFlight>,
}

#[derive(Debug)]
enum Whose<B> {
    Service(Pin<Box<B>>),
    Edge(Option<Bytes>),
}

/// The most that is given at once on HTTP/2: a frame.
const PART: usize = 16 * 1024;
/// A piece that is longer keeps its last byte back.
const AT_ONCE: usize = 4 * 1024;

/// hyper takes a part when there is room for a byte of it, and holds all of it until the caller makes room for the rest;
/// what is given last is off our hands at once. So parts are small, and a last byte waits until what is before it went:
/// its answer counts as in flight until then, and whoever makes no room is noticed.
fn part(rest: &mut Bytes) -> Bytes {
    let length = match rest.len() {
        length if length > PART => PART,
        length if length > AT_ONCE => length - 1,
        length => length,
    };
    rest.split_to(length)
}

impl<B: Body<Data = Bytes>> Answer<B> {
    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(rest) = self.parts.as_mut().filter(|rest| !rest.is_empty()) {
            return Poll::Ready(Some(Ok(Frame::data(part(rest)))));
        }
        let frame = match &mut self.body {
            Whose::Service(body) => body.as_mut().poll_frame(cx),
            Whose::Edge(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
        };
        let Some(parts) = &mut self.parts else { return frame };
        frame.map_ok(|frame| match frame.into_data() {
            Ok(data) => {
                *parts = data;
                Frame::data(part(parts))
            }
            Err(other) => other,
        })
    }
}

impl<B: Body<Data = Bytes>> Body for Answer<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = &mut *self;
        if let Some(in_flight) = &mut this.in_flight {
            in_flight.asked();
        }
        let frame = this.next(cx);
        match &frame {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(in_flight) = &mut this.in_flight {
                    in_flight.offered(frame.data_ref().map_or(0, Bytes::len));
                }
            }
            Poll::Ready(_) => this.in_flight = None,
            Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.parts.as_ref().is_none_or(Bytes::is_empty)
            && match &self.body {
                Whose::Service(body) => body.is_end_stream(),
                Whose::Edge(bytes) => bytes.is_none(),
            }
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.parts.as_ref().map_or(0, Bytes::len) as u64;
        match &self.body {
            Whose::Service(body) if held == 0 => body.size_hint(),
            Whose::Service(body) => {
                let of_body = body.size_hint();
                let mut hint = SizeHint::new();
                hint.set_lower(of_body.lower() + held);
                if let Some(upper) = of_body.upper() {
                    hint.set_upper(upper + held);
                }
                hint
            }
            Whose::Edge(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_given_whole_in_frames_and_its_last_byte_by_itself() {
        let lengths = |length: usize| {
            let mut rest = Bytes::from(vec![0; length]);
            std::iter::from_fn(|| (!rest.is_empty()).then(|| part(&mut rest).len())).collect::<Vec<_>>()
        };
        assert_eq!(lengths(AT_ONCE), [AT_ONCE]);
        assert_eq!(lengths(AT_ONCE + 1), [AT_ONCE, 1]);
        assert_eq!(lengths(2 * PART + 10), [PART, PART, 10]);
        assert_eq!(lengths(2 * PART), [PART, PART - 1, 1]);
    }
}
