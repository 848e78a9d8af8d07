//! How good a series model is: forecasts scored against what came, beside the seasonal naive forecast and published models.
//!
//! Windows of series ([`Task`]) are forecast by a model ([`forecast`]) and scored ([`Score`]); [`benchmark`] and
//! [`validation`] say which windows there are. Models and recipes are chosen by the validation, never by the benchmark.

pub mod benchmark;
pub mod calibration;
pub mod embed;
pub mod endless;
pub mod genomics;
mod metric;
pub mod nab;
mod naive;
mod predict;
pub mod published;
mod read;
mod task;
pub mod validation;

use std::path::PathBuf;

pub use self::{
    metric::{LEVELS, Score, geometric_mean},
    naive::seasonal_naive,
    predict::{History, forecast},
    task::{Scored, Task, Window},
};

/// Why an evaluation cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of the data is not there.
    #[error("{}: not there: {remedy}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What is expected where.
        remedy: &'static str,
    },
    /// A file does not hold what it should.
    #[error("{}: {problem}", path.display())]
    Unexpected {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The model does not forecast what is scored.
    #[error("{model} {problem}")]
    Model {
        /// The model's name.
        model: String,
        /// What it lacks.
        problem: String,
    },
    /// A file cannot be read.
    #[error(transparent)]
    Ingest(#[from] unspool_ingest::Error),
    /// A temporary folder cannot be made.
    #[error("a temporary folder: {0}")]
    Folder(String),
    /// The generator of series refused.
    #[error(transparent)]
    Data(#[from] crate::train::data::DataError),
    /// The model refused.
    #[error(transparent)]
    Run(#[from] unspool_model::Error),
}

/// The result of an evaluation.
pub type Result<T, E = Error> = std::result::Result<T, E>;
