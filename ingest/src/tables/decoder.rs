//! Records as batches, from any position.

use std::path::PathBuf;

use arrow::datatypes::SchemaRef;

use super::rows::Rows;
use crate::{Batch, CommitToken, Decode, Error, Position, Result};

/// A table's rows, one record after the other.
pub(super) trait Records: Send + 'static {
    /// Adds the next record, or the next value of a long one; `false` at the end.
    fn step(&mut self, rows: &mut Rows) -> Result<bool>;

    /// Adds records until the batch is full, as many as can be added together; `false` at the end.
    fn steps(&mut self, rows: &mut Rows) -> Result<bool> {
        self.step(rows)
    }

    /// The first record not yet read.
    fn position(&self) -> Position;

    /// The first file, for errors about the whole input.
    fn path(&self) -> PathBuf;

    /// Bytes read of bytes in all.
    fn progress(&self) -> Option<(u64, u64)>;
}

/// The batches of a table.
///
/// To go on at a position all before it is read again, without yielding it: whether a row is late depends on the rows
/// before it, so that a seek would let through what an uninterrupted reading rejects.
pub(super) struct SeriesDecoder<R> {
    records: R,
    rows: Rows,
    start: Option<Position>,
}

impl<R: Records> SeriesDecoder<R> {
    /// The batches from a position on.
    pub(super) fn new(records: R, rows: Rows, start: Option<Position>) -> Self {
        Self { records, rows, start }
    }

    /// Reads again what lies before a position.
    fn go_to(&mut self, start: Position) -> Result<()> {
        let wrong = |what: String| Error::Request { path: self.records.path(), problem: what };
        if std::mem::discriminant(&start) != std::mem::discriminant(&self.records.position()) {
            return Err(wrong(format!("cannot go on at {start:?}: it is a position in another kind of file")));
        }
        if let Position::Text { record: 0, within: 0, .. } | Position::Parquet { file: 0, row_group: 0, row: 0 } = start
        {
            return Ok(());
        }
        self.rows.muted = true;
        while self.records.position() < start && self.records.step(&mut self.rows)? {}
        self.rows.muted = false;
        if self.records.position() == start {
            return Ok(());
        }
        let problem = format!("no record begins at {start:?}: the file is another one, or was changed");
        Err(Error::Request { path: self.records.path(), problem })
    }
}

impl<R: Records> Decode for SeriesDecoder<R> {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    fn decode(&mut self) -> Result<Option<Batch>> {
        if let Some(start) = self.start.take() {
            self.go_to(start)?;
        }
        while !self.rows.is_full() && self.records.steps(&mut self.rows)? {}
        if self.rows.is_empty() {
            return Ok(None);
        }
        let (rows, rejects) = self.rows.take();
        Ok(Some(Batch { rows, rejects, next: self.records.position(), token: CommitToken::default() }))
    }

    fn progress(&self) -> Option<(u64, u64)> {
        self.records.progress()
    }
}
