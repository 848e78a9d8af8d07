//! What all services share.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tonic::Request;
use unspool_model::Model;
use unspool_pipelines::{
    Cancel,
    engine::{Done, Engine, Task, Timings},
    store::{Store, Time},
};
use unspool_proto::v1;

use super::{
    config::Limits,
    error::{CallError, CallResult},
    registry::Registry,
    tenant::Tenant,
};

/// What all services share.
pub(crate) struct App {
    /// What a request may ask for.
    pub(crate) limits: Limits,
    /// Loaded models.
    pub(crate) models: Arc<Registry>,
    /// The thread that computes.
    pub(crate) engine: Engine,
    /// Sessions.
    pub(crate) store: Arc<Store>,
    /// Sessions are kept on disk.
    pub(crate) durable: bool,
    /// Set when the server is to stop.
    pub(crate) stop: Cancel,
}

impl App {
    /// Who calls; counts the call.
    ///
    /// # Errors
    /// When the tenant calls too often.
    pub(crate) fn caller<T>(&self, request: &Request<T>) -> CallResult<Arc<Tenant>> {
        let tenant = request.extensions().get::<Arc<Tenant>>().cloned();
        let tenant = tenant.ok_or_else(|| CallError::Fault("a call came in without a tenant".into()))?;
        tenant.request().map_err(CallError::too_fast("requests"))?;
        Ok(tenant)
    }

    /// Refuses more sequences or events than a request may have, or the tenant send; counts the events.
    ///
    /// # Errors
    /// As said.
    pub(crate) fn admit(&self, tenant: &Tenant, sequences: usize, events: usize) -> CallResult<()> {
        CallError::limit("sequences", sequences, (self.limits.request_sequences, "limits.request_sequences"))?;
        self.admit_events(tenant, events)?;
        tenant.events(events).map_err(CallError::too_fast("events"))
    }

    /// Refuses more events than a request of the tenant may have.
    ///
    /// # Errors
    /// As said.
    pub(crate) fn admit_events(&self, tenant: &Tenant, events: usize) -> CallResult<()> {
        CallError::limit("events", events, (self.limits.request_events, "limits.request_events"))?;
        CallError::limit("events", events, (tenant.request_events, "tenants.request_events"))
    }

    /// Refuses a reply that would be too large.
    ///
    /// # Errors
    /// As said.
    pub(crate) fn admit_reply(&self, bytes: usize) -> CallResult<()> {
        CallError::limit("bytes of the reply", bytes, (self.limits.message_bytes, "limits.message_bytes"))
    }

    /// Has tasks done; the results come in the same order. Dropped, what has not begun leaves the queue.
    ///
    /// # Errors
    /// When they do not fit in the queue.
    pub(crate) async fn compute(&self, tasks: Vec<Task>) -> CallResult<Vec<CallResult<Done>>> {
        if tasks.is_empty() {
            return Ok(vec![]);
        }
        let tickets = self.engine.submit(tasks)?;
        let mut done = Vec::with_capacity(tickets.len());
        // One after the other: all are under way, and a ticket that is done already wakes nobody.
        for ticket in tickets {
            done.push(ticket.await.map_err(CallError::from));
        }
        Ok(done)
    }
}

impl App {
    /// Runs work that waits for the disk or computes long, where it holds up no call.
    ///
    /// # Errors
    /// What the work fails with.
    pub(crate) async fn blocking<T, E>(&self, work: impl FnOnce() -> Result<T, E> + Send + 'static) -> CallResult<T>
    where
        T: Send + 'static,
        E: Into<CallError> + Send + 'static,
    {
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|error| CallError::Fault(error.to_string()))?.map_err(Into::into)
    }

    /// Has one task done.
    ///
    /// # Errors
    /// When it does not fit in the queue, or is refused.
    pub(crate) async fn compute_one(&self, task: Task) -> CallResult<Done> {
        let done = self.compute(vec![task]).await?.pop();
        done.unwrap_or_else(|| Err(CallError::Fault("no answer".into())))
    }
}

/// Which model made a result; `route_changed` for states from elsewhere.
pub(crate) fn provenance(model: &Model, route_changed: bool) -> v1::Provenance {
    let info = model.info();
    let (digest, route) = (info.digest.to_string(), info.route.to_string());
    v1::Provenance { model: info.name.clone(), digest, route, route_changed }
}

/// Timings of a reply: the longest of its parts.
pub(crate) fn timings<'a>(all: impl Iterator<Item = &'a Timings>) -> v1::Timings {
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let longest = |timings: v1::Timings, one: &Timings| v1::Timings {
        queue_us: timings.queue_us.max(micros(one.queue)),
        compute_us: timings.compute_us.max(micros(one.compute)),
    };
    all.fold(v1::Timings::default(), longest)
}

/// Now, as the store counts it.
pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
