//! The job's TOML file, as it is written. Unknown keys are refused.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use unspool_ingest::kafka::{Location, TimeFrom, TimeUnit};
use unspool_pipelines::stream::{emit::Pooling, time::Aggregate};

use crate::{error::Result, job_file};

/// A job.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) kafka: KafkaFile,
    pub(crate) input: InputFile,
    #[serde(default)]
    pub(crate) event_time: EventTimeFile,
    /// A directory, `series-3` (the default), `series-1` or `dna-1`.
    pub(crate) model: Option<String>,
    pub(crate) output: OutputFile,
    pub(crate) group: GroupFile,
    #[serde(default)]
    pub(crate) run: RunFile,
    /// Where the file stands: paths in it are relative to that.
    #[serde(skip)]
    pub(crate) folder: PathBuf,
}

/// `[kafka]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KafkaFile {
    pub(crate) bootstrap: Option<String>,
    /// Settings of librdkafka, by its own names.
    #[serde(default)]
    pub(crate) settings: BTreeMap<String, toml::Value>,
}

/// `[input]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InputFile {
    pub(crate) topic: String,
    #[serde(default)]
    pub(crate) format: FormatFile,
    /// CSV: the columns' names.
    #[serde(default)]
    pub(crate) columns: Vec<String>,
    pub(crate) delimiter: Option<char>,
    /// Avro, Protobuf: a file with the schema, where payloads do not begin with its number.
    pub(crate) schema: Option<PathBuf>,
    /// Protobuf with such a file: the message's full name.
    pub(crate) message: Option<String>,
    pub(crate) registry: Option<RegistryFile>,
    pub(crate) series: Location,
    #[serde(default)]
    pub(crate) time: TimeFrom,
    #[serde(default)]
    pub(crate) time_unit: TimeUnit,
    #[serde(default)]
    pub(crate) values: Vec<String>,
    pub(crate) sequence: Option<String>,
    #[serde(default)]
    pub(crate) start: StartFile,
    #[serde(default)]
    pub(crate) on_new_partitions: NewPartitionsFile,
}

/// `[input.registry]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegistryFile {
    pub(crate) url: String,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FormatFile {
    #[default]
    Json,
    Csv,
    Arrow,
    Avro,
    Protobuf,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StartFile {
    #[default]
    Earliest,
    Latest,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum NewPartitionsFile {
    #[default]
    Stop,
    FreshState,
}

/// `[event_time]`: in ms, or in steps where times are steps.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventTimeFile {
    /// Rows wait so long for older ones; without it they go on in the order of offsets.
    pub(crate) lateness: Option<u64>,
    pub(crate) max_waiting_rows: Option<usize>,
    /// An idle partition's waiting rows go on after so long, in ms of the clock on the wall.
    pub(crate) idle_flush_ms: Option<u64>,
    /// Width of a cell of the grid.
    pub(crate) grid: Option<u64>,
    #[serde(default)]
    pub(crate) aggregate: Aggregate,
    pub(crate) max_missing: Option<u32>,
}

/// `[output]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OutputFile {
    /// Either a topic...
    pub(crate) topic: Option<String>,
    /// ... or a folder of Parquet files...
    pub(crate) parquet: Option<PathBuf>,
    /// (which get their names at this size, before the last compression,
    pub(crate) file_bytes: Option<u64>,
    /// or so long after they were begun)
    pub(crate) file_interval_ms: Option<u64>,
    /// ... or standard output.
    #[serde(default)]
    pub(crate) stdout: bool,
    pub(crate) rejects: Option<String>,
    pub(crate) give: GiveFile,
    pub(crate) horizon: Option<usize>,
    pub(crate) layer: Option<usize>,
    #[serde(default)]
    pub(crate) pool: Pooling,
    /// Each embedding is of the events since the last one.
    #[serde(default)]
    pub(crate) restart: bool,
    /// Embeddings as f32 in little-endian order.
    #[serde(default)]
    pub(crate) binary: bool,
    pub(crate) every_events: Option<u64>,
    /// In ms of event time, or in steps.
    pub(crate) every: Option<u64>,
    #[serde(default)]
    pub(crate) guarantee: GuaranteeFile,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GiveFile {
    Scores,
    Forecasts,
    Embeddings,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum GuaranteeFile {
    #[default]
    ExactlyOnce,
    AtLeastOnce,
}

/// `[group]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupFile {
    pub(crate) name: String,
    pub(crate) member: Option<String>,
    pub(crate) session_timeout_ms: Option<u32>,
    #[serde(default)]
    pub(crate) protocol: ProtocolFile,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProtocolFile {
    #[default]
    Classic,
    /// KIP-848.
    Consumer,
}

/// `[run]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunFile {
    pub(crate) data_dir: Option<PathBuf>,
    /// The output folder of a batch job: series go on from where that left them.
    pub(crate) begin_with: Option<PathBuf>,
    /// An object store for snapshots: `s3://BUCKET/PREFIX` or `file:///FOLDER`.
    pub(crate) snapshot_store: Option<String>,
    /// Its settings by their usual names (`aws_region`, ...).
    #[serde(default)]
    pub(crate) snapshot_store_settings: BTreeMap<String, String>,
    /// How long one question to it may take.
    pub(crate) snapshot_store_timeout_ms: Option<u64>,
    pub(crate) batch_records: Option<usize>,
    pub(crate) commit_interval_ms: Option<u64>,
    pub(crate) snapshot_interval_ms: Option<u64>,
    pub(crate) transaction_timeout_ms: Option<u64>,
    pub(crate) retry_timeout_ms: Option<u64>,
    pub(crate) states_bytes: Option<usize>,
    pub(crate) max_reject_share: Option<f64>,
    pub(crate) metrics_listen: Option<SocketAddr>,
}

impl File {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or is not understood: the line says where.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let mut file: Self = job_file::read(path)?;
        file.folder = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(file)
    }
}
