//! The job's TOML file, as it is written. Unknown keys are refused. Flags are read as such a file, too.

use std::{
    collections::BTreeMap,
    num::{NonZeroU64, NonZeroUsize},
    path::PathBuf,
};

use clap::ValueEnum;
use serde::Deserialize;
use unspool_pipelines::stream::emit::Pooling;

/// A job.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    /// A directory, `series-3` (the default) or `series-1`.
    pub(crate) model: Option<String>,
    pub(crate) input: InputFile,
    pub(crate) give: GiveFile,
    pub(crate) output: OutputFile,
    #[serde(default)]
    pub(crate) run: RunFile,
    #[serde(default)]
    pub(crate) store: StoreFile,
}

/// `[input]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InputFile {
    /// Files, folders and globs, relative to the job's file; or URLs.
    pub(crate) paths: Vec<String>,
    pub(crate) id: Option<String>,
    pub(crate) time: Option<String>,
    #[serde(default)]
    pub(crate) values: Vec<String>,
    /// Columns, or keys of `key=value` folders, that go with each series into the output.
    #[serde(default)]
    pub(crate) keep: Vec<String>,
    /// What becomes of a file that lacks some of these.
    #[serde(default)]
    pub(crate) schemas: SchemasFile,
    #[serde(default)]
    pub(crate) lists: bool,
    #[serde(default)]
    pub(crate) order: OrderFile,
    #[serde(default)]
    pub(crate) on_corrupt: OnCorruptFile,
    /// The FASTA file that CRAM files' records differ from, relative to the job's file.
    pub(crate) reference: Option<PathBuf>,
}

/// In which order the rows come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OrderFile {
    /// Each series' rows in the order of time.
    #[default]
    Time,
    /// In none: they are sorted first.
    Sort,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SchemasFile {
    /// It is refused.
    #[default]
    Same,
    /// They are null in its rows.
    Union,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnCorruptFile {
    #[default]
    Stop,
    Skip,
}

/// `[give]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GiveFile {
    pub(crate) what: WhatFile,
    /// Forecasts: how many values.
    pub(crate) horizon: Option<u32>,
    /// Embeddings: the layer.
    pub(crate) layer: Option<usize>,
    /// Embeddings: how its rows become one.
    pub(crate) pool: Option<Pooling>,
    /// Embeddings of reads: one for each so many bases, their mean.
    pub(crate) window: Option<NonZeroU64>,
}

/// What a job gives.
#[derive(Clone, Copy, Debug, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WhatFile {
    /// The anomaly score of each value
    #[value(alias = "score")]
    Scores,
    /// Quantiles of the next values of each series
    #[value(alias = "forecast")]
    Forecasts,
    /// An embedding of each series
    #[value(alias = "embedding", alias = "embed")]
    Embeddings,
}

/// `[output]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OutputFile {
    /// A folder relative to the job's file, or the URL of one.
    pub(crate) dir: String,
    #[serde(default)]
    pub(crate) partition_by: Vec<String>,
    pub(crate) row_group_rows: Option<NonZeroUsize>,
}

/// `[run]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunFile {
    /// Rows of a unit: what a kill can cost.
    pub(crate) unit_rows: Option<u64>,
    /// Series, at most.
    pub(crate) max_series: Option<NonZeroUsize>,
    /// Memory for states.
    pub(crate) states_bytes: Option<usize>,
    /// Where an output for an object store is made.
    pub(crate) work_dir: Option<PathBuf>,
    /// Where what is read of object stores lies meanwhile.
    pub(crate) spool_dir: Option<PathBuf>,
    /// Memory of a sort, in bytes.
    pub(crate) sort_memory: Option<usize>,
    /// Bytes that a sort may spill to disk.
    pub(crate) sort_disk: Option<u64>,
}

/// `[store]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoreFile {
    /// Settings of object stores by their usual names (`aws_region`, ...).
    #[serde(default)]
    pub(crate) settings: BTreeMap<String, String>,
    /// How long one question may take.
    pub(crate) timeout_ms: Option<u64>,
}
