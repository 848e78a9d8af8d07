//! Tracks as bedGraph text.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    num::NonZero,
    ops::Range,
    panic::resume_unwind,
    thread,
};

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::{DataType, Float32Type, SchemaRef, UInt64Type},
};

/// Rows that are worth a thread.
const TOGETHER: usize = 1 << 16;

/// A bedGraph file being written: contig, start, end (0-based, half-open) and a value of four decimals; neighbours of the
/// same value share a line.
pub(super) struct Writer {
    file: BufWriter<File>,
    /// The line that may still grow, and its contig.
    last: Option<(String, Line)>,
}

/// A line but for its contig.
struct Line {
    start: u64,
    end: u64,
    value: Decimal,
}

/// The lines of some rows of one contig.
struct Lines<'a> {
    contig: &'a str,
    /// It may belong to the line before it.
    first: Line,
    /// Those after it but the last.
    text: Vec<u8>,
    /// It may still grow.
    last: Option<Line>,
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
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        self.write_by(rows, rows.num_rows().div_ceil(threads).max(TOGETHER))
    }

    /// Lines are made by one thread for each `share` of the rows.
    fn write_by(&mut self, rows: &RecordBatch, share: usize) -> io::Result<()> {
        let all = rows.num_rows();
        let shares = (0..all).step_by(share).map(|from| from..all.min(from + share));
        let made: Vec<Vec<Lines<'_>>> = thread::scope(|scope| {
            let threads: Vec<_> = shares.map(|share| scope.spawn(|| lines(rows, share))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|fault| resume_unwind(fault))).collect()
        });
        made.into_iter().flatten().try_for_each(|lines| self.append(lines))
    }

    fn append(&mut self, lines: Lines<'_>) -> io::Result<()> {
        let Lines { contig, first, text, last } = lines;
        match &mut self.last {
            Some((name, line)) if name == contig && line.end == first.start && line.value == first.value => {
                line.end = first.end;
            }
            _ => {
                self.flush_line()?;
                self.last = Some((contig.to_owned(), first));
            }
        }
        let Some(last) = last else { return Ok(()) };
        self.flush_line()?;
        self.file.write_all(&text)?;
        self.last = Some((contig.to_owned(), last));
        Ok(())
    }

    fn flush_line(&mut self) -> io::Result<()> {
        let Some((contig, line)) = self.last.take() else { return Ok(()) };
        let mut text = vec![];
        line.write(&contig, &mut text);
        self.file.write_all(&text)
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

/// Lines of rows, one [`Lines`] for each contig that they come to.
fn lines(rows: &RecordBatch, range: Range<usize>) -> Vec<Lines<'_>> {
    let contigs = rows.column(0).as_string::<i32>();
    let [starts, ends] = [1, 2].map(|i| rows.column(i).as_primitive::<UInt64Type>());
    let values = rows.column(3).as_primitive::<Float32Type>();
    let mut all: Vec<Lines<'_>> = vec![];
    for row in range {
        let contig = contigs.value(row);
        let line = Line { start: starts.value(row), end: ends.value(row), value: Decimal::of(values.value(row)) };
        match all.last_mut().filter(|lines| lines.contig == contig) {
            Some(lines) => lines.push(line),
            None => all.push(Lines { contig, first: line, text: vec![], last: None }),
        }
    }
    all
}

impl Lines<'_> {
    fn push(&mut self, line: Line) {
        let last = self.last.as_mut().unwrap_or(&mut self.first);
        if last.end == line.start && last.value == line.value {
            last.end = line.end;
        } else if let Some(last) = self.last.replace(line) {
            last.write(self.contig, &mut self.text);
        }
    }
}

impl Line {
    fn write(&self, contig: &str, to: &mut Vec<u8>) {
        let (mut first, mut second) = (itoa::Buffer::new(), itoa::Buffer::new());
        for part in [contig, "\t", first.format(self.start), "\t", second.format(self.end), "\t"] {
            to.extend_from_slice(part.as_bytes());
        }
        self.value.write(to);
        to.push(b'\n');
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

    fn write(&self, to: &mut Vec<u8>) {
        let (negative, value) = match self {
            Self::Scaled { negative, value } => (*negative, *value),
            Self::Text(text) => return to.extend_from_slice(text.as_bytes()),
        };
        to.extend_from_slice(if negative { b"-" } else { b"" });
        to.extend_from_slice(itoa::Buffer::new().format(value / 10_000).as_bytes());
        let digit = |unit: u64| b'0' + (value / unit % 10) as u8;
        to.extend_from_slice(&[b'.', digit(1000), digit(100), digit(10), digit(1)]);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Seek},
        sync::Arc,
    };

    use arrow::array::{ArrayRef, Float32Array, StringArray, UInt64Array};
    use proptest::prelude::*;

    use super::*;

    fn check(value: f32) {
        let mut text = vec![];
        Decimal::of(value).write(&mut text);
        assert_eq!(String::from_utf8(text).unwrap(), format!("{value:.4}"), "{value:e}");
    }

    #[test]
    fn decimals_of_edges() {
        // Of 0.03125 and its like two decimals are as near.
        let ties = (0..64).map(|odd| (2 * odd + 1) as f32 / 32.0);
        let edges = [0.0, -0.0, 0.00005, 9.99995, 1e9, 1e12, 1e38, f32::INFINITY, f32::NAN, f32::MIN_POSITIVE];
        ties.chain(edges).flat_map(|value| [value, -value]).for_each(check);
    }

    /// A track of two contigs, in which values repeat and places are missing.
    fn track(rows: &[(bool, bool, u8)]) -> RecordBatch {
        let contigs = StringArray::from_iter_values(rows.iter().map(|row| if row.0 { "two" } else { "one" }));
        let starts: UInt64Array = rows
            .iter()
            .scan(0, |at, row| {
                *at += 1 + u64::from(row.1);
                Some(*at)
            })
            .collect();
        let ends: UInt64Array = starts.values().iter().map(|start| start + 1).collect();
        let bits: Float32Array = rows.iter().map(|row| f32::from(row.2)).collect();
        let columns: [(&str, ArrayRef); 4] = [
            ("contig", Arc::new(contigs)),
            ("start", Arc::new(starts)),
            ("end", Arc::new(ends)),
            ("bits", Arc::new(bits)),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    /// What [`Writer`] makes of batches of so many rows, by shares.
    fn written(rows: &RecordBatch, batch: usize, share: usize) -> String {
        let mut writer = Writer::new(tempfile::tempfile().unwrap(), &rows.schema()).unwrap();
        for from in (0..rows.num_rows()).step_by(batch) {
            writer.write_by(&rows.slice(from, batch.min(rows.num_rows() - from)), share).unwrap();
        }
        let (mut file, mut text) = (writer.close().unwrap(), String::new());
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn neighbours_share_a_line() {
        let rows = track(&[(false, false, 1), (false, false, 1), (false, true, 1), (true, false, 1), (true, false, 2)]);
        assert_eq!(
            written(&rows, 2, 1),
            "one\t1\t3\t1.0000\none\t4\t5\t1.0000\ntwo\t5\t6\t1.0000\ntwo\t6\t7\t2.0000\n"
        );
    }

    proptest! {
        #[test]
        fn batches_and_shares_make_no_difference(rows in prop::collection::vec((any::<bool>(), prop::bool::weighted(0.2), 0..3u8), 0..60), batch in 1..70usize, share in 1..70usize) {
            let rows = track(&rows);
            prop_assert_eq!(written(&rows, batch, share), written(&rows, 1, 1));
        }

        #[test]
        fn decimals_are_rounded_as_by_the_formatter(bits: u32, small in -20f32..20.0) {
            check(f32::from_bits(bits));
            check(small);
        }
    }
}
