//! What kind of CSV a file is, by its first bytes: delimiter, header, columns of numbers.

use crate::{
    schema::TimeKind,
    tables::{time, value},
};

/// Rows looked at.
const SAMPLE_ROWS: usize = 200;
/// The delimiters looked for, the likeliest first.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// A file's kind of CSV.
#[derive(Debug)]
pub(super) struct Dialect {
    /// What separates fields.
    pub(super) delimiter: u8,
    /// Whether the first row names the columns.
    pub(super) header: bool,
    /// The first rows after the header.
    sample: Vec<Vec<String>>,
}

impl Dialect {
    /// The kind of CSV that begins with these bytes; `whole`: these are all.
    pub(super) fn of(first: &[u8], whole: bool) -> Self {
        let delimiter = delimiter(first);
        let mut sample = rows(first, delimiter);
        if !whole && sample.len() <= SAMPLE_ROWS && sample.len() > 1 {
            sample.pop();
        }
        let header = sample.split_first().is_none_or(|(row, rest)| is_header(row, rest));
        if header && !sample.is_empty() {
            sample.remove(0);
        }
        Self { delimiter, header, sample }
    }

    /// Whether each of `width` columns may hold values: no field is anything but a number or missing, unless nine of
    /// ten are (a damaged number does not make a column text).
    pub(super) fn numeric(&self, width: usize) -> Vec<bool> {
        (0..width)
            .map(|column| {
                let fields = || self.sample.iter().filter_map(|row| row.get(column));
                let bad = fields().filter(|field| value::parse(field).is_err()).count();
                bad == 0 || bad * 10 < fields().count()
            })
            .collect()
    }

    /// How a column writes time; `Ok(None)` where there is no row to tell by.
    ///
    /// # Errors
    /// A text of the column that is no time, when more than half are none.
    pub(super) fn time(&self, column: usize) -> Result<Option<TimeKind>, String> {
        let texts = self.sample.iter().filter_map(|row| row.get(column)).filter(|text| !value::is_missing(text));
        let kind = texts.clone().find_map(|text| time::kind_of(text));
        let is_time = |text: &&String| kind.is_some_and(|kind| time::parse(text, kind).is_some());
        let (times, others): (Vec<_>, Vec<_>) = texts.partition(is_time);
        match others.first() {
            Some(other) if others.len() > times.len() => Err((*other).clone()),
            _ => Ok(kind),
        }
    }
}

/// The delimiter that the first line has most of, outside quotes.
fn delimiter(first: &[u8]) -> u8 {
    let mut counts = [0; DELIMITERS.len()];
    let mut quoted = false;
    for &byte in first.iter().skip_while(|b| matches!(b, b'\n' | b'\r')) {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' | b'\r' if !quoted => break,
            _ if quoted => {}
            _ => {
                if let Some(i) = DELIMITERS.iter().position(|&d| d == byte) {
                    counts[i] += 1;
                }
            }
        }
    }
    let most = counts.into_iter().max().unwrap_or_default();
    DELIMITERS[counts.iter().position(|&count| count == most).unwrap_or_default()]
}

/// The first rows, trimmed.
fn rows(first: &[u8], delimiter: u8) -> Vec<Vec<String>> {
    let mut reader =
        csv::ReaderBuilder::new().delimiter(delimiter).has_headers(false).flexible(true).from_reader(first);
    let trimmed = |row: csv::ByteRecord| row.iter().map(|f| String::from_utf8_lossy(f).trim().to_owned()).collect();
    reader.byte_records().map_while(Result::ok).take(SAMPLE_ROWS + 1).map(trimmed).collect()
}

/// Whether the first row names columns: it is not all numbers, has neither a timestamp nor a number with a fraction, and
/// its texts, where it has numbers too (years name columns), are not those of the rows after it.
fn is_header(row: &[String], rest: &[Vec<String>]) -> bool {
    let is_number = |field: &String| matches!(value::parse(field), Ok(Some(_)));
    let is_text = |field: &String| value::parse(field).is_err();
    let is_data = |field: &String| match is_number(field) {
        true => field.contains('.'),
        false => time::timestamp(field).is_some(),
    };
    let comes_again = |(column, field): (usize, &String)| {
        is_text(field) && rest.iter().any(|other| other.get(column).is_some_and(|there| there == field))
    };
    let repeats = || row.iter().any(is_number) && row.iter().enumerate().any(comes_again);
    row.iter().any(is_text) && !row.iter().any(is_data) && !repeats()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delimiters_and_headers() {
        let cases: &[(&[u8], u8, bool)] = &[
            (b"id,time,value\na,1,2\n", b',', true),
            (b"a;b\n1;2,5\n", b';', true),
            (b"a\tb\n1\t2\n", b'\t', true),
            (b"\"a,b,c\";d\n1;2\n", b';', true),
            (b"0.5,0.7\n0.1,0.2\n", b',', false),
            (b"2020-01-01,7\n", b',', false),
            (b"a,1,0.5\n", b',', false),
            (b"id,2001,2002\na,1,2\n", b',', true),
            (b"a,1,5\na,2,6\n", b',', false),
            (b"chr1\t2718\t.\tC\tT\nchr1\t2754\t.\tA\tT\n", b'\t', false),
            (b"id,value\nid,1\n", b',', true),
            (b"value\n1\n", b',', true),
            (b"", b',', true),
        ];
        for (first, delimiter, header) in cases {
            let dialect = Dialect::of(first, true);
            assert_eq!((dialect.delimiter, dialect.header), (*delimiter, *header), "{}", first.escape_ascii());
        }
    }
}
