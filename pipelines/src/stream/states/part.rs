//! One partition's series: where each one's newest state is.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

use unspool_model::Model;

use super::{
    entry::Entry,
    segment::{Draft, Place, Segment, SegmentName},
};
use crate::stream::error::Result;

/// The number of the draft among segments.
const DRAFT: u32 = u32::MAX;
/// With more segments than this, the smaller half of them are written together.
const MOST_SEGMENTS: usize = 32;

/// Where a state is written.
#[derive(Clone, Copy)]
struct Saved {
    segment: u32,
    place: Place,
}

/// A series.
#[derive(Default)]
pub(super) struct Slot {
    pub live: Option<Box<Entry>>,
    /// When it was last used, if live.
    pub tick: u64,
    /// Where the same is written.
    saved: Option<Saved>,
}

/// A partition.
pub(super) struct Part {
    pub dir: PathBuf,
    pub series: HashMap<Arc<str>, Slot>,
    segments: BTreeMap<u32, Segment>,
    next_segment: u32,
    draft: Option<Draft>,
    /// Series that changed since the last snapshot, or ended.
    changed: BTreeSet<Arc<str>>,
}

impl Part {
    pub(super) fn open(dir: &Path, names: &[SegmentName]) -> Result<Self> {
        let mut part = Self {
            dir: dir.to_owned(),
            series: HashMap::new(),
            segments: BTreeMap::new(),
            next_segment: 0,
            draft: None,
            changed: BTreeSet::new(),
        };
        for name in names {
            let (segment, index) = Segment::open(dir, name)?;
            let number = part.next_segment;
            part.next_segment += 1;
            part.segments.insert(number, segment);
            for (series, place) in index {
                part.forget(&series);
                match place {
                    Some(place) => part.saved_at(&series, Saved { segment: number, place }),
                    None => {
                        part.series.remove(&series);
                    }
                }
            }
        }
        Ok(part)
    }

    /// A state's bytes where it is written.
    pub(super) fn saved(&self, series: &Arc<str>) -> Result<Option<Vec<u8>>> {
        let Some(saved) = self.series.get(series).and_then(|slot| slot.saved) else { return Ok(None) };
        match (saved.segment, &self.draft) {
            (DRAFT, Some(draft)) => draft.read(saved.place).map(Some),
            (number, _) => self.segments.get(&number).map(|segment| segment.read(saved.place)).transpose(),
        }
    }

    pub(super) fn put(&mut self, series: &Arc<str>, entry: Entry, tick: u64) {
        self.forget(series);
        let slot = self.series.entry(Arc::clone(series)).or_default();
        slot.live = Some(Box::new(entry));
        slot.tick = tick;
        self.changed.insert(Arc::clone(series));
    }

    /// Drops a state from memory, written before if it is not yet; whether it had to be.
    pub(super) fn spill(&mut self, model: &Model, series: &Arc<str>) -> Result<bool> {
        let wrote = self.write(model, series)?;
        if let Some(slot) = self.series.get_mut(series) {
            slot.live = None;
        }
        Ok(wrote)
    }

    /// Ends a series; the time of its last use, if it was live.
    pub(super) fn end(&mut self, series: &Arc<str>) -> Option<u64> {
        self.forget(series);
        self.changed.insert(Arc::clone(series));
        if let Some(draft) = &mut self.draft {
            draft.index.remove(series);
        }
        let slot = self.series.remove(series)?;
        slot.live.map(|_| slot.tick)
    }

    /// See [`super::States::save`].
    pub(super) fn save(&mut self, model: &Model, position: i64) -> Result<Vec<SegmentName>> {
        let changed = std::mem::take(&mut self.changed);
        for series in &changed {
            if self.series.contains_key(series) {
                self.write(model, series)?;
            } else if !self.segments.is_empty() {
                self.draft()?.index.insert(Arc::clone(series), None);
            }
        }
        self.gather()?;
        if let Some(draft) = self.draft.take_if(|draft| !draft.index.is_empty()) {
            let (mut segment, index) = draft.finish(&self.dir, position)?;
            let number = self.next_segment;
            self.next_segment += 1;
            for series in index.keys() {
                let Some(slot) = self.series.get_mut(series) else { continue };
                if let Some(saved) = slot.saved.as_mut().filter(|saved| saved.segment == DRAFT) {
                    saved.segment = number;
                    segment.live += u64::from(saved.place.len);
                }
            }
            self.segments.insert(number, segment);
        }
        Ok(self.segments.values().map(|segment| segment.name.clone()).collect())
    }

    /// Copies what is left of mostly dead segments into the draft, and lets go of them.
    fn gather(&mut self) -> Result<()> {
        let mut victims: BTreeSet<u32> = (self.segments.iter())
            .filter(|(_, segment)| segment.live * 2 < segment.name.bytes)
            .map(|(number, _)| *number)
            .collect();
        if self.segments.len() - victims.len() > MOST_SEGMENTS {
            let mut sizes: Vec<(u64, u32)> = self.segments.iter().map(|(n, segment)| (segment.live, *n)).collect();
            sizes.sort_unstable();
            victims.extend(sizes[..sizes.len() / 2].iter().map(|(_, number)| *number));
        }
        // An end that an older segment's entry needs must stay while that segment does.
        let oldest_kept = self.segments.keys().find(|number| !victims.contains(number)).copied();
        let of_victims = |slot: &Slot| slot.saved.is_some_and(|saved| victims.contains(&saved.segment));
        let moving: Vec<Arc<str>> =
            self.series.iter().filter(|(_, slot)| of_victims(slot)).map(|(series, _)| Arc::clone(series)).collect();
        for series in &moving {
            if let Some(bytes) = self.saved(series)? {
                let place = self.draft()?.put(series, &bytes)?;
                self.saved_at(series, Saved { segment: DRAFT, place });
            }
        }
        for number in victims {
            let Some(segment) = self.segments.remove(&number) else { continue };
            if oldest_kept.is_some_and(|oldest| oldest < number) {
                let (_, index) = Segment::open(&self.dir, &segment.name)?;
                for series in index.into_iter().filter(|(_, place)| place.is_none()).map(|(series, _)| series) {
                    if !self.series.contains_key(&series) {
                        self.draft()?.index.insert(series, None);
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes a live state that is not written yet; whether it was.
    fn write(&mut self, model: &Model, series: &Arc<str>) -> Result<bool> {
        let entry = self.series.get(series).filter(|slot| slot.saved.is_none()).and_then(|slot| slot.live.as_ref());
        let Some(entry) = entry else { return Ok(false) };
        let bytes = entry.write(model)?;
        let place = self.draft()?.put(series, &bytes)?;
        self.saved_at(series, Saved { segment: DRAFT, place });
        Ok(true)
    }

    fn draft(&mut self) -> Result<&mut Draft> {
        if self.draft.is_none() {
            self.draft = Some(Draft::create(&self.dir)?);
        }
        // It was just made, if it was missing.
        self.draft.as_mut().ok_or_else(|| crate::stream::error::Error::damaged(&self.dir, "no draft"))
    }

    /// The written form of a series is no longer its newest.
    fn forget(&mut self, series: &Arc<str>) {
        let Some(saved) = self.series.get_mut(series).and_then(|slot| slot.saved.take()) else { return };
        if let Some(segment) = self.segments.get_mut(&saved.segment) {
            segment.live -= u64::from(saved.place.len);
        }
    }

    fn saved_at(&mut self, series: &Arc<str>, saved: Saved) {
        self.forget(series);
        if let Some(segment) = self.segments.get_mut(&saved.segment) {
            segment.live += u64::from(saved.place.len);
        }
        self.series.entry(Arc::clone(series)).or_default().saved = Some(saved);
    }
}
