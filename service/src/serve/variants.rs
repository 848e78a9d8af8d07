//! `VariantService`.

use std::{sync::Arc, time::Instant};

use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};
use unspool_model::Front;
use unspool_pipelines::{
    engine,
    score::{self, ScoreOptions, Variant},
};
use unspool_proto::v1::{self, variant_service_server::VariantService};

use super::{
    app::{App, provenance, timings},
    error::{CallError, CallResult},
    tenant::Tenant,
};

/// Calls that may wait for their turn; beyond it they are refused.
const WAITING: usize = 16;
/// The longest id, in bytes.
const MAX_ID_BYTES: usize = 256;

/// `VariantService` of a server.
pub(crate) struct Variants {
    app: Arc<App>,
    /// A call computes long, on all cores: they take turns.
    turn: Arc<Semaphore>,
    /// Room to wait in.
    room: Arc<Semaphore>,
}

impl Variants {
    pub(crate) fn new(app: Arc<App>) -> Self {
        Self { app, turn: Arc::new(Semaphore::new(1)), room: Arc::new(Semaphore::new(WAITING)) }
    }
}

#[tonic::async_trait]
impl VariantService for Variants {
    async fn score(&self, request: Request<v1::ScoreRequest>) -> Result<Response<v1::ScoreResponse>, Status> {
        let tenant = self.app.caller(&request)?;
        Ok(Response::new(self.request(&tenant, request.into_inner()).await?))
    }
}

impl Variants {
    async fn request(&self, tenant: &Tenant, request: v1::ScoreRequest) -> CallResult<v1::ScoreResponse> {
        let v1::ScoreRequest { model, bases, start, variants } = request;
        let model = self.app.models.taking(&model, Front::Dna)?;
        let sizes = ScoreOptions { pack_tokens: crate::model::suitable_tokens(&model), ..ScoreOptions::default() };
        sizes.check(&model).map_err(|error| CallError::invalid("model", error.to_string()))?;
        if !start.is_multiple_of(sizes.tile as u64) {
            return Err(CallError::invalid("start", format!("a multiple of {} is needed", sizes.tile)));
        }
        if variants.iter().any(|variant| variant.id.len() > MAX_ID_BYTES) {
            return Err(CallError::invalid("variants.id", format!("at most {MAX_ID_BYTES} bytes are taken")));
        }
        // What the model will read at most: the contig on both strands, and a window of each alternative on both.
        let events = 2 * (bases.len() + variants.len() * sizes.window);
        self.app.admit(tenant, variants.len(), events)?;
        let began = Instant::now();
        let full = || CallError::TooFast { what: "variants to score", retry_after: std::time::Duration::from_secs(1) };
        let _room = self.room.try_acquire().map_err(|_| full())?;
        let turn = Arc::clone(&self.turn).acquire_owned().await.map_err(|error| CallError::Fault(error.to_string()))?;
        let queue = began.elapsed();
        let provenance = Some(provenance(&model, false));
        let stop = self.app.stop.clone();
        // The turn ends with the work, though the caller may have gone before.
        let (variants, found) = self
            .app
            .blocking(move || {
                let _turn = turn;
                let contig: Arc<[u8]> = bases.into_bytes().into();
                let asked: Vec<Variant<'_>> = variants.iter().map(|variant| within(variant, start)).collect();
                let found = score::contig((&model, sizes), &contig, &asked, &|| stop.is_cancelled());
                found.map(|found| (variants, found)).map_err(refused)
            })
            .await?;
        let compute = began.elapsed() - queue;
        let timings = Some(timings(std::iter::once(&engine::Timings { queue, compute })));
        Ok(reply(variants, found, v1::ScoreResponse { provenance, timings, ..v1::ScoreResponse::default() }))
    }
}

/// Why scoring ended early.
fn refused(error: unspool_pipelines::Error) -> CallError {
    match error {
        unspool_pipelines::Error::Cancelled => engine::Error::Closing.into(),
        error => CallError::Model(error.to_string()),
    }
}

/// A variant in the piece's own coordinates; one before the piece is beyond all contigs.
fn within(variant: &v1::Variant, start: u64) -> Variant<'_> {
    Variant {
        position: variant.position.checked_sub(start).unwrap_or(u64::MAX),
        reference: variant.reference.as_bytes(),
        alternative: variant.alternative.as_bytes(),
    }
}

fn reply(
    variants: Vec<v1::Variant>,
    found: Vec<Result<[score::Score; 2], String>>,
    mut reply: v1::ScoreResponse,
) -> v1::ScoreResponse {
    let small = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let strand = |score: score::Score| v1::StrandScore {
        log_ratio: score.log_ratio,
        window: small(score.window),
        context: small(score.context),
    };
    for (index, (v1::Variant { id, .. }, found)) in (0..).zip(variants.into_iter().zip(found)) {
        match found {
            Ok([forward, reverse]) => {
                let score = f64::midpoint(forward.log_ratio, reverse.log_ratio);
                let (forward, reverse) = (Some(strand(forward)), Some(strand(reverse)));
                reply.scores.push(v1::Score { index, id, score, forward, reverse });
            }
            Err(reason) => reply.rejects.push(v1::Reject { index, id, reason }),
        }
    }
    reply
}
