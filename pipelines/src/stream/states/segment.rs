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
    path: PathBuf,
    file: File,
    /// Bytes of entries that are still the newest of their series.
    pub live: u64,
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
        let index = postcard::from_bytes(&index).map_err(|e| damaged(&e.to_string()))?;
        Ok((Self { name: name.clone(), path, file, live: 0 }, index))
    }

    pub(super) fn read(&self, place: Place) -> Result<Vec<u8>> {
        read(&self.file, &self.path, place)
    }
}

fn read(file: &File, path: &Path, place: Place) -> Result<Vec<u8>> {
    let mut bytes = vec![0; place.len as usize];
    file.read_exact_at(&mut bytes, place.at).map_err(|source| Error::io(path, &source))?;
    Ok(bytes)
}

/// A segment under way; its file goes with it unless it is finished.
pub(super) struct Draft {
    path: PathBuf,
    file: File,
    at: u64,
    pub index: Index,
}

impl Draft {
    pub(super) fn create(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).map_err(|source| Error::io(dir, &source))?;
        let path = dir.join(format!("{}.tmp", super::super::snapshot::unique()));
        let failed = |source: std::io::Error| Error::io(&path, &source);
        let file = File::options().create_new(true).read(true).write(true).open(&path).map_err(failed)?;
        file.write_all_at(MAGIC, 0).map_err(failed)?;
        Ok(Self { path, file, at: MAGIC.len() as u64, index: Index::new() })
    }

    pub(super) fn put(&mut self, series: &Arc<str>, bytes: &[u8]) -> Result<Place> {
        let len = u32::try_from(bytes.len()).map_err(|_| Error::damaged(&self.path, "a state of 4 GiB"))?;
        self.file.write_all_at(bytes, self.at).map_err(|source| Error::io(&self.path, &source))?;
        let place = Place { at: self.at, len };
        self.at += u64::from(len);
        self.index.insert(Arc::clone(series), Some(place));
        Ok(place)
    }

    pub(super) fn read(&self, place: Place) -> Result<Vec<u8>> {
        read(&self.file, &self.path, place)
    }

    /// Writes the index, waits for the disk, and gives the file its name.
    pub(super) fn finish(self, dir: &Path, position: i64) -> Result<(Segment, Index)> {
        let name = format!("{position:020}-{}.states", super::super::snapshot::unique());
        let to = dir.join(&name);
        let failed = |source: std::io::Error| Error::io(&self.path, &source);
        let index = postcard::to_stdvec(&self.index).map_err(|e| Error::damaged(&self.path, e.to_string()))?;
        self.file.write_all_at(&index, self.at).map_err(failed)?;
        let mut tail = (index.len() as u64).to_le_bytes().to_vec();
        tail.extend_from_slice(blake3::hash(&index).as_bytes());
        self.file.write_all_at(&tail, self.at + index.len() as u64).map_err(failed)?;
        self.file.sync_all().map_err(failed)?;
        fs::rename(&self.path, &to).map_err(failed)?;
        let bytes = self.at + index.len() as u64 + TAIL;
        let file = self.file.try_clone().map_err(failed)?;
        let index = self.index.clone();
        Ok((Segment { name: SegmentName { name, bytes }, path: to, file, live: 0 }, index))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a finish there is nothing of that name any more.
        let _ = fs::remove_file(&self.path);
    }
}
