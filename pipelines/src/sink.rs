//! The trait [`Sink`]: where rows and rejects go.

mod bedgraph;
pub mod conformance;
mod csv;
mod file;
mod memory;
mod parquet;
pub(crate) mod rejects;
mod vcf;

use std::io::ErrorKind;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use unspool_ingest::{CommitToken, Position, Reject};

pub use self::{
    csv::CsvSink,
    file::{Destination, FileSink},
    memory::{Committed, MemorySink},
};
pub(crate) use self::{
    file::{problem, sync_folder},
    parquet::Writer,
};
use crate::Result;

/// Takes rows, rejects and the position behind them, and makes all of them durable together or none.
///
/// Every implementation passes [`conformance`].
#[async_trait]
pub trait Sink: Send {
    /// Makes the rows, the rejects and the position durable together. A sink whose output appears as a whole (a file)
    /// collects them, and [`Sink::finish`] is what makes them durable.
    ///
    /// `position` is the first row not yet read; `None`: rows of a batch of which more is to come.
    ///
    /// # Errors
    /// When the rows have another schema than the sink's, or the environment refuses: the sink is of no use then.
    async fn commit(
        &mut self,
        rows: RecordBatch,
        rejects: Vec<Reject>,
        position: Option<Position>,
        token: CommitToken,
    ) -> Result<()>;

    /// All rows were committed. A sink that is dropped before gives up what is not durable.
    ///
    /// # Errors
    /// When the environment refuses: nothing appears then.
    async fn finish(&mut self) -> Result<()>;
}

/// What the operating system said, with what to do where that is known.
pub(crate) fn refusal(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::StorageFull => "the disk is full: free some space, or write elsewhere".into(),
        ErrorKind::PermissionDenied => "no permission to write there: choose another folder".into(),
        ErrorKind::AlreadyExists => "it exists: choose another name, or --overwrite".into(),
        _ => error.to_string(),
    }
}
