//! The one loop: source → featurise → worker → `sink.commit`.

use std::time::{Duration, Instant};

use arrow::{array::RecordBatch, compute::concat_batches};
use tokio::task::JoinHandle;
use unspool_ingest::{Batch, CommitToken, Position, Reject, Source};

use crate::{Cancel, Error, Job, Result, Sink};

/// Output rows are handed to the sink as soon as they take this much memory, in bytes.
const COMMIT_BYTES: usize = 8 << 20;
/// How many rejects a [`Summary`] shows.
const SHOWN_REJECTS: usize = 3;

/// How far a pipeline is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Rows read.
    pub rows_read: u64,
    /// Events encoded: bases or values.
    pub events: u64,
    /// Rows written.
    pub rows_written: u64,
    /// Rows and sequences rejected.
    pub rejects: u64,
    /// Bytes read of all sources so far, where the sources know.
    pub bytes_read: u64,
    /// After the input's end: sequences done, and sequences that waited for it.
    pub closing: Option<(u64, u64)>,
}

/// A commit under way: the sink comes back.
type Writing = JoinHandle<(Box<dyn Sink>, Result<()>)>;

/// What a pipeline has done.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The counts at the end.
    pub progress: Progress,
    /// The first rejects.
    pub first_rejects: Vec<Reject>,
    /// From the pipeline's making to its end.
    pub elapsed: Duration,
}

/// Runs a [`Job`] over [`Source`]s into a [`Sink`].
///
/// Back-pressure is natural: nothing is read while the job computes, except what a source prefetches. One commit may be under
/// way while the job goes on; the next one, and the end of a source, wait for it.
pub struct Pipeline {
    /// Absent while it computes on another thread, and ever after when the pipeline was cancelled meanwhile.
    job: Option<Box<dyn Job>>,
    /// Absent while it writes, and ever after when that failed.
    sink: Option<Box<dyn Sink>>,
    writing: Option<Writing>,
    cancel: Cancel,
    report: Box<dyn FnMut(&Progress) + Send>,
    progress: Progress,
    first_rejects: Vec<Reject>,
    began: Instant,
}

impl Pipeline {
    /// A pipeline that has read nothing yet.
    #[must_use]
    pub fn new(job: Box<dyn Job>, sink: Box<dyn Sink>) -> Self {
        Self {
            job: Some(job),
            sink: Some(sink),
            writing: None,
            cancel: Cancel::default(),
            report: Box::new(|_| ()),
            progress: Progress::default(),
            first_rejects: vec![],
            began: Instant::now(),
        }
    }

    /// Stops with [`Error::Cancelled`] when `cancel` says so.
    #[must_use]
    pub fn cancelled_by(mut self, cancel: Cancel) -> Self {
        self.cancel = cancel;
        self
    }

    /// Calls `report` after every step.
    #[must_use]
    pub fn reporting_to(mut self, report: impl FnMut(&Progress) + Send + 'static) -> Self {
        self.report = Box::new(report);
        self
    }

    /// Reads a source to its end; sources may follow one another.
    ///
    /// # Errors
    /// When the source, the job or the sink fails, or the pipeline is cancelled: it is of no use then, and dropping it
    /// gives up what the sink has not made durable.
    pub async fn drain(&mut self, source: &mut dyn Source) -> Result<()> {
        let read = self.read(source).await;
        let written = self.written().await;
        read.and(written)
    }

    async fn read(&mut self, source: &mut dyn Source) -> Result<()> {
        let before = self.progress.bytes_read;
        loop {
            let batch = tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Err(Error::Cancelled),
                batch = source.next() => batch?,
            };
            self.progress.bytes_read = before + source.progress().map_or(0, |(read, _)| read);
            let Some(Batch { rows, rejects, next, token }) = batch else {
                (self.report)(&self.progress);
                return Ok(());
            };
            self.progress.rows_read += rows.num_rows() as u64 + rejects.len() as u64;
            let pushed = self.compute(move |job| job.push(&rows)).await?;
            self.work_off(Pending::new(rejects.into_iter().chain(pushed)), Some(next), token).await?;
        }
    }

    /// Works off what the job held back, and makes the sink finish.
    ///
    /// # Errors
    /// As [`Pipeline::drain`].
    pub async fn finish(mut self) -> Result<Summary> {
        let ended = self.end().await;
        let written = self.written().await;
        ended.and(written)?;
        self.sink.as_mut().ok_or(Error::WorkerGone)?.finish().await?;
        (self.report)(&self.progress);
        Ok(Summary { progress: self.progress, first_rejects: self.first_rejects, elapsed: self.began.elapsed() })
    }

    async fn end(&mut self) -> Result<()> {
        let rejects = self.compute(|job| job.end()).await?;
        self.work_off(Pending::new(rejects), None, CommitToken::default()).await
    }

    /// Waits for the commit that is under way, if there is one.
    async fn written(&mut self) -> Result<()> {
        let Some(writing) = self.writing.take() else { return Ok(()) };
        let (sink, done) = writing.await.map_err(|_| Error::WorkerGone)?;
        done?;
        self.sink = Some(sink);
        Ok(())
    }

    /// Steps until nothing waits, committing on the way where much has come together, and at the end with `position`.
    async fn work_off(&mut self, mut pending: Pending, position: Option<Position>, token: CommitToken) -> Result<()> {
        while let Some(step) = self.compute(|job| job.step()).await? {
            self.progress.events += step.events;
            self.progress.closing = self.job.as_ref().and_then(|job| job.closing());
            (self.report)(&self.progress);
            // Only once there is more: else the position would be a commit by itself, which waits until these rows are written.
            if pending.bytes >= COMMIT_BYTES {
                self.commit(std::mem::take(&mut pending), None, CommitToken::default()).await?;
            }
            pending.add(step.rows, step.rejects);
        }
        self.commit(pending, position, token).await?;
        (self.report)(&self.progress);
        Ok(())
    }

    async fn commit(&mut self, pending: Pending, position: Option<Position>, token: CommitToken) -> Result<()> {
        let schema = self.job.as_ref().ok_or(Error::WorkerGone)?.schema();
        let rows = concat_batches(&schema, &pending.rows)?;
        self.progress.rows_written += rows.num_rows() as u64;
        self.progress.rejects += pending.rejects.len() as u64;
        let unshown = SHOWN_REJECTS - self.first_rejects.len();
        self.first_rejects.extend(pending.rejects.iter().take(unshown).cloned());
        self.written().await?;
        let mut sink = self.sink.take().ok_or(Error::WorkerGone)?;
        self.writing = Some(tokio::spawn(async move {
            let done = sink.commit(rows, pending.rejects, position, token).await;
            (sink, done)
        }));
        Ok(())
    }

    /// Runs the job on a thread for blocking work; returns early when the pipeline is cancelled.
    async fn compute<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut dyn Job) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let mut job = self.job.take().ok_or(Error::WorkerGone)?;
        let working = tokio::task::spawn_blocking(move || {
            let result = work(job.as_mut());
            (job, result)
        });
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Error::Cancelled),
            done = working => {
                let (job, result) = done.map_err(|_| Error::WorkerGone)?;
                self.job = Some(job);
                result
            }
        }
    }
}

/// What waits to be committed.
#[derive(Default)]
struct Pending {
    rows: Vec<RecordBatch>,
    rejects: Vec<Reject>,
    bytes: usize,
}

impl Pending {
    fn new(rejects: impl IntoIterator<Item = Reject>) -> Self {
        let mut pending = Self::default();
        pending.add_rejects(rejects);
        pending
    }

    fn add(&mut self, rows: RecordBatch, rejects: Vec<Reject>) {
        self.add_rejects(rejects);
        if rows.num_rows() > 0 {
            self.bytes += rows.get_array_memory_size();
            self.rows.push(rows);
        }
    }

    fn add_rejects(&mut self, rejects: impl IntoIterator<Item = Reject>) {
        for reject in rejects {
            self.bytes += reject.place.len() + reject.reason.len() + reject.payload.len();
            self.rejects.push(reject);
        }
    }
}

#[cfg(test)]
mod tests;
