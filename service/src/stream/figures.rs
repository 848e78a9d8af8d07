//! What a worker tells of itself in numbers. Names are for users: they stay.

use std::net::SocketAddr;

use axum::{Router, routing::get};
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use tokio::{net::TcpListener, runtime::Runtime};
use unspool_pipelines::stream::Progress;

use crate::error::{Error, Result};

/// Buckets of seconds: a transaction's.
const SECONDS: [f64; 12] = [1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Counts what a worker tells.
#[derive(Default)]
pub(crate) struct Figures {
    transactions: u64,
}

/// Answers `/metrics` and `/livez` until the process ends.
///
/// # Errors
/// When the address is taken.
pub(crate) fn serve(runtime: &Runtime, address: SocketAddr) -> Result<Figures> {
    let failed = |error: metrics_exporter_prometheus::BuildError| Error::Usage(format!("metrics: {error}"));
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(failed)?;
    describe();
    let fail = |source| Error::Io { path: address.to_string().into(), source };
    let listener = runtime.block_on(TcpListener::bind(address)).map_err(fail)?;
    let address = listener.local_addr().unwrap_or(address);
    crate::progress::say(&format!("unspool answers metrics on {address}"));
    let metrics = move || async move {
        handle.run_upkeep();
        handle.render()
    };
    let router = Router::new().route("/metrics", get(metrics)).route("/livez", get(|| async { "alive\n" }));
    runtime.spawn(async move { axum::serve(listener, router).await });
    Ok(Figures::default())
}

fn describe() {
    describe_counter!("unspool_stream_messages_total", "Messages processed; replayed ones apart");
    describe_counter!("unspool_stream_events_total", "Events that went through the model, replayed ones too");
    describe_counter!("unspool_stream_outputs_total", "Outputs committed");
    describe_counter!("unspool_stream_rejects_total", "Messages and rows that could not be used, by kind");
    describe_counter!("unspool_stream_transactions_total", "Transactions, by how they ended");
    describe_histogram!("unspool_stream_commit_seconds", "How long a commit took");
    describe_counter!("unspool_stream_busy_milliseconds_total", "Where the worker's time goes, by stage");
    describe_counter!("unspool_stream_restores_total", "Partitions begun, from a snapshot or from nothing");
    describe_counter!("unspool_stream_snapshots_total", "Snapshots made");
    describe_counter!("unspool_stream_snapshot_uploads_total", "Snapshots put into the object store");
    describe_counter!("unspool_stream_flushes_total", "Idle partitions flushed");
    describe_gauge!("unspool_stream_lag_messages", "Messages that wait in the topic, by partition");
    describe_gauge!("unspool_stream_waiting_rows", "Rows that wait for the watermark, by partition");
    describe_gauge!("unspool_stream_watermark_microseconds", "The watermark (µs since 1970, or a step), by partition");
    describe_gauge!(
        "unspool_stream_watermark_delay_seconds",
        "How far the watermark is behind the clock on the wall, by partition; not where times are steps"
    );
    describe_gauge!(
        "unspool_stream_retention_headroom_messages",
        "Messages that the broker may still delete before the newest snapshot needs them, by partition"
    );
    describe_gauge!("unspool_stream_series", "Series known, by where their state is");
    describe_counter!(
        "unspool_stream_states_moved_total",
        "States brought up from disk, written to make room, or copied for a snapshot under way"
    );
}

impl Figures {
    /// Takes a worker's figures over.
    #[expect(clippy::cast_precision_loss, reason = "gauges are f64")]
    pub(crate) fn count(&mut self, progress: &Progress) {
        for (replayed, messages) in [("false", progress.messages), ("true", progress.replayed)] {
            counter!("unspool_stream_messages_total", "replayed" => replayed).absolute(messages);
        }
        counter!("unspool_stream_events_total").absolute(progress.events);
        counter!("unspool_stream_outputs_total").absolute(progress.outputs);
        for (kind, rejects) in &progress.rejects {
            counter!("unspool_stream_rejects_total", "kind" => kind.name()).absolute(*rejects);
        }
        counter!("unspool_stream_transactions_total", "end" => "committed").absolute(progress.transactions);
        counter!("unspool_stream_transactions_total", "end" => "aborted").absolute(progress.aborted);
        if progress.transactions > self.transactions {
            self.transactions = progress.transactions;
            histogram!("unspool_stream_commit_seconds").record(progress.commit_took);
        }
        for (stage, took) in progress.stages.all() {
            let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            counter!("unspool_stream_busy_milliseconds_total", "stage" => stage).absolute(took);
        }
        counter!("unspool_stream_restores_total").absolute(progress.restores);
        counter!("unspool_stream_snapshots_total").absolute(progress.snapshots);
        counter!("unspool_stream_snapshot_uploads_total").absolute(progress.uploads);
        counter!("unspool_stream_flushes_total").absolute(progress.flushes);
        for (partition, here) in &progress.partitions {
            let partition = partition.to_string();
            gauge!("unspool_stream_lag_messages", "partition" => partition.clone()).set(here.lag as f64);
            gauge!("unspool_stream_waiting_rows", "partition" => partition.clone()).set(here.waiting as f64);
            if let Some(watermark) = here.watermark {
                gauge!("unspool_stream_watermark_microseconds", "partition" => partition.clone()).set(watermark as f64);
            }
            if let Some(delay) = here.watermark_delay {
                gauge!("unspool_stream_watermark_delay_seconds", "partition" => partition.clone())
                    .set(delay.as_secs_f64());
            }
            gauge!("unspool_stream_retention_headroom_messages", "partition" => partition)
                .set(here.retention_headroom as f64);
        }
        let states = progress.states;
        gauge!("unspool_stream_series", "tier" => "memory").set(states.live as f64);
        gauge!("unspool_stream_series", "tier" => "disk").set(states.series.saturating_sub(states.live) as f64);
        counter!("unspool_stream_states_moved_total", "how" => "raised").absolute(states.raised);
        counter!("unspool_stream_states_moved_total", "how" => "spilled").absolute(states.spilled);
        counter!("unspool_stream_states_moved_total", "how" => "copied").absolute(states.copied);
    }
}
