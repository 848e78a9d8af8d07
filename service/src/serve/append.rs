//! Appends to sessions: from a call of its own, or from a stream.

use std::sync::Arc;

use unspool_model::{Model, Pool};
use unspool_pipelines::{
    engine::{Done, Subject, Task, Ticket},
    store::Info,
};
use unspool_proto::v1;

use super::{
    app::{App, now, provenance, timings},
    error::{CallError, CallResult},
    forecasting::{Ahead, quantiles},
    input,
    sessions::{pool, pooled},
    tenant::Tenant,
};

/// An append that was understood.
pub(crate) struct Prepared {
    task: Task,
    wish: Wish,
}

/// What its reply is to hold.
pub(crate) struct Wish {
    number: u64,
    model: Arc<Model>,
    ahead: Option<Ahead>,
    pool: Option<Pool>,
    /// Wait for the disk.
    durable: bool,
}

/// Appends, and waits as long as the caller wants it.
///
/// # Errors
/// When the request is refused, or the queue is full.
pub(crate) async fn one(app: &App, tenant: &Tenant, request: v1::AppendRequest) -> CallResult<v1::AppendResponse> {
    let info = app.store.info(&tenant.key(&request.session_id), now())?;
    if app.models.get(info.spec.model).is_none() {
        // The store loads the model that it keeps.
        app.view(&info.key).await?;
    }
    let Prepared { task, wish } = prepare(app, tenant, request, info)?;
    app.admit(tenant, 1, task.events.len())?;
    let tickets = app.engine.submit(vec![task])?;
    let ticket = tickets.into_iter().next().ok_or_else(|| CallError::Fault("no ticket".into()))?;
    reply(ticket, wish).await
}

/// Checks an append and makes it a task.
///
/// # Errors
/// When the request is refused.
pub(crate) fn prepare(app: &App, tenant: &Tenant, request: v1::AppendRequest, info: Info) -> CallResult<Prepared> {
    let digest = info.spec.model;
    let model = app.models.get(digest).ok_or_else(|| CallError::UnknownModel(digest.to_string()))?;
    let pool = pool(request.pooling(), &info)?;
    let durable = match request.durability() {
        v1::Durability::Unspecified => app.durable,
        v1::Durability::Memory => false,
        v1::Durability::Durable if app.durable => true,
        v1::Durability::Durable => {
            let remedy = "this server keeps sessions in memory only: start it with --data-dir";
            return Err(CallError::Refused(remedy.into()));
        }
    };
    let v1::AppendRequest { sequence_number, events, forecast, .. } = request;
    if sequence_number == 0 {
        return Err(CallError::invalid("sequence_number", "a session's first append has number 1"));
    }
    let ahead = forecast.map(|options| app.ahead(&model, &options)).transpose()?;
    let events = input::events(events, model.info().front)?;
    model.check_events(events.as_model())?;
    let subject = Subject::Session { key: info.key, number: sequence_number };
    let horizon = ahead.as_ref().map(|ahead| ahead.horizon);
    let task = Task { owner: tenant.owner, model: Arc::clone(&model), subject, events, horizon, deadline: None };
    Ok(Prepared { task, wish: Wish { number: sequence_number, model, ahead, pool, durable } })
}

impl Prepared {
    /// The task, and what its reply is to hold.
    pub(crate) fn split(self) -> (Task, Wish) {
        (self.task, self.wish)
    }
}

/// Waits for a task, and for the disk if that is wanted.
///
/// # Errors
/// When the store or the disk refuses.
pub(crate) async fn reply(ticket: Ticket, wish: Wish) -> CallResult<v1::AppendResponse> {
    let done = ticket.await?;
    let mut reply = filled(&done, &wish);
    let Some(appended) = done.appended else { return Err(CallError::Fault("not a session's append".into())) };
    // The next append of the session need not copy the state.
    drop(done.state);
    if wish.durable {
        appended.durable.await?;
        reply.durable = true;
    } else {
        reply.durable = appended.durable.is_done();
    }
    Ok(reply)
}

fn filled(done: &Done, wish: &Wish) -> v1::AppendResponse {
    let route_changed = *done.state.route() != wish.model.info().route;
    let forecast = wish.ahead.as_ref();
    v1::AppendResponse {
        sequence_number: wish.number,
        position: done.appended.as_ref().map_or(0, |appended| appended.position),
        scores: done.output.scores.clone(),
        // Without a value there is none: the reply says so by its absence.
        quantiles: forecast.and_then(|ahead| quantiles(done, ahead).ok()).unwrap_or_default(),
        levels: forecast.map_or_else(Vec::new, |ahead| ahead.levels.clone()),
        embeddings: wish.pool.map_or_else(Vec::new, |pool| pooled(&done.state, pool)),
        durable: false,
        replayed: done.appended.as_ref().is_some_and(|appended| appended.repeated),
        provenance: Some(provenance(&wish.model, route_changed)),
        timings: Some(timings(std::iter::once(&done.timings))),
    }
}
