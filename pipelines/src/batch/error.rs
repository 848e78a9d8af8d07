//! Why a batch job cannot go on.

use std::{
    io,
    path::{Path, PathBuf},
};

use arrow::error::ArrowError;

/// Why a batch job cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Settings that do not go together, or not with what is there.
    #[error("{0}")]
    Settings(String),
    /// The input is not what the job can read.
    #[error("{}: {problem}", path.display())]
    Input {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A file of the job's own is damaged.
    #[error("{}: {problem}: run the job into a new folder", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A cluster does not answer, or refused.
    #[cfg(feature = "cluster")]
    #[error(transparent)]
    Cluster(#[from] crate::cluster::Error),
    /// Reading, computing or writing failed.
    #[error(transparent)]
    Job(#[from] crate::Error),
}

/// The result of a batch job's work.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The operating system refused to write a file.
    pub(super) fn io(path: &Path, source: &io::Error) -> Self {
        crate::Error::Output { path: path.into(), problem: crate::sink::refusal(source) }.into()
    }

    /// A file of the job's own is not what was written.
    pub(super) fn damaged(path: &Path, problem: impl ToString) -> Self {
        Self::Damaged { path: path.into(), problem: problem.to_string() }
    }
}

impl From<unspool_ingest::Error> for Error {
    fn from(error: unspool_ingest::Error) -> Self {
        Self::Job(error.into())
    }
}

impl From<unspool_model::Error> for Error {
    fn from(error: unspool_model::Error) -> Self {
        Self::Job(error.into())
    }
}

impl From<ArrowError> for Error {
    fn from(error: ArrowError) -> Self {
        Self::Job(error.into())
    }
}

impl From<crate::StoreError> for Error {
    fn from(error: crate::StoreError) -> Self {
        Self::Job(error.into())
    }
}
