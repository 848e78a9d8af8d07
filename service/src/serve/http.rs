//! `/metrics`, `/livez` and `/readyz` over HTTP.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{Router, http::StatusCode, routing::get};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;

use super::{app::App, figures};

/// Whether the server is ready: warmed up, and not stopping.
#[derive(Clone, Default)]
pub(crate) struct Ready(Arc<AtomicBool>);

impl Ready {
    /// Says so.
    pub(crate) fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Answers until the server stops.
///
/// # Errors
/// When the system refuses.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    ready: Ready,
    handle: PrometheusHandle,
) -> std::io::Result<()> {
    let stop = app.stop.clone();
    let told = |yes: bool, what: &'static str| {
        if yes { (StatusCode::OK, what) } else { (StatusCode::SERVICE_UNAVAILABLE, "no") }
    };
    let (live, readiness) = (Arc::clone(&app), Arc::clone(&app));
    // Alive: the thread that computes runs. A server without it only looks alive.
    let livez = move || async move { told(live.engine.load().alive, "alive") };
    let readyz = move || async move { told(ready.get() && readiness.engine.load().alive, "ready") };
    let metrics = move || async move {
        figures::gauges(&app);
        handle.run_upkeep();
        handle.render()
    };
    let router =
        Router::new().route("/metrics", get(metrics)).route("/livez", get(livez)).route("/readyz", get(readyz));
    axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await }).await
}
