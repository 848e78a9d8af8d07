//! Saved states: files of the series that a unit changed, sealed.
//!
//! ```text
//! "UNSPBAT1", then of each series: length (u64), its record (postcard), length (u64), its state (Model::save);
//! then 0 (u64) and a BLAKE3 hash of all before it
//! ```

use std::{
    collections::HashSet,
    fs::File,
    io::{BufReader, BufWriter, Read, Write},
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::{
    error::{Error, Result},
    manifest::Manifest,
};
use crate::{featurise::Series, sink::sync_folder};

const MAGIC: &[u8; 8] = b"UNSPBAT1";
/// No record and no state is longer than this: a damaged length is refused before memory is asked for.
const LONGEST: u64 = 1 << 32;
/// The folder of states in the output's folder.
pub(super) const FOLDER: &str = "_states";

/// What is kept of a series beside its state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub series: Series,
    /// The run that read its last row.
    pub run: u32,
    /// Events in its state.
    pub position: u64,
}

/// A series as a batch job left it: from here a session or a stream goes on.
#[derive(Clone, Debug)]
pub struct SavedSeries {
    /// Its name.
    pub id: String,
    /// The time of its last row: µs since 1970, or a step number.
    pub last_time: Option<i64>,
    /// Events in its state: values, those that a grid filled in included.
    pub position: u64,
    /// The state, for [`unspool_model::Model::restore`].
    pub state: Vec<u8>,
    /// Values that come before any other that follows (NaN: missing): those of a series of fewer than 64 rows were held
    /// back, since its grid is not known yet. Append them first.
    pub held_back: Vec<f64>,
}

/// Hands over what a job saved of each series, the last unit's first.
///
/// The folder is the job's output. Each series comes once, with its newest state. Going on from it gives the same bits as one
/// run over all its rows.
///
/// # Errors
/// When the folder holds no job, its files are damaged, or `take` fails.
pub fn saved_states(dir: &Path, take: &mut dyn FnMut(SavedSeries) -> Result<()>) -> Result<()> {
    let none = || Error::Settings(format!("{} holds no batch job's output: there is no _manifest.json", dir.display()));
    let manifest = Manifest::read(dir)?.ok_or_else(none)?;
    newest(dir, &manifest, &mut |Record { series, position, .. }, state| {
        let (id, last_time, held_back) = (series.id.clone(), series.last_time(), series.held_back());
        take(SavedSeries { id, last_time, position, state, held_back })
    })
}

/// Reads the newest record and state of each series.
pub(super) fn newest(
    dir: &Path,
    manifest: &Manifest,
    take: &mut dyn FnMut(Record, Vec<u8>) -> Result<()>,
) -> Result<()> {
    let mut seen = HashSet::new();
    for segment in manifest.segments.iter().rev() {
        let path = dir.join(FOLDER).join(&segment.name);
        let mut read = 0;
        let mut reader = Reader::open(&path)?;
        while let Some((record, state)) = reader.next(&path)? {
            read += 1;
            if seen.insert(record.series.sequence) {
                take(record, state)?;
            }
        }
        if read != segment.series {
            return Err(Error::damaged(&path, format!("{read} series where there should be {}", segment.series)));
        }
    }
    if seen.len() as u64 != manifest.series {
        return Err(Error::damaged(&dir.join(FOLDER), format!("states of {} series are missing", manifest.series)));
    }
    Ok(())
}

/// A file of states being written under a temporary name.
pub(super) struct Writer {
    file: BufWriter<File>,
    hasher: blake3::Hasher,
}

impl Writer {
    /// Begins one.
    pub(super) fn create(draft: &Path) -> Result<Self> {
        let file = File::create(draft).map_err(|source| Error::io(draft, &source))?;
        let mut writer = Self { file: BufWriter::new(file), hasher: blake3::Hasher::new() };
        writer.put(MAGIC).map_err(|source| Error::io(draft, &source))?;
        Ok(writer)
    }

    /// Adds a series.
    pub(super) fn push(&mut self, record: &Record, state: &[u8], draft: &Path) -> Result<()> {
        let record = postcard::to_stdvec(record).map_err(|error| Error::damaged(draft, error))?;
        for part in [&record, state] {
            let written = self.put(&(part.len() as u64).to_le_bytes()).and_then(|()| self.put(part));
            written.map_err(|source| Error::io(draft, &source))?;
        }
        Ok(())
    }

    /// Seals it and gives it its name.
    pub(super) fn publish(mut self, draft: &Path, path: &Path) -> Result<()> {
        let mut publish = || {
            self.put(&0_u64.to_le_bytes())?;
            let seal = self.hasher.finalize();
            self.file.write_all(seal.as_bytes())?;
            self.file.flush()?;
            self.file.get_ref().sync_all()?;
            std::fs::rename(draft, path)?;
            sync_folder(path)
        };
        publish().map_err(|source| Error::io(path, &source))
    }

    fn put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.hasher.update(bytes);
        self.file.write_all(bytes)
    }
}

struct Reader {
    file: BufReader<File>,
    hasher: blake3::Hasher,
}

impl Reader {
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::damaged(path, source))?;
        let mut reader = Self { file: BufReader::new(file), hasher: blake3::Hasher::new() };
        if reader.get(MAGIC.len() as u64, path)? != MAGIC {
            return Err(Error::damaged(path, "it is no file of states"));
        }
        Ok(reader)
    }

    /// The next series; `None` at the end, once the seal has been seen to be right.
    fn next(&mut self, path: &Path) -> Result<Option<(Record, Vec<u8>)>> {
        let len = self.len(path)?;
        if len == 0 {
            let seal = self.hasher.finalize();
            let found = self.get(seal.as_bytes().len() as u64, path)?;
            let whole = found == seal.as_bytes();
            return if whole { Ok(None) } else { Err(Error::damaged(path, "it does not match its checksum")) };
        }
        let record = self.get(len, path)?;
        let record = postcard::from_bytes(&record).map_err(|error| Error::damaged(path, error))?;
        let len = self.len(path)?;
        Ok(Some((record, self.get(len, path)?)))
    }

    fn len(&mut self, path: &Path) -> Result<u64> {
        let bytes = self.get(8, path)?;
        let len = bytes.try_into().map(u64::from_le_bytes).unwrap_or(u64::MAX);
        if len > LONGEST { Err(Error::damaged(path, "a length in it is not possible")) } else { Ok(len) }
    }

    fn get(&mut self, len: u64, path: &Path) -> Result<Vec<u8>> {
        let mut bytes = vec![];
        (&mut self.file).take(len).read_to_end(&mut bytes).map_err(|source| Error::damaged(path, source))?;
        if bytes.len() as u64 != len {
            return Err(Error::damaged(path, "it was cut short"));
        }
        self.hasher.update(&bytes);
        Ok(bytes)
    }
}
