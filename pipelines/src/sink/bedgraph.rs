//! Tracks as bedGraph text.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
};

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::{DataType, Float32Type, SchemaRef, UInt64Type},
};

/// A bedGraph file being written: contig, start, end (0-based, half-open) and a value of four decimals; neighbours of the
/// same value share a line.
pub(super) struct Writer {
    file: BufWriter<File>,
    /// The line that may still grow.
    last: Option<Line>,
}

#[derive(PartialEq)]
struct Line {
    contig: String,
    start: u64,
    end: u64,
    value: String,
}

impl Writer {
    /// Starts a file.
    ///
    /// # Errors
    /// When the rows are no track.
    pub(super) fn new(file: File, schema: &SchemaRef) -> Result<Self, String> {
        let columns: Vec<_> = schema.fields().iter().map(|field| field.data_type()).collect();
        if columns != [&DataType::Utf8, &DataType::UInt64, &DataType::UInt64, &DataType::Float32] {
            return Err("bedGraph holds tracks only (`unspool score --track`): name a .parquet file".into());
        }
        Ok(Self { file: BufWriter::new(file), last: None })
    }

    /// Appends rows: contig, start, end and value, whatever they are called.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn write(&mut self, rows: &RecordBatch) -> io::Result<()> {
        let contigs = rows.column(0).as_string::<i32>();
        let [starts, ends] = [1, 2].map(|i| rows.column(i).as_primitive::<UInt64Type>());
        let values = rows.column(3).as_primitive::<Float32Type>();
        for row in 0..rows.num_rows() {
            let (contig, start, end) = (contigs.value(row), starts.value(row), ends.value(row));
            let value = format!("{:.4}", values.value(row));
            match &mut self.last {
                Some(last) if last.contig == contig && last.end == start && last.value == value => last.end = end,
                _ => {
                    self.flush_line()?;
                    self.last = Some(Line { contig: contig.to_owned(), start, end, value });
                }
            }
        }
        Ok(())
    }

    fn flush_line(&mut self) -> io::Result<()> {
        let Some(Line { contig, start, end, value }) = self.last.take() else { return Ok(()) };
        writeln!(self.file, "{contig}\t{start}\t{end}\t{value}")
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn close(mut self) -> io::Result<File> {
        self.flush_line()?;
        self.file.into_inner().map_err(io::IntoInnerError::into_error)
    }
}
