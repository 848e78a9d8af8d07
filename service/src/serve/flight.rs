//! Arrow Flight: `DoExchange`, columns in and columns out.
//!
//! The descriptor's command is JSON: what is asked of every batch that follows. Each batch stands for itself and is answered by
//! one batch, in order; `app_metadata` of the answer tells in JSON what was rejected, and which model answered.

use std::{panic::AssertUnwindSafe, pin::Pin, sync::Arc};

use arrow::array::RecordBatch;
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse,
    PollInfo, PutResult, SchemaResult, Ticket, decode::FlightRecordBatchStream, error::FlightError,
    flight_service_server::FlightService, utils::batches_to_flight_data,
};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::json;
use tonic::{Request, Response, Status, Streaming};
use unspool_ingest::ipc;
use unspool_proto::v1;

use super::{
    app::App,
    embedding::Wish,
    error::{CallError, CallResult},
    table::Table,
    tables,
    tenant::Tenant,
};

/// The Flight service of a server.
pub(crate) struct Flight(pub(crate) Arc<App>);

/// What is asked of every batch.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "call", rename_all = "lowercase", deny_unknown_fields)]
enum Command {
    /// As `EmbedRequest`.
    Embed {
        #[serde(default)]
        model: String,
        #[serde(default)]
        pooling: Pooling,
        layer: Option<u32>,
        #[serde(default)]
        normalize: bool,
    },
    /// As `ForecastRequest`.
    Forecast {
        #[serde(default)]
        model: String,
        horizon: u32,
        #[serde(default)]
        levels: Vec<f64>,
    },
    /// As `ForecastRequest.anomaly`, without a forecast.
    Score {
        #[serde(default)]
        model: String,
    },
}

/// As `v1::Pooling`, in words.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Pooling {
    #[default]
    Mean,
    Last,
    Max,
    Token,
}

/// A stream of answers.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Flight {
    async fn exchange(
        &self,
        tenant: Arc<Tenant>,
        mut messages: Streaming<FlightData>,
    ) -> Result<Answers<FlightData>, Status> {
        let first = messages.message().await?;
        let first = first.ok_or_else(|| Status::invalid_argument("the exchange ended before its first message"))?;
        let command = Arc::new(command(first.flight_descriptor.as_ref())?);
        let messages = stream::once(async { Ok(first) }).chain(messages.map_err(FlightError::from));
        // A message may hold the descriptor alone, as pyarrow's first one does: no batch is in it.
        let messages = messages.try_filter(|message| std::future::ready(!message.data_header.is_empty()));
        let messages = messages.and_then(|message| {
            let plain = ipc::refuse_compressed(&message.data_header).map_err(FlightError::from);
            std::future::ready(plain.map(|()| message))
        });
        let batches = FlightRecordBatchStream::new_from_flight_data(messages);
        // Whatever damaged bytes make the decoder do, it is the client's error.
        let damaged = |_| Err(FlightError::DecodeError("damaged".into()));
        // A message's own length is not told any more: it had at most this.
        let bytes = self.0.limits.message_bytes;
        let batches = batches.and_then(move |batch| {
            let fits = ipc::check(&batch, bytes).map_err(FlightError::from);
            std::future::ready(fits.map(|()| batch))
        });
        let batches = AssertUnwindSafe(batches).catch_unwind().map(move |batch| batch.unwrap_or_else(damaged));
        let (app, stop) = (Arc::clone(&self.0), self.0.stop.clone());
        let answers = batches.take_until(async move { stop.cancelled().await }).map(move |batch| {
            let (app, tenant, command) = (Arc::clone(&app), Arc::clone(&tenant), Arc::clone(&command));
            async move { answer(&app, &tenant, (&command, batch.map_err(refused)?)).await }
        });
        let mut schema_sent = false;
        let flattened = answers.buffered(self.0.limits.stream_messages).flat_map(move |answer: CallResult<_>| {
            let messages = match answer {
                Ok(messages) => messages.into_iter().skip(usize::from(schema_sent)).map(Ok).collect(),
                Err(error) => vec![Err(Status::from(error))],
            };
            schema_sent = true;
            stream::iter(messages)
        });
        Ok(Box::pin(flattened))
    }
}

fn command(descriptor: Option<&FlightDescriptor>) -> CallResult<Command> {
    let problem = |problem: &dyn std::fmt::Display| {
        let example = r#"{"call": "forecast", "horizon": 24}, {"call": "score"} or {"call": "embed"} is needed"#;
        CallError::invalid("descriptor.cmd", format!("{problem}; JSON such as {example}"))
    };
    let descriptor = descriptor.ok_or_else(|| problem(&"the first message has no descriptor"))?;
    serde_json::from_slice(&descriptor.cmd).map_err(|error| problem(&error))
}

/// The client's stream is broken, or not what it should be.
fn refused(error: FlightError) -> CallError {
    CallError::invalid("batch", error.to_string())
}

/// One batch's answer, schema first.
async fn answer(app: &App, tenant: &Tenant, (command, batch): (&Command, RecordBatch)) -> CallResult<Vec<FlightData>> {
    tenant.request().map_err(CallError::too_fast("requests"))?;
    let table = Table::new(&[batch])?;
    let (rows, rejects, provenance) = match command.clone() {
        Command::Embed { model, pooling, layer, normalize } => {
            let pooling = match pooling {
                Pooling::Mean => v1::Pooling::Mean,
                Pooling::Last => v1::Pooling::Last,
                Pooling::Max => v1::Pooling::Max,
                Pooling::Token => v1::Pooling::Token,
            };
            let reply = app.embed(tenant, table, Wish { model, pooling, layer, normalize }).await?;
            (tables::embeddings(&reply)?, reply.rejects, reply.provenance)
        }
        Command::Forecast { model, horizon, levels } => {
            let options = v1::ForecastOptions { horizon, levels };
            let reply = app.forecast(tenant, table, (&model, &options, false)).await?;
            (tables::forecasts(&reply)?, reply.rejects, reply.provenance)
        }
        Command::Score { model } => {
            let reply = app.score(tenant, table, &model).await?;
            (tables::scores(&reply)?, reply.rejects, reply.provenance)
        }
    };
    let about = about(&rejects, provenance.unwrap_or_default());
    let fault = |error: arrow::error::ArrowError| CallError::Fault(error.to_string());
    let mut messages = batches_to_flight_data(&rows.schema(), vec![rows]).map_err(fault)?;
    if let Some(last) = messages.last_mut() {
        last.app_metadata = about.into();
    }
    Ok(messages)
}

fn about(rejects: &[v1::Reject], provenance: v1::Provenance) -> Vec<u8> {
    let reject = |reject: &v1::Reject| json!({"index": reject.index, "id": reject.id, "reason": reject.reason});
    let rejects: Vec<_> = rejects.iter().map(reject).collect();
    let v1::Provenance { model, digest, route, .. } = provenance;
    json!({"rejects": rejects, "model": model, "digest": digest, "route": route}).to_string().into_bytes()
}

/// What this server does not do over Flight.
fn not_here<T>() -> Result<T, Status> {
    Err(Status::unimplemented("of Arrow Flight this server speaks DoExchange"))
}

#[tonic::async_trait]
impl FlightService for Flight {
    type HandshakeStream = Answers<HandshakeResponse>;
    type ListFlightsStream = Answers<FlightInfo>;
    type DoGetStream = Answers<FlightData>;
    type DoPutStream = Answers<PutResult>;
    type DoActionStream = Answers<arrow_flight::Result>;
    type ListActionsStream = Answers<ActionType>;
    type DoExchangeStream = Answers<FlightData>;

    async fn do_exchange(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        let tenant = self.0.caller(&request)?;
        Ok(Response::new(self.exchange(tenant, request.into_inner()).await?))
    }

    async fn handshake(
        &self,
        _: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        not_here()
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        not_here()
    }

    async fn get_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        not_here()
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        not_here()
    }

    async fn get_schema(&self, _: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        not_here()
    }

    async fn do_get(&self, _: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        not_here()
    }

    async fn do_put(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        not_here()
    }

    async fn do_action(&self, _: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        not_here()
    }

    async fn list_actions(&self, _: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        not_here()
    }
}
