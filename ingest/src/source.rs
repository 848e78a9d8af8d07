//! The nouns of the flow: [`Source`], [`Batch`], [`Position`], [`Reject`], [`CommitToken`].

use std::{any::Any, fmt, sync::Arc};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::Result;

/// The first row *not yet read*: opening a source there loses nothing and repeats nothing.
///
/// Positions of one source are ordered, and grow from batch to batch. Rows may be pieces of a record (a contig is read in
/// chunks), so each kind says how much of the record at hand was already read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// Row number, 0-based: rows held in memory.
    Row(u64),
    /// A text file, plain or gzip (reached again by re-reading).
    Text {
        /// Uncompressed offset of the record at hand's first byte.
        offset: u64,
        /// Number of the record at hand in the file, 0-based.
        record: u64,
        /// Bases or values of the record at hand that were already read.
        within: u64,
    },
    /// A BGZF file (BAM, bgzip FASTA or FASTQ).
    Bgzf {
        /// Virtual position (compressed block offset << 16 | offset within the block) of the record at hand's first byte.
        virtual_position: u64,
        /// Number of the record at hand, 0-based, among those the source yields.
        record: u64,
        /// Bases of the record at hand that were already read.
        within: u64,
    },
    /// A CRAM file.
    Container {
        /// Offset of the container that holds the record at hand.
        offset: u64,
        /// Number of the record at hand within the container, 0-based.
        index: u64,
        /// Number of the record at hand, 0-based, among those the source yields.
        record: u64,
        /// Bases of the record at hand that were already read.
        within: u64,
    },
    /// Parquet files, in the order given.
    Parquet {
        /// File number, 0-based.
        file: u32,
        /// Row group in the file, 0-based.
        row_group: u32,
        /// Row in the row group, 0-based.
        row: u64,
    },
}

/// What only the source's own kind of sink can read (Kafka: the group metadata taken at that poll).
#[derive(Clone, Default)]
pub struct CommitToken(pub Option<Arc<dyn Any + Send + Sync>>);

impl fmt::Debug for CommitToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "CommitToken(..)" } else { "CommitToken(none)" })
    }
}

/// A row that could not be used, with where it stood and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Where the row stands, for a person: `reads.fq.gz, record 17 (line 66)`.
    pub place: String,
    /// What is wrong with it.
    pub reason: String,
    /// The row's raw bytes as far as they are known (at most 64 KiB of them).
    pub payload: Vec<u8>,
}

/// Rows read together, the rows rejected among them, and where to go on.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The rows, in the source's schema. May be empty when all rows were rejected.
    pub rows: RecordBatch,
    /// Rows that could not be used.
    pub rejects: Vec<Reject>,
    /// The first row not yet read.
    pub next: Position,
    /// For the source's own kind of sink.
    pub token: CommitToken,
}

/// Yields [`Batch`]es and is opened again at a [`Position`].
///
/// Every implementation passes [`crate::conformance`].
#[async_trait]
pub trait Source: Send {
    /// The schema of every batch; it never changes.
    fn schema(&self) -> SchemaRef;

    /// The next batch, or `None` at the end (and ever after).
    ///
    /// Cancel-safe: a dropped call loses no row.
    ///
    /// # Errors
    /// When the environment is bad: a missing or damaged file, a wrong schema. A bad *row* is a [`Reject`] in the batch.
    async fn next(&mut self) -> Result<Option<Batch>>;

    /// How far the reading is, as bytes read and bytes in all, where known: for progress bars.
    fn progress(&self) -> Option<(u64, u64)> {
        None
    }
}
