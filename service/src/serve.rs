//! `unspool serve`: the gRPC server.
//!
//! ```text
//! connection ─► Watch ─► Auth ─► a service ─► App ─► Engine (one thread) ─► models, store
//! ```

mod app;
mod append;
pub(crate) mod args;
mod auth;
mod config;
mod describe;
mod embedding;
mod error;
mod figures;
mod flight;
mod forecasting;
mod health;
mod http;
mod input;
mod ipc;
mod listen;
mod models;
mod rate;
mod registry;
mod routes;
mod sessions;
mod stop;
mod stream;
mod table;
mod tables;
mod telemetry;
mod tenant;
mod tls;
mod variants;
mod warm;
mod watch;

use std::{sync::Arc, time::Duration};

use tokio::{net::TcpListener, runtime::Builder};
use tonic::{service::InterceptorLayer, transport::Server};
use unspool_pipelines::{Cancel, engine::Engine, store::Store};

use self::{app::App, auth::Auth, health::Standing, watch::WatchLayer};
pub(crate) use self::{
    app::now,
    args::ServeArgs,
    config::Config,
    registry::{BUILT_IN, Registry},
    sessions::check_id,
    tenant::ANYONE,
};
use crate::{
    error::{Error, Result},
    print,
};

/// What `unspool serve --help` says after the options.
pub(crate) const HELP: &str = r#"Examples:
  unspool serve
  unspool serve --listen 127.0.0.1:50051 --metrics-listen 127.0.0.1:9090
  unspool serve --config unspool.toml --check

unspool.toml, each line of it optional:
  data_dir = "sessions"                # and all flags above, with _ for -; of TLS: [tls] with cert, key and client_ca
  [limits]                             # --check prints all of them, with what they come to; here those that are set most
  sessions = 1000000
  session_memory_bytes = 1073741824    # of states; those beyond lie on the disk, where there is a data_dir
  session_history_bytes = 65536        # of raw values kept of each session, to move it to another model (default: none)
  [[tenants]]                          # with any of these, every call needs a token
  name = "team-a"
  token_sha256 = ["64 digits"]         # printf %s "$TOKEN" | sha256sum
  sessions = 10000                     # and request_events, requests_per_s, events_per_s: a tenant's own limits

The services are described in proto/unspool/v1 and by reflection. UNSPOOL_LOG=unspool=debug shows every call."#;

/// A connection that says nothing for so long is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Serves until SIGTERM or Ctrl-C.
///
/// # Errors
/// When the settings do not go together, an address is taken, a model cannot be loaded, or the store cannot be opened.
pub(crate) fn run(args: ServeArgs) -> Result<()> {
    let check = args.check;
    let config = Config::new(args)?;
    if check {
        // What can only be known by trying: models and certificates.
        let models = Registry::load(&config)?;
        config.tls.as_ref().map(|files| tls::apply(Server::builder(), files)).transpose()?;
        return print(&format!("{}{:14} {}", config.describe(), "runs on", models.runs_on()));
    }
    let runtime = Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|source| Error::Io { path: "the runtime".into(), source })?;
    let done = runtime.block_on(serve(config));
    // Blocking work that nobody waits for ends with the process.
    runtime.shutdown_background();
    done
}

async fn serve(config: Config) -> Result<()> {
    let _telemetry = telemetry::start(&config)?;
    let stop = stop::at_signals()?;
    let listener = bind(config.listen).await?;
    let address =
        listener.local_addr().map_err(|source| Error::Io { path: config.listen.to_string().into(), source })?;
    let standing = Standing::default();
    probes(&config, &standing).await?;
    let app = Arc::new(app(&config, stop.clone())?);
    standing.loaded(&app);
    let (reporter, health) = tonic_health::server::health_reporter();
    health::say(&reporter, false).await;
    let mut server = Server::builder()
        .max_concurrent_streams(config.limits.connection_calls)
        .http2_keepalive_interval(Some(KEEPALIVE));
    if let Some(files) = &config.tls {
        server = tls::apply(server, files)?;
    }
    let auth = InterceptorLayer::new(Auth(Arc::new(config.tenants)));
    let router = server.layer(WatchLayer).layer(auth).add_routes(routes::all(&app)?).add_service(health);
    let incoming = listen::connections(listener, config.limits.connections);
    let stopping = stop.clone();
    let serving =
        tokio::spawn(router.serve_with_incoming_shutdown(incoming, async move { stopping.cancelled().await }));
    for model in app.models.all() {
        warm::up(&app, &model).await.map_err(|e| Error::Usage(format!("{}: {e}", model.info().name)))?;
    }
    tokio::spawn(stop::sweep(Arc::clone(&app)));
    standing.set_open(true);
    health::say(&reporter, true).await;
    tokio::spawn(health::keep(standing.clone(), reporter.clone()));
    tracing::info!(%address, "ready");
    print(&format!("unspool is ready on {address}"))?;
    stop.cancelled().await;
    standing.set_open(false);
    health::say(&reporter, false).await;
    stop::drain(serving, app, config.limits.drain).await
}

async fn bind(address: std::net::SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|source| Error::Io { path: address.to_string().into(), source })
}

/// Loads the models, brings the sessions back and starts the thread that computes.
fn app(config: &Config, stop: Cancel) -> Result<App> {
    let models = Arc::new(Registry::load(config)?);
    if config.data_dir.is_none() {
        tracing::warn!("sessions are kept in memory only, and end with the server: give --data-dir to keep them");
    }
    let (dir, shared) = (config.data_dir.as_deref(), Arc::clone(&models));
    let store = Arc::new(Store::open(dir, config.limits.store(), shared).map_err(unspool_pipelines::Error::from)?);
    let engine = Engine::start(config.limits.engine(), Arc::clone(&store), Box::new(figures::stepped));
    let engine = engine.map_err(|source| Error::Io { path: "a thread".into(), source })?;
    Ok(App { limits: config.limits, models, engine, store, durable: config.data_dir.is_some(), stop })
}

/// Answers probes and metrics, if they are asked for.
async fn probes(config: &Config, standing: &Standing) -> Result<()> {
    let handle = figures::install()?;
    let Some(address) = config.metrics_listen else { return Ok(()) };
    let listener = bind(address).await?;
    let address = listener.local_addr().unwrap_or(address);
    print(&format!("unspool answers probes on {address}"))?;
    tokio::spawn(http::serve(listener, standing.clone(), handle));
    Ok(())
}
