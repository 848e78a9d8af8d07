//! `EmbeddingService`.

use std::sync::Arc;

use tonic::{Request, Response, Status};
use unspool_model::{Front, Model, Options, Pool};
use unspool_pipelines::{
    Events,
    engine::{Done, Subject, Task},
};
use unspool_proto::v1::{self, embedding_service_server::EmbeddingService};

use super::{
    app::{App, provenance, timings},
    error::{CallError, CallResult},
    input::{self, Named},
    ipc,
    registry::Purpose,
    table::Table,
    tables,
    tenant::Tenant,
};

/// `EmbeddingService` of a server.
pub(crate) struct Embeddings(pub(crate) Arc<App>);

/// How sequences are to be embedded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    /// Name or digest; empty: the default.
    pub(crate) model: String,
    pub(crate) pooling: v1::Pooling,
    /// `None`: the last.
    pub(crate) layer: Option<u32>,
    pub(crate) normalize: bool,
}

#[tonic::async_trait]
impl EmbeddingService for Embeddings {
    async fn embed(&self, request: Request<v1::EmbedRequest>) -> Result<Response<v1::EmbedResponse>, Status> {
        let tenant = self.0.caller(&request)?;
        Ok(Response::new(self.0.embed_request(&tenant, request.into_inner()).await?))
    }
}

impl App {
    async fn embed_request(&self, tenant: &Tenant, request: v1::EmbedRequest) -> CallResult<v1::EmbedResponse> {
        let (pooling, encoding) = (request.pooling(), request.encoding());
        let as_table = match encoding {
            v1::Encoding::Unspecified => !request.arrow_ipc.is_empty(),
            encoding => encoding == v1::Encoding::ArrowIpc,
        };
        let v1::EmbedRequest { model, sequences, arrow_ipc, layer, normalize, .. } = request;
        CallError::limit("sequences", sequences.len(), (self.limits.request_sequences, "limits.request_sequences"))?;
        let table = match (sequences.is_empty(), arrow_ipc.is_empty()) {
            (false, false) => return Err(CallError::invalid("arrow_ipc", "give sequences or arrow_ipc, not both")),
            (_, true) => {
                let told = input::front(&sequences);
                let sequences = input::sequences(sequences, told.unwrap_or(Front::Series))?;
                let front = told.or_else(|| sequences.first().map(Named::front)).unwrap_or(Front::Series);
                Table { front, sequences, rejects: vec![] }
            }
            (true, false) => Table::new(&ipc::read(&arrow_ipc, "arrow_ipc")?)?,
        };
        let mut reply = self.embed(tenant, table, Wish { model, pooling, layer, normalize }).await?;
        if as_table {
            reply.arrow_ipc = ipc::write(&tables::embeddings(&reply)?)?;
            reply.embeddings.clear();
        }
        Ok(reply)
    }

    /// Embeds sequences; what cannot be used is rejected, the rest goes on.
    ///
    /// # Errors
    /// When the model or the layer is unknown, a limit is reached, or the queue is full.
    pub(crate) async fn embed(&self, tenant: &Tenant, table: Table, wish: Wish) -> CallResult<v1::EmbedResponse> {
        let Table { front, sequences, mut rejects } = table;
        let model = match sequences.is_empty() {
            true => self.models.find(&wish.model, Purpose::Whole(front))?,
            false => self.models.taking(&wish.model, front)?,
        };
        self.admit(tenant, sequences.len(), sequences.iter().map(|s| s.events.len()).sum())?;
        let layer = wish.layer.map_or(model.info().config.layers, |layer| layer as usize);
        let by_row = wish.pooling == v1::Pooling::Token;
        let options = Options { layers: vec![layer], rows: by_row, pools: !by_row, ..Options::default() };
        model.open(&options)?;
        self.admit_reply(reply_bytes(&model, &sequences, by_row))?;
        let (mut tasks, mut places) = (vec![], vec![]);
        for (index, Named { id, events }) in (0..).zip(sequences) {
            match model.check_events(events.as_model()) {
                Ok(()) => {
                    tasks.push(whole(tenant, &model, options.clone(), events));
                    places.push((index, id));
                }
                Err(error) => rejects.push(v1::Reject { index, id, reason: error.to_string() }),
            }
        }
        let mut reply = v1::EmbedResponse {
            provenance: Some(provenance(&model, false)),
            width: u32::try_from(model.info().config.d).unwrap_or(u32::MAX),
            ..v1::EmbedResponse::default()
        };
        let done: Vec<Done> = self.compute(tasks).await?.into_iter().collect::<CallResult<_>>()?;
        reply.timings = Some(timings(done.iter().map(|done| &done.timings)));
        for ((index, id), done) in places.into_iter().zip(done) {
            match vectors(&model, layer, &wish, &done) {
                Some((values, events)) => reply.embeddings.push(v1::Embedding { index, id, values, events }),
                None => rejects.push(v1::Reject { index, id, reason: too_short(&model) }),
            }
        }
        reply.rejects = rejects;
        Ok(reply)
    }
}

/// The task of a sequence given whole.
pub(crate) fn whole(tenant: &Tenant, model: &Arc<Model>, options: Options, events: Events) -> Task {
    let (owner, model) = (tenant.owner, Arc::clone(model));
    Task { owner, model, subject: Subject::Fresh(options), events, horizon: None, deadline: None }
}

fn reply_bytes(model: &Model, sequences: &[Named], by_row: bool) -> usize {
    let row_events = model.series_shape().map_or(1, |shape| shape.patch);
    let rows = |named: &Named| if by_row { named.events.len() / row_events } else { 1 };
    let width = model.info().config.d;
    sequences.iter().map(|named| rows(named) * width * size_of::<f32>() + named.id.len()).sum()
}

/// A sequence's vectors, and the events that they stand for; `None` without a hidden row.
fn vectors(model: &Model, layer: usize, wish: &Wish, done: &Done) -> Option<(Vec<f32>, u64)> {
    let state = done.state.as_ref()?;
    let pooled = |pool| state.pooled(layer, pool);
    let mut values = match wish.pooling {
        v1::Pooling::Unspecified | v1::Pooling::Mean => pooled(Pool::Mean)?,
        v1::Pooling::Last => pooled(Pool::Last)?,
        v1::Pooling::Max => pooled(Pool::Max)?,
        v1::Pooling::Token => done.output.rows.first().filter(|rows| !rows.is_empty())?.clone(),
    };
    if wish.normalize {
        values.chunks_exact_mut(model.info().config.d).for_each(normalize);
    }
    let row_events = model.series_shape().map_or(1, |shape| shape.patch as u64);
    Some((values, state.position() / row_events * row_events))
}

/// To length 1; zeros stay.
fn normalize(row: &mut [f32]) {
    let norm = row.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>().sqrt();
    if norm > 0.0 {
        #[expect(clippy::cast_possible_truncation, reason = "f32 is what rows are")]
        row.iter_mut().for_each(|v| *v = (f64::from(*v) / norm) as f32);
    }
}

/// Why a sequence has no embedding.
fn too_short(model: &Model) -> String {
    match model.series_shape() {
        Some(shape) => format!("no patch of {} values with a value in it: there is nothing to embed", shape.patch),
        None => "it is empty: there is nothing to embed".into(),
    }
}
