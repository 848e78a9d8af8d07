//! What the server tells of itself in numbers. Names are for users: they stay.

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use unspool_pipelines::engine::Stepped;

use super::app::App;
use crate::error::{Error, Result};

/// Buckets of seconds: from a single event on a GPU to a long prefill.
const SECONDS: [f64; 14] = [1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 5.0];
/// Buckets of shares.
const SHARES: [f64; 6] = [0.01, 0.1, 0.25, 0.5, 0.75, 1.0];

/// Starts collecting.
///
/// # Errors
/// When something collects already.
pub(crate) fn install() -> Result<PrometheusHandle> {
    let failed = |error: metrics_exporter_prometheus::BuildError| Error::Usage(format!("metrics: {error}"));
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)
        .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_ratio".into()), &SHARES))
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(failed)?;
    describe_counter!("unspool_calls_total", "Calls answered, by method and gRPC code");
    describe_histogram!("unspool_call_seconds", "From a call's arrival to its answer");
    describe_counter!("unspool_unauthenticated_total", "Calls without a valid token");
    describe_counter!("unspool_steps_total", "Batches that went through a model");
    describe_histogram!("unspool_step_seconds", "How long a batch took");
    describe_histogram!("unspool_batch_fill_ratio", "The share of a batch's token budget that was used");
    describe_counter!("unspool_events_total", "Events taken in: bases, token ids or values");
    describe_counter!("unspool_forecasts_total", "Forecasts made");
    describe_counter!("unspool_sequences_total", "Sequences in batches, one for each batch it took part in");
    describe_gauge!("unspool_queue_tasks", "Sequences that wait or are being worked on");
    describe_gauge!("unspool_queue_tokens", "Tokens of the sequences that wait or are being worked on");
    describe_gauge!("unspool_models", "Models loaded");
    describe_gauge!("unspool_sessions", "Sessions, by where their state lies");
    describe_gauge!("unspool_state_bytes", "Bytes of all sessions' states");
    describe_gauge!("unspool_live_state_bytes", "Bytes of states that are ready for a model");
    describe_gauge!("unspool_log_bytes", "Bytes of the log of appends");
    describe_gauge!("unspool_replay_events", "Events that a restart would run again: only the log holds them");
    describe_gauge!("unspool_unsaved_sessions", "Sessions with appends that only the log holds");
    describe_gauge!("unspool_store_ok", "1 while the store takes appends, 0 while the disk refuses");
    describe_counter!(
        "unspool_store_errors_total",
        "Calls that failed since the disk refused, or what it gave is damaged"
    );
    // It is there before the first one.
    counter!("unspool_store_errors_total").absolute(0);
    describe_counter!("unspool_states_moved_total", "States raised to memory, lowered, or saved to disk");
    Ok(handle)
}

/// A step of the engine.
pub(crate) fn stepped(step: &Stepped) {
    counter!("unspool_steps_total").increment(1);
    histogram!("unspool_step_seconds").record(step.took);
    histogram!("unspool_batch_fill_ratio").record(step.fill);
    counter!("unspool_events_total").increment(step.events as u64);
    counter!("unspool_forecasts_total").increment(step.forecasts as u64);
    counter!("unspool_sequences_total").increment(step.sequences as u64);
}

/// A call failed in the store.
pub(crate) fn store_failed() {
    counter!("unspool_store_errors_total").increment(1);
}

/// What is as it is now.
#[expect(clippy::cast_precision_loss, reason = "gauges are f64")]
pub(crate) fn gauges(app: &App) {
    let load = app.engine.load();
    gauge!("unspool_queue_tasks").set(load.tasks as f64);
    gauge!("unspool_queue_tokens").set(load.tokens as f64);
    gauge!("unspool_models").set(app.models.all().len() as f64);
    let stats = app.store.stats();
    for (tier, sessions) in [("device", stats.live), ("memory", stats.memory), ("disk", stats.disk)] {
        gauge!("unspool_sessions", "tier" => tier).set(sessions as f64);
    }
    gauge!("unspool_state_bytes").set(stats.state_bytes as f64);
    gauge!("unspool_live_state_bytes").set(stats.live_bytes as f64);
    gauge!("unspool_log_bytes").set(stats.log_bytes as f64);
    gauge!("unspool_replay_events").set(stats.replay_events as f64);
    gauge!("unspool_unsaved_sessions").set(stats.unsaved as f64);
    gauge!("unspool_store_ok").set(if app.store.health().is_ok() { 1.0 } else { 0.0 });
    let moved = [("raised", stats.raised), ("lowered", stats.lowered), ("saved", stats.saved)];
    moved.into_iter().for_each(|(how, states)| counter!("unspool_states_moved_total", "how" => how).absolute(states));
}
