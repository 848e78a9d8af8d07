//! Why a cluster does not do what it is asked for.

/// Why a cluster does not do what it is asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Settings that do not go together.
    #[error("{0}")]
    Settings(String),
    /// A scheduler or an executor is not there, or has gone.
    #[error("cluster {url}: {problem}")]
    Gone {
        /// The scheduler.
        url: String,
        /// What happened, and what to do.
        problem: String,
    },
    /// An executor refused, or could not do it.
    #[error("{executor}: {problem}")]
    Refused {
        /// Which one.
        executor: String,
        /// Why, and what to do.
        problem: String,
    },
    /// A scheduler or an executor cannot run here.
    #[error("{0}")]
    Engine(String),
    /// The driver was asked to stop.
    #[error("interrupted")]
    Cancelled,
}

/// The result of asking a cluster.
pub type Result<T, E = Error> = std::result::Result<T, E>;
