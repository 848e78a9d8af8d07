//! `ForecastService`.

use std::{num::NonZeroUsize, sync::Arc};

use tonic::{Request, Response, Status};
use unspool_model::{Front, Model, Options, State, series};
use unspool_pipelines::engine::{Done, Subject, Task};
use unspool_proto::v1::{self, forecast_request::Context, forecast_service_server::ForecastService};

use super::{
    app::{App, provenance, timings},
    embedding::whole,
    error::{CallError, CallResult},
    input::{self, Named},
    ipc,
    table::Table,
    tables,
    tenant::Tenant,
};

/// `ForecastService` of a server.
pub(crate) struct Forecasts(pub(crate) Arc<App>);

/// How far, and which quantiles: checked against a model.
#[derive(Clone, Debug)]
pub(crate) struct Ahead {
    /// Values.
    pub(crate) horizon: NonZeroUsize,
    /// Growing, within the model's.
    pub(crate) levels: Vec<f64>,
}

#[tonic::async_trait]
impl ForecastService for Forecasts {
    async fn forecast(&self, request: Request<v1::ForecastRequest>) -> Result<Response<v1::ForecastResponse>, Status> {
        let tenant = self.0.caller(&request)?;
        Ok(Response::new(self.0.forecast_request(&tenant, request.into_inner()).await?))
    }
}

impl App {
    async fn forecast_request(
        &self,
        tenant: &Tenant,
        request: v1::ForecastRequest,
    ) -> CallResult<v1::ForecastResponse> {
        let as_table = match request.encoding() {
            v1::Encoding::Unspecified => matches!(request.context, Some(Context::ArrowIpc(_))),
            encoding => encoding == v1::Encoding::ArrowIpc,
        };
        let v1::ForecastRequest { model, context, options, anomaly, .. } = request;
        let options = options.unwrap_or_default();
        let table = match context {
            Some(Context::Series(v1::SeriesBatch { series })) => {
                CallError::limit(
                    "sequences",
                    series.len(),
                    (self.limits.request_sequences, "limits.request_sequences"),
                )?;
                Table { front: Front::Series, sequences: input::series(series)?, rejects: vec![] }
            }
            Some(Context::ArrowIpc(bytes)) => Table::new(&ipc::read(&bytes, "arrow_ipc")?)?,
            Some(Context::SessionId(_)) if anomaly || !model.is_empty() => {
                let problem = "a session has its own model, and its appends are scored as they come";
                return Err(CallError::invalid(if anomaly { "anomaly" } else { "model" }, problem));
            }
            Some(Context::SessionId(id)) => return self.forecast_session(tenant, id, &options, as_table).await,
            None => return Err(CallError::invalid("context", "give series, arrow_ipc or session_id")),
        };
        let reply = self.forecast(tenant, table, (&model, &options, anomaly)).await?;
        encoded(reply, as_table)
    }

    /// Forecasts series given whole; what cannot be used is rejected, the rest goes on.
    ///
    /// # Errors
    /// When the model or the options are refused, a limit is reached, or the queue is full.
    pub(crate) async fn forecast(
        &self,
        tenant: &Tenant,
        table: Table,
        (model, options, anomaly): (&str, &v1::ForecastOptions, bool),
    ) -> CallResult<v1::ForecastResponse> {
        let model = self.models.taking(model, table.front)?;
        let ahead = self.ahead(&model, options)?;
        self.run_series(tenant, table, (&model, Some(ahead), anomaly)).await
    }

    /// Scores every value of series given whole: forecasts without quantiles.
    ///
    /// # Errors
    /// As [`App::forecast`].
    pub(crate) async fn score(&self, tenant: &Tenant, table: Table, model: &str) -> CallResult<v1::ForecastResponse> {
        let model = self.models.taking(model, table.front)?;
        self.run_series(tenant, table, (&model, None, true)).await
    }

    async fn run_series(
        &self,
        tenant: &Tenant,
        table: Table,
        (model, ahead, anomaly): (&Arc<Model>, Option<Ahead>, bool),
    ) -> CallResult<v1::ForecastResponse> {
        let Table { sequences, mut rejects, .. } = table;
        self.admit(tenant, sequences.len(), sequences.iter().map(|s| s.events.len()).sum())?;
        let scored: usize = if anomaly { sequences.iter().map(|s| s.events.len()).sum() } else { 0 };
        let each = ahead.as_ref().map_or(0, |ahead| ahead.horizon.get() * ahead.levels.len());
        self.admit_reply((sequences.len() * each + scored) * size_of::<f64>())?;
        let (mut tasks, mut places) = (vec![], vec![]);
        for (index, Named { id, events }) in (0..).zip(sequences) {
            let options = Options { anomaly, ..Options::default() };
            match model.check_events(events.as_model()) {
                Ok(()) => {
                    let task = whole(tenant, model, options, events);
                    tasks.push(Task { horizon: ahead.as_ref().map(|ahead| ahead.horizon), ..task });
                    places.push((index, id));
                }
                Err(error) => rejects.push(v1::Reject { index, id, reason: error.to_string() }),
            }
        }
        let done: Vec<Done> = self.compute(tasks).await?.into_iter().collect::<CallResult<_>>()?;
        let timings = Some(timings(done.iter().map(|done| &done.timings)));
        let mut forecasts = vec![];
        for ((index, id), done) in places.into_iter().zip(done) {
            match ahead.as_ref().map_or(Ok(vec![]), |ahead| quantiles(&done, ahead)) {
                Ok(quantiles) => {
                    let scores = done.output.scores.clone();
                    forecasts.push(v1::Forecast { index, id, quantiles, scores });
                }
                Err(reason) => rejects.push(v1::Reject { index, id, reason }),
            }
        }
        let (provenance, levels) = (Some(provenance(model, false)), ahead.map_or(vec![], |ahead| ahead.levels));
        Ok(v1::ForecastResponse { forecasts, arrow_ipc: vec![], rejects, levels, provenance, timings })
    }

    /// Forecasts a session's next values.
    async fn forecast_session(
        &self,
        tenant: &Tenant,
        id: String,
        options: &v1::ForecastOptions,
        as_table: bool,
    ) -> CallResult<v1::ForecastResponse> {
        let key = tenant.key(&id);
        let (view, model) = self.view(&key).await?;
        let ahead = self.ahead(&model, options)?;
        let route_changed = *view.state.route() != model.info().route;
        let provenance = Some(provenance(&model, route_changed));
        let done = self.compute_one(fork(tenant, &model, view.state, &ahead)).await?;
        let timings = Some(timings(std::iter::once(&done.timings)));
        let quantiles = quantiles(&done, &ahead).map_err(CallError::Refused)?;
        let forecasts = vec![v1::Forecast { index: 0, id, quantiles, scores: vec![] }];
        let (arrow_ipc, rejects) = (vec![], vec![]);
        encoded(
            v1::ForecastResponse { forecasts, arrow_ipc, rejects, levels: ahead.levels, provenance, timings },
            as_table,
        )
    }

    /// Checks what is asked of a forecast.
    ///
    /// # Errors
    /// When the horizon is 0 or above the limit, or a level is not within the model's.
    pub(crate) fn ahead(&self, model: &Model, options: &v1::ForecastOptions) -> CallResult<Ahead> {
        let Some(shape) = model.series_shape() else {
            let problem =
                format!("{} is no series model: it gives no forecasts; name a series model", model.info().name);
            return Err(CallError::invalid("model", problem));
        };
        CallError::limit("horizon", options.horizon as usize, (self.limits.horizon as usize, "limits.horizon"))?;
        let horizon = NonZeroUsize::new(options.horizon as usize);
        let horizon = horizon.ok_or_else(|| CallError::invalid("options.horizon", "1 or more is needed"))?;
        let own = &shape.levels;
        let levels = if options.levels.is_empty() { own.clone() } else { options.levels.clone() };
        let (least, most) = (own.first().copied().unwrap_or(0.5), own.last().copied().unwrap_or(0.5));
        if levels.len() > 1000
            || !levels.is_sorted_by(|a, b| a < b)
            || !levels.iter().all(|l| (least..=most).contains(l))
        {
            let problem = format!("growing levels from {least} to {most} are needed, at most 1,000");
            return Err(CallError::invalid("options.levels", problem));
        }
        Ok(Ahead { horizon, levels })
    }
}

fn encoded(mut reply: v1::ForecastResponse, as_table: bool) -> CallResult<v1::ForecastResponse> {
    if as_table {
        reply.arrow_ipc = ipc::write(&tables::forecasts(&reply)?)?;
        reply.forecasts.clear();
    }
    Ok(reply)
}

/// A forecast from a state that does not move.
pub(crate) fn fork(tenant: &Tenant, model: &Arc<Model>, state: Arc<State>, ahead: &Ahead) -> Task {
    let task = whole(tenant, model, Options::default(), input::none(model.info().front));
    Task { subject: Subject::Fork(state), horizon: Some(ahead.horizon), ..task }
}

/// `[horizon, levels]`, or why there are none.
pub(crate) fn quantiles(done: &Done, ahead: &Ahead) -> Result<Vec<f64>, String> {
    let forecast = done.forecast.as_ref().ok_or("nothing was forecast")?;
    match forecast.reason {
        Some(reason) => Err(reason.to_string()),
        None => Ok(at_levels(forecast, &ahead.levels)),
    }
}

/// Quantiles at other levels, linear between the model's.
fn at_levels(forecast: &series::Forecast, wanted: &[f64]) -> Vec<f64> {
    let own = &forecast.levels;
    if own == wanted {
        return forecast.values.clone();
    }
    let at = |step: &[f64], level: f64| {
        let above = own.partition_point(|l| *l < level).min(own.len() - 1);
        if own[above] <= level || above == 0 {
            return step[above];
        }
        let share = (level - own[above - 1]) / (own[above] - own[above - 1]);
        step[above - 1] + share * (step[above] - step[above - 1])
    };
    forecast.values.chunks_exact(own.len()).flat_map(|step| wanted.iter().map(move |level| at(step, *level))).collect()
}
