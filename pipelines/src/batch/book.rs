//! What is remembered of all series: the values that came, and now and then a state that they are added to.
//!
//! ```text
//! rows ─► fresh values ──commit──► files of the units ◄── states of series that had many values, or go on
//!              └───────────────┬──────────────┘
//!                         Work (state, values) ─► encoder
//! ```
//!
//! A series of a thousand values takes 8 KB as values and a hundred times that as a state, which by the chunk law says no
//! more: so values are kept, and a state only where running its values again would cost more than reading it. What is in
//! memory is the fresh values of the unit at hand, and as many states as `states_bytes` allow.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    path::{Path, PathBuf},
};

use unspool_model::{Model, State};

use super::{
    encode::{Kept as KeptState, Start, Work},
    error::{Error, Result},
    manifest::{Manifest, SegmentEntry},
    segment::{self, Draft, Entry, FOLDER, Place, Record},
};

/// Values in more pieces than this are written together.
const MOST_PIECES: usize = 16;

/// A payload in the file of a unit.
#[derive(Clone, Copy)]
struct Saved {
    unit: u64,
    place: Place,
}

/// Where a series' values and state are.
#[derive(Default)]
struct Slot {
    /// The state before the pieces.
    state: Option<Saved>,
    /// Values after it, oldest first, and how many they are.
    pieces: Vec<Saved>,
    values: u64,
    /// Values that no file has yet.
    fresh: Vec<f64>,
    /// A state that holds all before the fresh values, in the draft of the unit at hand.
    draft: Option<Place>,
    /// A state in memory, and how many of the fresh values it holds.
    live: Option<(Box<State>, usize)>,
    /// The unit whose file has its newest record.
    unit: Option<u64>,
    /// It had rows since the last commit.
    changed: bool,
}

/// What a file of a unit still holds that is needed.
#[derive(Default)]
struct Kept {
    /// Series that refer to it.
    series: u64,
    /// Bytes of their payloads, of all bytes.
    bytes: (u64, u64),
}

/// The series' values and states.
pub(super) struct Book {
    dir: PathBuf,
    slots: Vec<Slot>,
    draft: Option<Draft>,
    /// States in memory, oldest first.
    live: VecDeque<usize>,
    most_live: usize,
    /// Series that had rows since the last commit.
    changed: usize,
}

impl Book {
    /// Takes up what the manifest names; the records of all series, in the order of their numbers.
    ///
    /// # Errors
    /// When a file is damaged.
    pub(super) fn open(dir: &Path, manifest: &Manifest, most_live: usize) -> Result<(Self, Vec<Record>)> {
        let mut book =
            Self { dir: dir.join(FOLDER), slots: vec![], draft: None, live: VecDeque::new(), most_live, changed: 0 };
        let mut records = BTreeMap::new();
        for segment in &manifest.segments {
            let path = book.path(segment.unit);
            for Entry { record, whole, state, values } in segment::index(&path)? {
                let number = usize::try_from(record.series.sequence.0).unwrap_or(usize::MAX);
                if record.series.sequence.0 >= manifest.series {
                    return Err(Error::damaged(&path, "it has more series than the manifest"));
                }
                let slot = book.slot(number);
                let at = |place| Saved { unit: segment.unit, place };
                if whole {
                    (slot.state, slot.values) = (state.map(at), 0);
                    slot.pieces.clear();
                }
                if let Some((place, count)) = values {
                    slot.pieces.push(at(place));
                    slot.values += count;
                }
                slot.unit = Some(segment.unit);
                records.insert(number, record);
            }
        }
        if records.len() as u64 != manifest.series || book.slots.len() != records.len() {
            return Err(Error::damaged(&book.dir, format!("some of {} series are missing", manifest.series)));
        }
        Ok((book, records.into_values().collect()))
    }

    /// Adds values of a series.
    pub(super) fn push(&mut self, number: usize, values: &[f64]) {
        self.touch(number).fresh.extend_from_slice(values);
    }

    /// A series had rows, of which no value may have come as yet.
    pub(super) fn touched(&mut self, number: usize) {
        self.touch(number);
    }

    fn touch(&mut self, number: usize) -> &mut Slot {
        let slot = self.slot(number);
        let first = !std::mem::replace(&mut slot.changed, true);
        self.changed += usize::from(first);
        &mut self.slots[number]
    }

    fn slot(&mut self, number: usize) -> &mut Slot {
        if number >= self.slots.len() {
            self.slots.resize_with(number + 1, Slot::default);
        }
        &mut self.slots[number]
    }

    /// Series that had rows since the last commit, and how many.
    pub(super) fn changed(&self) -> (impl Iterator<Item = usize> + '_, usize) {
        ((0..self.slots.len()).filter(|number| self.slots[*number].changed), self.changed)
    }

    /// Values since the last state that is saved of a series.
    pub(super) fn tail(&self, number: usize) -> u64 {
        self.slots.get(number).map_or(0, |slot| slot.values + slot.fresh.len() as u64)
    }

    /// What is to be run of a series so that all its values are in a state: those that no file has come last.
    ///
    /// # Errors
    /// When a file is damaged.
    pub(super) fn work(&mut self, number: usize) -> Result<Work> {
        let work = |start, values: Vec<f64>, fresh| Work { number, start, values, fresh, keep: false, held: vec![] };
        if let Some((state, held)) = self.slots.get_mut(number).and_then(|slot| slot.live.take()) {
            self.live.retain(|live| *live != number);
            let values = self.slots[number].fresh[held..].to_vec();
            let fresh = values.len();
            return Ok(work(Start::Live(state), values, fresh));
        }
        let Some(slot) = self.slots.get(number) else { return Ok(work(Start::Fresh, vec![], 0)) };
        let (start, mut values) = match (slot.draft, slot.state) {
            (Some(place), _) => {
                let read = self.draft.as_mut().map(|draft| draft.read(place)).transpose()?;
                (Start::Saved(read.unwrap_or_default()), vec![])
            }
            (None, Some(saved)) => {
                let read = segment::payload(&self.path(saved.unit), saved.place)?;
                (Start::Saved(read), self.saved_values(slot)?)
            }
            (None, None) => (Start::Fresh, self.saved_values(slot)?),
        };
        values.extend_from_slice(&slot.fresh);
        Ok(work(start, values, slot.fresh.len()))
    }

    fn saved_values(&self, slot: &Slot) -> Result<Vec<f64>> {
        let mut values = Vec::with_capacity(usize::try_from(slot.values).unwrap_or(0) + slot.fresh.len());
        for saved in &slot.pieces {
            let path = self.path(saved.unit);
            segment::values(&path, &segment::payload(&path, saved.place)?, &mut values)?;
        }
        Ok(values)
    }

    /// Keeps a state that holds all values of a series: on disk from the next commit on if `save`, and in memory as long
    /// as there is room.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn keep(&mut self, model: &Model, (number, state): (usize, KeptState), save: bool) -> Result<()> {
        if save {
            let bytes = state.save(model)?;
            let place = self.draft()?.put_state(&bytes)?;
            let slot = self.slot(number);
            (slot.draft, slot.fresh) = (Some(place), vec![]);
        }
        let KeptState::Live(state) = state else { return Ok(()) };
        if self.most_live == 0 {
            return Ok(());
        }
        let slot = self.slot(number);
        slot.live = Some((state, slot.fresh.len()));
        self.live.push_back(number);
        while self.live.len() > self.most_live {
            let Some(oldest) = self.live.pop_front() else { break };
            self.slots[oldest].live = None;
        }
        Ok(())
    }

    /// Ends a unit: what changed goes into its file. Gives the files that hold everything now, oldest first, and the paths of
    /// those that are no longer needed.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn commit(
        &mut self,
        (unit, old): (u64, &[SegmentEntry]),
        record: &dyn Fn(usize) -> Record,
    ) -> Result<(Vec<SegmentEntry>, Vec<PathBuf>)> {
        let victims = self.victims(old);
        let moving = |slot: &Slot| {
            let of = |saved: &Saved| victims.contains(&saved.unit);
            slot.unit.is_some_and(|unit| victims.contains(&unit)) || slot.state.iter().chain(&slot.pieces).any(of)
        };
        let due: Vec<usize> = (0..self.slots.len())
            .filter(|number| {
                let slot = &self.slots[*number];
                slot.changed || slot.draft.is_some() || moving(slot)
            })
            .collect();
        let mut segments = old.to_vec();
        if !due.is_empty() {
            for number in due {
                let whole = moving(&self.slots[number]);
                self.save((number, unit), (whole, record(number)))?;
            }
            let path = self.path(unit);
            self.draft()?;
            if let Some(draft) = self.draft.take() {
                segments.push(SegmentEntry { unit, bytes: draft.publish(&path)? });
            }
        }
        self.changed = 0;
        let needed: BTreeSet<u64> =
            self.kept(&segments).into_iter().filter(|(_, kept)| kept.series > 0).map(|(unit, _)| unit).collect();
        let gone = segments.iter().filter(|segment| !needed.contains(&segment.unit));
        let gone = gone.map(|segment| self.path(segment.unit)).collect();
        segments.retain(|segment| needed.contains(&segment.unit));
        Ok((segments, gone))
    }

    /// Writes what is new of a series, or with `whole` all of it.
    fn save(&mut self, (number, unit): (usize, u64), (whole, record): (bool, Record)) -> Result<()> {
        let at = |place| Saved { unit, place };
        let mut slot = std::mem::take(&mut self.slots[number]);
        let whole = whole || slot.pieces.len() >= MOST_PIECES || slot.draft.is_some() || slot.unit.is_none();
        let mut entry = Entry { record, whole, state: None, values: None };
        let mut values = vec![];
        if let Some(place) = slot.draft.take() {
            entry.state = Some(place);
            (slot.pieces, slot.values) = (vec![], 0);
        } else if whole {
            values = self.saved_values(&slot)?;
            if let Some(saved) = slot.state {
                let bytes = segment::payload(&self.path(saved.unit), saved.place)?;
                entry.state = Some(self.draft()?.put_state(&bytes)?);
            }
            (slot.pieces, slot.values) = (vec![], values.len() as u64);
        }
        slot.values += slot.fresh.len() as u64;
        match &mut slot.live {
            Some((_, held)) if *held == slot.fresh.len() => *held = 0,
            // It lacks values that no longer can be told from the others.
            live => *live = None,
        }
        if slot.live.is_none() {
            self.live.retain(|live| *live != number);
        }
        values.extend(std::mem::take(&mut slot.fresh));
        if !values.is_empty() {
            let (place, count) = self.draft()?.put_values(&values)?;
            entry.values = Some((place, count));
            slot.pieces.push(at(place));
        }
        if whole {
            slot.state = entry.state.map(at);
        }
        (slot.unit, slot.changed) = (Some(unit), false);
        self.draft()?.index.push(entry);
        self.slots[number] = slot;
        Ok(())
    }

    /// Files of which less than half is still needed: what is, moves into the next one.
    fn victims(&self, old: &[SegmentEntry]) -> BTreeSet<u64> {
        let kept = self.kept(old);
        kept.into_iter()
            .filter(|(_, kept)| kept.series > 0 && kept.bytes.0 * 2 < kept.bytes.1)
            .map(|(unit, _)| unit)
            .collect()
    }

    fn kept(&self, segments: &[SegmentEntry]) -> BTreeMap<u64, Kept> {
        let mut all: BTreeMap<u64, Kept> = segments
            .iter()
            .map(|s| (s.unit, Kept { series: 0, bytes: (0, s.bytes.saturating_sub(s.bytes / 8)) }))
            .collect();
        for slot in &self.slots {
            let saved = slot.state.iter().chain(&slot.pieces);
            for saved in saved {
                if let Some(kept) = all.get_mut(&saved.unit) {
                    kept.series += 1;
                    kept.bytes.0 += saved.place.len;
                }
            }
            if let Some(kept) = slot.unit.and_then(|unit| all.get_mut(&unit)) {
                kept.series += 1;
                // Its record's share: about so many bytes with 64 times.
                kept.bytes.0 += 640;
            }
        }
        all
    }

    fn draft(&mut self) -> Result<&mut Draft> {
        if self.draft.is_none() {
            fs::create_dir_all(&self.dir).map_err(|source| Error::io(&self.dir, &source))?;
            self.draft = Some(Draft::create(self.dir.join("_draft.states.partial"))?);
        }
        // It was just made, if it was missing.
        self.draft.as_mut().ok_or_else(|| Error::damaged(&self.dir, "no draft"))
    }

    fn path(&self, unit: u64) -> PathBuf {
        self.dir.join(name(unit))
    }
}

/// The name of a unit's file.
pub(super) fn name(unit: u64) -> String {
    format!("{unit:08}.states")
}
