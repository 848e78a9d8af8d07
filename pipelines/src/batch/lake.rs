//! The input files, checked against one another and against those that were read before.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

use unspool_ingest::{
    Decode, Threaded,
    format::{self, Format},
    schema::{self, TimeKind},
    tables::{self, SeriesOptions},
};

use super::{
    BatchJob, OnCorrupt,
    error::{Error, Result},
    files::{self, FileEntry},
    manifest::Manifest,
};

/// The files that a job finds.
pub(super) struct Lake {
    /// Each with its path, in order.
    files: Vec<(FileEntry, PathBuf)>,
    /// Where each stands among them, by name.
    places: HashMap<String, usize>,
}

impl Lake {
    /// Finds the files, and checks that those of the manifest are there as they were.
    ///
    /// # Errors
    /// When one is missing or was changed.
    pub(super) fn find(job: &BatchJob, manifest: Option<&Manifest>) -> Result<Self> {
        let mut files = vec![];
        for path in files::find(&job.folder, &job.inputs)? {
            files.push((files::entry(&job.folder, &path)?, path));
        }
        let places = files.iter().enumerate().map(|(place, (entry, _))| (entry.name.clone(), place)).collect();
        let lake = Self { files, places };
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

    /// The files that the manifest does not know.
    pub(super) fn new_files(&self, manifest: Option<&Manifest>) -> Vec<FileEntry> {
        let known = manifest.map_or(&[][..], |manifest| &manifest.files);
        let known: HashSet<&str> = known.iter().map(|known| known.name.as_str()).collect();
        let new = self.files.iter().filter(|(entry, _)| !known.contains(entry.name.as_str()));
        new.map(|(entry, _)| entry.clone()).collect()
    }

    /// Where a file lies.
    pub(super) fn path(&self, entry: &FileEntry) -> &Path {
        self.places.get(&entry.name).map_or(Path::new(""), |place| &self.files[*place].1)
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
        let mut first: Option<(Format, TimeKind, PathBuf)> = None;
        let mut whole = vec![];
        for entry in files {
            let path = self.path(entry);
            let (format, kind) = match open(path, &job.columns) {
                Err(error) if job.on_corrupt == OnCorrupt::Skip && is_corrupt(&error) => continue,
                opened => opened?,
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
    let steps = decoder.schema() == schema::series(TimeKind::Step);
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
