//! A call's answer, watched to its end: only there stands its code.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use http_body::{Frame, SizeHint};
use tonic::{
    Code, Status,
    body::Body,
    codegen::{
        Bytes,
        http::{HeaderMap, HeaderValue, Response},
    },
};
use tracing::Span;

/// A body that tells how the call ended.
struct Answer {
    body: Body,
    call: Option<Call>,
}

/// A call that has not ended yet.
pub(super) struct Call {
    pub(super) method: &'static str,
    pub(super) begun: Instant,
    pub(super) span: Span,
}

impl Call {
    fn ended(self, code: Code) {
        let Self { method, begun, span } = self;
        let number = code as i32;
        span.record("code", number);
        span.in_scope(|| tracing::debug!(method, code = number, took_us = begun.elapsed().as_micros(), "answered"));
        metrics::counter!("unspool_calls_total", "method" => method, "code" => number.to_string()).increment(1);
    }
}

/// Follows an answer to its end.
pub(super) fn watched(mut response: Response<Body>, call: Call) -> Response<Body> {
    metrics::histogram!("unspool_call_seconds", "method" => call.method).record(call.begun.elapsed());
    // A refusal has its code in the headers; all others have it behind the messages.
    match code(response.headers_mut()) {
        Some(code) => {
            call.ended(code);
            response
        }
        None => response.map(|body| Body::new(Answer { body, call: Some(call) })),
    }
}

/// The code in headers or trailers. A message that is too large is a limit here, and so has the code of limits: the library
/// would call it out of range, as no other answer of this server is.
fn code(headers: &mut HeaderMap) -> Option<Code> {
    let code = Code::from_bytes(headers.get(Status::GRPC_STATUS)?.as_bytes());
    if code != Code::OutOfRange {
        return Some(code);
    }
    let limit = Code::ResourceExhausted;
    headers.insert(Status::GRPC_STATUS, HeaderValue::from(limit as i32));
    Some(limit)
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let code = match &mut frame {
            Some(Ok(frame)) => frame.trailers_mut().and_then(code),
            Some(Err(status)) => Some(status.code()),
            None => Some(Code::Unknown),
        };
        if let Some(code) = code
            && let Some(call) = self.call.take()
        {
            call.ended(code);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // Nobody waits for its end any more.
        if let Some(call) = self.call.take() {
            call.ended(Code::Cancelled);
        }
    }
}
