//! Rows of files that are in no order, sorted for batch jobs: within a limit of memory, and the same each time.
//!
//! ```text
//! files ─stream─► rows and rejects ─DataFusion, spilling─► FOLDER/sorted.parquet ─read─► batches in order
//! ```
//!
//! The order is by series, then time, then file and row: it follows from the files alone, whatever the memory, the threads
//! and where a kill fell. Once the sorted file has its name, a job that goes on reads it from the row where its last unit
//! ended; before that, it sorts again.

mod make;
mod read;
mod rows;
mod stream;

use std::{fs, io::ErrorKind, path::PathBuf, sync::Arc, thread::JoinHandle};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use async_trait::async_trait;
use tokio::sync::mpsc;
use unspool_ingest::{
    Batch, CommitToken, Position, Source,
    tables::{self, SeriesOptions},
};

use self::{
    make::{Event, Request},
    read::Sorted,
};
use crate::{
    Error, Result,
    batch::{OnCorrupt, Sort},
};

/// The least memory of a sort, in bytes.
const LEAST_MEMORY: usize = 4 << 20;

/// Sorts the rows of a job's files.
#[derive(Clone, Debug)]
pub struct FileSort {
    /// Memory, in bytes: what does not fit is spilled into the folder.
    pub memory: usize,
    /// Bytes that may be spilled.
    pub disk: u64,
    /// A folder of its own: for what is spilled, and for the sorted file.
    pub folder: PathBuf,
    /// What becomes of the job when a file is damaged.
    pub on_corrupt: OnCorrupt,
}

impl FileSort {
    /// The schema of the files' rows, by the first that is whole.
    fn schema(&self, files: &[PathBuf], columns: &SeriesOptions) -> unspool_ingest::Result<SchemaRef> {
        let mut damaged = None;
        for file in files {
            match tables::decoder(std::slice::from_ref(file), columns) {
                Err(error @ unspool_ingest::Error::Invalid { .. }) if self.on_corrupt == OnCorrupt::Skip => {
                    damaged = Some(error);
                }
                decoder => return Ok(decoder?.schema()),
            }
        }
        let none = || unspool_ingest::Error::Request { path: PathBuf::new(), problem: "no file is given".into() };
        Err(damaged.unwrap_or_else(none))
    }

    /// Removes what an earlier sort left.
    ///
    /// # Errors
    /// When the disk refuses.
    fn tidy(&self) -> Result<()> {
        match fs::remove_dir_all(&self.folder) {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                Err(Error::Output { path: self.folder.clone(), problem: crate::sink::refusal(&source) })
            }
            _ => Ok(()),
        }
    }
}

impl Sort for FileSort {
    fn open(&self, files: &[PathBuf], columns: &SeriesOptions) -> Result<Box<dyn Source>> {
        if self.memory < LEAST_MEMORY {
            return Err(Error::Rows(format!("run.sort_memory: at least {LEAST_MEMORY} bytes")));
        }
        let row = match columns.start {
            None => 0,
            Some(Position::Row(row)) => row,
            Some(_) => return Err(Error::Rows("the job's position is of no sorted rows".into())),
        };
        let columns = SeriesOptions { unordered: true, start: None, ..columns.clone() };
        let schema = self.schema(files, &columns)?;
        let (batch_rows, bytes) = (columns.batch_rows, files.iter().filter_map(|file| file.metadata().ok()));
        let bytes = bytes.map(|metadata| metadata.len()).sum();
        let request = Request { sort: self.clone(), columns, files: files.to_vec(), schema: Arc::clone(&schema) };
        let (events, thread) = make::spawn(request);
        Ok(Box::new(SortedFiles {
            names: files.iter().map(|file| file.display().to_string()).collect(),
            events,
            thread,
            schema,
            start: (row, batch_rows),
            bytes: (0, bytes),
            reading: None,
        }))
    }
}

/// Files that are being sorted, and read when they are.
struct SortedFiles {
    names: Vec<String>,
    events: mpsc::Receiver<unspool_ingest::Result<Event>>,
    thread: Option<JoinHandle<()>>,
    schema: SchemaRef,
    /// The first row to be given, and rows of a batch.
    start: (u64, usize),
    /// Bytes read, of how many.
    bytes: (u64, u64),
    reading: Option<Sorted>,
}

/// Nobody writes into the folder any more when this has gone.
impl Drop for SortedFiles {
    fn drop(&mut self) {
        self.events.close();
        if let Some(thread) = self.thread.take() {
            // One that panicked has nothing more to say.
            let _ = thread.join();
        }
    }
}

#[async_trait]
impl Source for SortedFiles {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// While rows are sorted, a batch of none comes now and then: so whoever reads can tell how far it is, and stop.
    async fn next(&mut self) -> unspool_ingest::Result<Option<Batch>> {
        if let Some(reading) = &mut self.reading {
            return reading.next();
        }
        let gone = || unspool_ingest::Error::ReaderGone { input: "the sort".into() };
        match self.events.recv().await.ok_or_else(gone)?? {
            Event::Read(bytes) => self.bytes.0 = bytes.min(self.bytes.1),
            Event::Sorted(path) => {
                self.bytes.0 = self.bytes.1;
                self.reading = Some(Sorted::open(path, self.start, (&self.schema, self.names.clone()))?);
            }
        }
        let (rows, next) = (RecordBatch::new_empty(self.schema()), Position::Row(self.start.0));
        Ok(Some(Batch { rows, rejects: vec![], next, token: CommitToken::default() }))
    }

    fn progress(&self) -> Option<(u64, u64)> {
        Some(self.bytes)
    }
}
