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

struct Line {
    contig: String,
    start: u64,
    end: u64,
    value: Decimal,
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
            let value = Decimal::of(values.value(row));
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
        let (mut first, mut second) = (itoa::Buffer::new(), itoa::Buffer::new());
        for part in [contig.as_str(), "\t", first.format(start), "\t", second.format(end), "\t"] {
            self.file.write_all(part.as_bytes())?;
        }
        value.write(&mut self.file)?;
        self.file.write_all(b"\n")
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

/// A value of four decimals.
#[derive(Debug, PartialEq)]
enum Decimal {
    /// Ten thousandths.
    Scaled { negative: bool, value: u64 },
    /// What is not finite, or too large for that.
    Text(String),
}

impl Decimal {
    /// The nearest to a value, with an even last digit of two that are as near: as `{:.4}` has it.
    fn of(value: f32) -> Self {
        // Exact: 24 bits times 14.
        let scaled = f64::from(value.abs()) * 1e4;
        if scaled < 1e15 {
            Self::Scaled { negative: value.is_sign_negative(), value: scaled.round_ties_even() as u64 }
        } else {
            Self::Text(format!("{value:.4}"))
        }
    }

    fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let (negative, value) = match self {
            Self::Scaled { negative, value } => (*negative, *value),
            Self::Text(text) => return to.write_all(text.as_bytes()),
        };
        let sign = if negative { "-" } else { "" };
        to.write_all(sign.as_bytes())?;
        to.write_all(itoa::Buffer::new().format(value / 10_000).as_bytes())?;
        let digit = |unit: u64| b'0' + (value / unit % 10) as u8;
        to.write_all(&[b'.', digit(1000), digit(100), digit(10), digit(1)])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(value: f32) {
        let mut text = vec![];
        Decimal::of(value).write(&mut text).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), format!("{value:.4}"), "{value:e}");
    }

    #[test]
    fn decimals_of_edges() {
        // Of 0.03125 and its like two decimals are as near.
        let ties = (0..64).map(|odd| (2 * odd + 1) as f32 / 32.0);
        let edges = [0.0, -0.0, 0.00005, 9.99995, 1e9, 1e12, 1e38, f32::INFINITY, f32::NAN, f32::MIN_POSITIVE];
        ties.chain(edges).flat_map(|value| [value, -value]).for_each(check);
    }

    proptest! {
        #[test]
        fn decimals_are_rounded_as_by_the_formatter(bits: u32, small in -20f32..20.0) {
            check(f32::from_bits(bits));
            check(small);
        }
    }
}
