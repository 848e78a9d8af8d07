//! Every call is counted, timed, and a span of the traces; one whose deadline passes is let go.

mod answer;
mod deadline;

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tokio::time::timeout;
use tonic::{
    Status,
    body::Body,
    codegen::{
        Bytes, StdError,
        http::{HeaderMap, Request, Response},
    },
};
use tower::{Layer, Service};
use tracing::{Instrument, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use self::answer::{Call, watched};

/// Wraps all services.
#[derive(Clone, Copy)]
pub(crate) struct WatchLayer;

/// A watched service.
#[derive(Clone)]
pub(crate) struct Watch<S>(S);

impl<S> Layer<S> for WatchLayer {
    type Service = Watch<S>;

    fn layer(&self, service: S) -> Watch<S> {
        Watch(service)
    }
}

impl<S, B, R> Service<Request<B>> for Watch<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<StdError>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let method = known(request.uri().path());
        let span = tracing::info_span!("call", otel.kind = "server", rpc.method = method, tenant = Empty, code = Empty);
        if request.headers().contains_key("traceparent") {
            let parent = TraceContextPropagator::new().extract(&Headers(request.headers()));
            // A span that is not traced takes no parent: nothing is lost.
            let _ = span.set_parent(parent);
        }
        let call = Call { method, begun: Instant::now(), span: span.clone() };
        let patience = deadline::of(request.headers());
        let answer = span.in_scope(|| self.0.call(request));
        let answered = async move {
            // Dropped, a call's work leaves the queue.
            let answered = match patience {
                Some(patience) => timeout(patience, answer).await,
                None => Ok(answer.await),
            };
            let late = || Status::deadline_exceeded("the deadline passed before there was an answer").into_http();
            let response = answered.map_or_else(|_| Ok(late()), |answered| Ok(answered?.map(Body::new)))?;
            Ok(watched(response, call))
        };
        Box::pin(answered.instrument(span))
    }
}

/// The methods that are counted by name: whoever asks for others cannot make new series in the metrics.
fn known(path: &str) -> &'static str {
    const KNOWN: [&str; 21] = [
        "/unspool.v1.EmbeddingService/Embed",
        "/unspool.v1.ForecastService/Forecast",
        "/unspool.v1.ModelService/ListModels",
        "/unspool.v1.ModelService/GetModel",
        "/unspool.v1.ModelService/LoadModel",
        "/unspool.v1.ModelService/UnloadModel",
        "/unspool.v1.SessionService/Open",
        "/unspool.v1.SessionService/Append",
        "/unspool.v1.SessionService/Read",
        "/unspool.v1.SessionService/Fork",
        "/unspool.v1.SessionService/Snapshot",
        "/unspool.v1.SessionService/Restore",
        "/unspool.v1.SessionService/Close",
        "/unspool.v1.SessionService/List",
        "/unspool.v1.SessionService/Stream",
        "/unspool.v1.VariantService/Score",
        "/arrow.flight.protocol.FlightService/DoExchange",
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ];
    KNOWN.iter().find(|known| **known == path).copied().unwrap_or("other")
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(|key| key.as_str()).collect()
    }
}
