//! The states of all series of this process' partitions: the least recently used ones lie on disk.
//!
//! ```text
//! live ──over the budget──► draft (a segment file under way) ──snapshot──► segments
//!   ▲                              │                                          │
//!   └──────────── on use ──────────┴──────────────────────────────────────────┘
//! ```
//!
//! A snapshot is what a job needs anyway: the states that changed since the last one go into the draft, which is then
//! named; what was spilled before lies in it already. So a state is written at most once a snapshot, spilled or not. A
//! thread of its own writes it (`saving`): it shares the states, and one that moves on meanwhile is copied.
//! The sessions' store was not taken for this: it logs every input with a flush of its own, where the topic is the log,
//! and knows no "state as of this offset".

mod entry;
mod pack;
mod part;
mod saving;
mod segment;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
    thread,
};

use unspool_model::{Model, Options};

pub(super) use self::entry::Beside;
pub use self::entry::Entry;
use self::{
    part::{Part, Spilled},
    segment::{Place, Reader},
};
pub(super) use self::{
    saving::{Saving, Written},
    segment::SegmentName,
};
use super::{
    error::{Error, Result},
    seed::Seed,
};

/// So many states are worth a thread or two to bring them up.
const MANY: usize = 8;

/// How the states stand, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatesStats {
    /// Series known.
    pub series: u64,
    /// Those whose state is in memory.
    pub live: u64,
    /// States brought up from disk so far.
    pub raised: u64,
    /// States written to make room so far.
    pub spilled: u64,
    /// States copied since they moved on while a snapshot was written.
    pub copied: u64,
}

/// The states.
pub struct States {
    model: Arc<Model>,
    options: Options,
    /// States in memory, at most.
    most_live: usize,
    clock: u64,
    /// States that snapshots under way may hold beside those in use: these are in memory too.
    held: usize,
    /// Series whose states are in memory, by the time of their last use.
    recent: BTreeMap<u64, (i32, Arc<str>)>,
    parts: HashMap<i32, Part>,
    /// What series begin with that are new here.
    seed: Option<Arc<Seed>>,
    stats: StatesStats,
}

impl States {
    /// No states; `budget_bytes` of them may be in memory, and half as much again while a snapshot is written.
    ///
    /// # Errors
    /// When the model refuses the options.
    pub fn new(model: Arc<Model>, options: Options, budget_bytes: usize) -> Result<Self> {
        let bytes = model.save(&model.open(&options)?)?.len();
        let most_live = (budget_bytes / bytes.max(1)).max(1);
        let (recent, parts, stats) = (BTreeMap::new(), HashMap::new(), StatesStats::default());
        Ok(Self { model, options, most_live, clock: 0, held: 0, recent, parts, seed: None, stats })
    }

    /// Series that are new here begin with these states.
    pub(super) fn begin_with(&mut self, seed: &Arc<Seed>) {
        self.seed = Some(Arc::clone(seed));
    }

    /// Whether a series that ends has to be remembered: else it would begin with an old state again.
    pub(super) fn remembers(&self, series: &str) -> bool {
        self.seed.as_ref().is_some_and(|seed| seed.has(series))
    }

    /// A partition came: its states are those of the segments, oldest first, in `dir`.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub fn begin(&mut self, partition: i32, dir: &Path, segments: &[SegmentName]) -> Result<()> {
        self.drop_partition(partition);
        let part = Part::open(dir, segments)?;
        self.parts.insert(partition, part);
        Ok(())
    }

    /// A partition went: its states are forgotten here.
    pub(crate) fn drop_partition(&mut self, partition: i32) {
        if self.parts.remove(&partition).is_some() {
            self.recent.retain(|_, (of, _)| *of != partition);
        }
    }

    /// Takes a series' state out; a new one where there is none.
    ///
    /// # Errors
    /// When the disk or the model refuses.
    pub fn take(&mut self, partition: i32, series: &Arc<str>) -> Result<Entry> {
        let mut taken = self.take_all(&[(partition, Arc::clone(series))])?;
        taken.pop().map_or_else(|| Ok(Entry::new(self.model.open(&self.options)?)), Ok)
    }

    /// Takes the states of several series out, new ones where there are none; those on disk come back side by side.
    ///
    /// # Errors
    /// When the disk or the model refuses.
    pub(crate) fn take_all(&mut self, all: &[(i32, Arc<str>)]) -> Result<Vec<Entry>> {
        let mut taken: Vec<Option<Entry>> = all.iter().map(|(of, series)| self.take_live(*of, series)).collect();
        let (mut raised, mut new) = (vec![], vec![]);
        for ((entry, (partition, series)), at) in taken.iter().zip(all).zip(0..) {
            if entry.is_some() {
                continue;
            }
            match self.parts.get(partition).and_then(|part| part.saved(series)) {
                Some(place) => raised.push((at, place)),
                None => new.push(at),
            }
        }
        let names: Vec<&str> = new.iter().map(|at: &usize| &*all[*at].1).collect();
        let seeds = self.seed.as_ref().map_or_else(|| Ok(vec![]), |seed| seed.entries(&names))?;
        let mut seeds = seeds.into_iter();
        for at in new {
            let seed = seeds.next().flatten();
            taken[at] = Some(seed.map_or_else(|| Ok(Entry::new(self.model.open(&self.options)?)), Ok::<_, Error>)?);
        }
        self.stats.raised += raised.len() as u64;
        for (at, entry) in raise(&self.model, &raised)? {
            taken[at] = Some(entry);
        }
        Ok(taken.into_iter().flatten().collect())
    }

    fn take_live(&mut self, partition: i32, series: &Arc<str>) -> Option<Entry> {
        let slot = self.parts.get_mut(&partition)?.series.get_mut(series)?;
        let entry = slot.live.take()?;
        self.recent.remove(&slot.tick);
        Some(Arc::try_unwrap(entry).unwrap_or_else(|shared| {
            self.stats.copied += 1;
            self.held += 1;
            Entry::clone(&shared)
        }))
    }

    /// Puts a state back that has moved.
    ///
    /// # Errors
    /// When the disk refuses what has to make room.
    pub fn put(&mut self, partition: i32, series: &Arc<str>, entry: Entry) -> Result<()> {
        let Some(part) = self.parts.get_mut(&partition) else { return Ok(()) };
        self.clock += 1;
        part.put(series, entry, self.clock);
        self.recent.insert(self.clock, (partition, Arc::clone(series)));
        while self.recent.len() > self.room() {
            let Some((_, (partition, series))) = self.recent.pop_first() else { break };
            let Some(part) = self.parts.get_mut(&partition) else { continue };
            let Spilled { wrote, shared } = part.spill(&self.model, &series)?;
            self.stats.spilled += u64::from(wrote);
            self.held += usize::from(shared);
        }
        Ok(())
    }

    /// States in use that may be in memory now. Half of the budget is never given up for what a snapshot under way holds:
    /// nothing would be gained by more, since that is written as fast as the disk can.
    fn room(&self) -> usize {
        self.most_live.saturating_sub(self.held).max(self.most_live / 2).max(1)
    }

    /// A series has ended.
    pub fn end(&mut self, partition: i32, series: &Arc<str>) {
        let Some(part) = self.parts.get_mut(&partition) else { return };
        if let Some(tick) = part.end(series) {
            self.recent.remove(&tick);
        }
    }

    /// Begins to save a partition's states as they are: what is returned has to be written, wherever, and told to
    /// [`States::end_save`]. `None`: the partition is not here, or an earlier one is still being written.
    pub(super) fn begin_save(&mut self, partition: i32, position: i64) -> Option<Saving> {
        let part = self.parts.get_mut(&partition).filter(|part| !part.saves())?;
        Some(part.begin_save(&self.model, position))
    }

    /// A partition's states were written.
    pub(super) fn end_save(&mut self, partition: i32, written: Written) {
        if let Some(part) = self.parts.get_mut(&partition) {
            part.end_save(written);
        }
        if !self.parts.values().any(Part::saves) {
            self.held = 0;
        }
    }

    /// A partition's series, by name.
    pub(super) fn series(&self, partition: i32) -> Vec<Arc<str>> {
        let mut series: Vec<Arc<str>> =
            self.parts.get(&partition).map_or(vec![], |part| part.series.keys().cloned().collect());
        series.sort_unstable();
        series
    }

    /// How they stand.
    #[must_use]
    pub fn stats(&self) -> StatesStats {
        let series = self.parts.values().map(|part| part.series.len() as u64).sum();
        StatesStats { series, live: self.recent.len() as u64, ..self.stats }
    }
}

/// Reads states, on as many threads as there are cores where there are many; each with its place among those asked for.
fn raise(model: &Model, places: &[(usize, (Reader, Place))]) -> Result<Vec<(usize, Entry)>> {
    let read = |(at, (reader, place)): &(usize, (Reader, Place))| {
        let entry = Entry::read(model, &reader.read(*place)?).map_err(|e| e.at(reader.path()))?;
        Ok((*at, entry))
    };
    let threads = if places.len() < MANY { 1 } else { thread::available_parallelism().map_or(1, usize::from) };
    if threads == 1 {
        return places.iter().map(read).collect();
    }
    thread::scope(|scope| {
        let each = places.chunks(places.len().div_ceil(threads));
        let each: Vec<_> = each.map(|some| scope.spawn(|| some.iter().map(read).collect::<Result<Vec<_>>>())).collect();
        let mut all = vec![];
        for some in each {
            all.extend(some.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(all)
    })
}
