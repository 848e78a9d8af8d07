//! What a folder of outputs says: how far a partition's files reach, and where idle partitions were flushed.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use parquet::file::metadata::{KeyValue, ParquetMetaDataReader};
use serde::{Deserialize, Serialize};

use crate::{
    sink::sync_folder,
    stream::{
        error::{Error, Result},
        snapshot::{LEFT_OVER, age, files},
    },
};

/// The footer's key under which a [`Note`] stands.
pub(super) const NOTE: &str = "unspool.stream";

/// What a file says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// The topic of events.
    pub topic: String,
    /// The group.
    pub group: String,
    /// The first offset that the file is of.
    pub from: i64,
    /// The first offset that it is not of.
    pub next: i64,
    /// Where the partition was flushed, being idle: before these offsets.
    pub flushes: Vec<i64>,
    /// The name that the dead letters beside it had before this file had its own.
    pub rejects: Option<String>,
}

/// The end of a partition's files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::stream) struct Tail {
    /// The number of the next file.
    pub number: u64,
    /// The first offset of which there is nothing yet; `None`: there are no files.
    pub next: Option<i64>,
}

/// A folder of outputs.
#[derive(Clone, Debug)]
pub(in crate::stream) struct Folder {
    pub(super) dir: PathBuf,
    pub(super) topic: String,
    pub(super) group: String,
}

impl Folder {
    pub(in crate::stream) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn outputs(&self, partition: i32) -> PathBuf {
        self.dir.join(format!("partition={partition}"))
    }

    /// Readers of data sets leave out what begins with an underscore.
    pub(super) fn rejects(&self, partition: i32) -> PathBuf {
        self.dir.join("_rejects").join(format!("partition={partition}"))
    }

    /// How far a partition's files reach. What a crash left half done is done, and what it left over goes.
    ///
    /// # Errors
    /// When the folder cannot be read, or is another job's.
    pub(in crate::stream) fn tail(&self, partition: i32) -> Result<Tail> {
        let Some((number, path)) = numbered(&self.outputs(partition))?.pop() else {
            return Ok(Tail { number: 0, next: None });
        };
        let note = self.own(&path)?;
        if let Some(draft) = &note.rejects {
            name_rejects(&self.rejects(partition), draft, number)?;
        }
        for dir in [self.outputs(partition), self.rejects(partition)] {
            for path in files(&dir)? {
                let draft = path.extension().is_some_and(|extension| extension == "partial");
                if draft && age(&path).is_some_and(|age| age > LEFT_OVER) {
                    let _ = fs::remove_file(&path);
                }
            }
        }
        Ok(Tail { number: number + 1, next: Some(note.next) })
    }

    /// Where a partition was flushed at or after an offset, as its files say.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(in crate::stream) fn flushes(&self, partition: i32, from: i64) -> Result<Vec<i64>> {
        let mut flushes = vec![];
        for (_, path) in numbered(&self.outputs(partition))?.into_iter().rev() {
            let note = self.own(&path)?;
            if note.next < from {
                break;
            }
            flushes.extend(note.flushes.into_iter().filter(|at| *at >= from));
        }
        flushes.sort_unstable();
        flushes.dedup();
        Ok(flushes)
    }

    /// The note of a file that this job wrote.
    fn own(&self, path: &Path) -> Result<Note> {
        let note = read(path)?;
        if (&note.topic, &note.group) != (&self.topic, &self.group) {
            let (topic, group) = (&note.topic, &note.group);
            return Err(Error::Settings(format!(
                "{} holds outputs of topic {topic} for group {group}: name another folder",
                self.dir.display()
            )));
        }
        Ok(note)
    }
}

/// Gives the dead letters of a file that has its name theirs.
pub(super) fn name_rejects(dir: &Path, draft: &str, number: u64) -> Result<()> {
    let (from, to) = (dir.join(draft), dir.join(name(number)));
    match fs::rename(&from, &to) {
        // Somebody has done it.
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(Error::io(&to, &source)),
        Ok(()) => sync_folder(&to).map_err(|source| Error::io(dir, &source)),
    }
}

/// A file's name.
pub(super) fn name(number: u64) -> String {
    format!("{number:08}.parquet")
}

/// The files of a folder, by number.
fn numbered(dir: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let number = |path: PathBuf| {
        let name = path.file_name()?.to_str()?.strip_suffix(".parquet")?;
        Some((name.parse().ok()?, path))
    };
    let mut all: Vec<(u64, PathBuf)> = files(dir)?.into_iter().filter_map(number).collect();
    all.sort_unstable();
    Ok(all)
}

fn read(path: &Path) -> Result<Note> {
    let file = File::open(path).map_err(|source| Error::io(path, &source))?;
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&file);
    let metadata = metadata.map_err(|error| Error::damaged(path, error.to_string()))?;
    let pairs: &[KeyValue] = metadata.file_metadata().key_value_metadata().map_or(&[], |pairs| pairs);
    let note = pairs.iter().find(|pair| pair.key == NOTE).and_then(|pair| pair.value.as_deref());
    let note = note.ok_or_else(|| Error::damaged(path, "a stream job did not write it: name a folder of its own"))?;
    serde_json::from_str(note).map_err(|error| Error::damaged(path, error.to_string()))
}
