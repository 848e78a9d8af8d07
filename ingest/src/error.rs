//! One error for all readers: what is wrong, where, and what to do.

use std::{fmt, path::PathBuf};

/// Where in an input an error stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// The whole input.
    Whole,
    /// A line of a text file, 1-based.
    Line(u64),
    /// A byte offset (uncompressed), 0-based.
    Byte(u64),
    /// A BGZF virtual position.
    Virtual(u64),
    /// A record, 0-based.
    Record(u64),
    /// A column of a table.
    Column(String),
    /// A row group and a row of it, 0-based.
    Row {
        /// Row group, 0-based.
        row_group: u32,
        /// Row in the group, 0-based.
        row: u64,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => Ok(()),
            Self::Line(n) => write!(f, ", line {n}"),
            Self::Byte(n) => write!(f, ", byte {n}"),
            Self::Virtual(v) => write!(f, ", virtual position {v} (block at byte {}, offset {})", v >> 16, v & 0xffff),
            Self::Record(n) => write!(f, ", record {n}"),
            Self::Column(name) => write!(f, ", column '{name}'"),
            Self::Row { row_group, row } => write!(f, ", row group {row_group}, row {row}"),
        }
    }
}

/// Why a source cannot go on.
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
    /// The input is damaged or not what it is taken for.
    #[error("{}{place}: {problem}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Where in it.
        place: Place,
        /// What is wrong and, where there is one, the remedy.
        problem: String,
    },
    /// The request does not fit the input: an unknown column, region or format.
    #[error("{}: {problem}", path.display())]
    Request {
        /// The file.
        path: PathBuf,
        /// What is wrong and what there is instead.
        problem: String,
    },
    /// The reading thread ended without an answer.
    #[error("the reader of {input} stopped unexpectedly")]
    ReaderGone {
        /// What it was reading.
        input: String,
    },
}

/// The result of reading.
pub type Result<T, E = Error> = std::result::Result<T, E>;
