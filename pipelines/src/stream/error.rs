//! Why a stream job stops.

use std::{io, path::Path, path::PathBuf};

/// Why a stream job cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system refused.
    #[error("{}: {problem}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The refusal, and what to do where that is known.
        problem: String,
    },
    /// A file of states was changed or cut.
    #[error("{} is damaged: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The object store refused, or did not answer.
    #[error("the object store {url}, {key}: {problem}; is it reachable, and may this job read and write there?")]
    Store {
        /// Where it is.
        url: String,
        /// The object or folder.
        key: String,
        /// What was asked, and what came of it.
        problem: String,
    },
    /// The snapshots are those of another job.
    #[error("{} holds snapshots of a job with other settings ({differ}): use those again, or name another data folder and group", path.display())]
    OtherJob {
        /// The folder.
        path: PathBuf,
        /// What differs, and how.
        differ: String,
    },
    /// The model refused.
    #[error(transparent)]
    Model(#[from] unspool_model::Error),
    /// The cluster refused.
    #[error(transparent)]
    Kafka(#[from] unspool_ingest::kafka::client::Error),
    /// The job's settings do not go together.
    #[error("{0}")]
    Settings(String),
    /// Rows are not what they should be.
    #[error(transparent)]
    Arrow(#[from] arrow::error::ArrowError),
    /// Too much of the input cannot be used.
    #[error(
        "{rejected} of the last {seen} messages could not be used, more than the share of {share} that the job allows; the last one: {reason}"
    )]
    Rejects {
        /// Rejects.
        rejected: u64,
        /// Messages.
        seen: u64,
        /// The share allowed.
        share: f64,
        /// The last reject's reason.
        reason: String,
    },
    /// No attempt has succeeded for too long.
    #[error("no progress for {seconds} s: {problem}")]
    Stuck {
        /// How long.
        seconds: u64,
        /// The last trouble.
        problem: String,
    },
}

/// The result of a stream job's work.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The system's refusal, with a remedy where there is a plain one.
    pub(crate) fn io(path: &Path, source: &io::Error) -> Self {
        Self::Io { path: path.to_owned(), problem: crate::store::problem(source) }
    }

    pub(crate) fn damaged(path: &Path, problem: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), problem: problem.into() }
    }
}
