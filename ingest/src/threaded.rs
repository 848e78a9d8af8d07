//! Blocking decoders as cancel-safe sources: one thread a source, a bounded channel between.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::{Batch, Error, Result, Source};

/// A blocking reader: what file formats implement. [`Threaded`] makes a [`Source`] of it.
pub trait Decode: Send + 'static {
    /// The schema of every batch.
    fn schema(&self) -> SchemaRef;

    /// The next batch, or `None` at the end.
    ///
    /// # Errors
    /// As [`Source::next`].
    fn decode(&mut self) -> Result<Option<Batch>>;

    /// Bytes read of bytes in all, where known (compressed bytes for compressed files).
    fn progress(&self) -> Option<(u64, u64)> {
        None
    }
}

impl Decode for Box<dyn Decode> {
    fn schema(&self) -> SchemaRef {
        (**self).schema()
    }

    fn decode(&mut self) -> Result<Option<Batch>> {
        (**self).decode()
    }

    fn progress(&self) -> Option<(u64, u64)> {
        (**self).progress()
    }
}

/// Runs a [`Decode`] on a thread of its own, at most `depth` batches ahead of the reader.
pub struct Threaded {
    schema: SchemaRef,
    input: String,
    batches: mpsc::Receiver<Result<Option<Batch>>>,
    progress: Arc<(AtomicU64, AtomicU64)>,
    ended: bool,
}

impl Threaded {
    /// Starts reading. `input` names what is read, in errors and as the thread's name.
    #[must_use]
    pub fn spawn(mut decoder: impl Decode, input: &str, depth: usize) -> Self {
        let (sender, batches) = mpsc::channel(depth.max(1));
        let schema = decoder.schema();
        let progress = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
        let shared = Arc::clone(&progress);
        let run = move || {
            loop {
                let batch = decoder.decode();
                if let Some((read, total)) = decoder.progress() {
                    shared.0.store(read, Relaxed);
                    shared.1.store(total, Relaxed);
                }
                let last = !matches!(batch, Ok(Some(_)));
                if sender.blocking_send(batch).is_err() || last {
                    return;
                }
            }
        };
        // A thread that cannot be started drops the sender: `next` then answers `ReaderGone`.
        drop(std::thread::Builder::new().name("ingest".into()).spawn(run));
        Self { schema, input: input.into(), batches, progress, ended: false }
    }
}

#[async_trait]
impl Source for Threaded {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    async fn next(&mut self) -> Result<Option<Batch>> {
        if self.ended {
            return Ok(None);
        }
        let batch = match self.batches.recv().await {
            Some(batch) => batch,
            None => Err(Error::ReaderGone { input: self.input.clone() }),
        };
        self.ended = !matches!(batch, Ok(Some(_)));
        batch
    }

    fn progress(&self) -> Option<(u64, u64)> {
        let total = self.progress.1.load(Relaxed);
        (total > 0).then(|| (self.progress.0.load(Relaxed), total))
    }
}
