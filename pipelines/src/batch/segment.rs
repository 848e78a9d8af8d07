//! Files of what a unit changed: values and states of series, written front to back, then named, then only read.
//!
//! | bytes | content |
//! |---|---|
//! | 8 | magic `UNSPBAT2` |
//! | ... | payloads, end to end: values (f64, little-endian, then the first 16 bytes of their BLAKE3), and states (`Model::save`, which has a checksum of its own) |
//! | n | the index: postcard of [`Entry`]s |
//! | 8 | n, u64 little-endian |
//! | 32 | BLAKE3 of the index |

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use crate::{featurise::Series, sink::sync_folder};

const MAGIC: &[u8; 8] = b"UNSPBAT2";
/// Bytes after the index.
const TAIL: u64 = 40;
/// Bytes of the checksum behind values.
const SEAL: usize = 16;
/// The folder of these files in the output's folder.
pub(super) const FOLDER: &str = "_states";

/// A payload's place in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub at: u64,
    pub len: u64,
}

/// What is kept of a series beside its values and its state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub series: Series,
    /// The run that read its last row.
    pub run: u32,
    /// Columns that stay the same for a series, as the job keeps them.
    pub attributes: Vec<Option<String>>,
}

/// What a file says of a series.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub record: Record,
    /// It takes the place of what older files say; else its values come after those.
    pub whole: bool,
    /// The state before the values.
    pub state: Option<Place>,
    /// Values, and how many.
    pub values: Option<(Place, u64)>,
}

/// A file under way; it is gone unless it is published.
pub(super) struct Draft {
    path: PathBuf,
    file: BufWriter<File>,
    at: u64,
    pub index: Vec<Entry>,
}

impl Draft {
    pub(super) fn create(path: PathBuf) -> Result<Self> {
        let failed = |source: std::io::Error| Error::io(&path, &source);
        let file = File::options().create(true).truncate(true).read(true).write(true).open(&path).map_err(failed)?;
        let mut file = BufWriter::with_capacity(1 << 20, file);
        file.write_all(MAGIC).map_err(failed)?;
        Ok(Self { path, file, at: MAGIC.len() as u64, index: vec![] })
    }

    pub(super) fn put_values(&mut self, values: &[f64]) -> Result<(Place, u64)> {
        let bytes = values.iter().map(|value| value.to_le_bytes()).collect::<Vec<_>>().into_flattened();
        let seal = blake3::hash(&bytes);
        let place = self.put(&[&bytes, &seal.as_bytes()[..SEAL]])?;
        Ok((place, values.len() as u64))
    }

    pub(super) fn put_state(&mut self, state: &[u8]) -> Result<Place> {
        self.put(&[state])
    }

    fn put(&mut self, parts: &[&[u8]]) -> Result<Place> {
        let place = Place { at: self.at, len: parts.iter().map(|part| part.len() as u64).sum() };
        for part in parts {
            self.file.write_all(part).map_err(|source| Error::io(&self.path, &source))?;
        }
        self.at += place.len;
        Ok(place)
    }

    /// What was put there before.
    pub(super) fn read(&mut self, place: Place) -> Result<Vec<u8>> {
        self.file.flush().map_err(|source| Error::io(&self.path, &source))?;
        read(self.file.get_ref(), &self.path, place)
    }

    /// Writes the index, waits for the disk, and gives the file its name; how long it is.
    pub(super) fn publish(mut self, path: &Path) -> Result<u64> {
        let index = postcard::to_stdvec(&self.index).map_err(|error| Error::damaged(&self.path, error))?;
        let mut publish = || {
            self.file.write_all(&index)?;
            self.file.write_all(&(index.len() as u64).to_le_bytes())?;
            self.file.write_all(blake3::hash(&index).as_bytes())?;
            self.file.flush()?;
            self.file.get_ref().sync_all()?;
            fs::rename(&self.path, path)?;
            sync_folder(path)
        };
        publish().map_err(|source| Error::io(path, &source))?;
        Ok(self.at + index.len() as u64 + TAIL)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Once it is published there is nothing of that name any more.
        let _ = fs::remove_file(&self.path);
    }
}

/// The index of a file that was published.
pub(super) fn index(path: &Path) -> Result<Vec<Entry>> {
    let damaged = |problem: &str| Error::damaged(path, problem);
    let file = File::open(path).map_err(|source| Error::damaged(path, source))?;
    let bytes = file.metadata().map_err(|source| Error::io(path, &source))?.len();
    let at = bytes.checked_sub(TAIL).ok_or_else(|| damaged("it was cut short"))?;
    let tail = read(&file, path, Place { at, len: TAIL })?;
    let (len, seal) = tail.split_at(8);
    let len = u64::from_le_bytes(len.try_into().unwrap_or_default());
    let at = at.checked_sub(len).ok_or_else(|| damaged("its index is longer than the file"))?;
    let index = read(&file, path, Place { at, len })?;
    if blake3::hash(&index).as_bytes() != seal {
        return Err(damaged("it does not match its checksum"));
    }
    postcard::from_bytes(&index).map_err(|error| Error::damaged(path, error))
}

/// A payload.
pub(super) fn payload(path: &Path, place: Place) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(|source| Error::damaged(path, source))?;
    read(&file, path, place)
}

/// Values that a payload holds, added to others.
pub(super) fn values(path: &Path, payload: &[u8], values: &mut Vec<f64>) -> Result<()> {
    let damaged = || Error::damaged(path, "values in it do not match their checksum");
    let (bytes, seal) = payload.split_at_checked(payload.len().wrapping_sub(SEAL)).ok_or_else(damaged)?;
    if &blake3::hash(bytes).as_bytes()[..SEAL] != seal {
        return Err(damaged());
    }
    values.extend(bytes.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)));
    Ok(())
}

fn read(file: &File, path: &Path, place: Place) -> Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(place.len).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut bytes, place.at).map_err(|source| Error::damaged(path, source))?;
    Ok(bytes)
}
