//! What a session does between two polls.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, Write},
    path::Path,
    sync::PoisonError,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rdkafka::consumer::ConsumerGroupMetadata;
use unspool_ingest::{
    kafka::{
        Decoder,
        client::{Assigned, Assignment, Consumer, read_all},
    },
    schema::TimeKind,
};

use super::{
    super::{
        core::{Core, Processed},
        error::Error,
        job::{Guarantee, StreamJob, To},
        producer::Letter,
        progress::{Observer, PartitionProgress, Progress},
        snapshot::Snapshots,
    },
    batch::{Batch, Letters, Mark},
    outlet::Outlet,
    schemas::Schemas,
    session::Ended,
    start::{Choice, Chosen, Reached},
};

/// Messages that a share of rejects is taken of.
const SHARE_OF: u64 = 1000;

/// What the worker keeps of a partition.
pub(super) struct Here {
    /// The committed offset, or how far its files reach.
    pub committed: i64,
    /// Marks of flushes that are still to be replayed.
    marks: VecDeque<i64>,
    /// When the last record came, or the last flush was.
    heard: Instant,
    /// When the next snapshot is due.
    due: Instant,
    /// The position of the last snapshot.
    saved: Option<i64>,
    /// What the broker has: first and next offset.
    kept: (i64, i64),
}

/// A poll's place in the group.
pub(super) struct At<'a> {
    pub consumer: &'a Consumer,
    /// Taken right after the poll.
    pub group: &'a ConsumerGroupMetadata,
}

/// The work.
pub(super) struct Work<'a> {
    pub job: &'a StreamJob,
    pub snapshots: &'a Snapshots,
    pub progress: &'a mut Progress,
    pub outlet: Outlet,
    pub core: Core,
    pub decoder: Decoder,
    pub schemas: Schemas,
    pub letters: Letters,
    pub chosen: Chosen,
    pub reached: Reached,
    pub here: BTreeMap<i32, Here>,
    pub told: Instant,
    /// Messages and rejects since the share of rejects was last looked at.
    pub share: (u64, u64),
}

impl Work<'_> {
    /// Begins partitions that came, and lets go of those that went.
    pub(super) fn assigned(&mut self, consumer: &Consumer, changes: Vec<Assignment>) -> Result<(), Ended> {
        for change in changes {
            match change {
                Assignment::Came(assigned, start) => self.begin(consumer, assigned, start)?,
                Assignment::Went(partition) => {
                    // All that it did is committed; whoever comes next has less to replay.
                    self.save(partition)?;
                    self.core.drop_partition(partition);
                    self.outlet.drop_partition(partition);
                    self.here.remove(&partition);
                    self.progress.partitions.remove(&partition);
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, consumer: &Consumer, assigned: Assigned, start: i64) -> Result<(), Ended> {
        let Assigned { partition, low, high, .. } = assigned;
        let choice = self.chosen.lock().unwrap_or_else(PoisonError::into_inner).remove(&partition);
        let Choice { manifest, committed, tail } = choice.unwrap_or_default();
        let saved = manifest.as_ref().map(|manifest| manifest.next);
        let emit_from = committed.unwrap_or(start);
        self.core.begin((partition, start, emit_from), self.snapshots, manifest)?;
        let marks = match (&mut self.outlet, self.job.pace.idle_flush) {
            (Outlet::Files(files), _) => files.begin(partition, (tail, emit_from), start)?.into(),
            (Outlet::Broker(_), Some(_)) => {
                let payloads = read_all(&self.job.connection, &self.job.flush_topic(), partition)?;
                Mark::within(&payloads, (start, emit_from))
            }
            (Outlet::Broker(_), None) => VecDeque::new(),
        };
        let now = Instant::now();
        // Partitions take turns, so that not all are saved at once.
        let due = now + self.job.pace.snapshot_interval.mul_f64(f64::from(partition % 8 + 1) / 8.0);
        let here = Here { committed: emit_from, marks, heard: now, due, saved, kept: (low, high) };
        self.here.insert(partition, here);
        self.progress.restores += 1;
        if committed.is_none() {
            // From here on a crash finds where the job began, whatever comes into the topic meanwhile.
            self.save(partition)?;
            if self.job.guarantee == Guarantee::ExactlyOnce || start > 0 {
                consumer.commit(&[(partition, start)])?;
            }
        }
        self.replay_marks(partition)
    }

    /// Takes records in and commits what comes of them.
    pub(super) fn take(&mut self, at: &At<'_>, batch: Batch<'_>, observer: &mut dyn Observer) -> Result<(), Ended> {
        let (mut rest, mut all) = (batch, Processed::default());
        rest.0.retain(|record| self.core.wants(record.partition, record.offset).0);
        let last_timestamp = rest.0.iter().filter_map(|record| record.timestamp_ms).max();
        let touched = rest.nexts();
        while !rest.is_empty() {
            let (now, later) = rest.split(|partition| self.here.get(&partition)?.marks.front().copied());
            self.process(&now, &mut all)?;
            let partitions: Vec<i32> = touched.keys().copied().collect();
            for partition in partitions {
                self.replay_marks(partition)?;
                // What follows a mark that nothing stands before.
                if let Some(first) = later.0.iter().find(|record| record.partition == partition) {
                    self.replay_marks_to(partition, first.offset)?;
                }
            }
            rest = later;
        }
        for partition in touched.keys() {
            if let Some(here) = self.here.get_mut(partition) {
                here.heard = Instant::now();
            }
        }
        self.progress.events += all.events;
        self.commit(at, &all, &[], observer)?;
        self.progress.last_timestamp_ms = last_timestamp.or(self.progress.last_timestamp_ms);
        self.check_share(&all)
    }

    fn process(&mut self, batch: &Batch<'_>, all: &mut Processed) -> Result<(), Ended> {
        let begun = Instant::now();
        self.schemas.learn(&mut self.decoder, &batch.0)?;
        let decoded = self.decoder.decode(&batch.0);
        self.progress.stages.decode += begun.elapsed();
        let nexts: Vec<(i32, i64)> = batch.nexts().into_iter().collect();
        let given = |partition, offset| self.core.wants(partition, offset).1;
        let new = batch.0.iter().filter(|record| given(record.partition, record.offset)).count() as u64;
        all.rejects.extend(decoded.rejects.into_iter().filter(|reject| given(reject.partition, reject.offset)));
        self.progress.messages += new;
        self.progress.replayed += batch.0.len() as u64 - new;
        self.share.0 += new;
        let begun = Instant::now();
        let mut processed = self.core.process(&decoded.rows, &nexts)?;
        self.progress.stages.encode += begun.elapsed();
        batch.complete(&mut processed.rejects);
        all.outputs.extend(processed.outputs);
        all.rejects.extend(processed.rejects);
        all.events += processed.events;
        Ok(())
    }

    /// Replays the marks that the partition has reached.
    fn replay_marks(&mut self, partition: i32) -> Result<(), Ended> {
        let next = self.core.next(partition).unwrap_or(i64::MIN);
        self.replay_marks_to(partition, next)
    }

    fn replay_marks_to(&mut self, partition: i32, next: i64) -> Result<(), Ended> {
        let Some(here) = self.here.get_mut(&partition) else { return Ok(()) };
        while here.marks.pop_front_if(|mark| *mark <= next).is_some() {
            self.core.flush(partition, false)?;
        }
        Ok(())
    }

    /// Lets the waiting rows of idle partitions go on: a committed record like any other.
    pub(super) fn flush_idle(&mut self, at: &At<'_>, observer: &mut dyn Observer) -> Result<(), Ended> {
        let Some(idle) = self.job.pace.idle_flush else { return Ok(()) };
        let quiet = |(partition, here): (&i32, &Here)| {
            let waits = self.core.event_time(*partition).1 > 0 && here.marks.is_empty();
            (waits && !self.core.replays(*partition) && here.heard.elapsed() > idle).then_some(*partition)
        };
        for partition in self.here.iter().filter_map(quiet).collect::<Vec<_>>() {
            let Some(next) = self.core.next(partition) else { continue };
            let processed = self.core.flush(partition, true)?;
            let mark = self.letters.mark(partition, next);
            self.commit(at, &processed, &[(partition, mark)], observer)?;
            self.progress.flushes += 1;
            if let Some(here) = self.here.get_mut(&partition) {
                here.heard = Instant::now();
            }
        }
        Ok(())
    }

    /// Makes outputs, rejects, marks and the offsets behind them durable together.
    fn commit(
        &mut self,
        at: &At<'_>,
        given: &Processed,
        marks: &[(i32, Letter)],
        observer: &mut dyn Observer,
    ) -> Result<(), Ended> {
        let marked = |partition: i32| marks.iter().any(|(of, _)| *of == partition);
        let reached = self.here.iter().filter_map(|(partition, here)| {
            let next = self.core.next(*partition)?;
            (next > here.committed || marked(*partition)).then_some((*partition, next))
        });
        let offsets: Vec<(i32, i64)> = reached.collect();
        if offsets.is_empty() {
            return Ok(());
        }
        let begun = Instant::now();
        let producer = match &mut self.outlet {
            Outlet::Files(files) => {
                for (partition, next) in offsets {
                    files.take(partition, (next, marked(partition)), given)?;
                }
                observer.committed(&given.outputs, &given.rejects);
                return Ok(());
            }
            Outlet::Broker(producer) => producer,
        };
        let mut letters = self.letters.outputs(&given.outputs);
        letters.extend(self.letters.rejects(&given.rejects));
        letters.extend(marks.iter().map(|(_, letter)| letter.clone()));
        match self.job.guarantee {
            Guarantee::ExactlyOnce => producer.commit(&letters, &at.consumer.offsets(&offsets)?, at.group)?,
            Guarantee::AtLeastOnce => {
                producer.deliver(&letters)?;
                if self.job.output.to == To::Stdout {
                    print(&self.letters.lines(&given.outputs))?;
                }
                at.consumer.commit(&offsets)?;
            }
        }
        self.reached.lock().unwrap_or_else(PoisonError::into_inner).extend(offsets.iter().copied());
        for (partition, next) in offsets {
            if let Some(here) = self.here.get_mut(&partition) {
                here.committed = next;
            }
        }
        let progress = &mut *self.progress;
        progress.commit_took = begun.elapsed();
        progress.stages.commit += progress.commit_took;
        progress.transactions += 1;
        progress.outputs += given.outputs.len() as u64;
        given.rejects.iter().for_each(|reject| *progress.rejects.entry(reject.kind).or_default() += 1);
        observer.committed(&given.outputs, &given.rejects);
        Ok(())
    }

    /// Stops a job whose input has gone bad, if that is asked for.
    fn check_share(&mut self, given: &Processed) -> Result<(), Ended> {
        let mut messages: Vec<(i32, i64)> = given.rejects.iter().map(|r| (r.partition, r.offset)).collect();
        messages.dedup();
        self.share.1 += messages.len() as u64;
        let (seen, rejected) = self.share;
        if seen < SHARE_OF {
            return Ok(());
        }
        self.share = (0, 0);
        match (self.job.pace.reject_share, given.rejects.last()) {
            (Some(share), Some(last)) if rejected as f64 > share * seen as f64 => {
                let reason = last.reason.clone();
                Err(Ended::Bad(Error::Rejects { rejected, seen, share, reason }))
            }
            _ => Ok(()),
        }
    }

    /// Begins a snapshot that is due; it is written while the stream goes on. One at a time: a slow disk makes them rarer.
    pub(super) fn save_due(&mut self) -> Result<(), Ended> {
        self.progress.uploads = self.snapshots.uploaded()?;
        self.saved(false)?;
        if self.core.saves() {
            return Ok(());
        }
        let due = self.here.iter().filter(|(partition, here)| here.due <= Instant::now() && self.may_save(**partition));
        let due: Vec<i32> = due.map(|(partition, _)| *partition).collect();
        for partition in due {
            let next = self.core.next(partition);
            let Some(here) = self.here.get_mut(&partition) else { continue };
            here.due = Instant::now() + self.job.pace.snapshot_interval;
            if here.saved != next {
                self.core.begin_snapshot(partition, self.snapshots)?;
                break;
            }
        }
        Ok(())
    }

    /// Takes note of the snapshots that have become whole; with `wait`, of all that were begun.
    fn saved(&mut self, wait: bool) -> Result<(), Ended> {
        for (partition, next) in self.core.snapshots_done(wait)? {
            self.progress.snapshots += 1;
            if let Some(here) = self.here.get_mut(&partition) {
                here.saved = Some(next);
            }
        }
        Ok(())
    }

    /// Whether a partition stands where all is committed: what is in files without names may still be given up.
    fn may_save(&self, partition: i32) -> bool {
        self.here.get(&partition).is_some_and(|here| self.core.next(partition) <= Some(here.committed))
    }

    /// Makes a snapshot of a partition and waits for it, unless it stands where the last one was made, or further than what is
    /// committed.
    pub(super) fn save(&mut self, partition: i32) -> Result<(), Ended> {
        self.saved(true)?;
        let next = self.core.next(partition);
        if self.may_save(partition) && self.here.get(&partition).is_some_and(|here| here.saved != next) {
            self.core.begin_snapshot(partition, self.snapshots)?;
            self.saved(true)?;
        }
        Ok(())
    }

    /// Tells how things stand.
    pub(super) fn tell(&mut self, consumer: &Consumer, observer: &mut dyn Observer) {
        self.told = Instant::now();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let timed = self.job.fields.time_kind() == TimeKind::Timestamp;
        for (partition, here) in &mut self.here {
            let next = self.core.next(*partition).unwrap_or(here.committed);
            let (watermark, waiting) = self.core.event_time(*partition);
            here.kept = consumer.watermarks(*partition).unwrap_or(here.kept);
            let (low, high) = here.kept;
            let retention_headroom = here.saved.map_or(0, |saved| saved - low);
            let lag = (high - next).max(0);
            let watermark_delay = watermark.filter(|_| timed).map(|watermark| {
                let watermark = Duration::from_micros(u64::try_from(watermark).unwrap_or_default());
                now.saturating_sub(watermark)
            });
            let progress = PartitionProgress { next, lag, watermark, watermark_delay, waiting, retention_headroom };
            self.progress.partitions.insert(*partition, progress);
        }
        self.progress.states = self.core.states();
        observer.progress(self.progress);
    }
}

/// Writes lines to standard output.
fn print(lines: &[u8]) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(lines).and_then(|()| stdout.flush());
    written.map_err(|source| Error::io(Path::new("standard output"), &source))
}
