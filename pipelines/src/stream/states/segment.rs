//! Files of states: written front to back, then named, then only read.
//!
//! | bytes | content |
//! |---|---|
//! | 8 | magic `UNSPSEG1` |
//! | ... | entries, end to end |
//! | n | the index: postcard of (series, place of its entry; none: it ended) |
//! | 8 | n, u64 little-endian |
//! | 32 | BLAKE3 of the index |

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::stream::error::{Error, Result};

const MAGIC: &[u8; 8] = b"UNSPSEG1";
/// Bytes after the index.
const TAIL: u64 = 40;
/// Bytes that the disk is given before it is waited for.
const AT_ONCE: u64 = 8 << 20;

/// A segment as a manifest names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentName {
    /// The file's name.
    pub name: String,
    /// Its length, in bytes.
    pub bytes: u64,
}

impl SegmentName {
    /// Whether the file is in a folder, with its length.
    pub(in crate::stream) fn is_in(&self, dir: &Path) -> bool {
        fs::metadata(dir.join(&self.name)).is_ok_and(|metadata| metadata.len() == self.bytes)
    }
}

/// An entry's place in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub at: u64,
    pub len: u32,
}

pub(super) type Index = BTreeMap<Arc<str>, Option<Place>>;

/// A segment.
pub(super) struct Segment {
    pub name: SegmentName,
    file: Reader,
    /// Series that ended, whose entries in older segments are not theirs any more.
    pub ends: Vec<Arc<str>>,
    /// Bytes of entries that are still the newest of their series.
    pub live: u64,
}

/// A file that entries are read from, also while it is written, or has lost its name.
#[derive(Clone)]
pub(super) struct Reader(Arc<(PathBuf, File)>);

impl Reader {
    /// Where it was when it was opened.
    pub(super) fn path(&self) -> &Path {
        &self.0.0
    }

    pub(super) fn read(&self, place: Place) -> Result<Vec<u8>> {
        let (path, file) = &*self.0;
        let mut bytes = vec![0; place.len as usize];
        file.read_exact_at(&mut bytes, place.at).map_err(|source| Error::io(path, &source))?;
        Ok(bytes)
    }
}

impl Segment {
    /// Opens a segment and reads its index.
    pub(super) fn open(dir: &Path, name: &SegmentName) -> Result<(Self, Index)> {
        let path = dir.join(&name.name);
        let failed = |source: std::io::Error| Error::io(&path, &source);
        let file = File::open(&path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        let damaged = |problem: &str| Error::damaged(&path, problem);
        if bytes != name.bytes || bytes < TAIL {
            return Err(damaged(&format!("{} bytes expected, found {bytes}", name.bytes)));
        }
        let mut tail = [0; TAIL as usize];
        file.read_exact_at(&mut tail, bytes - TAIL).map_err(failed)?;
        let (len, seal) = tail.split_at(8);
        let len = u64::from_le_bytes(len.try_into().unwrap_or_default());
        let at = (bytes - TAIL).checked_sub(len).ok_or_else(|| damaged("its index is longer than the file"))?;
        let mut index = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut index, at).map_err(failed)?;
        if blake3::hash(&index).as_bytes() != seal {
            return Err(damaged("its index does not match its checksum"));
        }
        let index: Index = postcard::from_bytes(&index).map_err(|e| damaged(&e.to_string()))?;
        let file = Reader(Arc::new((path, file)));
        Ok((Self { name: name.clone(), file, ends: ends(&index), live: 0 }, index))
    }

    /// One whose file is still written, under no name yet.
    pub(super) fn of_draft(draft: &Draft) -> Self {
        let name = SegmentName { name: String::new(), bytes: 0 };
        Self { name, file: draft.reader(), ends: vec![], live: 0 }
    }

    /// What its entries are read from.
    pub(super) fn reader(&self) -> Reader {
        self.file.clone()
    }
}

fn ends(index: &Index) -> Vec<Arc<str>> {
    index.iter().filter(|(_, place)| place.is_none()).map(|(series, _)| Arc::clone(series)).collect()
}

/// A segment under way; its file goes with it unless it is finished.
pub(super) struct Draft {
    file: Reader,
    at: u64,
    /// Where the disk has all before.
    synced: u64,
    pub index: Index,
}

impl Draft {
    pub(super) fn create(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).map_err(|source| Error::io(dir, &source))?;
        let path = dir.join(format!("{}.tmp", super::super::snapshot::unique()));
        let failed = |source: std::io::Error| Error::io(&path, &source);
        let file = File::options().create_new(true).read(true).write(true).open(&path).map_err(failed)?;
        file.write_all_at(MAGIC, 0).map_err(failed)?;
        let at = MAGIC.len() as u64;
        Ok(Self { file: Reader(Arc::new((path, file))), at, synced: at, index: Index::new() })
    }

    /// What its entries are read from.
    pub(super) fn reader(&self) -> Reader {
        self.file.clone()
    }

    pub(super) fn put(&mut self, series: &Arc<str>, bytes: &[u8]) -> Result<Place> {
        let (path, file) = &*self.file.0;
        let len = u32::try_from(bytes.len()).map_err(|_| Error::damaged(path, "a state of 4 GiB"))?;
        file.write_all_at(bytes, self.at).map_err(|source| Error::io(path, &source))?;
        let place = Place { at: self.at, len };
        self.at += u64::from(len);
        self.index.insert(Arc::clone(series), Some(place));
        Ok(place)
    }

    /// Has the disk take what it was given since, if that is much: others who write there then wait a little now and then,
    /// not for all of a segment at its end.
    pub(super) fn settle(&mut self) -> Result<()> {
        if self.at - self.synced > AT_ONCE {
            let (path, file) = &*self.file.0;
            file.sync_data().map_err(|source| Error::io(path, &source))?;
            self.synced = self.at;
        }
        Ok(())
    }

    /// Writes the index, waits for the disk, and gives the file its name.
    pub(super) fn finish(self, dir: &Path, position: i64) -> Result<Segment> {
        let name = format!("{position:020}-{}.states", super::super::snapshot::unique());
        let (path, file) = &*self.file.0;
        let failed = |source: std::io::Error| Error::io(path, &source);
        let index = postcard::to_stdvec(&self.index).map_err(|e| Error::damaged(path, e.to_string()))?;
        file.write_all_at(&index, self.at).map_err(failed)?;
        let mut tail = (index.len() as u64).to_le_bytes().to_vec();
        tail.extend_from_slice(blake3::hash(&index).as_bytes());
        file.write_all_at(&tail, self.at + index.len() as u64).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        fs::rename(path, dir.join(&name)).map_err(failed)?;
        let bytes = self.at + index.len() as u64 + TAIL;
        let ends = ends(&self.index);
        Ok(Segment { name: SegmentName { name, bytes }, file: self.file.clone(), ends, live: 0 })
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a finish there is nothing of that name any more.
        let _ = fs::remove_file(&self.file.0.0);
    }
}
