//! Rows kept in memory: for tests, and for callers that want the rows themselves.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use async_trait::async_trait;
use unspool_ingest::{CommitToken, Position, Reject};

use crate::{Error, Result, Sink};

/// What a [`MemorySink`] holds.
#[derive(Clone, Debug, Default)]
pub struct Committed {
    /// The rows, as committed.
    pub rows: Vec<RecordBatch>,
    /// The rejects.
    pub rejects: Vec<Reject>,
    /// The last position.
    pub position: Option<Position>,
    /// [`Sink::finish`] was called.
    pub finished: bool,
}

/// A [`Sink`] into memory: one lock makes a commit whole. Clones share what they hold.
#[derive(Clone, Debug)]
pub struct MemorySink {
    schema: SchemaRef,
    committed: Arc<Mutex<Committed>>,
}

impl MemorySink {
    /// An empty sink for rows of `schema`.
    #[must_use]
    pub fn new(schema: SchemaRef) -> Self {
        Self { schema, committed: Arc::default() }
    }

    /// What was committed so far.
    #[must_use]
    pub fn committed(&self) -> Committed {
        self.committed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Sink for MemorySink {
    async fn commit(
        &mut self,
        rows: RecordBatch,
        rejects: Vec<Reject>,
        position: Option<Position>,
        _token: CommitToken,
    ) -> Result<()> {
        if rows.schema() != self.schema {
            return Err(Error::Rows("rows of another schema than the sink's".into()));
        }
        let mut committed = self.committed.lock().unwrap_or_else(PoisonError::into_inner);
        committed.rows.push(rows);
        committed.rejects.extend(rejects);
        committed.position = position.or(committed.position);
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        self.committed.lock().unwrap_or_else(PoisonError::into_inner).finished = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::sink::conformance;

    #[tokio::test]
    async fn conforms() {
        let last = RefCell::new(MemorySink::new(conformance::schema()));
        let create = || {
            *last.borrow_mut() = MemorySink::new(conformance::schema());
            Ok(last.borrow().clone())
        };
        let read_back = || {
            let committed = last.borrow().committed();
            (committed.finished || !committed.rows.is_empty()).then_some((committed.rows, committed.rejects))
        };
        conformance::check(create, read_back).await;
    }
}
