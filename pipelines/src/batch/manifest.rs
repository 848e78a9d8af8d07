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

/// The version of the layout.
const VERSION: u32 = 1;

/// A part of the output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartEntry {
    /// Its file's name, in the folder and (its rejects) in `_rejects`.
    pub name: String,
    /// Output rows; without any there is no such file.
    pub rows: u64,
    /// Rejects; without any there is no such file.
    pub rejects: u64,
}

/// A file of states, and how many series are in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SegmentEntry {
    pub name: String,
    pub series: u64,
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
    /// The last run has given all that it had to.
    pub complete: bool,
    /// Units finished.
    pub units: u64,
    /// The output.
    pub parts: Vec<PartEntry>,
    /// Files of states, oldest first.
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
            complete: true,
            units: 0,
            parts: vec![],
            segments: vec![],
            series: 0,
        }
    }

    /// Rejected rows of all units.
    #[must_use]
    pub fn rejects(&self) -> u64 {
        self.parts.iter().map(|part| part.rejects).sum()
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
        let manifest: Self = serde_json::from_slice(&bytes).map_err(|error| Error::damaged(&path, error))?;
        if manifest.version != VERSION {
            return Err(Error::damaged(&path, format!("version {} is not known here", manifest.version)));
        }
        Ok(Some(manifest))
    }

    /// Makes it durable: the commit of all that it names.
    pub(super) fn write(&self, dir: &Path) -> Result<()> {
        let (path, draft) = (path(dir), dir.join("_manifest.json.partial"));
        let text = serde_json::to_vec_pretty(self).map_err(|error| Error::damaged(&path, error))?;
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
    dir.join("_manifest.json")
}
