//! What a worker tells of itself.

use std::{collections::BTreeMap, time::Duration};

use unspool_ingest::kafka::{RejectKind, Rejected};

use super::{emit::Output, states::StatesStats};

/// Figures of a worker; counts are since its start.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Messages processed, replayed ones left out.
    pub messages: u64,
    /// Messages replayed after restores.
    pub replayed: u64,
    /// Events that went through the model, replayed ones too.
    pub events: u64,
    /// Outputs committed.
    pub outputs: u64,
    /// Rejects committed, by reason.
    pub rejects: BTreeMap<RejectKind, u64>,
    /// Transactions committed, or files named.
    pub transactions: u64,
    /// Transactions given up.
    pub aborted: u64,
    /// Partitions begun.
    pub restores: u64,
    /// Snapshots made.
    pub snapshots: u64,
    /// Snapshots put into the object store.
    pub uploads: u64,
    /// Idle partitions flushed.
    pub flushes: u64,
    /// Partitions here.
    pub partitions: BTreeMap<i32, PartitionProgress>,
    /// Where states are.
    pub states: StatesStats,
    /// How long the last commit took.
    pub commit_took: Duration,
    /// How long the last batch took, reading left out.
    pub batch_took: Duration,
    /// Where the worker's time has gone so far.
    pub stages: Stages,
    /// The broker's time of the last message committed, in ms since 1970.
    pub last_timestamp_ms: Option<i64>,
}

/// Where a worker's time has gone; what is left of it went into small things.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stages {
    /// Waiting for records, and taking them over.
    pub read: Duration,
    /// Payloads into rows.
    pub decode: Duration,
    /// Rows in order, through the model.
    pub encode: Duration,
    /// Transactions, or names of files.
    pub commit: Duration,
    /// Beginning snapshots; a thread of its own writes them.
    pub save: Duration,
}

impl Stages {
    /// Each one by its name.
    #[must_use]
    pub fn all(&self) -> [(&'static str, Duration); 5] {
        let Self { read, decode, encode, commit, save } = *self;
        [("read", read), ("decode", decode), ("encode", encode), ("commit", commit), ("save", save)]
    }
}

/// Figures of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionProgress {
    /// The next offset to be processed.
    pub next: i64,
    /// Messages that wait in the topic.
    pub lag: i64,
    /// The watermark, or the greatest time: µs since 1970, or a step number.
    pub watermark: Option<i64>,
    /// How far that is behind the clock on the wall; `None` where times are steps.
    pub watermark_delay: Option<Duration>,
    /// Rows that wait for the watermark.
    pub waiting: usize,
    /// Messages that the broker may still delete before the newest snapshot needs them.
    pub retention_headroom: i64,
}

/// Is told of a worker's progress, on its thread: it must not block.
pub trait Observer {
    /// After every batch, and now and then.
    fn progress(&mut self, progress: &Progress);

    /// What was committed, or written into a file that is still to get its name.
    fn committed(&mut self, outputs: &[Output], rejects: &[Rejected]) {
        let _ = (outputs, rejects);
    }

    /// Something worth a line in the log.
    fn trouble(&mut self, problem: &str) {
        tracing::warn!("{problem}");
    }
}
