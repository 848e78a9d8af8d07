//! The output of one unit: two files that get their names when the unit ends.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use unspool_ingest::Reject;

use super::{
    error::{Error, Result},
    manifest::{Manifest, PartEntry},
};
use crate::sink::{Writer, problem, rejects, sync_folder};

/// The folder of rejects in the output's folder.
pub(super) const REJECTS: &str = "_rejects";

/// A file that is begun with its first rows.
struct Draft {
    path: PathBuf,
    schema: SchemaRef,
    metadata: Vec<(String, String)>,
    writer: Option<Writer>,
    rows: u64,
}

/// The output of the unit at hand.
pub(super) struct Part {
    name: String,
    rows: Draft,
    rejects: Draft,
}

impl Part {
    /// Nothing yet.
    pub(super) fn new(dir: &Path, unit: u64, (schema, metadata): (&SchemaRef, &[(String, String)])) -> Self {
        let name = name(unit);
        Self {
            rows: Draft::new(dir.join(&name), schema, metadata),
            rejects: Draft::new(dir.join(REJECTS).join(&name), &rejects::SCHEMA, &[]),
            name,
        }
    }

    /// Adds rows.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn write(&mut self, rows: RecordBatch) -> Result<()> {
        self.rows.write(rows)
    }

    /// Adds rejects.
    ///
    /// # Errors
    /// As [`Part::write`].
    pub(super) fn write_rejects(&mut self, all: &[Reject]) -> Result<()> {
        self.rejects.write(rejects::rows(all)?)
    }

    /// Ends both files and gives them their names, the rejects first. `None`: there is neither.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn publish(self) -> Result<Option<PartEntry>> {
        let (rows, rejects) = (self.rows.rows, self.rejects.rows);
        self.rejects.publish()?;
        self.rows.publish()?;
        Ok((rows + rejects > 0).then_some(PartEntry { name: self.name, rows, rejects }))
    }
}

impl Draft {
    fn new(path: PathBuf, schema: &SchemaRef, metadata: &[(String, String)]) -> Self {
        Self { path, schema: SchemaRef::clone(schema), metadata: metadata.to_vec(), writer: None, rows: 0 }
    }

    /// Its name while it is written: readers of data sets leave it out.
    fn partial(&self) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        self.path.with_file_name(format!("_{name}.partial"))
    }

    fn write(&mut self, rows: RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        self.rows += rows.num_rows() as u64;
        let path = self.partial();
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => {
                let file = File::create(&path).map_err(|source| Error::io(&path, &source))?;
                let writer = Writer::new(file, &self.schema, &self.metadata).map_err(|error| failed(&path, error))?;
                self.writer.insert(writer)
            }
        };
        writer.write(rows).map_err(|error| failed(&path, error))
    }

    fn publish(mut self) -> Result<()> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let partial = self.partial();
        let file = writer.close().map_err(|error| failed(&partial, error))?;
        let named =
            file.sync_all().and_then(|()| fs::rename(&partial, &self.path)).and_then(|()| sync_folder(&self.path));
        named.map_err(|source| Error::io(&self.path, &source))
    }
}

/// Refuses a folder without a manifest that holds what no batch job wrote.
///
/// # Errors
/// When it does, or it cannot be read.
pub(super) fn refuse_foreign(dir: &Path) -> Result<()> {
    let names = match fs::read_dir(dir) {
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => {
            entries.and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>, _>>())
        }
    };
    let names = names.map_err(|source| Error::io(dir, &source))?;
    let foreign = names.iter().map(|name| name.to_string_lossy()).filter(|name| !name.starts_with('_')).min();
    let Some(name) = foreign else { return Ok(()) };
    let problem = format!("{} is there, but no _manifest.json: name an empty folder", dir.join(&*name).display());
    Err(Error::Settings(format!("output.dir: {problem}")))
}

/// Makes the folders, and removes what a killed run left that the manifest does not name.
///
/// # Errors
/// When the disk refuses.
pub(super) fn tidy(dir: &Path, manifest: Option<&Manifest>) -> Result<()> {
    for folder in [dir, &dir.join(REJECTS), &dir.join(super::states::FOLDER)] {
        fs::create_dir_all(folder).map_err(|source| Error::io(folder, &source))?;
    }
    let named = |name: &str| {
        manifest.is_some_and(|manifest| {
            manifest.parts.iter().any(|part| part.name == name)
                || manifest.segments.iter().any(|segment| segment.name == name)
        })
    };
    for folder in [dir, &dir.join(REJECTS), &dir.join(super::states::FOLDER)] {
        for entry in fs::read_dir(folder).map_err(|source| Error::io(folder, &source))? {
            let path = entry.map_err(|source| Error::io(folder, &source))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let ours = name.ends_with(".partial") || is_part(&name) || name.ends_with(".states");
            if ours && !named(&name) && path.is_file() {
                fs::remove_file(&path).map_err(|source| Error::io(&path, &source))?;
            }
        }
    }
    Ok(())
}

fn name(unit: u64) -> String {
    format!("part-{unit:08}.parquet")
}

/// Whether a name is one that [`name`] gives.
fn is_part(found: &str) -> bool {
    let number = found.strip_prefix("part-").and_then(|rest| rest.strip_suffix(".parquet"));
    number.and_then(|number| number.parse().ok()).is_some_and(|unit| name(unit) == found)
}

fn failed(path: &Path, error: parquet::errors::ParquetError) -> Error {
    crate::Error::Output { path: path.into(), problem: problem(error) }.into()
}
