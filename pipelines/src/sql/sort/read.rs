//! The sorted file as batches: rows of series in order, and rejects.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::{
    array::{AsArray, BooleanArray, RecordBatch, UInt32Array},
    compute::{cast, filter_record_batch},
    datatypes::{DataType, Int64Type, SchemaRef},
    error::ArrowError,
};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use unspool_ingest::{Batch, CommitToken, Error, Position, Reject, Result};

use super::rows;

/// A row's series, time and file.
type Key = (String, i64, u32);

/// A sorted file being read.
pub(super) struct Sorted {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    /// Of the rows that are given.
    schema: SchemaRef,
    /// Names of the files, by their numbers.
    names: Vec<String>,
    /// The row before.
    last: Option<Key>,
    /// The next row.
    row: u64,
}

impl Sorted {
    /// Goes on at a row, by `batch_rows` rows; `names` are those of the files that were sorted.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn open(
        path: PathBuf,
        (row, batch_rows): (u64, usize),
        (schema, names): (&SchemaRef, Vec<String>),
    ) -> Result<Self> {
        let reader = |offset: u64, limit: Option<usize>| {
            let file = File::open(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
            let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| damaged(&path, error))?;
            let offset = usize::try_from(offset).unwrap_or(usize::MAX);
            let builder = builder.with_batch_size(batch_rows.max(1)).with_offset(offset);
            let builder = if let Some(limit) = limit { builder.with_limit(limit) } else { builder };
            builder.build().map_err(|error| damaged(&path, error))
        };
        let before = match row.checked_sub(1) {
            Some(before) => reader(before, Some(1))?.next().transpose(),
            None => Ok(None),
        };
        let last = before.and_then(|rows| rows.map_or(Ok(None), |rows| last_key(&rows)));
        let last = last.map_err(|error| damaged(&path, error))?;
        let reader = reader(row, None)?;
        Ok(Self { reader, schema: Arc::clone(schema), names, last, row, path })
    }

    /// The next rows; `None` at the end. The second of two rows of one series and time is a reject.
    ///
    /// # Errors
    /// When the file is damaged.
    pub(super) fn next(&mut self) -> Result<Option<Batch>> {
        let next = self.reader.next().transpose();
        let batch = next.and_then(|all| all.map(|all| self.batch(&all)).transpose());
        batch.map_err(|error| damaged(&self.path, error))
    }

    fn batch(&mut self, all: &RecordBatch) -> Result<Batch, ArrowError> {
        self.row += all.num_rows() as u64;
        let (rows, files, mut rejects) = rows::split(all)?;
        let mut keep = Vec::with_capacity(rows.num_rows());
        for key in keys(&rows, &files)? {
            let doubled = self.last.take().filter(|last| (&last.0, last.1) == (&key.0, key.1));
            keep.push(doubled.is_none());
            if let Some(first) = &doubled {
                rejects.push(self.second(&key, first));
            }
            self.last = Some(key);
        }
        let rows = filter_record_batch(&rows, &BooleanArray::from(keep))?;
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), rows.columns().to_vec())?;
        Ok(Batch { rows, rejects, next: Position::Row(self.row), token: CommitToken::default() })
    }

    fn second(&self, (id, time, file): &Key, (_, _, first): &Key) -> Reject {
        let name = |file: &u32| self.names.get(*file as usize).map_or("", String::as_str);
        let time = match self.schema.field(1).data_type() {
            DataType::Timestamp(..) => chrono::DateTime::from_timestamp_micros(*time)
                .map_or_else(|| format!("{time} µs"), |time| time.naive_utc().to_string()),
            _ => format!("step {time}"),
        };
        let reason = format!("a second row at {time} (series '{id}' has one in {})", name(first));
        Reject { place: name(file).to_owned(), reason, payload: vec![] }
    }
}

fn keys(rows: &RecordBatch, files: &UInt32Array) -> Result<Vec<Key>, ArrowError> {
    let (ids, times) = (rows["id"].as_string::<i32>(), cast(&rows["time"], &DataType::Int64)?);
    let times = times.as_primitive::<Int64Type>();
    Ok((0..rows.num_rows()).map(|row| (ids.value(row).to_owned(), times.value(row), files.value(row))).collect())
}

/// The last row's, unless it is a reject.
fn last_key(all: &RecordBatch) -> Result<Option<Key>, ArrowError> {
    let (rows, files, _) = rows::split(all)?;
    Ok(keys(&rows, &files)?.pop())
}

/// It is no file of the input that is damaged, of which a job could leave out the rest.
fn damaged(path: &Path, error: impl ToString) -> Error {
    Error::Request { path: path.into(), problem: format!("{}: remove the file, and start again", error.to_string()) }
}
