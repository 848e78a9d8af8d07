//! The output of one unit: files that get their names when the unit ends.
//!
//! ```text
//! DIR/part-00000003.parquet                 without partitions
//! DIR/region=north/part-00000003.parquet    one for each value, where the output is partitioned
//! DIR/_rejects/part-00000003.parquet
//! ```

mod partition;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fs::{self, File},
    path::{Path, PathBuf},
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use unspool_ingest::Reject;

use self::partition::Partition;
use super::{
    BatchJob, book,
    error::{Error, Result},
    manifest::{Manifest, PartEntry},
};
use crate::sink::{Writer, problem, rejects, sync_folder};

/// The folder of rejects in the output's folder.
pub(super) const REJECTS: &str = "_rejects";
/// Partitions of one unit, at most: each has a file open.
const MOST_PARTITIONS: usize = 1000;

/// A file that is begun with its first rows.
struct Draft {
    path: PathBuf,
    schema: SchemaRef,
    metadata: Vec<(String, String)>,
    row_group_rows: Option<usize>,
    writer: Option<Writer>,
    rows: u64,
}

/// The output of the unit at hand.
pub(super) struct Part {
    dir: PathBuf,
    name: String,
    partition: Partition,
    metadata: Vec<(String, String)>,
    row_group_rows: Option<usize>,
    /// By their folders.
    rows: BTreeMap<String, Draft>,
    rejects: Draft,
}

impl Part {
    /// Nothing yet; the output has rows of this schema, of which the partitions' columns go into the folders' names.
    ///
    /// # Errors
    /// When there is no such column.
    pub(super) fn new(job: &BatchJob, unit: u64, schema: &SchemaRef) -> Result<Self> {
        let (dir, name) = (job.output.clone(), name(unit));
        let rejects = Draft {
            path: dir.join(REJECTS).join(&name),
            schema: SchemaRef::clone(&rejects::SCHEMA),
            metadata: vec![],
            row_group_rows: None,
            writer: None,
            rows: 0,
        };
        let partition = Partition::new(schema, &job.partition_by)?;
        let (metadata, row_group_rows) = (job.metadata.clone(), job.row_group_rows);
        Ok(Self { dir, name, partition, metadata, row_group_rows, rows: BTreeMap::new(), rejects })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// When the disk refuses, or there are too many partitions.
    pub(super) fn write(&mut self, rows: RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        for (folder, rows) in self.partition.split(rows)? {
            let full = self.rows.len() >= MOST_PARTITIONS;
            let draft = match self.rows.entry(folder) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(_) if full => {
                    return Err(Error::Settings(format!(
                        "output.partition_by: more than {MOST_PARTITIONS} partitions in one unit: choose a column with fewer values"
                    )));
                }
                Entry::Vacant(entry) => {
                    let dir = self.dir.join(entry.key());
                    fs::create_dir_all(&dir).map_err(|source| Error::io(&dir, &source))?;
                    entry.insert(Draft {
                        path: dir.join(&self.name),
                        schema: self.partition.schema(),
                        metadata: self.metadata.clone(),
                        row_group_rows: self.row_group_rows,
                        writer: None,
                        rows: 0,
                    })
                }
            };
            draft.write(rows)?;
        }
        Ok(())
    }

    /// Adds rejects.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn write_rejects(&mut self, all: &[Reject]) -> Result<()> {
        if all.is_empty() { Ok(()) } else { self.rejects.write(rejects::rows(all)?) }
    }

    /// Gives the files their names: those of the output, and that of the rejects.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn publish(self) -> Result<(Vec<PartEntry>, Option<PartEntry>)> {
        let mut parts = vec![];
        for (folder, draft) in self.rows {
            let name = if folder.is_empty() { self.name.clone() } else { format!("{folder}/{}", self.name) };
            parts.push(PartEntry { name, rows: draft.rows });
            draft.publish()?;
        }
        let rejects = PartEntry { name: format!("{REJECTS}/{}", self.name), rows: self.rejects.rows };
        self.rejects.publish()?;
        Ok((parts, Some(rejects).filter(|rejects| rejects.rows > 0)))
    }
}

impl Draft {
    /// Its name while it is written: readers of data sets leave it out.
    fn partial(&self) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        self.path.with_file_name(format!("_{name}.partial"))
    }

    fn write(&mut self, rows: RecordBatch) -> Result<()> {
        self.rows += rows.num_rows() as u64;
        let path = self.partial();
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => {
                let file = File::create(&path).map_err(|source| Error::io(&path, &source))?;
                let writer = Writer::with_row_groups(file, &self.schema, (&self.metadata, self.row_group_rows));
                self.writer.insert(writer.map_err(|error| failed(&path, error))?)
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
    for folder in [dir, &dir.join(REJECTS), &dir.join(super::segment::FOLDER)] {
        fs::create_dir_all(folder).map_err(|source| Error::io(folder, &source))?;
    }
    let mut named: std::collections::HashSet<PathBuf> = std::collections::HashSet::new();
    if let Some(manifest) = manifest {
        named.extend(manifest.parts.iter().chain(&manifest.rejects).map(|part| dir.join(&part.name)));
        let segment = |unit| dir.join(super::segment::FOLDER).join(book::name(unit));
        named.extend(manifest.segments.iter().map(|entry| segment(entry.unit)));
    }
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|source| Error::io(&folder, &source))? {
            let path = entry.map_err(|source| Error::io(&folder, &source))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && (name.contains('=') || [REJECTS, super::segment::FOLDER].contains(&&*name)) {
                folders.push(path);
                continue;
            }
            let ours = name.ends_with(".partial") || is_part(&name) || name.ends_with(".states");
            if ours && !named.contains(&path) && path.is_file() {
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
