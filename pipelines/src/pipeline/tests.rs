use std::sync::{Arc, Mutex};

use arrow::{array::AsArray, datatypes::SchemaRef};
use async_trait::async_trait;
use unspool_ingest::MemorySource;

use super::*;
use crate::{MemorySink, Step, testing};

/// Passes rows on, one row a step; rejects rows named `bad`.
struct Pass {
    schema: SchemaRef,
    waiting: Vec<RecordBatch>,
}

impl Pass {
    fn new(schema: SchemaRef) -> Box<Self> {
        Box::new(Self { schema, waiting: vec![] })
    }
}

impl Job for Pass {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn push(&mut self, rows: &RecordBatch) -> Result<Vec<Reject>> {
        let mut rejects = vec![];
        for row in (0..rows.num_rows()).rev() {
            match rows["id"].as_string::<i32>().value(row) {
                "bad" => {
                    rejects.push(Reject { place: format!("row {row}"), reason: "it is bad".into(), payload: vec![] })
                }
                "panic" => panic!("a fault in the job"),
                _ => self.waiting.push(rows.slice(row, 1)),
            }
        }
        Ok(rejects)
    }

    fn end(&mut self) -> Result<Vec<Reject>> {
        Ok(vec![])
    }

    fn step(&mut self) -> Result<Option<Step>> {
        Ok(self.waiting.pop().map(|rows| Step { rows, rejects: vec![], events: 4 }))
    }
}

fn rows(ids: &[&str]) -> RecordBatch {
    testing::reads(&ids.iter().map(|id| (Some(*id), 0, true, Some("ACGT"))).collect::<Vec<_>>())
}

#[tokio::test]
async fn rows_rejects_and_positions_are_committed_together() {
    let input = rows(&["a", "bad", "b", "c", "bad", "bad", "bad", "d"]);
    let sink = MemorySink::new(input.schema());
    let seen = Arc::new(Mutex::new(vec![]));
    let report = Arc::clone(&seen);
    let mut pipeline = Pipeline::new(Pass::new(input.schema()), Box::new(sink.clone()))
        .reporting_to(move |progress| report.lock().unwrap().push(*progress));
    pipeline.drain(&mut MemorySource::new(input.clone(), 3, None)).await.unwrap();
    pipeline.drain(&mut MemorySource::new(input.clone(), 100, None)).await.unwrap();
    let committed = sink.committed();
    assert_eq!((committed.position, committed.finished), (Some(Position::Row(8)), false));
    assert_eq!((committed.rejects.len(), committed.rows.iter().map(RecordBatch::num_rows).sum::<usize>()), (8, 8));
    let summary = pipeline.finish().await.unwrap();
    assert!(sink.committed().finished);
    let expected = Progress { rows_read: 16, events: 32, rows_written: 8, rejects: 8, bytes_read: 0, closing: None };
    assert_eq!((summary.progress, summary.first_rejects.len()), (expected, 3));
    let seen = seen.lock().unwrap();
    assert_eq!(seen.last(), Some(&expected));
    assert!(seen.windows(2).all(|pair| pair[0].events <= pair[1].events));
}

/// A source that never answers, as an idle stream.
struct Idle(SchemaRef);

#[async_trait]
impl Source for Idle {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.0)
    }

    async fn next(&mut self) -> unspool_ingest::Result<Option<Batch>> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_cancelled_pipeline_stops_though_its_source_is_silent() {
    let input = rows(&["a"]);
    let sink = MemorySink::new(input.schema());
    let cancel = Cancel::default();
    let mut pipeline = Pipeline::new(Pass::new(input.schema()), Box::new(sink.clone())).cancelled_by(cancel.clone());
    pipeline.drain(&mut MemorySource::new(input.clone(), 3, None)).await.unwrap();
    let mut idle = Idle(input.schema());
    let (drained, ()) = tokio::join!(pipeline.drain(&mut idle), async { cancel.cancel() });
    assert!(matches!(drained, Err(Error::Cancelled)));
    assert!(!sink.committed().finished);
}

#[tokio::test]
async fn a_fault_in_the_job_is_an_error() {
    let input = rows(&["a", "panic"]);
    let sink = MemorySink::new(input.schema());
    let mut pipeline = Pipeline::new(Pass::new(input.schema()), Box::new(sink.clone()));
    let mut source = MemorySource::new(input.clone(), 2, None);
    assert!(matches!(pipeline.drain(&mut source).await, Err(Error::WorkerGone)));
    assert!(matches!(pipeline.finish().await, Err(Error::WorkerGone)));
    assert!(sink.committed().rows.is_empty());
}
