//! Scores of variants as VCF text.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{Float32Type, Float64Type, SchemaRef, UInt32Type, UInt64Type},
};

/// The INFO fields: name, column, type, and what the header says of them.
const FIELDS: [(&str, &str, &str, &str); 7] = [
    ("UNSPOOL_LLR", "score", "Float", "ln p(ALT) - ln p(REF), mean of both strands"),
    ("UNSPOOL_LLR_FORWARD", "score_forward", "Float", "ln p(ALT) - ln p(REF) on the forward strand"),
    ("UNSPOOL_LLR_REVERSE", "score_reverse", "Float", "ln p(ALT) - ln p(REF) on the reverse strand"),
    ("UNSPOOL_WINDOW_FORWARD", "window_forward", "Integer", "Bases of each allele compared, forward"),
    ("UNSPOOL_WINDOW_REVERSE", "window_reverse", "Integer", "Bases of each allele compared, reverse"),
    ("UNSPOOL_CONTEXT_FORWARD", "context_forward", "Integer", "Bases read before them, forward"),
    ("UNSPOOL_CONTEXT_REVERSE", "context_reverse", "Integer", "Bases read before them, reverse"),
];

/// A VCF file being written: one line an alternative, without samples. Of the input's INFO nothing is kept.
pub(super) struct Writer(BufWriter<File>);

impl Writer {
    /// Starts a file; metadata become header lines.
    ///
    /// # Errors
    /// When the rows are not scores of variants, or the file cannot be written.
    pub(super) fn new(file: File, schema: &SchemaRef, metadata: &[(String, String)]) -> Result<Self, String> {
        if FIELDS.iter().any(|(_, column, ..)| schema.field_with_name(column).is_err()) {
            return Err("VCF holds scores of variants only: name a .parquet file".into());
        }
        let mut writer = Self(BufWriter::new(file));
        writer.header(metadata).map_err(|error| error.to_string())?;
        Ok(writer)
    }

    fn header(&mut self, metadata: &[(String, String)]) -> io::Result<()> {
        writeln!(self.0, "##fileformat=VCFv4.3")?;
        for (key, value) in metadata {
            writeln!(self.0, "##{key}={}", value.replace(['\n', '\r'], " "))?;
        }
        for (name, _, kind, description) in FIELDS {
            writeln!(self.0, "##INFO=<ID={name},Number=1,Type={kind},Description=\"{description}\">")?;
        }
        writeln!(self.0, "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO")
    }

    /// Appends rows.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn write(&mut self, rows: &RecordBatch) -> io::Result<()> {
        (0..rows.num_rows()).try_for_each(|row| self.line(rows, row))
    }

    fn line(&mut self, rows: &RecordBatch, row: usize) -> io::Result<()> {
        let text = |column: &str| {
            let column = rows[column].as_string::<i32>();
            if column.is_valid(row) { column.value(row) } else { "." }
        };
        let position = rows["position"].as_primitive::<UInt64Type>().value(row) + 1;
        let [contig, id, reference, alternative] = ["contig", "id", "reference", "alternative"].map(text);
        write!(self.0, "{contig}\t{position}\t{id}\t{reference}\t{alternative}\t")?;
        let quality = rows["quality"].as_primitive::<Float32Type>();
        match quality.is_valid(row) {
            true => write!(self.0, "{}\t", quality.value(row))?,
            false => write!(self.0, ".\t")?,
        }
        let filter = rows["filter"].as_list::<i32>();
        let names = filter.value(row);
        let names: Vec<&str> = names.as_string::<i32>().iter().flatten().collect();
        let none = filter.is_null(row) || names.is_empty();
        write!(self.0, "{}\t", if none { ".".into() } else { names.join(";") })?;
        for (i, (name, column, kind, _)) in FIELDS.iter().enumerate() {
            let before = if i > 0 { ";" } else { "" };
            match *kind {
                "Float" => {
                    let value = rows[*column].as_primitive::<Float64Type>().value(row);
                    write!(self.0, "{before}{name}={value:.6}")?;
                }
                _ => write!(self.0, "{before}{name}={}", rows[*column].as_primitive::<UInt32Type>().value(row))?,
            }
        }
        writeln!(self.0)
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn close(self) -> io::Result<File> {
        self.0.into_inner().map_err(io::IntoInnerError::into_error)
    }
}
