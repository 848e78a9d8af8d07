//! The job's TOML file, as it is written. Unknown keys are refused.

use std::{num::NonZeroUsize, path::PathBuf};

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
}

/// `[input]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InputFile {
    /// Files, folders and globs, relative to the job's file.
    pub(crate) paths: Vec<String>,
    pub(crate) id: Option<String>,
    pub(crate) time: Option<String>,
    #[serde(default)]
    pub(crate) values: Vec<String>,
    #[serde(default)]
    pub(crate) lists: bool,
    #[serde(default)]
    pub(crate) on_corrupt: OnCorruptFile,
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
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WhatFile {
    Scores,
    Forecasts,
    Embeddings,
}

/// `[output]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OutputFile {
    pub(crate) dir: PathBuf,
}

/// `[run]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunFile {
    /// Rows of a unit: what a kill can cost.
    pub(crate) unit_rows: Option<u64>,
    /// Series at once, at most...
    pub(crate) max_series: Option<NonZeroUsize>,
    /// ... or so much memory for their states.
    pub(crate) states_bytes: Option<usize>,
}
