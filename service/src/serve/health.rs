//! Readiness: what health checks and `/readyz` are told.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tonic_health::{ServingStatus, server::HealthReporter};

use super::{app::App, routes};

/// How often gRPC health is brought up to date.
const LOOK: Duration = Duration::from_millis(250);

/// How a server stands; from before its sessions are back until after it has stopped.
#[derive(Clone, Default)]
pub(crate) struct Standing(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Warmed up, and not stopping.
    open: AtomicBool,
    /// Once the models are loaded and the sessions are back.
    app: OnceLock<Arc<App>>,
}

impl Standing {
    /// Models and sessions are there.
    pub(crate) fn loaded(&self, app: &Arc<App>) {
        // Said once.
        let _ = self.0.app.set(Arc::clone(app));
    }

    /// Calls are taken, or no longer.
    pub(crate) fn set_open(&self, open: bool) {
        self.0.open.store(open, Ordering::Release);
    }

    /// What all services share, once it is there.
    pub(crate) fn app(&self) -> Option<&Arc<App>> {
        self.0.app.get()
    }

    /// Alive: the thread that computes runs, or is yet to be started. A server without it only looks alive.
    pub(crate) fn is_alive(&self) -> bool {
        self.app().is_none_or(|app| app.engine.load().alive)
    }

    /// Why calls should go elsewhere, if they should.
    ///
    /// # Errors
    /// The reason.
    pub(crate) fn ready(&self) -> Result<(), String> {
        let Some(app) = self.app() else { return Err("models and sessions are being loaded".into()) };
        if !self.0.open.load(Ordering::Acquire) {
            return Err(if app.stop.is_cancelled() { "stopping" } else { "warming up" }.into());
        }
        if !self.is_alive() {
            return Err("the thread that computes has ended: restart the server".into());
        }
        app.store.health().map_err(|error| error.to_string())
    }
}

/// Keeps gRPC health, of the server and of each service, true; ends with the server.
pub(crate) async fn keep(standing: Standing, reporter: HealthReporter) {
    let mut told = None;
    let mut ticks = tokio::time::interval(LOOK);
    loop {
        ticks.tick().await;
        let ready = standing.ready();
        if told.as_ref() == Some(&ready) {
            continue;
        }
        if let (Some(_), Err(reason)) = (&told, &ready) {
            tracing::warn!(reason, "not ready");
        }
        say(&reporter, ready.is_ok()).await;
        told = Some(ready);
    }
}

/// Tells all health checks.
pub(crate) async fn say(reporter: &HealthReporter, serving: bool) {
    let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
    for service in std::iter::once("").chain(routes::SERVICES) {
        reporter.set_service_status(service, status).await;
    }
}
