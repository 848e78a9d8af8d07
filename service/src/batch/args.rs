//! What was typed after `unspool run`: a job's file, or flags that say the same of a simple one.

use std::{num::NonZeroUsize, path::PathBuf};

use clap::{Args, ValueEnum, value_parser};
use unspool_pipelines::stream::emit::Pooling;

use super::file::{File, GiveFile, InputFile, OutputFile, RunFile, StoreFile, WhatFile};
use crate::{
    args::{DeviceArgs, MAX_HORIZON},
    error::{Error, Result},
};

/// `unspool run`.
#[derive(Debug, Args)]
pub(crate) struct BatchArgs {
    /// The job: a TOML file; or leave it out and name --input, --what and --output
    #[arg(required_unless_present = "input")]
    pub(crate) job: Option<PathBuf>,
    /// Print what would be done, and end
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) flags: FlagArgs,
    #[command(flatten, next_help_heading = "Running")]
    pub(crate) device: DeviceArgs,
    /// Threads that compute, of each worker (default: all cores, shared among the workers)
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Workers side by side, each with the model and threads of its own; never changes the result
    #[arg(long, value_name = "N", default_value = "1", value_parser = value_parser!(u16).range(1..=256))]
    pub(crate) workers: u16,
    /// Let the executors of a cluster run the series, whose models, devices and threads are their own (see `unspool cluster`)
    #[arg(long, value_name = "URL", conflicts_with_all = ["workers", "threads"])]
    pub(crate) cluster: Option<String>,
    /// Groups of series under way in the cluster at a time; never changes the result
    #[arg(long, value_name = "N", default_value = "16", value_parser = value_parser!(u16).range(1..=1024))]
    pub(crate) cluster_groups: u16,
    /// Values of a group (default: as many as take an executor some seconds)
    #[arg(long, value_name = "N", requires = "cluster")]
    pub(crate) cluster_group_values: Option<NonZeroUsize>,
    /// Wait so many seconds for the cluster's first executor
    #[arg(long, value_name = "N", default_value = "30", value_parser = value_parser!(u16).range(1..))]
    pub(crate) cluster_patience_s: u16,
    /// No progress, no summary
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// A simple job.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Instead of a job's file")]
pub(crate) struct FlagArgs {
    /// A file, folder, glob or URL; may be repeated
    #[arg(long, value_name = "PATH", conflicts_with = "job", requires = "what", requires = "output")]
    pub(crate) input: Vec<String>,
    /// The column that names the series (default: id, series_id, unique_id or item_id if there is one)
    #[arg(long, visible_alias = "id", value_name = "COLUMN", requires = "input")]
    pub(crate) series: Option<String>,
    /// The column of times or step numbers (default: time, timestamp, ds, date or datetime)
    #[arg(long, value_name = "COLUMN", requires = "input")]
    pub(crate) time: Option<String>,
    /// A column of values, or * for all of numbers; may be repeated (default: value, y or target, else the only one)
    #[arg(long, value_name = "COLUMN", requires = "input")]
    pub(crate) value: Vec<String>,
    /// A column, or the key of key=value folders, that goes with each series into the output; may be repeated
    #[arg(long, value_name = "COLUMN", requires = "input")]
    pub(crate) keep: Vec<String>,
    /// The FASTA file that CRAM files' records differ from
    #[arg(long, value_name = "FASTA", requires = "input")]
    pub(crate) reference: Option<PathBuf>,
    /// What to give
    #[arg(long, value_enum, value_name = "WHAT", requires = "input")]
    pub(crate) what: Option<WhatFile>,
    /// Forecasts: how many values
    #[arg(long, value_name = "H", requires = "input", value_parser = value_parser!(u32).range(1..=i64::from(MAX_HORIZON)))]
    pub(crate) horizon: Option<u32>,
    /// Embeddings: how rows become one
    #[arg(long, value_enum, value_name = "POOL", requires = "input")]
    pub(crate) pool: Option<PoolFlag>,
    /// The folder of the output, or the URL of one
    #[arg(short, long, value_name = "DIR", requires = "input")]
    pub(crate) output: Option<String>,
    /// A column after whose values the output's folders are named; may be repeated
    #[arg(long, value_name = "COLUMN", requires = "input")]
    pub(crate) partition_by: Vec<String>,
    /// A model's directory, or a built-in one's name: series-3, series-1 or dna-1 (default: series-3)
    #[arg(long, value_name = "NAME|DIR", requires = "input")]
    pub(crate) model: Option<String>,
    /// A unit is finished after so many rows: what a kill can cost
    #[arg(long, value_name = "N", requires = "input")]
    pub(crate) unit_rows: Option<NonZeroUsize>,
}

/// How rows become one.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum PoolFlag {
    /// Their mean
    Mean,
    /// The last one
    Last,
    /// The greatest value of each column
    Max,
}

impl FlagArgs {
    /// The file that says the same; `None` where nothing was typed.
    ///
    /// # Errors
    /// When something is missing.
    pub(crate) fn file(self) -> Result<Option<File>> {
        if self.input.is_empty() {
            return Ok(None);
        }
        let (Some(what), Some(dir)) = (self.what, self.output) else {
            return Err(Error::Usage("--input: name --what and --output too".into()));
        };
        let pool = self.pool.map(|pool| match pool {
            PoolFlag::Mean => Pooling::Mean,
            PoolFlag::Last => Pooling::Last,
            PoolFlag::Max => Pooling::Max,
        });
        Ok(Some(File {
            model: self.model,
            input: InputFile {
                paths: self.input,
                id: self.series,
                time: self.time,
                values: self.value,
                keep: self.keep,
                reference: self.reference,
                ..InputFile::default()
            },
            give: GiveFile { what, horizon: self.horizon, layer: None, pool, window: None },
            output: OutputFile { dir, partition_by: self.partition_by, row_group_rows: None },
            run: RunFile { unit_rows: self.unit_rows.map(|rows| rows.get() as u64), ..RunFile::default() },
            store: StoreFile::default(),
        }))
    }
}
