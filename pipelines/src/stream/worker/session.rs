//! From joining the group to leaving it, or to the first trouble with a transaction.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use unspool_ingest::kafka::{
    Decoder,
    client::{Consumer, Orphans, Polled},
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
    schemas::Schemas,
    start::{Plan, Reached, starter},
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
    /// Only where the members share the partitions among themselves.
    orphans: Option<Orphans>,
    work: Work<'a>,
}

impl<'a> Session<'a> {
    /// Joins the group.
    pub(super) fn start(
        (job, model): (&'a StreamJob, &Arc<Model>),
        (snapshots, plan, reached): (&'a Snapshots, &Plan, &Reached),
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
        let core = Core::new(Arc::clone(model), &job.core)?.begun_with(job.seed.as_ref());
        let decoder = Decoder::new(&job.format, job.fields.clone()).map_err(|e| Ended::Bad(Error::Settings(e)))?;
        let (start, chosen) = starter(job, (snapshots, reached), plan.known_partitions);
        let consumer = Consumer::join(&job.connection, &job.group, &job.topic, start)?;
        progress.partitions.clear();
        let work = Work {
            job,
            snapshots,
            progress,
            outlet,
            core,
            decoder,
            schemas: Schemas::of(job),
            letters: Letters::new(job, model),
            chosen,
            reached: Arc::clone(reached),
            here: BTreeMap::new(),
            told: Instant::now(),
            share: (0, 0),
        };
        let watch = || Orphans::watch(&job.connection, &job.group, (&job.topic, plan.partitions));
        let orphans = (!job.group.kip848).then(watch).transpose()?;
        Ok(Self { job, consumer, orphans, work })
    }

    /// Works until the stop, or until trouble.
    pub(super) fn run(self, stop: &Cancel, observer: &mut dyn Observer) -> Result<(), Ended> {
        let Self { job, consumer, orphans, mut work } = self;
        let orphans = (Loop { job, consumer: &consumer, orphans, work: &mut work }).run(stop, observer)?;
        // After trouble the group is not left: whoever comes back under the same name then disturbs nobody.
        consumer.leave();
        orphans.map_or(Ok(()), |partitions| {
            Err(Ended::Again(format!("partitions {partitions:?} were nobody's: the group shares them anew")))
        })
    }
}

/// A session at work.
struct Loop<'l, 'a> {
    job: &'l StreamJob,
    consumer: &'l Consumer,
    orphans: Option<Orphans>,
    work: &'l mut Work<'a>,
}

impl Loop<'_, '_> {
    /// Until the stop, or until partitions are found that are nobody's.
    fn run(self, stop: &Cancel, observer: &mut dyn Observer) -> Result<Option<Vec<i32>>, Ended> {
        let Self { job, consumer, orphans, work } = self;
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
            work.assigned(consumer, changes)?;
            let batch = Batch::of(&messages, job.fields.reads_headers());
            let busy = !batch.is_empty();
            if let Some(group) = group {
                let at = At { consumer, group: &group };
                if busy {
                    due = begun + pace.commit_interval;
                    work.take(&at, batch, observer)?;
                }
                work.flush_idle(&at, observer)?;
            }
            work.name_files(consumer, false)?;
            let saves = Instant::now();
            work.save_due()?;
            work.progress.stages.save += saves.elapsed();
            if busy || work.told.elapsed() > QUIET {
                work.progress.batch_took = begun.elapsed();
                work.tell(consumer, observer);
            }
            if let Some(partitions) = orphans.as_ref().and_then(Orphans::found) {
                return Ok(Some(partitions));
            }
        }
        work.name_files(consumer, true)?;
        for partition in work.core.partitions() {
            work.save(partition)?;
        }
        work.tell(consumer, observer);
        Ok(None)
    }
}
