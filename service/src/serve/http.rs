//! `/metrics`, `/livez` and `/readyz` over HTTP.

use axum::{Router, http::StatusCode, routing::get};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;

use super::{figures, health::Standing};

/// Answers until the process ends: a server that stops says so.
///
/// # Errors
/// When the system refuses.
pub(crate) async fn serve(listener: TcpListener, standing: Standing, handle: PrometheusHandle) -> std::io::Result<()> {
    let (live, ready) = (standing.clone(), standing.clone());
    let livez = move || async move {
        if live.is_alive() {
            (StatusCode::OK, "alive\n")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "the thread that computes has ended\n")
        }
    };
    let readyz = move || async move {
        match ready.ready() {
            Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
            Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
        }
    };
    let metrics = move || async move {
        standing.app().into_iter().for_each(|app| figures::gauges(app));
        handle.run_upkeep();
        handle.render()
    };
    let router =
        Router::new().route("/metrics", get(metrics)).route("/livez", get(livez)).route("/readyz", get(readyz));
    axum::serve(listener, router).await
}
