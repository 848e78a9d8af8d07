//! Rows of partitions in, outputs out: the pure part of a stream job.
//!
//! What [`Core::process`] gives depends on each partition's rows in the order of offsets alone: not on how they are cut
//! into calls, which other partitions are there, or whether a snapshot was restored in between.

mod lane;
mod rows;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use arrow::array::RecordBatch;
use unspool_ingest::kafka::{RejectKind, Rejected};
use unspool_model::{Model, Options};

use self::{
    lane::{Group, Pack},
    rows::{Rows, row_as_json},
};
use super::{
    emit::{Emit, Output},
    error::Result,
    saver::{Done, Saver, Task},
    seed::Seed,
    snapshot::{Manifest, Snapshots},
    states::{Entry, States, StatesStats},
    time::{EventTime, Row, TimeOptions},
};

/// Series that go through the model at once, at most: so many states are in memory beside the budget.
const PACK_SERIES: usize = 512;

/// What decides the outputs, beside the model.
#[derive(Clone, Debug, PartialEq)]
pub struct CoreOptions {
    /// How rows become events.
    pub time: TimeOptions,
    /// What is given.
    pub emit: Emit,
    /// Memory for states, in bytes.
    pub states_bytes: usize,
}

/// What rows came to.
#[derive(Clone, Debug, Default)]
pub struct Processed {
    /// Outputs, in the order of the events.
    pub outputs: Vec<Output>,
    /// Rows that could not be used.
    pub rejects: Vec<Rejected>,
    /// Events that went through the model, replayed ones too.
    pub events: u64,
}

/// A partition here.
struct Part {
    time: EventTime,
    /// The first offset that was not processed.
    next: i64,
    /// What came of offsets before this was committed already: it is not given again.
    emit_from: i64,
}

/// A row that may go on, and what to do with what comes of it.
struct Released {
    partition: i32,
    row: Row,
    fate: Fate,
}

/// What to do with what comes of a row.
#[derive(Clone, Copy)]
struct Fate {
    /// It is given; else it was, before a crash.
    emit: bool,
    /// Its own message released it, so that the message is still at hand.
    own: bool,
}

/// The partitions, their event time, and the states of their series.
pub struct Core {
    model: Arc<Model>,
    options: Options,
    time: TimeOptions,
    emit: Emit,
    states: States,
    parts: BTreeMap<i32, Part>,
    saver: Saver,
    /// Snapshots that have become whole and were not told yet: partitions and positions.
    saved: Vec<(i32, i64)>,
}

impl Core {
    /// No partitions yet.
    ///
    /// # Errors
    /// When the model does not give what is asked for.
    pub fn new(model: Arc<Model>, options: &CoreOptions) -> Result<Self> {
        let CoreOptions { time, emit, states_bytes } = options.clone();
        let options = emit.options(&model)?;
        let states = States::new(Arc::clone(&model), options.clone(), states_bytes)?;
        let (parts, saver, saved) = (BTreeMap::new(), Saver::default(), vec![]);
        Ok(Self { model, options, time, emit, states, parts, saver, saved })
    }

    /// Series that are new go on from where a batch job left them.
    #[must_use]
    pub(crate) fn begun_with(mut self, seed: Option<&Arc<Seed>>) -> Self {
        seed.into_iter().for_each(|seed| self.states.begin_with(seed));
        self
    }

    /// A partition came: it goes on from a snapshot, or begins at `start` without one. What comes of offsets before
    /// `emit_from` is not given.
    ///
    /// # Errors
    /// When the snapshot's files cannot be read.
    pub fn begin(
        &mut self,
        (partition, start, emit_from): (i32, i64, i64),
        snapshots: &Snapshots,
        from: Option<Manifest>,
    ) -> Result<()> {
        let (time, next, segments) = match from {
            Some(Manifest { time, next, segments, .. }) => (time, next, segments),
            None => (EventTime::default(), start, vec![]),
        };
        // What was here before of this partition is not to be taken for what comes now.
        self.settle(true)?;
        snapshots.fetch(partition, &segments)?;
        self.states.begin(partition, &snapshots.partition(partition), &segments)?;
        self.parts.insert(partition, Part { time, next, emit_from });
        Ok(())
    }

    /// A partition went.
    pub(crate) fn drop_partition(&mut self, partition: i32) {
        self.parts.remove(&partition);
        self.states.drop_partition(partition);
    }

    /// The partitions here.
    #[must_use]
    pub fn partitions(&self) -> Vec<i32> {
        self.parts.keys().copied().collect()
    }

    /// The first offset of a partition that was not processed; `None` where it is not here.
    #[must_use]
    pub fn next(&self, partition: i32) -> Option<i64> {
        self.parts.get(&partition).map(|part| part.next)
    }

    /// Whether a record of this offset is new here, and whether what comes of it is to be given.
    #[must_use]
    pub fn wants(&self, partition: i32, offset: i64) -> (bool, bool) {
        let part = self.parts.get(&partition);
        part.map_or((false, false), |part| (offset >= part.next, offset >= part.emit_from))
    }

    /// Whether a partition is still replaying what was committed before.
    #[must_use]
    pub(crate) fn replays(&self, partition: i32) -> bool {
        self.parts.get(&partition).is_some_and(|part| part.next < part.emit_from)
    }

    /// The watermark, else the greatest time, and rows that wait.
    #[must_use]
    pub fn event_time(&self, partition: i32) -> (Option<i64>, usize) {
        let part = self.parts.get(&partition);
        part.map_or((None, 0), |part| (part.time.watermark(&self.time).or(part.time.newest()), part.time.waiting()))
    }

    /// How the states stand.
    #[must_use]
    pub fn states(&self) -> StatesStats {
        self.states.stats()
    }

    /// Takes rows in, those of [`unspool_ingest::schema::events`]; rows of other partitions and of offsets processed before are left
    /// out. `nexts` says for each partition how far the records reach.
    ///
    /// # Errors
    /// When the disk or the model refuses: the core is of no use then.
    pub fn process(&mut self, rows: &RecordBatch, nexts: &[(i32, i64)]) -> Result<Processed> {
        let (mut released, mut processed, mut out) = (vec![], Processed::default(), vec![]);
        for (partition, row) in Rows::new(rows)? {
            let Some(part) = self.parts.get_mut(&partition).filter(|part| row.offset >= part.next) else { continue };
            let (offset, emit) = (row.offset, row.offset >= part.emit_from);
            let kept = emit.then(|| row.clone());
            if let Err(late) = part.time.push(&self.time, row, &mut out)
                && let Some(row) = kept
            {
                let reason = late.to_string();
                let fate = Fate { emit, own: true };
                processed.rejects.push(reject(partition, (RejectKind::Late, reason), (&row, fate)));
            }
            let fate = |row: &Row| Fate { emit, own: row.offset == offset };
            released.extend(out.drain(..).map(|row| Released { partition, fate: fate(&row), row }));
        }
        for (partition, next) in nexts {
            if let Some(part) = self.parts.get_mut(partition) {
                part.next = part.next.max(*next);
            }
        }
        self.run(released, &mut processed)?;
        Ok(processed)
    }

    /// Lets everything of an idle partition go on; with `emit`, what comes of it is given.
    ///
    /// # Errors
    /// As [`Core::process`].
    pub fn flush(&mut self, partition: i32, emit: bool) -> Result<Processed> {
        let (mut processed, mut out) = (Processed::default(), vec![]);
        if let Some(part) = self.parts.get_mut(&partition) {
            part.time.flush(&self.time, &mut out);
        }
        let fate = Fate { emit, own: false };
        self.run(out.into_iter().map(|row| Released { partition, row, fate }).collect(), &mut processed)?;
        Ok(processed)
    }

    /// Takes the states of series out, as those of a partition that is not processed any further here.
    ///
    /// # Errors
    /// When the disk or the model refuses.
    pub(super) fn hand_over(&mut self, partition: i32, series: &[Arc<str>]) -> Result<Vec<Entry>> {
        let all: Vec<_> = series.iter().map(|series| (partition, Arc::clone(series))).collect();
        self.states.take_all(&all)
    }

    /// A partition's series, by name.
    pub(super) fn series(&self, partition: i32) -> Vec<Arc<str>> {
        self.states.series(partition)
    }

    /// Makes a snapshot of a partition where it stands, and waits until it is whole: call it only where that is committed.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn snapshot(&mut self, partition: i32, snapshots: &Snapshots) -> Result<()> {
        self.settle(true)?;
        self.begin_snapshot(partition, snapshots)?;
        self.settle(true)
    }

    /// Begins a snapshot of a partition where it stands: call it only where that is committed. The rows that follow may come
    /// while it is being written. Nothing is begun of a partition whose last snapshot is still being written.
    ///
    /// # Errors
    /// When an earlier one was refused by the disk.
    pub(crate) fn begin_snapshot(&mut self, partition: i32, snapshots: &Snapshots) -> Result<()> {
        self.settle(false)?;
        let Some(part) = self.parts.get(&partition) else { return Ok(()) };
        let (next, time, identity) = (part.next, part.time.clone(), snapshots.identity().to_owned());
        let Some(saving) = self.states.begin_save(partition, next) else { return Ok(()) };
        let manifest = Manifest { identity, next, segments: vec![], time };
        self.saver.begin(Task { partition, saving, manifest, snapshots: snapshots.clone() })
    }

    /// Whether a snapshot is being written.
    #[must_use]
    pub fn saves(&self) -> bool {
        self.saver.is_busy()
    }

    /// The snapshots that have become whole since the last call: partitions and positions. With `wait`, all that were begun.
    ///
    /// # Errors
    /// When the disk refused one of them.
    pub(crate) fn snapshots_done(&mut self, wait: bool) -> Result<Vec<(i32, i64)>> {
        self.settle(wait)?;
        Ok(std::mem::take(&mut self.saved))
    }

    fn settle(&mut self, wait: bool) -> Result<()> {
        while let Some(Done { partition, next, written }) = self.saver.next(wait)? {
            self.states.end_save(partition, written);
            self.saved.push((partition, next));
        }
        Ok(())
    }

    /// Runs released rows through the model, each series' in their order.
    fn run(&mut self, released: Vec<Released>, processed: &mut Processed) -> Result<()> {
        let mut groups: Vec<Group> = vec![];
        let mut at: HashMap<(i32, Arc<str>), usize> = HashMap::new();
        for (order, Released { partition, row, fate }) in released.into_iter().enumerate() {
            let key = (partition, Arc::clone(&row.series));
            let group = *at.entry(key.clone()).or_insert_with(|| {
                groups.push((key, vec![]));
                groups.len() - 1
            });
            groups[group].1.push((order, row, fate));
        }
        let mut ordered = vec![];
        let mut groups = groups.into_iter().peekable();
        while groups.peek().is_some() {
            let pack: Vec<_> = groups.by_ref().take(PACK_SERIES).collect();
            Pack { core: self, processed, outputs: &mut ordered }.run(pack)?;
        }
        ordered.sort_by_key(|(order, _)| *order);
        processed.outputs.extend(ordered.into_iter().map(|(_, output)| output));
        Ok(())
    }
}

/// A row that could not be used. Its message is for the caller to add where it is at hand; else the row itself goes as JSON:
/// which of the two is no matter of how records are cut into calls.
fn reject(partition: i32, (kind, reason): (RejectKind, String), (row, fate): (&Row, Fate)) -> Rejected {
    let (key, payload) =
        if fate.own { (None, None) } else { (Some(row.series.as_bytes().to_vec()), Some(row_as_json(row))) };
    Rejected { partition, offset: row.offset, kind, reason, key, payload }
}
