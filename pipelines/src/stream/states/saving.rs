//! A snapshot's states on their way to the disk: what a thread of its own writes, while the states move on.
//!
//! What is written is shared, not copied: a state that moves on meanwhile becomes a copy of itself then.

use std::{path::PathBuf, sync::Arc};

use unspool_model::Model;

use super::{
    entry::Entry,
    part::Saved,
    segment::{Draft, Place, Reader, Segment, SegmentName},
};
use crate::stream::error::Result;

/// Where a state is found that is to be written.
pub(super) enum Content {
    /// In memory, as it was left at this time.
    Live(u64, Arc<Entry>),
    /// In an older segment, as it is.
    Old(Saved, Reader),
}

/// What [`Content`] it was, once it is written.
pub(super) enum Was {
    Live(u64),
    Old(Saved),
}

/// A partition's states as of one position.
pub(in crate::stream) struct Saving {
    pub(super) model: Arc<Model>,
    pub(super) dir: PathBuf,
    pub(super) position: i64,
    /// States that were spilled since the last snapshot.
    pub(super) draft: Option<Draft>,
    pub(super) states: Vec<(Arc<str>, Content)>,
    /// Series that ended.
    pub(super) ended: Vec<Arc<str>>,
    /// Older segments that stay.
    pub(super) kept: Vec<SegmentName>,
}

/// What was written.
pub(in crate::stream) struct Written {
    /// The segments that hold all of the partition's states, oldest first.
    pub names: Vec<SegmentName>,
    pub(super) segment: Option<Segment>,
    pub(super) places: Vec<(Arc<str>, Was, Place)>,
}

impl Saving {
    /// Writes the states; waits for the disk.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(in crate::stream) fn write(self) -> Result<Written> {
        let Self { model, dir, position, mut draft, states, ended, kept: mut names } = self;
        let mut places = Vec::with_capacity(states.len());
        for (series, content) in states {
            let (was, bytes) = match content {
                Content::Live(tick, entry) => (Was::Live(tick), entry.write(&model)?),
                Content::Old(saved, reader) => (Was::Old(saved), reader.read(saved.place)?),
            };
            let draft = begun(&mut draft, &dir)?;
            places.push((Arc::clone(&series), was, draft.put(&series, &bytes)?));
            draft.settle()?;
        }
        for series in ended {
            begun(&mut draft, &dir)?.index.insert(series, None);
        }
        let segment = draft.map(|draft| draft.finish(&dir, position)).transpose()?;
        names.extend(segment.iter().map(|segment| segment.name.clone()));
        Ok(Written { names, segment, places })
    }
}

/// The draft; a new one where there is none.
pub(super) fn begun<'a>(draft: &'a mut Option<Draft>, dir: &std::path::Path) -> Result<&'a mut Draft> {
    match draft {
        Some(draft) => Ok(draft),
        none => Ok(none.insert(Draft::create(dir)?)),
    }
}
