//! `SessionService.Stream`: many appends to many sessions over one call.

use std::{sync::Arc, time::Duration};

use futures::{
    Stream, StreamExt,
    future::{Either, ready},
};
use tonic::{Status, Streaming};
use unspool_pipelines::engine::{self, Ticket};
use unspool_proto::v1::{self, stream_result::Outcome};

use super::{
    app::{App, now},
    append::{self, MadeBy, Wish},
    error::{CallError, CallResult},
    tenant::Tenant,
};

/// An append on its way, or why it was refused.
type Pending = CallResult<(Ticket, Wish)>;

/// A message's answer, in the order of the messages. Only so many are worked on at a time: the rest stays with the client.
pub(crate) fn replies(
    app: Arc<App>,
    tenant: Arc<Tenant>,
    messages: Streaming<v1::StreamRequest>,
) -> impl Stream<Item = Result<v1::StreamResponse, Status>> + Send {
    let most = app.limits.stream_messages;
    let (stop, stopped) = (app.stop.clone(), app.stop.clone());
    let accepted = messages.take_until(async move { stop.cancelled().await }).then(move |message| {
        let (app, tenant) = (Arc::clone(&app), Arc::clone(&tenant));
        async move { accept(&app, &tenant, message?).await }
    });
    let answered = accepted.map(|accepted: Result<_, Status>| match accepted {
        Ok((tag, pending)) => Either::Left(answer(tag, pending)),
        Err(status) => Either::Right(ready(Err(status))),
    });
    // Not "ended" but "stopped": the client knows that it has to go on elsewhere.
    let last = futures::stream::once(async move {
        stopped.is_cancelled().then(|| Err(Status::unavailable("the server is stopping")))
    });
    answered.buffered(most).chain(last.filter_map(ready))
}

/// Queues a message's appends, in the order of the messages. Where the queue is full it waits: so does the client then.
async fn accept(app: &App, tenant: &Tenant, message: v1::StreamRequest) -> Result<(u64, Vec<Pending>), Status> {
    let v1::StreamRequest { tag, appends } = message;
    while let Err(wait) = tenant.request() {
        tokio::time::sleep(wait.0).await;
    }
    CallError::limit("appends", appends.len(), (app.limits.request_sequences, "limits.request_sequences"))?;
    let mut prepared = Vec::with_capacity(appends.len());
    for request in appends {
        prepared.push(prepare(app, tenant, request).await);
    }
    let events = prepared.iter().flatten().map(|(task, _)| task.events.len()).sum();
    app.admit_events(tenant, events)?;
    while let Err(wait) = tenant.events(events) {
        tokio::time::sleep(wait.0).await;
    }
    Ok((tag, submit(app, prepared).await))
}

async fn prepare(app: &App, tenant: &Tenant, request: v1::AppendRequest) -> CallResult<(engine::Task, Wish)> {
    let info = app.store.info(&tenant.key(&request.session_id), now())?;
    if app.models.get(info.spec.model).is_none() {
        app.view(&info.key).await?;
    }
    append::prepare(app, tenant, request, info).map(append::Prepared::split)
}

/// Queues what was understood, all at once.
async fn submit(app: &App, prepared: Vec<CallResult<(engine::Task, Wish)>>) -> Vec<Pending> {
    let (mut tasks, mut wishes) = (vec![], vec![]);
    for one in prepared {
        wishes.push(one.map(|(task, wish)| {
            tasks.push(task);
            wish
        }));
    }
    let mut tickets = loop {
        match app.engine.offer(&mut tasks) {
            Ok(tickets) => break tickets.into_iter(),
            Err(engine::Error::Full { retry_after, .. }) => tokio::time::sleep(shorter(retry_after)).await,
            Err(error) => return wishes.into_iter().map(|wish| wish.and(Err(error.clone().into()))).collect(),
        }
    };
    let mut next = || tickets.next().ok_or_else(|| CallError::Fault("no ticket".into()));
    wishes.into_iter().map(|wish| wish.and_then(|wish| Ok((next()?, wish)))).collect()
}

/// A stream waits in its place: it looks again sooner than a caller that has to come back.
fn shorter(wait: Duration) -> Duration {
    wait.min(Duration::from_millis(50))
}

/// The answer to a message, when all of its appends are answered.
async fn answer(tag: u64, pending: Vec<Pending>) -> Result<v1::StreamResponse, Status> {
    let mut results = Vec::with_capacity(pending.len());
    // Said once: that of the first reply, and in the others only where it differs.
    let mut first: Option<MadeBy> = None;
    // One after the other: all are under way, and a ticket that is done already wakes nobody.
    for pending in pending {
        let replied = match pending {
            Ok((ticket, wish)) => append::reply(ticket, wish).await,
            Err(error) => Err(error),
        };
        let outcome = match replied {
            Ok((mut reply, made_by)) => {
                if made_by != *first.get_or_insert_with(|| made_by.clone()) {
                    reply.provenance = Some(made_by.provenance());
                }
                Outcome::Reply(reply)
            }
            Err(error) => Outcome::Failure(error.into()),
        };
        results.push(v1::StreamResult { outcome: Some(outcome) });
    }
    Ok(v1::StreamResponse { tag, results, provenance: first.map(|made_by| made_by.provenance()) })
}
