//! Stopping: calls end, what is queued is worked off, states are written.

use std::{sync::Arc, time::Duration};

use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
    time::timeout,
};
use unspool_pipelines::Cancel;

use super::app::{App, now};
use crate::error::{Error, Result};

/// Expired sessions are looked for this often.
const SWEEP: Duration = Duration::from_secs(5);

/// Set at SIGTERM or Ctrl-C.
///
/// # Errors
/// When the system refuses.
pub(crate) fn at_signals() -> Result<Cancel> {
    let fail = |source| Error::Io { path: "signals".into(), source };
    let mut interrupt = signal(SignalKind::interrupt()).map_err(fail)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(fail)?;
    let cancel = Cancel::default();
    let stop = cancel.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => (),
            _ = terminate.recv() => (),
        }
        tracing::info!("stopping");
        stop.cancel();
    });
    Ok(cancel)
}

/// Waits for calls to end, `drain` at most, then works off what is queued.
///
/// # Errors
/// When the server failed.
pub(crate) async fn drain(
    mut serving: JoinHandle<Result<(), tonic::transport::Error>>,
    app: Arc<App>,
    drain: Duration,
) -> Result<()> {
    match timeout(drain, &mut serving).await {
        Ok(Ok(Ok(()))) => (),
        Ok(Ok(Err(error))) => tracing::warn!(%error, "a connection ended badly"),
        Ok(Err(_)) => return Err(Error::Fault),
        Err(_) => {
            tracing::warn!("calls were still open: they are broken off");
            serving.abort();
        }
    }
    app.engine.close();
    let store = Arc::clone(&app.store);
    // Waits for what is under way, then saves: a restart has nothing to replay.
    let saved = tokio::task::spawn_blocking(move || store.drain()).await.map_err(|_| Error::Fault)?;
    saved.map_err(unspool_pipelines::Error::from)?;
    tracing::info!("stopped");
    Ok(())
}

/// Ends expired sessions, until the server stops.
pub(crate) async fn sweep(app: Arc<App>) {
    let mut ticks = tokio::time::interval(SWEEP);
    loop {
        tokio::select! {
            _ = ticks.tick() => (),
            () = app.stop.cancelled() => return,
        }
        let store = Arc::clone(&app.store);
        // A store that cannot end sessions says so in its health.
        if let Ok(ended @ 1..) = tokio::task::spawn_blocking(move || store.sweep(now())).await {
            tracing::debug!(ended, "sessions expired");
        }
    }
}
