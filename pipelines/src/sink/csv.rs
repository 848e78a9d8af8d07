//! Rows as CSV text to any writer: for standard output.

use std::{
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use arrow::{
    array::RecordBatch,
    csv::{Writer, WriterBuilder},
    datatypes::SchemaRef,
    error::ArrowError,
};
use async_trait::async_trait;
use unspool_ingest::{CommitToken, Position, Reject};

use super::refusal;
use crate::{Error, Result, Sink};

/// How instants are written: ISO 8601 to the second, with a fraction where there is one.
const TIME_FORMAT: &str = "%Y-%m-%dT%H:%M:%S%.f";

/// A CSV writer with a heading.
pub(super) fn writer<W: Write>(to: W) -> Writer<W> {
    WriterBuilder::new().with_header(true).with_timestamp_format(TIME_FORMAT.into()).build(to)
}

/// A [`Sink`] that writes rows as CSV as soon as they are committed. Rejects are not written: the pipeline's summary
/// counts them.
pub struct CsvSink<W: Write + Send> {
    schema: SchemaRef,
    writer: Writer<W>,
    name: PathBuf,
}

impl<W: Write + Send> CsvSink<W> {
    /// A sink into `to`, which errors call `name`.
    ///
    /// # Errors
    /// When the heading cannot be written.
    pub fn new(to: W, name: &Path, schema: SchemaRef) -> Result<Self> {
        let mut sink = Self { schema: schema.clone(), writer: writer(to), name: name.to_owned() };
        sink.write(&RecordBatch::new_empty(schema))?;
        Ok(sink)
    }

    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        match self.writer.write(rows) {
            Err(ArrowError::IoError(_, source)) if source.kind() == ErrorKind::BrokenPipe => Err(Error::OutputClosed),
            Err(ArrowError::IoError(_, source)) => self.fail(refusal(&source)),
            Err(source) => self.fail(source.to_string()),
            Ok(()) => Ok(()),
        }
    }

    fn fail(&self, problem: String) -> Result<()> {
        Err(Error::Output { path: self.name.clone(), problem })
    }
}

#[async_trait]
impl<W: Write + Send> Sink for CsvSink<W> {
    async fn commit(
        &mut self,
        rows: RecordBatch,
        _rejects: Vec<Reject>,
        _position: Option<Position>,
        _token: CommitToken,
    ) -> Result<()> {
        if rows.schema() != self.schema {
            return Err(Error::Rows("rows of another schema than the sink's".into()));
        }
        self.write(&rows)
    }

    async fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}
