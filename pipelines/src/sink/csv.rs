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

/// A [`Sink`] that writes rows as CSV as soon as they are committed, and each reject as a line (`rejected: place: reason`)
/// to a writer of their own.
///
/// Text that has been written cannot be taken back, so this sink alone cannot promise that a commit which fails leaves
/// nothing: it is for people and pipes, files have [`super::FileSink`].
pub struct CsvSink<W: Write + Send, R: Write + Send> {
    schema: SchemaRef,
    writer: Writer<W>,
    rejects: R,
    name: PathBuf,
}

impl<W: Write + Send, R: Write + Send> CsvSink<W, R> {
    /// A sink of rows into `to`, which errors call `name`, and of rejects into `rejects`.
    ///
    /// # Errors
    /// When the heading cannot be written.
    pub fn new((to, rejects): (W, R), name: &Path, schema: SchemaRef) -> Result<Self> {
        let mut sink = Self { schema: schema.clone(), writer: writer(to), rejects, name: name.to_owned() };
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
impl<W: Write + Send, R: Write + Send> Sink for CsvSink<W, R> {
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
        self.write(&rows)?;
        for Reject { place, reason, .. } in rejects {
            if let Err(source) = writeln!(self.rejects, "rejected: {place}: {reason}") {
                return self.fail(format!("its rejects: {}", refusal(&source)));
            }
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;
    use crate::sink::conformance;

    #[tokio::test]
    async fn rows_and_rejects_are_text() {
        let names: ArrayRef = Arc::new(StringArray::from(vec![Some("a,b"), None]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let rows = RecordBatch::try_new(conformance::schema(), vec![names, numbers]).unwrap();
        let reject = Reject { place: "row 3".into(), reason: "it is odd".into(), payload: vec![0] };
        let (mut text, mut rejected) = (vec![], vec![]);
        let mut sink = CsvSink::new((&mut text, &mut rejected), Path::new("text"), conformance::schema()).unwrap();
        sink.commit(rows, vec![reject], None, CommitToken::default()).await.unwrap();
        sink.finish().await.unwrap();
        drop(sink);
        assert_eq!(String::from_utf8(text).unwrap(), "name,number\n\"a,b\",1\n,2\n");
        assert_eq!(String::from_utf8(rejected).unwrap(), "rejected: row 3: it is odd\n");
    }
}
