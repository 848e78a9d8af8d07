//! Appends to sessions: from a call of its own, or from a stream.

use std::sync::Arc;

use unspool_model::{Model, Pool};
use unspool_pipelines::{
    engine::{Done, Subject, Task, Ticket},
    store::Info,
};
use unspool_proto::v1;

use super::{
    app::{self, App, now, timings},
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
    let (mut reply, made_by) = reply(ticket, wish).await?;
    reply.provenance = Some(made_by.provenance());
    Ok(reply)
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
    if info.spec.options.bits {
        app.admit_reply(events.len() * size_of::<f64>())?;
    }
    let subject = Subject::Session { key: info.key, number: sequence_number, state: pool.is_some() };
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

/// What made a reply.
#[derive(Clone)]
pub(crate) struct MadeBy {
    model: Arc<Model>,
    route_changed: bool,
}

impl MadeBy {
    /// In words.
    pub(crate) fn provenance(&self) -> v1::Provenance {
        app::provenance(&self.model, self.route_changed)
    }
}

impl PartialEq for MadeBy {
    fn eq(&self, other: &Self) -> bool {
        // A model that was unloaded and loaded again says the same of itself.
        self.model.info().digest == other.model.info().digest && self.route_changed == other.route_changed
    }
}

/// Waits for a task, and for the disk if that is wanted. The reply does not yet say what made it.
///
/// # Errors
/// When the store or the disk refuses.
pub(crate) async fn reply(ticket: Ticket, wish: Wish) -> CallResult<(v1::AppendResponse, MadeBy)> {
    let mut done = ticket.await?;
    let appended = done.appended.take().ok_or_else(|| CallError::Fault("not a session's append".into()))?;
    let mut reply = filled(&done, &wish);
    (reply.position, reply.replayed) = (appended.position, appended.repeated);
    // The next append of the session need not copy the state.
    drop(done);
    if wish.durable {
        appended.durable.await?;
        reply.durable = true;
    } else {
        reply.durable = appended.durable.is_done();
    }
    Ok((reply, MadeBy { model: wish.model, route_changed: appended.route_changed }))
}

fn filled(done: &Done, wish: &Wish) -> v1::AppendResponse {
    let forecast = wish.ahead.as_ref();
    v1::AppendResponse {
        sequence_number: wish.number,
        scores: done.output.scores.clone(),
        // Without a value there is none: the reply says so by its absence.
        quantiles: forecast.and_then(|ahead| quantiles(done, ahead).ok()).unwrap_or_default(),
        levels: forecast.map_or_else(Vec::new, |ahead| ahead.levels.clone()),
        embeddings: wish.pool.zip(done.state.as_ref()).map_or_else(Vec::new, |(pool, state)| pooled(state, pool)),
        timings: Some(timings(std::iter::once(&done.timings))),
        ..v1::AppendResponse::default()
    }
}
