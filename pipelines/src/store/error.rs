//! Why the store refuses, and what to do.

use std::{io, path::Path, path::PathBuf};

use unspool_model::Digest;

use super::Key;

/// Why a call of the store failed. What it was called for has not happened then.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system or the embedded database refused.
    #[error("{}: {problem}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The refusal, and what to do where that is known.
        problem: String,
    },
    /// A file of the store was changed or cut where no crash can have done it.
    #[error("{} is damaged at byte {offset}: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// What is wrong.
        problem: String,
    },
    /// Another process, or another store of this one, has the folder open.
    #[error("{} is in use by another process: stop it, or name another folder", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// There is no such session, or no longer.
    #[error("there is no session {0}: it was never opened, was closed, or has expired")]
    Unknown(Key),
    /// A session of that name is open.
    #[error("there is a session {0} already: choose another id, or close it")]
    Exists(Key),
    /// An append's number leaves out others.
    #[error("append {found} of session {key} leaves a gap: {expected} is expected")]
    Gap {
        /// The session.
        key: Key,
        /// The number that comes next.
        expected: u64,
        /// The number given.
        found: u64,
    },
    /// An append's number was applied long ago: its reply is kept no more.
    #[error("append {found} of session {key} was applied before; only the reply of {last}, the last one, is kept")]
    Old {
        /// The session.
        key: Key,
        /// The last number applied.
        last: u64,
        /// The number given.
        found: u64,
    },
    /// A part of an append does not follow the parts before.
    #[error(
        "append {number} of session {key} goes on at event {expected}, not {found}: begin it again with its first event"
    )]
    Part {
        /// The session.
        key: Key,
        /// The append.
        number: u64,
        /// Events that came before.
        expected: usize,
        /// The event that the part begins at.
        found: usize,
    },
    /// A session stands in a batch twice.
    #[error("session {0} stands in one batch twice")]
    Twice(Key),
    /// A limit is reached: nothing is lost, and the caller may come again once there is room.
    #[error("{what}: the limit is {limit}")]
    Full {
        /// What there are too many of.
        what: Limit,
        /// The limit.
        limit: u64,
    },
    /// Nobody has the model of a session.
    #[error("there is no model {0}: load it first")]
    UnknownModel(Digest),
    /// The model refused.
    #[error("{0}")]
    Model(std::sync::Arc<unspool_model::Error>),
    /// Bytes that should be a session are none, or damaged.
    #[error("these bytes are no session's snapshot: {0}")]
    Snapshot(String),
    /// Not enough raw history is kept to run a session through another model.
    #[error(
        "session {key} has {position} events, of which the first {missing} are not kept: it cannot be run through another model"
    )]
    History {
        /// The session.
        key: Key,
        /// Events so far.
        position: u64,
        /// Events at the front that are kept no more.
        missing: u64,
    },
    /// The log cannot be written: appends are refused until it can.
    #[error("{}: {problem}; nothing more is taken in until this is mended", path.display())]
    Log {
        /// The log's file.
        path: PathBuf,
        /// The refusal.
        problem: String,
    },
    /// A computation broke off in the midst of this session: its state in memory is not to be trusted.
    #[error("session {0} was lost in a computation that broke off; a restart of the store brings it back from the log")]
    Lost(Key),
    /// The store has no folder: nothing survives the process.
    #[error("this store keeps its sessions in memory only: name a folder to make them durable")]
    MemoryOnly,
    /// The store is being closed.
    #[error("the store is closing")]
    Closing,
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Limit {
    /// Sessions of all owners.
    #[error("too many sessions are open")]
    Sessions,
    /// Sessions of one owner.
    #[error("too many sessions of this owner are open")]
    SessionsPerOwner,
    /// Bytes of all states, in all tiers.
    #[error("the sessions' states take too many bytes")]
    StateBytes,
    /// Bytes of one append.
    #[error("an append has too many bytes")]
    AppendBytes,
}

/// The result of the store's work.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The system's refusal, with a remedy where there is a plain one.
    pub(super) fn io(path: &Path, source: &io::Error) -> Self {
        Self::Io { path: path.to_owned(), problem: problem(source) }
    }
}

impl From<unspool_model::Error> for Error {
    fn from(error: unspool_model::Error) -> Self {
        Self::Model(std::sync::Arc::new(error))
    }
}

/// What the system said, and what to do where that is plain.
pub(crate) fn problem(source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "the disk is full: free some space".into(),
        io::ErrorKind::FileTooLarge => "the file would be larger than is allowed here: raise the limit".into(),
        io::ErrorKind::PermissionDenied => "this user may not write here: change the permissions".into(),
        io::ErrorKind::ReadOnlyFilesystem => "the file system is read-only: name another folder".into(),
        _ => source.to_string(),
    }
}
