//! Files as partitions of a DataFusion table.

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    error::DataFusionError,
    execution::TaskContext,
    physical_plan::{SendableRecordBatchStream, stream::RecordBatchStreamAdapter, streaming::PartitionStream},
};
use futures::stream::try_unfold;
use unspool_ingest::{
    Batch, Error, Reject, Result, Source, Threaded,
    tables::{self, SeriesOptions},
};

use super::rows;
use crate::batch::OnCorrupt;

/// Files that are read one after another.
pub(super) struct Files {
    pub(super) schema: SchemaRef,
    /// Each with its number.
    pub(super) inputs: Vec<(u32, PathBuf)>,
    pub(super) columns: SeriesOptions,
    pub(super) on_corrupt: OnCorrupt,
    /// Bytes read of all partitions.
    pub(super) bytes: Arc<AtomicU64>,
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} files", self.inputs.len())
    }
}

impl PartitionStream for Files {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let reading = Reading {
            schema: Arc::clone(&self.schema),
            inputs: self.inputs.clone().into_iter(),
            columns: self.columns.clone(),
            on_corrupt: self.on_corrupt,
            bytes: Arc::clone(&self.bytes),
            open: None,
        };
        let rows = try_unfold(reading, |mut reading| async move {
            let next = reading.next().await;
            let next = next.map_err(|error| DataFusionError::External(Box::new(error)))?;
            Ok(next.map(|rows| (rows, reading)))
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows))
    }
}

/// The files of a partition under way.
struct Reading {
    schema: SchemaRef,
    inputs: std::vec::IntoIter<(u32, PathBuf)>,
    columns: SeriesOptions,
    on_corrupt: OnCorrupt,
    bytes: Arc<AtomicU64>,
    open: Option<Open>,
}

/// A file under way.
struct Open {
    input: (u32, PathBuf),
    source: Threaded,
    /// Rows and rejects so far.
    rows: u64,
    /// Bytes counted.
    bytes: u64,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let Some(open) = &mut self.open else {
                let Some(input) = self.inputs.next() else { return Ok(None) };
                match tables::open(std::slice::from_ref(&input.1), &self.columns) {
                    Ok(source) => self.open = Some(Open { input, source, rows: 0, bytes: 0 }),
                    Err(error) => return self.left_out((input, 0), error).map(Some),
                }
                continue;
            };
            let batch = open.source.next().await;
            let read = open.source.progress().map_or(0, |(read, _)| read);
            self.bytes.fetch_add(read.saturating_sub(open.bytes), Relaxed);
            open.bytes = read;
            match batch {
                Ok(Some(Batch { rows, rejects, .. })) => {
                    let (first, number) = (open.rows, open.input.0);
                    open.rows += rows.num_rows() as u64 + rejects.len() as u64;
                    return self.joined((&rows, &rejects), (number, first)).map(Some);
                }
                Ok(None) => self.open = None,
                Err(error) => {
                    let at = (open.input.clone(), open.rows);
                    self.open = None;
                    return self.left_out(at, error).map(Some);
                }
            }
        }
    }

    /// A damaged file ends the job, or its rest is one reject.
    fn left_out(&self, ((number, path), read): ((u32, PathBuf), u64), error: Error) -> Result<RecordBatch> {
        if self.on_corrupt == OnCorrupt::Stop || !matches!(error, Error::Invalid { .. }) {
            return Err(error);
        }
        let reason = format!("{error}; the file is left out from row {read} on");
        let reject = Reject { place: path.display().to_string(), reason, payload: vec![] };
        let fields = self.schema.fields();
        let own = fields[..fields.len() - rows::OWN_COLUMNS].to_vec();
        let none = RecordBatch::new_empty(Arc::new(arrow::datatypes::Schema::new(own)));
        self.joined((&none, &[reject]), (number, read))
    }

    fn joined(&self, rows: (&RecordBatch, &[Reject]), at: (u32, u64)) -> Result<RecordBatch> {
        let fault = |error| Error::Request { path: "the rows to be sorted".into(), problem: format!("{error}") };
        rows::join(&self.schema, rows, at).map_err(fault)
    }
}
