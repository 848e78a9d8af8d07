//! The worker: records in, one transaction out, again and again; and what happens when that fails.
//!
//! One thread does everything but the network: no transaction is open while it polls, so a rebalance, which happens
//! inside a poll, never meets one. Whatever goes wrong with a transaction has one remedy, the same as after a crash:
//! all is dropped, and begun again from the committed offsets and the snapshots before them.

mod batch;
mod outlet;
mod rehearsal;
mod sample;
mod schemas;
mod session;
mod start;
mod work;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use unspool_ingest::kafka::client::{self, Admin};
use unspool_model::Model;

use self::{
    session::{Ended, Session},
    start::Reached,
};
use super::{
    error::{Error, Result},
    job::{StreamJob, To},
    producer::Failed,
    progress::{Observer, Progress},
    remote::Remote,
    snapshot::Snapshots,
};
use crate::Cancel;

pub use self::{
    rehearsal::rehearse,
    sample::{Sample, sample},
    start::{Plan, check},
};

/// Times that a worker's name may be taken from it within [`FENCED_WITHIN`]: a broker that has crashed may take a
/// member for another one for a while, another process of that name does so for ever.
const MOST_FENCED: usize = 12;
const FENCED_WITHIN: Duration = Duration::from_secs(60);
/// How long a stop waits for the object store to take the last snapshots.
const FLUSH: Duration = Duration::from_secs(15);
/// How long a job that begins waits for a broker that does not answer.
const AWAY: Duration = Duration::from_secs(60);

/// Runs a job until it is asked to stop: then what is under way is committed, and the states are saved.
///
/// # Errors
/// When the environment is bad, or trouble lasts too long.
pub fn run(job: &StreamJob, model: &Arc<Model>, stop: &Cancel, observer: &mut dyn Observer) -> Result<Progress> {
    let plan = checked((job, model), stop, observer)?;
    if job.pace.idle_flush.is_some() && !matches!(job.output.to, To::Files(_)) {
        let admin = Admin::new(&job.connection)?;
        // Kept for as long as the snapshots are: a replay needs every mark after them.
        let settings = [("retention.ms", "-1"), ("cleanup.policy", "delete")];
        admin.create(&job.flush_topic(), plan.partitions, &settings)?;
    }
    let mut snapshots = Snapshots::new(plan.snapshots.clone(), job.identity(model));
    if let Some(remote) = remote(job)? {
        snapshots = snapshots.in_store(remote);
    }
    let (mut progress, mut fenced, mut last) = (Progress::default(), vec![], Instant::now());
    let reached = Reached::default();
    loop {
        let before = progress.transactions;
        let session = Session::start((job, model), (&snapshots, &plan, &reached), &mut progress);
        let ended = session.and_then(|session| session.run(stop, observer));
        if progress.transactions > before {
            last = Instant::now();
        }
        fenced.retain(|at: &Instant| at.elapsed() < FENCED_WITHIN);
        let problem = match ended {
            Ok(()) => {
                if !snapshots.flush(FLUSH)? {
                    observer
                        .trouble("the last snapshots are not in the object store: elsewhere more has to be replayed");
                }
                return Ok(progress);
            }
            Err(Ended::Bad(error)) => return Err(error),
            Err(Ended::Again(problem)) => problem,
            Err(Ended::Fenced(problem)) => {
                fenced.push(Instant::now());
                if fenced.len() > MOST_FENCED {
                    let member = &job.group.member;
                    return Err(Error::Settings(format!(
                        "another process goes by this worker's name, {member}: {problem}; give each its own"
                    )));
                }
                problem
            }
        };
        if stop.is_cancelled() {
            return Ok(progress);
        }
        if last.elapsed() > job.pace.retry_timeout {
            return Err(Error::Stuck { seconds: last.elapsed().as_secs(), problem });
        }
        progress.aborted += 1;
        observer.trouble(&format!("begun again from what is committed: {problem}"));
        // Twice as long each time that this name was taken away, up to four seconds.
        wait(stop, Duration::from_millis(500) * (1 << fenced.len().min(3)));
    }
}

/// The job's part of the object store, if it has one.
fn remote(job: &StreamJob) -> Result<Option<Remote>> {
    job.store.as_ref().map(|store| Remote::open(store, (&job.group.name, &job.topic))).transpose()
}

/// As [`check`]; a broker that is just starting is waited for.
fn checked((job, model): (&StreamJob, &Model), stop: &Cancel, observer: &mut dyn Observer) -> Result<Plan> {
    let until = Instant::now() + AWAY.min(job.pace.retry_timeout);
    loop {
        match check(job, model) {
            Err(Error::Kafka(error @ client::Error::NoBroker { .. }))
                if Instant::now() < until && !stop.is_cancelled() =>
            {
                observer.trouble(&format!("{error} Asked again for up to {} s", AWAY.as_secs()));
                wait(stop, Duration::from_secs(1));
            }
            checked => return checked,
        }
    }
}

/// Waits, or until the stop.
fn wait(stop: &Cancel, time: Duration) {
    let until = Instant::now() + time;
    while !stop.is_cancelled() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl From<Failed> for Ended {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Fenced(problem) => Self::Fenced(problem),
            Failed::Aborted(problem) => Self::Again(problem),
            Failed::Refused(error) => Self::Bad(client::Error::from(error).into()),
        }
    }
}

impl From<client::Error> for Ended {
    fn from(error: client::Error) -> Self {
        match error {
            // A broker that is away comes back, or the time for trouble runs out.
            client::Error::NoBroker { .. } | client::Error::Behind { .. } | client::Error::Client(_) => {
                Self::Again(error.to_string())
            }
            client::Error::Fenced(problem) => Self::Fenced(problem),
            error => Self::Bad(error.into()),
        }
    }
}
