//! Rows into a file that appears whole or not at all.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use arrow::{array::RecordBatch, datatypes::SchemaRef, error::ArrowError};
use async_trait::async_trait;
use parquet::errors::ParquetError;
use tempfile::{NamedTempFile, TempPath};
use unspool_ingest::{CommitToken, Position, Reject};

use super::{bedgraph, csv, parquet::Writer, refusal, rejects, vcf};
use crate::{Error, Result, Sink};

/// Where a [`FileSink`] writes.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The output: CSV if its name ends in `.csv`, VCF (`.vcf`, scores of variants), bedGraph (`.bedgraph`, `.bg`, tracks),
    /// else Parquet.
    pub path: PathBuf,
    /// Replace a file of that name.
    pub overwrite: bool,
    /// Key-value metadata of a Parquet file.
    pub metadata: Vec<(String, String)>,
}

impl Destination {
    /// Where the rejects go, if there are any: `out.parquet` → `out.rejects.parquet`.
    #[must_use]
    pub fn rejects(&self) -> PathBuf {
        self.path.with_extension("rejects.parquet")
    }
}

/// A [`Sink`] into a file of one of the formats of [`Destination`], with its rejects in a Parquet file beside it.
///
/// Everything is written under temporary names in the output's folder; [`Sink::finish`] flushes both files to the disk and
/// gives them their names, the output last. A sink that is dropped before that removes the temporary files; so an
/// output that exists is complete.
pub struct FileSink {
    destination: Destination,
    schema: SchemaRef,
    /// Absent after `finish`, and after an error.
    writers: Option<Writers>,
    /// Names of the temporary files (output, rejects): dropping them removes the files.
    temporary: Option<(TempPath, TempPath)>,
}

/// The open files; they move to a thread for blocking work and back.
struct Writers {
    rows: Encoder,
    rejects: Writer,
    reject_count: usize,
}

enum Encoder {
    Parquet(Box<Writer>),
    Csv(Box<arrow::csv::Writer<File>>),
    Vcf(vcf::Writer),
    BedGraph(bedgraph::Writer),
}

impl Encoder {
    /// The writer of the format that the output's name says.
    ///
    /// # Errors
    /// When it cannot hold the schema, or the file cannot be written.
    fn new(file: File, schema: &SchemaRef, destination: &Destination) -> Result<Self, String> {
        let extension = destination.path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
        match extension.as_deref() {
            Some("csv") if schema.fields().iter().any(|field| field.data_type().is_nested()) => {
                Err("CSV cannot hold embeddings: name a .parquet file".into())
            }
            Some("csv") => Ok(Self::Csv(Box::new(csv::writer(file)))),
            Some("vcf") => Ok(Self::Vcf(vcf::Writer::new(file, schema, &destination.metadata)?)),
            Some("bedgraph" | "bg") => Ok(Self::BedGraph(bedgraph::Writer::new(file, schema)?)),
            _ => {
                let writer = Writer::new(file, schema, &destination.metadata);
                Ok(Self::Parquet(Box::new(writer.map_err(problem)?)))
            }
        }
    }
}

impl FileSink {
    /// Makes the temporary files.
    ///
    /// # Errors
    /// When the output exists and is not to be replaced, its folder is missing or cannot be written, or the format
    /// cannot hold the schema.
    pub fn create(destination: Destination, schema: SchemaRef) -> Result<Self> {
        let fail = |problem| Error::Output { path: destination.path.clone(), problem };
        for path in [destination.path.clone(), destination.rejects()] {
            if path.is_dir() {
                return Err(Error::Output { path, problem: "it is a folder: name a file".into() });
            }
            if path.exists() && !destination.overwrite {
                return Err(Error::Output { path, problem: "it exists: choose another name, or --overwrite".into() });
            }
        }
        let (rows_file, rows_path) = temporary(&destination.path)?.into_parts();
        let (rejects_file, rejects_path) = temporary(&destination.rejects())?.into_parts();
        let rows = Encoder::new(rows_file, &schema, &destination).map_err(fail)?;
        let rejects = Writer::new(rejects_file, &rejects::SCHEMA, &[]).map_err(|error| fail(problem(error)))?;
        let writers = Some(Writers { rows, rejects, reject_count: 0 });
        Ok(Self { destination, schema, writers, temporary: Some((rows_path, rejects_path)) })
    }

    /// Runs blocking work on the writers; a failure leaves none behind.
    async fn blocking<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(Writers) -> Result<T, ParquetError> + Send + 'static,
    ) -> Result<T> {
        let path = &self.destination.path;
        let fail = |problem| Error::Output { path: path.clone(), problem };
        let writers = self.writers.take().ok_or_else(|| fail("an earlier write failed".into()))?;
        let done = tokio::task::spawn_blocking(move || work(writers)).await.map_err(|_| Error::WorkerGone)?;
        done.map_err(|error| fail(problem(error)))
    }

    /// Gives the files their names: the rejects first, so that an output that exists is never without them.
    fn publish(&mut self, reject_count: usize) -> Result<()> {
        let Some((rows, rejects)) = self.temporary.take() else { return Ok(()) };
        let Destination { path, overwrite, .. } = &self.destination;
        let rejects_path = self.destination.rejects();
        if reject_count > 0 {
            rename(rejects, &rejects_path, *overwrite)?;
        }
        if let Err(error) = rename(rows, path, *overwrite) {
            if reject_count > 0 {
                remove(&rejects_path)?;
            }
            return Err(error);
        }
        if reject_count == 0 && *overwrite {
            // Those of an earlier run would be taken for this one's.
            remove(&rejects_path)?;
        }
        sync_folder(path).map_err(|source| Error::Output { path: path.to_owned(), problem: refusal(&source) })
    }
}

#[async_trait]
impl Sink for FileSink {
    async fn commit(
        &mut self,
        rows: RecordBatch,
        rejects: Vec<Reject>,
        _position: Option<Position>,
        _token: CommitToken,
    ) -> Result<()> {
        if rows.schema() != self.schema {
            return Err(Error::Rows("rows of another schema than the sink's".into()));
        }
        let written = self.blocking(move |mut writers| {
            writers.write(rows, &rejects)?;
            Ok(writers)
        });
        self.writers = Some(written.await?);
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        let reject_count = self.blocking(Writers::close).await?;
        self.publish(reject_count)
    }
}

impl Writers {
    fn write(&mut self, rows: RecordBatch, rejects: &[Reject]) -> Result<(), ParquetError> {
        match &mut self.rows {
            Encoder::Parquet(writer) => writer.write(rows)?,
            Encoder::Csv(writer) => writer.write(&rows)?,
            Encoder::Vcf(writer) => writer.write(&rows)?,
            Encoder::BedGraph(writer) => writer.write(&rows)?,
        }
        if !rejects.is_empty() {
            self.rejects.write(rejects::rows(rejects)?)?;
            self.reject_count += rejects.len();
        }
        Ok(())
    }

    /// Ends both files and flushes them to the disk; returns the number of rejects.
    fn close(self) -> Result<usize, ParquetError> {
        let rows = match self.rows {
            Encoder::Parquet(writer) => writer.close()?,
            Encoder::Csv(writer) => writer.into_inner(),
            Encoder::Vcf(writer) => writer.close()?,
            Encoder::BedGraph(writer) => writer.close()?,
        };
        rows.sync_all()?;
        self.rejects.close()?.sync_all()?;
        Ok(self.reject_count)
    }
}

/// A temporary file beside `path`, readable as any file that this user makes.
fn temporary(path: &Path) -> Result<NamedTempFile> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let prefix = format!("{name}.");
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(".partial");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let folder = folder(path);
    builder.tempfile_in(folder).map_err(|source| {
        let problem = match source.kind() {
            io::ErrorKind::NotFound => format!("the folder {} does not exist: make it first", folder.display()),
            _ => refusal(&source),
        };
        Error::Output { path: path.to_owned(), problem }
    })
}

fn rename(from: TempPath, to: &Path, overwrite: bool) -> Result<()> {
    let renamed = if overwrite { from.persist(to) } else { from.persist_noclobber(to) };
    renamed.map_err(|error| Error::Output { path: to.to_owned(), problem: refusal(&error.error) })
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Error::Output { path: path.to_owned(), problem: refusal(&source) })
        }
        _ => Ok(()),
    }
}

/// Makes the new name of a file or folder durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// What the operating system said, without the wrapping of other crates where it can be found.
pub(crate) fn problem(error: ParquetError) -> String {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return refusal(error);
        }
        if let Some(ArrowError::IoError(_, error)) = error.downcast_ref::<ArrowError>() {
            return refusal(error);
        }
        source = error.source();
    }
    error.to_string()
}

#[cfg(test)]
mod tests;
