//! The input files, checked against one another and against those that were read before.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

use unspool_ingest::{
    Decode, Threaded,
    format::{self, Format},
    objects::is_url,
    reads::{self, ReadOptions},
    schema::{self, TimeKind},
    tables::{self, SeriesOptions},
};

use tempfile::TempDir;
use unspool_model::Front;

use super::{
    BatchJob, OnCorrupt,
    error::{Error, Result},
    files::{self, FileEntry, Kind},
    manifest::Manifest,
    remote::{Remote, Stores},
};

/// The files that a job finds.
pub(super) struct Lake {
    /// Each with its place, in order.
    files: Vec<(FileEntry, Place)>,
    /// Where each stands among them, by name.
    places: HashMap<String, usize>,
    kind: Kind,
    /// What is brought of object stores; it goes with the lake.
    _spool: Option<TempDir>,
}

/// Where a file lies.
enum Place {
    Here(PathBuf),
    Elsewhere(Remote),
}

/// A file on the local disk, as long as it is read.
pub(super) struct Brought<'a>(&'a Place);

impl Brought<'_> {
    /// Its path.
    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Brought<'_> {
    fn drop(&mut self) {
        if let Place::Elsewhere(remote) = self.0 {
            remote.leave();
        }
    }
}

impl Place {
    fn path(&self) -> &Path {
        match self {
            Self::Here(path) => path,
            Self::Elsewhere(remote) => remote.local(),
        }
    }
}

impl Lake {
    /// Finds the files, and checks that those of the manifest are there as they were.
    ///
    /// # Errors
    /// When one is missing or was changed.
    pub(super) fn find(job: &BatchJob, front: Front, manifest: Option<&Manifest>) -> Result<Self> {
        let kind = if front == Front::Dna { Kind::Reads } else { Kind::Series };
        if let (Kind::Series, Some(_)) = (kind, &job.reference) {
            return Err(Error::Settings("input.reference: it is of reads in CRAM files".into()));
        }
        let (mut files, mut places) = (vec![], HashMap::new());
        let mut add = |entry: FileEntry, place: Place| {
            if !places.contains_key(&entry.name) {
                places.insert(entry.name.clone(), files.len());
                files.push((entry, place));
            }
        };
        let remote = |pattern: &&String| is_url(pattern) && !pattern.starts_with("file://");
        let spool = job.inputs.iter().find(remote).map(|_| spool(job)).transpose()?;
        let folder = spool.as_ref().map_or(Path::new(""), TempDir::path);
        let mut stores = Stores::new(&job.stores, folder);
        for pattern in &job.inputs {
            if remote(&pattern) {
                stores
                    .find(pattern, kind)?
                    .into_iter()
                    .for_each(|(entry, remote)| add(entry, Place::Elsewhere(remote)));
                continue;
            }
            for path in files::find(&job.folder, pattern, kind)? {
                add(files::entry(&job.folder, &path)?, Place::Here(path));
            }
        }
        let lake = Self { files, places, kind, _spool: spool };
        for known in manifest.map_or(&[][..], |manifest| &manifest.files) {
            let path = job.folder.join(&known.name);
            let found = lake.places.get(&known.name).map(|place| &lake.files[*place].0);
            let problem = match found {
                Some(entry) if entry == known => continue,
                Some(entry) if entry.bytes != known.bytes => {
                    format!("it had {} bytes when it was read, and has {} now", known.bytes, entry.bytes)
                }
                Some(_) => "its content is not what it was when it was read".into(),
                None => "it was read before, and is no longer among the inputs".into(),
            };
            let remedy = "bring it back as it was, or run the job into a new folder";
            return Err(Error::Input { path, problem: format!("{problem}: {remedy}") });
        }
        Ok(lake)
    }

    /// As [`Lake::check`], for reads; they have no times.
    fn check_reads(&self, job: &BatchJob, files: &[FileEntry]) -> Result<Option<TimeKind>> {
        let mut any = None;
        let options = ReadOptions { reference: job.reference.clone(), ..ReadOptions::default() };
        for entry in files {
            let place = self.place(entry)?;
            if let Place::Elsewhere(remote) = place {
                remote.bring_edges()?;
            }
            self.kind.check(place.path()).map_err(|error| self.named(entry, error))?;
            match reads::decoder(place.path(), &options).map_err(Error::from) {
                Err(error) if job.on_corrupt == OnCorrupt::Skip && is_corrupt(&error) => continue,
                opened => opened.map_err(|error| self.named(entry, error))?,
            };
            any = Some(TimeKind::Step);
        }
        Ok(any)
    }

    /// An error about a file that was brought, with the name that it has elsewhere.
    pub(super) fn named(&self, entry: &FileEntry, error: Error) -> Error {
        let Ok(Place::Elsewhere(remote)) = self.place(entry) else { return error };
        let (local, text) = (remote.local().display().to_string(), error.to_string());
        match text.strip_prefix(&local) {
            Some(problem) if !is_corrupt(&error) => {
                let problem = problem.trim_start_matches([':', ',', ' ']).to_owned();
                Error::Input { path: entry.name.clone().into(), problem }
            }
            _ => error,
        }
    }

    /// The files that the manifest does not know.
    pub(super) fn new_files(&self, manifest: Option<&Manifest>) -> Vec<FileEntry> {
        let known = manifest.map_or(&[][..], |manifest| &manifest.files);
        let known: HashSet<&str> = known.iter().map(|known| known.name.as_str()).collect();
        let new = self.files.iter().filter(|(entry, _)| !known.contains(entry.name.as_str()));
        new.map(|(entry, _)| entry.clone()).collect()
    }

    /// A file, brought to the local disk: what is read of it.
    ///
    /// # Errors
    /// When the store or the disk refuses.
    pub(super) fn bring(&self, entry: &FileEntry, columns: &SeriesOptions) -> Result<Brought<'_>> {
        let place = self.place(entry)?;
        if let Place::Elsewhere(remote) = place {
            remote.bring(columns)?;
        }
        Ok(Brought(place))
    }

    /// The name by which a person knows a file: its path, or its URL.
    pub(super) fn shown(&self, entry: &FileEntry) -> String {
        match self.place(entry) {
            Ok(Place::Here(path)) => path.display().to_string(),
            _ => entry.name.clone(),
        }
    }

    fn place(&self, entry: &FileEntry) -> Result<&Place> {
        let gone = || Error::Settings(format!("{}: it is not among the inputs", entry.name));
        self.places.get(&entry.name).map(|place| &self.files[*place].1).ok_or_else(gone)
    }

    /// Opens each of these files, and says how they write time, which is the same in all.
    ///
    /// # Errors
    /// When one lacks a column, or differs from those before in format or types; and when one is damaged, if the job
    /// stops at those.
    pub(super) fn check(
        &self,
        job: &BatchJob,
        files: &[FileEntry],
        known: Option<TimeKind>,
    ) -> Result<Option<TimeKind>> {
        if self.kind == Kind::Reads {
            return self.check_reads(job, files);
        }
        let mut first: Option<(Format, TimeKind, PathBuf)> = None;
        let mut whole = vec![];
        for entry in files {
            let place = self.place(entry)?;
            let path = place.path();
            if let Place::Elsewhere(remote) = place {
                remote.bring_edges()?;
            }
            self.kind.check(path).map_err(|error| self.named(entry, error))?;
            let (format, kind) = match open(path, &job.columns) {
                Err(error) if job.on_corrupt == OnCorrupt::Skip && is_corrupt(&error) => continue,
                opened => opened.map_err(|error| self.named(entry, error))?,
            };
            let conflict = match &first {
                Some((there, _, other)) if *there != format => {
                    Some(format!("it is {format}, and {} is {there}: run them as two jobs", other.display()))
                }
                Some((_, there, other)) if *there != kind => {
                    Some(times_differ(kind, *there, &other.display().to_string()))
                }
                None if known.is_some_and(|known| known != kind) => {
                    Some(times_differ(kind, known.unwrap_or(kind), "the files read before"))
                }
                _ => None,
            };
            if let Some(problem) = conflict {
                return Err(Error::Input { path: path.into(), problem });
            }
            first.get_or_insert((format, kind, path.to_owned()));
            whole.push(path.to_owned());
        }
        if !whole.is_empty() {
            // Compares what ids are.
            tables::decoder(&whole, &job.columns)?;
        }
        Ok(first.map(|(_, kind, _)| kind))
    }
}

/// A folder for what is brought.
fn spool(job: &BatchJob) -> Result<TempDir> {
    let dir = job.spool.clone().unwrap_or_else(std::env::temp_dir);
    tempfile::Builder::new().prefix("unspool-").tempdir_in(&dir).map_err(|source| Error::io(&dir, &source))
}

/// Reads a file on a thread of its own, from a position on.
///
/// # Errors
/// When it cannot be opened.
pub(super) fn source(path: &Path, columns: &SeriesOptions) -> Result<Threaded> {
    refuse_empty(path)?;
    Ok(tables::open(&[path.to_owned()], columns)?)
}

/// Whether an error is of a file's content alone.
pub(super) fn is_corrupt(error: &Error) -> bool {
    matches!(error, Error::Job(crate::Error::Ingest(unspool_ingest::Error::Invalid { .. })))
}

fn open(path: &Path, columns: &SeriesOptions) -> Result<(Format, TimeKind)> {
    refuse_empty(path)?;
    let format = format::detect(path)?;
    let decoder = tables::decoder(&[path.to_owned()], columns)?;
    let steps = decoder.schema().field(1) == schema::series(TimeKind::Step).field(1);
    Ok((format, if steps { TimeKind::Step } else { TimeKind::Timestamp }))
}

fn refuse_empty(path: &Path) -> Result<()> {
    let empty = path.metadata().is_ok_and(|metadata| metadata.len() == 0);
    let problem = "the file is empty: not even its columns are there".to_owned();
    let place = unspool_ingest::Place::Whole;
    if empty { Err(unspool_ingest::Error::Invalid { path: path.into(), place, problem }.into()) } else { Ok(()) }
}

fn times_differ(kind: TimeKind, there: TimeKind, other: &str) -> String {
    let name = |kind| if kind == TimeKind::Step { "step numbers" } else { "timestamps" };
    format!("its times are {}, those of {other} {}: run them as two jobs", name(kind), name(there))
}
