//! Reading what a job wrote, and what it read.

use std::{
    collections::HashSet,
    fs::File,
    path::{Path, PathBuf},
};

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::SchemaRef,
};
use futures::executor::block_on;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use unspool_ingest::{
    Source,
    tables::{self, Layout, SeriesOptions},
};
use unspool_pipelines::batch::{Manifest, RunEntry};

use crate::error::{Error, Result};

/// A job's files.
pub(crate) struct Parts<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) manifest: &'a Manifest,
}

/// The files that a job read.
pub(super) struct Inputs {
    paths: Vec<PathBuf>,
    options: SeriesOptions,
}

impl Parts<'_> {
    /// Hands over the output's rows, oldest first.
    ///
    /// # Errors
    /// When a file cannot be read, or what takes the rows refuses them.
    pub(crate) fn each(&self, take: &mut dyn FnMut(&RecordBatch) -> Result<()>) -> Result<()> {
        self.manifest.parts.iter().try_for_each(|part| rows(&self.dir.join(&part.name), take))
    }

    /// Hands over the rejects: `place`, `reason`, `payload`.
    pub(super) fn rejects(&self, take: &mut dyn FnMut(&RecordBatch) -> Result<()>) -> Result<()> {
        self.manifest.rejects.iter().try_for_each(|part| rows(&self.dir.join(&part.name), take))
    }

    /// The first ids in the output.
    pub(super) fn first_ids(&self, most: usize) -> Result<Vec<String>> {
        let (mut ids, mut seen) = (vec![], HashSet::new());
        for part in &self.manifest.parts {
            rows(&self.dir.join(&part.name), &mut |rows| {
                for id in rows["id"].as_string::<i32>().iter().flatten() {
                    if ids.len() < most && seen.insert(id.to_owned()) {
                        ids.push(id.to_owned());
                    }
                }
                Ok(())
            })?;
            if ids.len() >= most {
                break;
            }
        }
        Ok(ids)
    }

    /// The output's columns; `None` without any output.
    pub(super) fn schema(&self) -> Result<Option<SchemaRef>> {
        let first = self.manifest.parts.first();
        first.map(|part| Ok(reader(&self.dir.join(&part.name))?.schema().clone())).transpose()
    }

    /// The levels of the output's quantiles.
    ///
    /// # Errors
    /// When the first file cannot be read.
    pub(crate) fn levels(&self) -> Result<Vec<f64>> {
        let Some(schema) = self.schema()? else { return Ok(vec![]) };
        let percents = schema.fields().iter().filter_map(|field| field.name().strip_prefix('q')?.parse::<f64>().ok());
        Ok(percents.map(|percent| percent / 100.0).collect())
    }

    /// The inputs, if all of them are where the job read them.
    pub(super) fn inputs(&self) -> Option<Inputs> {
        let folder = RunEntry::all(self.dir).last()?.folder.clone();
        let paths: Vec<PathBuf> =
            self.manifest.files[..self.manifest.done].iter().map(|file| folder.join(&file.name)).collect();
        let of = |key: &str| self.manifest.identity.get(key).filter(|text| *text != "by convention");
        let values = of("value columns").map_or(vec![], |names| names.split(", ").map(str::to_owned).collect());
        let lists = of("layout").is_some_and(|layout| layout == "list");
        let options = SeriesOptions {
            id: of("id column").cloned(),
            time: of("time column").cloned(),
            values,
            layout: if lists { Layout::List } else { Layout::Long },
            ..SeriesOptions::default()
        };
        paths.iter().all(|path| path.is_file()).then_some(Inputs { paths, options })
    }
}

impl Inputs {
    /// Hands over the inputs' rows.
    pub(super) fn each(&self, take: &mut dyn FnMut(&RecordBatch) -> Result<()>) -> Result<()> {
        for path in &self.paths {
            let mut source = match tables::open(std::slice::from_ref(path), &self.options) {
                // The job has left it out, too.
                Err(unspool_ingest::Error::Invalid { .. }) => continue,
                source => source?,
            };
            loop {
                match block_on(source.next()) {
                    Ok(Some(batch)) => take(&batch.rows)?,
                    Ok(None) | Err(unspool_ingest::Error::Invalid { .. }) => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }
}

fn reader(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>> {
    let file = File::open(path).map_err(|source| Error::Io { path: path.into(), source })?;
    let failed = |error: parquet::errors::ParquetError| Error::Usage(format!("{}: {error}", path.display()));
    ParquetRecordBatchReaderBuilder::try_new(file).map_err(failed)
}

/// Hands over a Parquet file's rows.
///
/// # Errors
/// When it cannot be read, or what takes the rows refuses them.
pub(crate) fn rows(path: &Path, take: &mut dyn FnMut(&RecordBatch) -> Result<()>) -> Result<()> {
    let failed = |error: &dyn std::fmt::Display| Error::Usage(format!("{}: {error}", path.display()));
    let reader = reader(path)?.build().map_err(|error| failed(&error))?;
    for rows in reader {
        take(&rows.map_err(|error| failed(&error))?)?;
    }
    Ok(())
}
