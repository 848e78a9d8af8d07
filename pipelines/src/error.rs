//! One error for jobs: what is wrong, where, and what to do.

use std::path::PathBuf;

use arrow::error::ArrowError;

/// Why a job cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The input cannot be read.
    #[error(transparent)]
    Ingest(#[from] unspool_ingest::Error),
    /// The model refused.
    #[error(transparent)]
    Model(#[from] unspool_model::Error),
    /// The output cannot be written.
    #[error("cannot write {}: {problem}", path.display())]
    Output {
        /// The output.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The rows are not what the job takes.
    #[error("{0}")]
    Rows(String),
    /// Arrow refused to build or read rows.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    /// More sequences are open at once than the job may hold.
    #[error(
        "more than {limit} sequences are open at once (a state is {state_bytes} bytes): split the input, or raise the limit (--max-series)"
    )]
    TooManySequences {
        /// The limit.
        limit: usize,
        /// Bytes of one sequence's state.
        state_bytes: usize,
    },
    /// The store of sessions refused.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// An object store refused, or did not answer in time.
    #[error(transparent)]
    Objects(#[from] crate::StoreError),
    /// Who reads the output has seen enough.
    #[error("the output was closed")]
    OutputClosed,
    /// The job was asked to stop.
    #[error("interrupted")]
    Cancelled,
    /// The computing thread ended without an answer.
    #[error("the worker stopped unexpectedly")]
    WorkerGone,
}

/// The result of a job's work.
pub type Result<T, E = Error> = std::result::Result<T, E>;
