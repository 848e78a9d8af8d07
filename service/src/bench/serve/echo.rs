//! The least that a gRPC call costs: a tonic server that gives back what it got, and its client.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    net::Ipv4Addr,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{net::TcpListener, runtime::Runtime};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Request, Response, Status,
    body::Body,
    client::Grpc,
    codegen::http::{self, uri::PathAndQuery},
    server::{self, NamedService, UnaryService},
    transport::{Channel, Server},
};
use tonic_prost::ProstCodec;
use tower::Service;
use unspool_proto::v1::AppendRequest;

use crate::{
    error::{Error, Result},
    print,
};

/// The codec of both directions.
type Codec = ProstCodec<AppendRequest, AppendRequest>;

/// Serves until the process is killed.
///
/// # Errors
/// When the system refuses.
pub(crate) fn run() -> Result<()> {
    let failed = |source| Error::Io { path: "the echo server".into(), source };
    let runtime = Runtime::new().map_err(failed)?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
        print(&format!("unspool is ready on {}", listener.local_addr().map_err(failed)?))?;
        let served = Server::builder().tcp_nodelay(true).add_service(EchoServer);
        let served = served.serve_with_incoming(TcpListenerStream::new(listener)).await;
        served.map_err(|error| failed(std::io::Error::other(error)))
    })
}

/// One call, there and back.
///
/// # Errors
/// When it fails.
pub(super) async fn call(channel: &Channel, request: AppendRequest) -> Result<(), Status> {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = PathAndQuery::from_static("/unspool.bench.Echo/Append");
    client.unary(Request::new(request), path, Codec::default()).await.map(|_| ())
}

#[derive(Clone)]
struct EchoServer;

impl NamedService for EchoServer {
    const NAME: &'static str = "unspool.bench.Echo";
}

impl Service<http::Request<Body>> for EchoServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move { Ok(server::Grpc::new(Codec::default()).unary(Echo, request).await) })
    }
}

struct Echo;

impl UnaryService<AppendRequest> for Echo {
    type Response = AppendRequest;
    type Future = Ready<Result<Response<AppendRequest>, Status>>;

    fn call(&mut self, request: Request<AppendRequest>) -> Self::Future {
        ready(Ok(Response::new(request.into_inner())))
    }
}
