//! One partition's series: where each one's newest state is.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

use unspool_model::Model;

use super::{
    entry::Entry,
    saving::{Content, Saving, Was, Written, begun},
    segment::{Draft, Place, Reader, Segment, SegmentName},
};
use crate::stream::error::Result;

/// The number of the draft among segments.
const DRAFT: u32 = u32::MAX;
/// With more segments than this, the smaller half of them are written together.
const MOST_SEGMENTS: usize = 32;

/// Where a state is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Saved {
    segment: u32,
    pub place: Place,
}

/// A series.
#[derive(Default)]
pub(super) struct Slot {
    /// Shared with a snapshot that is being written.
    pub live: Option<Arc<Entry>>,
    /// When it was last used, if live.
    pub tick: u64,
    /// Where the same is written.
    saved: Option<Saved>,
}

/// What came of a spill.
pub(super) struct Spilled {
    /// The state had to be written.
    pub wrote: bool,
    /// A snapshot under way still holds it.
    pub shared: bool,
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
    /// The snapshot that is being written.
    under_way: Option<UnderWay>,
}

/// A snapshot that is being written.
struct UnderWay {
    /// The number of its segment.
    number: u32,
    /// Segments that it leaves behind.
    victims: BTreeSet<u32>,
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
            under_way: None,
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

    /// Where a state's bytes are.
    pub(super) fn saved(&self, series: &Arc<str>) -> Option<(Reader, Place)> {
        let saved = self.series.get(series)?.saved?;
        let reader = match (saved.segment, &self.draft) {
            (DRAFT, Some(draft)) => draft.reader(),
            (number, _) => self.segments.get(&number)?.reader(),
        };
        Some((reader, saved.place))
    }

    pub(super) fn put(&mut self, series: &Arc<str>, entry: Entry, tick: u64) {
        self.forget(series);
        let slot = self.series.entry(Arc::clone(series)).or_default();
        slot.live = Some(Arc::new(entry));
        slot.tick = tick;
        self.changed.insert(Arc::clone(series));
    }

    /// Drops a state from memory, written before if it is not yet.
    pub(super) fn spill(&mut self, model: &Model, series: &Arc<str>) -> Result<Spilled> {
        let wrote = self.write(model, series)?;
        let live = self.series.get_mut(series).and_then(|slot| slot.live.take());
        Ok(Spilled { wrote, shared: live.is_some_and(|entry| Arc::strong_count(&entry) > 1) })
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

    /// See [`super::States::begin_save`].
    pub(super) fn begin_save(&mut self, model: &Arc<Model>, position: i64) -> Saving {
        let number = self.next_segment;
        self.next_segment += 1;
        let (mut states, mut ended) = (vec![], vec![]);
        for series in std::mem::take(&mut self.changed) {
            match self.series.get(&series) {
                Some(Slot { live: Some(entry), tick, saved: None }) => {
                    states.push((series, Content::Live(*tick, Arc::clone(entry))));
                }
                // It was spilled, and so lies in the draft.
                Some(_) => (),
                None if !self.segments.is_empty() => ended.push(series),
                None => (),
            }
        }
        let victims = self.victims();
        self.gather(&victims, &mut states, &mut ended);
        let kept = self.segments.iter().filter(|(number, _)| !victims.contains(number));
        let kept = kept.map(|(_, segment)| segment.name.clone()).collect();
        let draft = self.draft.take_if(|draft| !draft.index.is_empty());
        if let Some(draft) = &draft {
            let mut segment = Segment::of_draft(draft);
            for series in draft.index.keys() {
                let saved = self.series.get_mut(series).and_then(|slot| slot.saved.as_mut());
                if let Some(saved) = saved.filter(|saved| saved.segment == DRAFT) {
                    saved.segment = number;
                    segment.live += u64::from(saved.place.len);
                }
            }
            self.segments.insert(number, segment);
        }
        self.under_way = Some(UnderWay { number, victims });
        Saving { model: Arc::clone(model), dir: self.dir.clone(), position, draft, states, ended, kept }
    }

    /// See [`super::States::end_save`].
    pub(super) fn end_save(&mut self, written: Written) {
        let Some(UnderWay { number, victims }) = self.under_way.take() else { return };
        for victim in victims {
            self.segments.remove(&victim);
        }
        let Some(mut segment) = written.segment else { return };
        segment.live = self.segments.get(&number).map_or(0, |segment| segment.live);
        self.segments.insert(number, segment);
        for (series, was, place) in written.places {
            // One that has moved on, or has been written elsewhere, has nothing to do with what is there any more.
            let Some(slot) = self.series.get(&series) else { continue };
            let same = match was {
                Was::Live(tick) => slot.live.is_some() && slot.tick == tick && slot.saved.is_none(),
                Was::Old(saved) => slot.saved == Some(saved),
            };
            if same {
                self.saved_at(&series, Saved { segment: number, place });
            }
        }
    }

    /// Whether a snapshot is being written.
    pub(super) fn saves(&self) -> bool {
        self.under_way.is_some()
    }

    /// Segments to be left behind: mostly dead ones, and the smaller half where there are too many.
    fn victims(&self) -> BTreeSet<u32> {
        let mut victims: BTreeSet<u32> = (self.segments.iter())
            .filter(|(_, segment)| segment.live * 2 < segment.name.bytes)
            .map(|(number, _)| *number)
            .collect();
        if self.segments.len() - victims.len() > MOST_SEGMENTS {
            let mut sizes: Vec<(u64, u32)> = self.segments.iter().map(|(n, segment)| (segment.live, *n)).collect();
            sizes.sort_unstable();
            victims.extend(sizes[..sizes.len() / 2].iter().map(|(_, number)| *number));
        }
        victims
    }

    /// What is left of segments that are left behind.
    fn gather(&self, victims: &BTreeSet<u32>, states: &mut Vec<(Arc<str>, Content)>, ended: &mut Vec<Arc<str>>) {
        if victims.is_empty() {
            return;
        }
        for (series, slot) in &self.series {
            let Some(saved) = slot.saved.filter(|saved| victims.contains(&saved.segment)) else { continue };
            let Some(segment) = self.segments.get(&saved.segment) else { continue };
            states.push((Arc::clone(series), Content::Old(saved, segment.reader())));
        }
        // An end that an older segment's entry needs must stay while that segment does.
        let oldest_kept = self.segments.keys().find(|number| !victims.contains(number)).copied();
        for (_, segment) in self
            .segments
            .iter()
            .filter(|(number, _)| victims.contains(number))
            .filter(|(number, _)| oldest_kept.is_some_and(|oldest| oldest < **number))
        {
            ended.extend(segment.ends.iter().filter(|series| !self.series.contains_key(*series)).cloned());
        }
    }

    /// Writes a live state that is not written yet; whether it was.
    fn write(&mut self, model: &Model, series: &Arc<str>) -> Result<bool> {
        let entry = self.series.get(series).filter(|slot| slot.saved.is_none()).and_then(|slot| slot.live.as_ref());
        let Some(entry) = entry else { return Ok(false) };
        let bytes = entry.write(model)?;
        let place = begun(&mut self.draft, &self.dir)?.put(series, &bytes)?;
        self.saved_at(series, Saved { segment: DRAFT, place });
        Ok(true)
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
