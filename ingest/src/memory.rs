//! Rows held in memory as a [`Source`]: for tests, and for callers that have their rows already.

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use async_trait::async_trait;

use crate::{Batch, CommitToken, Position, Result, Source};

/// A [`Source`] over one record batch, yielded `batch_rows` rows at a time.
pub struct MemorySource {
    rows: RecordBatch,
    batch_rows: usize,
    next: usize,
}

impl MemorySource {
    /// A source of `rows` from `start` (row 0 when `None`; any other kind of position starts at row 0 too).
    #[must_use]
    pub fn new(rows: RecordBatch, batch_rows: usize, start: Option<Position>) -> Self {
        let next = match start {
            Some(Position::Row(row)) => usize::try_from(row).unwrap_or(usize::MAX).min(rows.num_rows()),
            _ => 0,
        };
        Self { rows, batch_rows: batch_rows.max(1), next }
    }
}

#[async_trait]
impl Source for MemorySource {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    async fn next(&mut self) -> Result<Option<Batch>> {
        let len = self.batch_rows.min(self.rows.num_rows() - self.next);
        if len == 0 {
            return Ok(None);
        }
        let rows = self.rows.slice(self.next, len);
        self.next += len;
        Ok(Some(Batch { rows, rejects: vec![], next: Position::Row(self.next as u64), token: CommitToken::default() }))
    }
}
