//! What a stream job is told.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde_json::json;
use unspool_ingest::kafka::{
    Fields, Format, RegistryAddress,
    client::{Connection, Group},
};
use unspool_model::Model;

use super::{
    core::CoreOptions,
    emit::{Emit, Every, Give, Renderer},
    files::FilesOptions,
    remote::StoreOptions,
    seed::Seed,
    time::TimeOptions,
};

/// Where outputs go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// A topic.
    Topic(String),
    /// Parquet files, with the dead letters beside them.
    Files(FilesOptions),
    /// Standard output, a line each: at least once.
    Stdout,
}

/// What goes out, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Where outputs go.
    pub to: To,
    /// The topic of dead letters; `None`: rejects are only counted, or go beside the files.
    pub rejects: Option<String>,
    /// Embeddings as bytes.
    pub binary: bool,
}

/// How surely outputs are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Guarantee {
    /// Outputs and offsets in one transaction, or in one file.
    #[default]
    ExactlyOnce,
    /// Outputs first, then offsets: after a crash some come again, with the same keys and headers.
    AtLeastOnce,
}

/// Where a group that has read nothing begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Begin {
    /// At the first record kept.
    #[default]
    Earliest,
    /// At the next one.
    Latest,
}

/// What happens when the topic has more partitions than when the job began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NewPartitions {
    /// The job stops: keys may have moved away from their states.
    #[default]
    Stop,
    /// New partitions begin with fresh states.
    FreshState,
}

/// Limits and pace.
#[derive(Clone, Debug, PartialEq)]
pub struct Pace {
    /// Records in a transaction, at most.
    pub batch_records: usize,
    /// Transactions begin so long after one another, at least: records that come meanwhile go into the next one.
    pub commit_interval: Duration,
    /// How often each partition's states are saved.
    pub snapshot_interval: Duration,
    /// How long a transaction may be open before the broker gives it up.
    pub transaction_timeout: Duration,
    /// Trouble that lasts longer than this stops the job.
    pub retry_timeout: Duration,
    /// An idle partition's waiting rows go on after this time; `None`: they wait for newer ones.
    pub idle_flush: Option<Duration>,
    /// The job stops when more than this share of messages is rejected.
    pub reject_share: Option<f64>,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            batch_records: 20_000,
            commit_interval: Duration::from_millis(50),
            snapshot_interval: Duration::from_secs(30),
            transaction_timeout: Duration::from_secs(10),
            retry_timeout: Duration::from_secs(300),
            idle_flush: None,
            reject_share: None,
        }
    }
}

/// A stream job.
#[derive(Clone, Debug)]
pub struct StreamJob {
    /// The cluster.
    pub connection: Connection,
    /// The topic of events.
    pub topic: String,
    /// How its payloads are written.
    pub format: Format,
    /// Where they name what.
    pub fields: Fields,
    /// The registry of the payloads' schemas, if they name them.
    pub registry: Option<RegistryAddress>,
    /// Membership.
    pub group: Group,
    /// Where a new group begins.
    pub begin: Begin,
    /// What happens to a topic that grows.
    pub new_partitions: NewPartitions,
    /// What decides the outputs.
    pub core: CoreOptions,
    /// Where they go.
    pub output: Output,
    /// How surely.
    pub guarantee: Guarantee,
    /// Limits and pace.
    pub pace: Pace,
    /// Where snapshots are kept: all workers of the job need the same folder, or an object store.
    pub data_dir: PathBuf,
    /// Where they are put too.
    pub store: Option<StoreOptions>,
    /// Where series that are new go on from.
    pub seed: Option<Arc<Seed>>,
    /// States of another route go on, although no longer to the bits of an undisturbed run.
    pub allow_route_change: bool,
}

impl StreamJob {
    /// A score for each event of JSON payloads, from one topic to another, exactly once; `name` is the group's and the data
    /// folder's own. All else is as it usually is.
    #[must_use]
    pub fn scores(
        connection: &Connection,
        (name, data_dir): (&str, &Path),
        (from, to): (&str, &str),
        fields: Fields,
    ) -> Self {
        Self {
            connection: connection.clone(),
            topic: from.to_owned(),
            format: Format::Json,
            fields,
            registry: None,
            group: Group { name: name.to_owned(), member: "one".into(), session_timeout_ms: 10_000, kip848: false },
            begin: Begin::default(),
            new_partitions: NewPartitions::default(),
            core: CoreOptions {
                time: TimeOptions::default(),
                emit: Emit { give: Give::Scores, every: Every::Events(1) },
                states_bytes: 4 << 30,
            },
            output: Output { to: To::Topic(to.to_owned()), rejects: None, binary: false },
            guarantee: Guarantee::default(),
            pace: Pace::default(),
            data_dir: data_dir.to_owned(),
            store: None,
            seed: None,
            allow_route_change: false,
        }
    }

    /// The topic of the marks where idle partitions were flushed.
    #[must_use]
    pub(crate) fn flush_topic(&self) -> String {
        format!("{}-flushes", self.group.name)
    }

    /// The settings that decide what states and outputs are: snapshots of other ones are refused.
    #[must_use]
    pub fn identity(&self, model: &Model) -> String {
        let info = model.info();
        let mut identity = json!({
            "topic": self.topic,
            "format": self.format,
            "fields": self.fields,
            "order": self.core.time.order,
            "grid": self.core.time.grid,
            "give": self.core.emit.give,
            "every": self.core.emit.every,
            "model": info.digest.to_string(),
        });
        if let To::Files(_) = self.output.to {
            // How far the job is, and where it was flushed, stands elsewhere then.
            identity["output"] = "files".into();
        }
        if let Some(seed) = &self.seed {
            identity["begun with"] = seed.print().into();
        }
        if !self.allow_route_change {
            identity["route"] = info.route.to_string().into();
        }
        identity.to_string()
    }

    /// How outputs are written.
    #[must_use]
    pub(crate) fn renderer(&self) -> Renderer {
        Renderer { time: self.fields.time_kind(), binary: self.output.binary }
    }
}
