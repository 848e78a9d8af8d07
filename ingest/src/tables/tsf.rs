//! TSF, the text format of the Monash forecasting archive: a header, then one series a line.
//!
//! `name:1979-01-01 00-00-00:1,2.5,?,4` with as many attributes before the values as the header names; `?` is missing.
//! Lines are read value by value: a series need not fit in memory.

mod calendar;
mod cursor;
mod facts;
mod header;

use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDateTime};

use self::cursor::{Cursor, End};
pub(crate) use self::facts::facts;
pub use self::{
    calendar::Frequency,
    header::{AttributeKind, TsfHeader},
};
use super::{
    SeriesOptions,
    decoder::{Records, SeriesDecoder},
    paths::total_size,
    rows::{Pushed, Rows},
    time, value,
};
use crate::{Error, Position, Result, reads::input::Input, schema::TimeKind};

/// The longest attribute.
const MAX_ATTRIBUTE_BYTES: usize = 4 << 10;
/// The longest value.
const MAX_VALUE_BYTES: usize = 400;

/// The header of a TSF file.
///
/// # Errors
/// When the file cannot be read or its header is damaged, with the line.
pub fn tsf_header(path: &Path) -> Result<TsfHeader> {
    TsfHeader::read(&mut Cursor::new(Input::open(path, 0)?))
}

/// The files, read one after the other.
struct Tsf {
    files: Vec<PathBuf>,
    options: SeriesOptions,
    /// Number of the file at hand.
    file: usize,
    table: Table,
    /// The series at hand, until its line ends.
    series: Option<Series>,
    /// Uncompressed bytes of the files before.
    base: u64,
    /// Stored bytes of the files before, and of all.
    sizes: (u64, u64),
    /// Lines of series read.
    record: u64,
}

/// An open file, past its header.
struct Table {
    cursor: Cursor,
    header: TsfHeader,
    id: Option<usize>,
    /// The start attribute and the step, where time is a timestamp.
    start: Option<(usize, Frequency)>,
}

/// The series at hand.
struct Series {
    id: String,
    start: Option<(NaiveDateTime, Frequency)>,
    /// Values read.
    within: u64,
    line: u64,
    /// Uncompressed offset of the line.
    offset: u64,
}

/// TSF files as one stream; `first` is the first of them, at its start.
pub(super) fn open(
    files: &[PathBuf],
    first: Input,
    options: &SeriesOptions,
) -> Result<SeriesDecoder<impl Records + use<>>> {
    let table = Table::open(first, options)?;
    let kind = table.kind();
    for file in &files[1..] {
        let other = Table::open(Input::open(file, 0)?, options)?.kind();
        if other != kind {
            let problem = format!("its times are of kind {other:?}, those of {} {kind:?}", files[0].display());
            return Err(Error::Request { path: file.clone(), problem });
        }
    }
    let sizes = (0, total_size(files));
    let (files, options) = (files.to_vec(), options.clone());
    let (rows, start) = (options.rows(kind), options.start);
    let tsf = Tsf { files, options, file: 0, table, series: None, base: 0, sizes, record: 0 };
    Ok(SeriesDecoder::new(tsf, rows, start))
}

impl Table {
    /// Opens a file and reads its header.
    fn open(input: Input, options: &SeriesOptions) -> Result<Self> {
        let mut cursor = Cursor::new(input);
        let header = TsfHeader::read(&mut cursor)?;
        let chosen = header.id(options.id.as_deref()).and_then(|id| Ok((id, header.start(options.time.as_deref())?)));
        let (id, start) = chosen.map_err(|problem| cursor.input().request(problem))?;
        if !options.keep.is_empty() {
            let problem = "of TSF no columns are kept: convert it to CSV or Parquet first".into();
            return Err(cursor.input().request(problem));
        }
        if !options.values.is_empty() {
            let problem = "TSF has no value columns to choose from: a line is a series".into();
            return Err(cursor.input().request(problem));
        }
        let start = start.zip(header.frequency);
        Ok(Self { cursor, header, id, start })
    }

    /// How time is written: without a start or a frequency, values are numbered.
    fn kind(&self) -> TimeKind {
        if self.start.is_some() { TimeKind::Timestamp } else { TimeKind::Step }
    }

    /// Reads what stands before the values; `Err` with the reason and what was read where the line is rejected.
    fn begin(&mut self, record: u64) -> Result<Result<Series, (String, Vec<u8>)>> {
        let (line, offset) = (self.cursor.line(), self.cursor.offset());
        let mut series = Series { id: format!("T{}", record + 1), start: None, within: 0, line, offset };
        let mut raw = vec![];
        for attribute in 0..self.header.attributes.len() {
            let end = self.cursor.read(b':', MAX_ATTRIBUTE_BYTES)?;
            raw.extend_from_slice(self.cursor.raw());
            raw.push(b':');
            let wanted = self.header.attributes.len();
            let read = match end {
                End::Separator => self.cursor.piece().and_then(|text| self.attribute(&mut series, attribute, text)),
                End::Line => Err(format!("{attribute} attributes where the header names {wanted}")),
            };
            if let Err(reason) = read {
                if end == End::Separator {
                    self.cursor.read(b'\n', 0)?;
                }
                return Ok(Err((reason, raw)));
            }
        }
        Ok(Ok(series))
    }

    /// Takes an attribute of a series.
    fn attribute(&self, series: &mut Series, attribute: usize, text: &str) -> Result<(), String> {
        if self.id == Some(attribute) {
            if text.is_empty() {
                return Err("the series has no name".into());
            }
            series.id = text.to_owned();
        }
        if let Some((_, frequency)) = self.start.filter(|&(start, _)| start == attribute) {
            let start = start_time(text).ok_or_else(|| format!("the start '{}' is not a time", value::shown(text)))?;
            series.start = Some((start, frequency));
        }
        Ok(())
    }

    /// Where a line stands, for rejects.
    fn place(&self, line: u64) -> String {
        format!("{}, line {line}", self.cursor.input().path().display())
    }

    /// Reads and adds the next value of a series; what ended it.
    fn add(&mut self, series: &mut Series, rows: &mut Rows) -> Result<End> {
        let end = self.cursor.read(b',', MAX_VALUE_BYTES)?;
        series.within += 1;
        let read = self.cursor.piece().and_then(|text| match text {
            "" => Err("an empty value (a missing one is '?')".into()),
            text => value::parse(text),
        });
        let reason = match read.and_then(|value| Ok((value, series.time()?))) {
            Ok((value, time)) => {
                let pushed = rows.push(&series.id, time, value);
                match pushed.map_err(|problem| self.cursor.invalid(series.line, problem))? {
                    Pushed::Kept => return Ok(end),
                    Pushed::Late(reason) => reason,
                }
            }
            Err(reason) => format!("series '{}', value {}: {reason}", series.id, series.within),
        };
        rows.reject(self.place(series.line), reason, self.cursor.raw());
        Ok(end)
    }
}

impl Series {
    /// The time of the value read last.
    fn time(&self) -> Result<i64, String> {
        let n = self.within - 1;
        let time = match &self.start {
            Some((start, frequency)) => frequency.step(start, n),
            None => i64::try_from(n).ok(),
        };
        time.ok_or_else(|| "its time is beyond the calendar's end".into())
    }
}

impl Records for Tsf {
    fn step(&mut self, rows: &mut Rows) -> Result<bool> {
        let mut series = match self.series.take() {
            Some(series) => series,
            None => {
                while !self.table.cursor.next_series()? {
                    let Some(path) = self.files.get(self.file + 1) else { return Ok(false) };
                    self.sizes.0 += self.table.cursor.input().progress().map_or(0, |(_, size)| size);
                    self.base += self.table.cursor.offset();
                    self.table = Table::open(Input::open(path, 0)?, &self.options)?;
                    self.file += 1;
                }
                let line = self.table.cursor.line();
                match self.table.begin(self.record)? {
                    Ok(series) => series,
                    Err((reason, raw)) => {
                        rows.reject(self.table.place(line), reason, &raw);
                        self.record += 1;
                        return Ok(true);
                    }
                }
            }
        };
        match self.table.add(&mut series, rows)? {
            End::Separator => self.series = Some(series),
            End::Line => self.record += 1,
        }
        Ok(true)
    }

    fn position(&self) -> Position {
        let (offset, within) =
            self.series.as_ref().map_or((self.table.cursor.offset(), 0), |series| (series.offset, series.within));
        Position::Text { offset: self.base + offset, record: self.record, within }
    }

    fn path(&self) -> PathBuf {
        self.files[0].clone()
    }

    fn progress(&self) -> Option<(u64, u64)> {
        let (read, _) = self.table.cursor.input().progress()?;
        Some((self.sizes.0 + read, self.sizes.1))
    }
}

/// A start: as any timestamp, or with the clock written `00-00-00` as in the archive.
fn start_time(text: &str) -> Option<NaiveDateTime> {
    let micros = match text.split_once(' ') {
        Some((day, clock)) if !clock.contains(':') => time::timestamp(&format!("{day} {}", clock.replace('-', ":")))?,
        _ => time::timestamp(text)?,
    };
    DateTime::from_timestamp_micros(micros).map(|time| time.naive_utc())
}
