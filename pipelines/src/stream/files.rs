//! Outputs as Parquet files, exactly once: a file's footer says which offsets it is of, and its name is the commit.
//!
//! ```text
//! DIR/partition=3/00000012.parquet            outputs of the offsets that its footer names
//! DIR/_rejects/partition=3/00000012.parquet   dead letters of the same offsets, if there were any
//! ```
//!
//! Files of a partition are numbered, and a number is given once: whoever was frozen and wakes finds that its successor has
//! named that file, and begins again. The dead letters get their name after that; if a crash comes between, whoever goes on
//! does it. So the newest file alone says how far a partition is done, and a job begins there again; what the group has
//! committed is for those who look at its lag.

mod folder;
mod table;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use arrow::datatypes::SchemaRef;
use tempfile::TempPath;
use unspool_ingest::kafka::Rejected;
use unspool_model::Model;

pub(super) use self::folder::{Folder, Tail};
use self::{
    folder::{NOTE, Note, name, name_rejects},
    table::{REJECTS, Table},
};
use super::{
    core::Processed,
    emit::Output,
    error::{Error, Result},
    job::StreamJob,
};
use crate::sink::{Writer, problem, sync_folder};

/// Outputs as files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesOptions {
    /// The folder.
    pub dir: PathBuf,
    /// A file that has reached this size gets its name, in bytes before the last compression.
    pub file_bytes: u64,
    /// A file that was begun so long ago gets its name.
    pub file_interval: Duration,
}

impl FilesOptions {
    /// The usual size and time.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, file_bytes: 128 << 20, file_interval: Duration::from_secs(60) }
    }
}

/// Why a file has no name.
#[derive(Debug)]
pub(super) enum Unnamed {
    /// Another worker has named a file of that number.
    Taken(String),
    /// The system refused.
    Bad(Error),
}

impl From<Error> for Unnamed {
    fn from(error: Error) -> Self {
        Self::Bad(error)
    }
}

/// The counts of what has become durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    /// The first offset that is not in the partition's files.
    pub next: i64,
    /// Outputs.
    pub outputs: u64,
    /// Dead letters, by kind.
    pub rejects: BTreeMap<unspool_ingest::kafka::RejectKind, u64>,
}

/// The files of the partitions here.
pub(super) struct Files {
    options: FilesOptions,
    folder: Folder,
    table: Table,
    metadata: Vec<(String, String)>,
    parts: BTreeMap<i32, Part>,
}

/// A partition.
struct Part {
    /// The number of the next file.
    number: u64,
    /// Where that begins.
    from: i64,
    draft: Option<Draft>,
}

/// Files under way.
struct Draft {
    begun: Instant,
    rows: Half,
    rejects: Option<Half>,
    flushes: Vec<i64>,
    named: Named,
}

/// One of a draft's two files; dropped, it goes.
struct Half {
    writer: Writer,
    path: TempPath,
}

impl Files {
    pub(super) fn new(job: &StreamJob, options: &FilesOptions, model: &Model) -> Result<Self> {
        let info = model.info();
        let metadata = [
            ("unspool.model", info.digest.to_string()),
            ("unspool.route", info.route.to_string()),
            ("unspool.source", job.topic.clone()),
        ];
        Ok(Self {
            options: options.clone(),
            folder: folder(job, options),
            table: Table::new(&job.core.emit, model, job.fields.time_kind())?,
            metadata: metadata.map(|(key, value)| (key.to_owned(), value)).to_vec(),
            parts: BTreeMap::new(),
        })
    }

    /// A partition came; its next file begins at `from`. Gives the offsets from `start` on at which it was flushed.
    ///
    /// # Errors
    /// When its files cannot be read.
    pub(super) fn begin(&mut self, partition: i32, (tail, from): (Tail, i64), start: i64) -> Result<Vec<i64>> {
        self.parts.insert(partition, Part { number: tail.number, from, draft: None });
        self.folder.flushes(partition, start)
    }

    /// A partition went: what has no name is given up, and whoever comes next writes it.
    pub(super) fn drop_partition(&mut self, partition: i32) {
        self.parts.remove(&partition);
    }

    /// Writes what came of a partition's records before `next`, and that it was flushed there.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn take(&mut self, partition: i32, (next, flushed): (i64, bool), given: &Processed) -> Result<()> {
        let outputs: Vec<&Output> = given.outputs.iter().filter(|output| output.partition == partition).collect();
        let rejects: Vec<&Rejected> = given.rejects.iter().filter(|reject| reject.partition == partition).collect();
        let Some(part) = self.parts.get_mut(&partition) else { return Ok(()) };
        if part.draft.is_none() {
            let rows = Half::create(&self.folder.outputs(partition), &self.table.schema, &self.metadata)?;
            let (flushes, named) = (vec![], Named::default());
            part.draft = Some(Draft { begun: Instant::now(), rows, rejects: None, flushes, named });
        }
        let Some(draft) = &mut part.draft else { return Ok(()) };
        if !outputs.is_empty() {
            draft.rows.write(self.table.rows(&outputs)?)?;
        }
        if !rejects.is_empty() {
            let rows = table::rejects(&rejects)?;
            let half = match draft.rejects.take() {
                Some(half) => half,
                None => Half::create(&self.folder.rejects(partition), &REJECTS, &self.metadata)?,
            };
            draft.rejects.insert(half).write(rows)?;
        }
        if flushed {
            draft.flushes.push(next);
        }
        draft.named.next = next;
        draft.named.outputs += outputs.len() as u64;
        rejects.iter().for_each(|reject| *draft.named.rejects.entry(reject.kind).or_default() += 1);
        Ok(())
    }

    /// Partitions whose files are large or old enough to get their names; with `all`, every one that has any.
    pub(super) fn due(&self, all: bool) -> Vec<i32> {
        let due = |draft: &Draft| {
            all || draft.begun.elapsed() >= self.options.file_interval || draft.bytes() >= self.options.file_bytes
        };
        let parts = self.parts.iter().filter(|(_, part)| part.draft.as_ref().is_some_and(due));
        parts.map(|(partition, _)| *partition).collect()
    }

    /// Gives a partition's files their names: from now on it is done up to what is returned.
    ///
    /// # Errors
    /// When another worker was first, or the disk refuses: then there is no such file, or it is another's.
    pub(super) fn name(&mut self, partition: i32) -> Result<Option<Named>, Unnamed> {
        let (outputs, rejects) = (self.folder.outputs(partition), self.folder.rejects(partition));
        let Some(part) = self.parts.get_mut(&partition) else { return Ok(None) };
        let Some(draft) = part.draft.take() else { return Ok(None) };
        let letters = draft.rejects.map(Half::close).transpose()?;
        let note = Note {
            topic: self.folder.topic.clone(),
            group: self.folder.group.clone(),
            from: part.from,
            next: draft.named.next,
            flushes: draft.flushes,
            rejects: letters.as_ref().and_then(|path| Some(path.file_name()?.to_str()?.to_owned())),
        };
        let path = outputs.join(name(part.number));
        let mut rows = draft.rows;
        rows.writer.note(NOTE, &serde_json::to_string(&note).map_err(|e| Error::damaged(&path, e.to_string()))?);
        let rows = rows.close()?;
        // Kept from here on: once the outputs have their name, whoever goes on must find the letters.
        let letters = letters.map(TempPath::keep).transpose();
        let letters = letters.map_err(|error| Error::io(&rejects, &error.error))?;
        if let Err(error) = rows.persist_noclobber(&path) {
            letters.iter().for_each(|letters| drop(fs::remove_file(letters)));
            return Err(refused(&path, &error.error));
        }
        sync_folder(&path).map_err(|source| Error::io(&outputs, &source))?;
        if let Some(draft) = &note.rejects {
            name_rejects(&rejects, draft, part.number)?;
        }
        part.number += 1;
        part.from = draft.named.next;
        Ok(Some(draft.named))
    }
}

/// The folder of a job's outputs.
pub(super) fn folder(job: &StreamJob, options: &FilesOptions) -> Folder {
    Folder { dir: options.dir.clone(), topic: job.topic.clone(), group: job.group.name.clone() }
}

/// Another worker's file stands there, or it has taken this one for left over; else the system refused.
fn refused(path: &Path, source: &std::io::Error) -> Unnamed {
    use std::io::ErrorKind::{AlreadyExists, NotFound};
    match source.kind() {
        AlreadyExists | NotFound => Unnamed::Taken(format!("another worker was first to write {}", path.display())),
        _ => Unnamed::Bad(Error::io(path, source)),
    }
}

impl Draft {
    /// Bytes of both files so far.
    fn bytes(&self) -> u64 {
        let rejects = self.rejects.as_ref().map_or(0, |half| half.writer.bytes());
        (self.rows.writer.bytes() + rejects) as u64
    }
}

impl Half {
    fn create(dir: &Path, schema: &SchemaRef, metadata: &[(String, String)]) -> Result<Self> {
        fs::create_dir_all(dir).and_then(|()| sync_folder(dir)).map_err(|source| Error::io(dir, &source))?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(".").suffix(".partial");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let file = builder.tempfile_in(dir).map_err(|source| Error::io(dir, &source))?;
        let (file, path) = file.into_parts();
        let writer = Writer::new(file, schema, metadata).map_err(|error| failed(&path, error))?;
        Ok(Self { writer, path })
    }

    fn write(&mut self, rows: arrow::array::RecordBatch) -> Result<()> {
        self.writer.write(rows).map_err(|error| failed(&self.path, error))
    }

    /// Ends the file and waits for the disk.
    fn close(self) -> Result<TempPath> {
        let Self { writer, path } = self;
        let file = writer.close().map_err(|error| failed(&path, error))?;
        file.sync_all().map_err(|source| Error::io(&path, &source))?;
        Ok(path)
    }
}

fn failed(path: &Path, error: parquet::errors::ParquetError) -> Error {
    Error::Io { path: path.to_owned(), problem: problem(error) }
}
