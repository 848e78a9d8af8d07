//! Training: data, and what is kept out of it; the loop, its log and its checkpoints.

mod checkpoint;
mod config;
pub mod data;
mod log;
mod run;
pub mod split;

use std::path::PathBuf;

pub use self::{
    config::{ModelOptions, TrainConfig, TrainOptions},
    data::{
        DataError, DataOptions, SeriesData, Windows,
        dna::{DnaData, DnaOptions, DnaSource},
    },
    log::{Line, read as read_log},
    run::{BatchSource, Run, RunLimits, SeriesBatches, Summary, WindowSource},
};

/// Why training cannot begin or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The model, or the device.
    #[error(transparent)]
    Model(#[from] unspool_model::Error),
    /// The training data.
    #[error(transparent)]
    Windows(#[from] DataError),
    /// The threads that make windows.
    #[error("{0}")]
    Data(String),
    /// An option that makes no sense.
    #[error("{option} is {value}: it must be {expected}")]
    Option {
        /// Its name in the training file.
        option: &'static str,
        /// What it is.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// A checkpoint that cannot be used.
    #[error("{}: {problem}; remove it to go on from the one before", path.display())]
    Checkpoint {
        /// Its directory.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The loss is no number any more.
    #[error("the loss is no number any more at step {step}: lower train.rate, or raise train.warmup")]
    Diverged {
        /// The step.
        step: u64,
    },
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The refusal.
        source: std::io::Error,
    },
}
