//! From joining the group to leaving it, or to the first trouble with a transaction.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use unspool_ingest::kafka::{
    Decoder, Registry,
    client::{Consumer, Polled},
};
use unspool_model::Model;

use super::{
    super::{
        core::Core,
        error::Error,
        files::Files,
        job::{Guarantee, StreamJob, To},
        producer::Producer,
        progress::{Observer, Progress},
        snapshot::Snapshots,
    },
    batch::{Batch, Letters},
    outlet::Outlet,
    start::starter,
    work::{At, Work},
};
use crate::Cancel;

/// How long a poll waits for a first record: so long a stop may take to be noticed.
const WAIT: Duration = Duration::from_millis(100);
/// How often figures are told while nothing happens.
const QUIET: Duration = Duration::from_secs(1);

/// Why a session ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// Begin again: the trouble may pass.
    Again(String),
    /// Begin again with another producer.
    Fenced(String),
    /// It will not pass.
    Bad(Error),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        match error {
            Error::Kafka(error) => error.into(),
            error => Self::Bad(error),
        }
    }
}

/// A session.
pub(super) struct Session<'a> {
    job: &'a StreamJob,
    consumer: Consumer,
    work: Work<'a>,
}

impl<'a> Session<'a> {
    /// Joins the group.
    pub(super) fn start(
        (job, model): (&'a StreamJob, &Arc<Model>),
        (snapshots, known): (&'a Snapshots, i32),
        progress: &'a mut Progress,
    ) -> Result<Self, Ended> {
        let timeout = job.pace.transaction_timeout;
        let outlet = match (&job.output.to, job.guarantee) {
            (To::Files(options), _) => Outlet::Files(Box::new(Files::new(job, options, model)?)),
            (_, Guarantee::ExactlyOnce) => {
                let id = format!("{}-{}", job.group.name, job.group.member);
                Outlet::Broker(Producer::transactional(&job.connection, &id, timeout)?)
            }
            (_, Guarantee::AtLeastOnce) => Outlet::Broker(Producer::idempotent(&job.connection, timeout)?),
        };
        let core = Core::new(Arc::clone(model), &job.core)?;
        let decoder = Decoder::new(&job.format, job.fields.clone()).map_err(|e| Ended::Bad(Error::Settings(e)))?;
        let (start, chosen) = starter(job, snapshots, known);
        let consumer = Consumer::join(&job.connection, &job.group, &job.topic, start)?;
        progress.partitions.clear();
        let work = Work {
            job,
            snapshots,
            progress,
            outlet,
            core,
            decoder,
            registry: job.registry.clone().map(Registry::new),
            letters: Letters::new(job, model),
            chosen,
            here: BTreeMap::new(),
            told: Instant::now(),
            share: (0, 0),
        };
        Ok(Self { job, consumer, work })
    }

    /// Works until the stop, or until trouble.
    pub(super) fn run(self, stop: &Cancel, observer: &mut dyn Observer) -> Result<(), Ended> {
        let Self { job, consumer, mut work } = self;
        let pace = &job.pace;
        // When the next transaction may begin.
        let mut due = Instant::now();
        while !stop.is_cancelled() {
            let waited = Instant::now();
            let Polled { changes, messages, trouble } =
                consumer.poll(pace.batch_records, WAIT.min(pace.snapshot_interval), due)?;
            let begun = Instant::now();
            work.progress.stages.read += begun - waited;
            let group = consumer.group_metadata();
            if let Some(problem) = trouble {
                observer.trouble(&problem);
            }
            work.assigned(&consumer, changes)?;
            let batch = Batch::of(&messages, job.fields.reads_headers());
            let busy = !batch.is_empty();
            if let Some(group) = group {
                let at = At { consumer: &consumer, group: &group };
                if busy {
                    due = begun + pace.commit_interval;
                    work.take(&at, batch, observer)?;
                }
                work.flush_idle(&at, observer)?;
            }
            work.name_files(&consumer, false)?;
            let saves = Instant::now();
            work.save_due(&consumer)?;
            work.progress.stages.save += saves.elapsed();
            if busy || work.told.elapsed() > QUIET {
                work.progress.batch_took = begun.elapsed();
                work.tell(observer);
            }
        }
        work.name_files(&consumer, true)?;
        for partition in work.core.partitions() {
            work.save(partition)?;
        }
        work.tell(observer);
        consumer.leave();
        Ok(())
    }
}
