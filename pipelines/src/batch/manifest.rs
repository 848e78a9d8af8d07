//! What is finished of a job: the manifest.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use unspool_ingest::{Position, schema::TimeKind};

use super::{
    error::{Error, Result},
    files::FileEntry,
};
use crate::sink::sync_folder;

/// The manifest's file.
pub(super) const NAME: &str = "_manifest.json";
/// The version of the layout.
const VERSION: u32 = 2;

/// A file of the output or of rejects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartEntry {
    /// Its path in the output's folder.
    pub name: String,
    /// Its rows: it has one at least.
    pub rows: u64,
}

/// A file of values and states of series: the unit that wrote it, and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SegmentEntry {
    pub unit: u64,
    pub bytes: u64,
}

/// What is finished of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    version: u32,
    /// What decides the output beside the input: the model, its digest and route, what is given.
    pub identity: BTreeMap<String, String>,
    /// How the series' times are written.
    pub time: TimeKind,
    /// Files, in the order in which they were or are to be read.
    pub files: Vec<FileEntry>,
    /// How many of them were read to their ends.
    pub done: usize,
    /// Where the next one goes on; `None`: at its start.
    pub position: Option<Position>,
    /// Runs so far: each takes in the files that are new.
    pub run: u32,
    /// All files of the run were read: what waited for that is being given.
    pub closing: bool,
    /// Of the series that had rows in the run: so many were given, in the order of their numbers.
    pub given: u64,
    /// The last run has given all that it had to.
    pub complete: bool,
    /// Units finished.
    pub units: u64,
    /// The output.
    pub parts: Vec<PartEntry>,
    /// Rejects.
    pub rejects: Vec<PartEntry>,
    /// Files of values and states, oldest first.
    pub(super) segments: Vec<SegmentEntry>,
    /// Series so far.
    pub series: u64,
}

impl Manifest {
    /// Nothing is finished.
    pub(super) fn new(identity: BTreeMap<String, String>, time: TimeKind) -> Self {
        Self {
            version: VERSION,
            identity,
            time,
            files: vec![],
            done: 0,
            position: None,
            run: 0,
            closing: false,
            given: 0,
            complete: true,
            units: 0,
            parts: vec![],
            rejects: vec![],
            segments: vec![],
            series: 0,
        }
    }

    /// Rejected rows of all units.
    #[must_use]
    pub fn rejected(&self) -> u64 {
        self.rejects.iter().map(|part| part.rows).sum()
    }

    /// The manifest of an output folder; `None` where there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(dir: &Path) -> Result<Option<Self>> {
        let path = path(dir);
        let bytes = match fs::read(&path) {
            Err(source) if source.kind() == ErrorKind::NotFound => return Ok(None),
            bytes => bytes.map_err(|source| Error::Input { path: path.clone(), problem: source.to_string() })?,
        };
        Self::parse(&bytes, &path).map(Some)
    }

    /// A manifest's text, read from `path`.
    pub(super) fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let Versioned { version } = serde_json::from_slice(bytes).map_err(|error| Error::damaged(path, error))?;
        if version != VERSION {
            return Err(Error::damaged(path, format!("version {version} is not known here")));
        }
        serde_json::from_slice(bytes).map_err(|error| Error::damaged(path, error))
    }

    /// Its text.
    pub(super) fn bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec_pretty(self).map_err(|error| Error::damaged(Path::new(NAME), error))
    }

    /// Removes a folder's manifest, if there is one.
    pub(super) fn forget(dir: &Path) -> Result<()> {
        match fs::remove_file(path(dir)) {
            Err(source) if source.kind() != ErrorKind::NotFound => Err(Error::io(&path(dir), &source)),
            _ => Ok(()),
        }
    }

    /// Makes it durable: the commit of all that it names.
    pub(super) fn write(&self, dir: &Path) -> Result<()> {
        let (path, draft) = (path(dir), dir.join("_manifest.json.partial"));
        let text = self.bytes()?;
        let write = || {
            let mut file = File::create(&draft)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&draft, &path)?;
            sync_folder(&path)
        };
        write().map_err(|source| Error::io(&path, &source))
    }

    /// Refuses a job that would give something else than what is here.
    pub(super) fn check(&self, identity: &BTreeMap<String, String>, dir: &Path) -> Result<()> {
        let none = "nothing".to_owned();
        let keys = self.identity.keys().chain(identity.keys());
        for key in keys {
            let (here, now) = (self.identity.get(key).unwrap_or(&none), identity.get(key).unwrap_or(&none));
            if here != now {
                let dir = dir.display();
                return Err(Error::Settings(format!(
                    "{dir} holds the output of a job with {key} {here}, not {now}: name another [output] dir"
                )));
            }
        }
        Ok(())
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join(NAME)
}
