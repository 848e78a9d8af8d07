//! Why the engine refuses.

use std::{sync::Arc, time::Duration};

/// Why a task was not done.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The queue is full.
    #[error("too much work is waiting ({waiting} tokens): try again in {} ms", retry_after.as_millis())]
    Full {
        /// Tokens waiting, of everyone or of the owner whose share is used up.
        waiting: usize,
        /// When there should be room.
        retry_after: Duration,
    },
    /// One request is larger than the whole queue.
    #[error("{tokens} tokens in one request, the limit is {limit}: send less at once")]
    TooLarge {
        /// Its tokens.
        tokens: usize,
        /// The limit.
        limit: usize,
    },
    /// Its deadline passed while it waited.
    #[error("the deadline passed while the request waited")]
    Expired,
    /// The model refused it.
    #[error("{0}")]
    Model(Arc<unspool_model::Error>),
    /// The store refused it.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// A fault of this program, in the midst of it.
    #[error("a fault in the computation: the log has more")]
    Fault,
    /// The engine takes nothing more.
    #[error("the server is stopping")]
    Closing,
}

impl From<unspool_model::Error> for Error {
    fn from(error: unspool_model::Error) -> Self {
        Self::Model(Arc::new(error))
    }
}

/// The result of a task.
pub type Result<T, E = Error> = std::result::Result<T, E>;
