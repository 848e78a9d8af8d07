//! `SessionService`.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures::Stream;
use tonic::{Request, Response, Status, Streaming};
use unspool_model::{Options, Pool, State};
use unspool_pipelines::store::{Info, Key, Snapshot, Spec, View};
use unspool_proto::v1::{self, session_service_server::SessionService};
use uuid::Uuid;

use super::{
    app::{App, now, timings},
    append, describe,
    error::{CallError, CallResult},
    forecasting::{fork, quantiles},
    registry::Purpose,
    stream,
    tenant::Tenant,
};

/// Layers that a session may pool.
const MOST_LAYERS: usize = 64;
/// The longest id, in bytes.
const LONGEST_ID: usize = 128;
/// Sessions of a page, at most, and if the caller does not say.
const PAGE: (u32, u32) = (1000, 100);

/// `SessionService` of a server.
pub(crate) struct Sessions(pub(crate) Arc<App>);

#[tonic::async_trait]
impl SessionService for Sessions {
    type StreamStream = Pin<Box<dyn Stream<Item = Result<v1::StreamResponse, Status>> + Send>>;

    async fn open(&self, request: Request<v1::OpenRequest>) -> Result<Response<v1::OpenResponse>, Status> {
        let tenant = self.0.caller(&request)?;
        let session = Some(self.0.open(&tenant, request.into_inner()).await?);
        Ok(Response::new(v1::OpenResponse { session }))
    }

    async fn append(&self, request: Request<v1::AppendRequest>) -> Result<Response<v1::AppendResponse>, Status> {
        let tenant = self.0.caller(&request)?;
        Ok(Response::new(append::one(&self.0, &tenant, request.into_inner()).await?))
    }

    async fn read(&self, request: Request<v1::ReadRequest>) -> Result<Response<v1::ReadResponse>, Status> {
        let tenant = self.0.caller(&request)?;
        Ok(Response::new(self.0.read(&tenant, request.into_inner()).await?))
    }

    async fn fork(&self, request: Request<v1::ForkRequest>) -> Result<Response<v1::ForkResponse>, Status> {
        let tenant = self.0.caller(&request)?;
        let v1::ForkRequest { session_id, fork_session_id } = request.into_inner();
        let (from, to) = (tenant.key(&session_id), new_key(&tenant, &fork_session_id)?);
        self.0.admit_session(&tenant)?;
        let (store, key) = (Arc::clone(&self.0.store), to.clone());
        let durable = self.0.blocking(move || store.fork(&from, &key, now())).await?;
        self.0.kept(durable).await?;
        Ok(Response::new(v1::ForkResponse { session: Some(self.0.session(&to).await?) }))
    }

    async fn snapshot(&self, request: Request<v1::SnapshotRequest>) -> Result<Response<v1::SnapshotResponse>, Status> {
        let tenant = self.0.caller(&request)?;
        let key = tenant.key(&request.into_inner().session_id);
        let (store, of) = (Arc::clone(&self.0.store), key.clone());
        let snapshot = self.0.blocking(move || store.snapshot(&of, now())).await?;
        self.0.admit_reply(snapshot.len())?;
        Ok(Response::new(v1::SnapshotResponse { snapshot, session: Some(self.0.session(&key).await?) }))
    }

    async fn restore(&self, request: Request<v1::RestoreRequest>) -> Result<Response<v1::RestoreResponse>, Status> {
        let tenant = self.0.caller(&request)?;
        let v1::RestoreRequest { snapshot, session_id } = request.into_inner();
        let key = new_key(&tenant, &session_id)?;
        self.0.admit_session(&tenant)?;
        let snapshot = self.0.blocking(move || Snapshot::read(&snapshot)).await?;
        // Anyone can make a snapshot: it asks for no more than could be opened here.
        let Options { layers, rows, .. } = &snapshot.spec().options;
        if *rows || layers.len() > MOST_LAYERS {
            let problem = format!("it is of a session with rows, or with more than {MOST_LAYERS} layers");
            return Err(CallError::invalid("snapshot", problem).into());
        }
        let snapshot = snapshot.living_at_most(self.0.limits.session_ttl);
        let (store, to) = (Arc::clone(&self.0.store), key.clone());
        let durable = self.0.blocking(move || store.restore(&to, snapshot, now())).await?;
        self.0.kept(durable).await?;
        Ok(Response::new(v1::RestoreResponse { session: Some(self.0.session(&key).await?) }))
    }

    async fn close(&self, request: Request<v1::CloseRequest>) -> Result<Response<v1::CloseResponse>, Status> {
        let tenant = self.0.caller(&request)?;
        let key = tenant.key(&request.into_inner().session_id);
        let position = self.0.store.info(&key, now()).map_err(CallError::from)?.position;
        let store = Arc::clone(&self.0.store);
        let durable = self.0.blocking(move || store.close(&key, now())).await?;
        self.0.kept(durable).await?;
        Ok(Response::new(v1::CloseResponse { position }))
    }

    async fn list(&self, request: Request<v1::ListRequest>) -> Result<Response<v1::ListResponse>, Status> {
        let tenant = self.0.caller(&request)?;
        Ok(Response::new(self.0.list(&tenant, &request.into_inner())))
    }

    async fn stream(
        &self,
        request: Request<Streaming<v1::StreamRequest>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let tenant = self.0.caller(&request)?;
        Ok(Response::new(Box::pin(stream::replies(Arc::clone(&self.0), tenant, request.into_inner()))))
    }
}

impl App {
    async fn open(&self, tenant: &Tenant, request: v1::OpenRequest) -> CallResult<v1::Session> {
        let v1::OpenRequest { session_id, model, options, ttl_s } = request;
        let key = new_key(tenant, &session_id)?;
        let model = self.models.find(&model, Purpose::Session)?;
        let v1::SessionOptions { layers, anomaly, bits } = options.unwrap_or_default();
        if layers.len() > MOST_LAYERS {
            return Err(CallError::invalid("options.layers", format!("at most {MOST_LAYERS} are taken")));
        }
        let layers: Vec<usize> = layers.into_iter().map(|layer| layer as usize).collect();
        let options = Options { pools: !layers.is_empty(), layers, rows: false, anomaly, bits };
        let most_s = self.limits.session_ttl.as_secs();
        let ttl = match ttl_s {
            0 => self.limits.default_session_ttl,
            ttl_s if ttl_s <= most_s => Duration::from_secs(ttl_s),
            _ => return Err(CallError::invalid("ttl_s", format!("at most {most_s} seconds are given"))),
        };
        self.admit_session(tenant)?;
        let spec = Spec { model: model.info().digest, options, ttl: Some(ttl) };
        let (store, to) = (Arc::clone(&self.store), key.clone());
        let durable = self.blocking(move || store.open_session(&to, &spec, now())).await?;
        self.kept(durable).await?;
        let info = self.store.info(&key, now())?;
        Ok(describe::session(&info, &self.models, None))
    }

    /// Refuses a session too many.
    fn admit_session(&self, tenant: &Tenant) -> CallResult<()> {
        let there = self.store.count(tenant.name.as_bytes());
        if there < tenant.sessions {
            return Ok(());
        }
        Err(CallError::TooMany { found: there, limit: tenant.sessions })
    }

    /// Waits until the disk has it, if there is one.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) async fn kept(&self, durable: unspool_pipelines::store::Durable) -> CallResult<()> {
        if self.durable { durable.await.map_err(CallError::from) } else { Ok(()) }
    }

    /// A session as it stands, and its model.
    ///
    /// # Errors
    /// When there is no such session, or its model is not to be had.
    pub(crate) async fn view(&self, key: &Key) -> CallResult<(View, Arc<unspool_model::Model>)> {
        let (store, of) = (Arc::clone(&self.store), key.clone());
        let view = self.blocking(move || store.read(&of, now())).await?;
        let digest = view.info.spec.model;
        let model = self.models.get(digest).ok_or_else(|| CallError::UnknownModel(digest.to_string()))?;
        Ok((view, model))
    }

    async fn session(&self, key: &Key) -> CallResult<v1::Session> {
        let (View { info, state }, _) = self.view(key).await?;
        Ok(describe::session(&info, &self.models, Some(&state)))
    }

    async fn read(&self, tenant: &Tenant, request: v1::ReadRequest) -> CallResult<v1::ReadResponse> {
        let pooling = request.pooling();
        let v1::ReadRequest { session_id, forecast, .. } = request;
        let (View { info, state }, model) = self.view(&tenant.key(&session_id)).await?;
        let pool = pool(pooling, &info)?;
        let mut reply = v1::ReadResponse {
            embeddings: pool.map_or_else(Vec::new, |pool| pooled(&state, pool)),
            session: Some(describe::session(&info, &self.models, Some(&state))),
            ..v1::ReadResponse::default()
        };
        if let Some(options) = forecast {
            let ahead = self.ahead(&model, &options)?;
            let done = self.compute_one(fork(tenant, &model, state, &ahead)).await?;
            // Without a value there is none: the reply says so by its absence.
            reply.quantiles = quantiles(&done, &ahead).unwrap_or_default();
            (reply.levels, reply.timings) = (ahead.levels, Some(timings(std::iter::once(&done.timings))));
        }
        Ok(reply)
    }

    fn list(&self, tenant: &Tenant, request: &v1::ListRequest) -> v1::ListResponse {
        let (most, default) = PAGE;
        let size = if request.page_size == 0 { default } else { request.page_size.min(most) };
        let prefix = request.prefix.as_str();
        // Ids in order: those with the prefix stand together, and the prefix itself is the first of them.
        let first = (!prefix.is_empty()).then(|| self.store.info(&tenant.key(prefix), now()).ok()).flatten();
        let first = first.filter(|_| request.page_token.is_empty());
        let after = if request.page_token.is_empty() { prefix } else { &request.page_token };
        let after = (!after.is_empty()).then_some(after);
        let page = self.store.list(tenant.name.as_bytes(), after, size as usize, now());
        let fits = |info: &Info| info.key.id.starts_with(prefix);
        let ended = page.next.is_none() || page.sessions.last().is_some_and(|info| !fits(info));
        let next_page_token =
            if ended { String::new() } else { page.next.map_or_else(String::new, |next| next.to_string()) };
        let sessions = first.into_iter().chain(page.sessions.into_iter().filter(fits));
        let sessions = sessions.map(|info| describe::session(&info, &self.models, None)).collect();
        v1::ListResponse { sessions, next_page_token }
    }
}

/// The key of a session to be opened.
fn new_key(tenant: &Tenant, id: &str) -> CallResult<Key> {
    if id.is_empty() {
        return Ok(tenant.key(&Uuid::new_v4().to_string()));
    }
    check_id(id).map_err(|problem| CallError::invalid("session_id", problem))?;
    Ok(tenant.key(id))
}

/// Refuses what is no session's id.
///
/// # Errors
/// What is needed.
pub(crate) fn check_id(id: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    if (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(fits) {
        return Ok(());
    }
    Err(format!("1 to {LONGEST_ID} of A-Z a-z 0-9 . _ : - are needed"))
}

/// The pool that is asked of a session.
///
/// # Errors
/// When the session has none, or rows are asked for.
pub(crate) fn pool(pooling: v1::Pooling, info: &Info) -> CallResult<Option<Pool>> {
    let pool = match pooling {
        v1::Pooling::Unspecified => return Ok(None),
        v1::Pooling::Mean => Pool::Mean,
        v1::Pooling::Last => Pool::Last,
        v1::Pooling::Max => Pool::Max,
        v1::Pooling::Token => return Err(CallError::invalid("pooling", "a session keeps no rows: mean, last or max")),
    };
    if info.spec.options.layers.is_empty() {
        return Err(CallError::invalid(
            "pooling",
            "the session was opened without options.layers: it has no embeddings",
        ));
    }
    Ok(Some(pool))
}

/// `[layers, d]`; empty before the first row.
pub(crate) fn pooled(state: &State, pool: Pool) -> Vec<f32> {
    state.options().layers.iter().filter_map(|layer| state.pooled(*layer, pool)).flatten().collect()
}
