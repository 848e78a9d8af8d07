//! One error for models: what is wrong, where, and what to do.

use std::path::PathBuf;

use crate::device::DeviceError;

/// Why a model cannot be loaded or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The refusal.
        source: std::io::Error,
    },
    /// A model's configuration is not understood.
    #[error("{}: {problem}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// A model that reads whole windows, asked for what takes a state.
    #[error(
        "{}: a Caduceus model reads whole windows, both ways: it cannot carry a state, stream, score or forecast; \
         `unspool embed --pool mean` or `--pool window:N` runs it", path.display()
    )]
    ReadsWindows {
        /// Its configuration.
        path: PathBuf,
    },
    /// A file of tensors is damaged or not understood.
    #[error("{}: {problem}", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// A tensor is missing or has another shape.
    #[error("tensor '{name}': expected shape {expected:?}, found {found}")]
    Tensor {
        /// The tensor.
        name: String,
        /// The shape that the configuration asks for.
        expected: Vec<usize>,
        /// The shape found, or what else is wrong.
        found: String,
    },
    /// A checkpoint holds tensors that the configuration does not know.
    #[error("unknown tensors: {}", listed(names))]
    UnknownTensors {
        /// Their names.
        names: Vec<String>,
    },
    /// An input does not fit the model.
    #[error("{0}")]
    Input(String),
    /// The model cannot run where it was asked to.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A state cannot be restored.
    #[error("state: {0}")]
    State(#[from] StateError),
}

/// Why a saved state is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Not a state at all.
    #[error("not a state (it does not begin with the state's magic bytes)")]
    NotAState,
    /// Written by another version of the format.
    #[error("written in version {found} of the format; this program reads version {expected}")]
    Version {
        /// The version found.
        found: u32,
        /// The version read here.
        expected: u32,
    },
    /// Fewer or more bytes than were written.
    #[error("{found} bytes where {expected} were written")]
    Length {
        /// Bytes written.
        expected: u64,
        /// Bytes found.
        found: u64,
    },
    /// The bytes were changed.
    #[error("damaged (the checksum does not fit)")]
    Damaged,
    /// Of another model.
    #[error("of model {found}; this is model {expected}")]
    Model {
        /// This model's digest.
        expected: String,
        /// The digest in the state.
        found: String,
    },
    /// Opened with other options, or inconsistent.
    #[error("does not fit: {0}")]
    Content(String),
}

/// The first names, and how many more there are.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let first = names[..names.len().min(SHOWN)].join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// The result of a model's work.
pub type Result<T, E = Error> = std::result::Result<T, E>;
