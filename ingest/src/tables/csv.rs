//! CSV: one row an observation, or (wide) one row a time with a series in each column.

mod dialect;
mod facts;
mod record;

use std::{borrow::Cow, path::PathBuf};

pub(crate) use self::facts::facts;
use self::{dialect::Dialect, record::RecordReader};
use super::{
    SeriesOptions,
    columns::{self, Columns, Keep},
    decoder::{Records, SeriesDecoder},
    paths::{stem, total_size},
    rows::{MAX_ID_BYTES, Pushed, Rows},
    time, value,
};
use crate::{Error, Place, Position, Result, reads::input::Input, schema::TimeKind};

/// First bytes looked at for the kind of CSV.
const SAMPLE_BYTES: usize = 64 << 10;

/// The files, read one after the other.
struct Csv {
    files: Vec<PathBuf>,
    options: SeriesOptions,
    kind: TimeKind,
    /// Number of the file at hand.
    file: usize,
    table: Table,
    /// Uncompressed bytes of the files before.
    base: u64,
    /// Stored bytes of the files before, and of all.
    sizes: (u64, u64),
    /// Rows read.
    record: u64,
}

/// An open file.
struct Table {
    input: Input,
    reader: RecordReader,
    names: Vec<String>,
    columns: Columns,
    /// The id of the file's only series, where there is no id column.
    stem: String,
    kind: Option<TimeKind>,
    /// The first row was read to see that it is no header, and is still to be used.
    unread: bool,
    /// Uncompressed offset of the next row.
    next: u64,
}

/// CSV files as one stream; `first` is the first of them, at its start.
pub(super) fn open(
    files: &[PathBuf],
    first: Input,
    options: &SeriesOptions,
) -> Result<SeriesDecoder<impl Records + use<>>> {
    let table = Table::open(first, options)?;
    let mut known = table.kind.map(|kind| (kind, &files[0]));
    for file in &files[1..] {
        let Some(kind) = Table::open(Input::open(file, 0)?, options)?.kind else { continue };
        match known {
            Some((known, other)) if known != kind => {
                let problem = format!("its times are of kind {kind:?}, those of {} {known:?}", other.display());
                return Err(Error::Request { path: file.clone(), problem });
            }
            Some(_) => {}
            None => known = Some((kind, file)),
        }
    }
    let kind = known.map_or(TimeKind::Timestamp, |(kind, _)| kind);
    let sizes = (0, total_size(files));
    let csv = Csv { files: files.to_vec(), options: options.clone(), kind, file: 0, table, base: 0, sizes, record: 0 };
    Ok(SeriesDecoder::new(csv, options.rows(kind), options.start))
}

/// A file past its header.
struct Opened {
    input: Input,
    reader: RecordReader,
    names: Vec<String>,
    dialect: Dialect,
}

impl Opened {
    /// Opens a file and reads the names of its columns.
    fn new(mut input: Input) -> Result<Self> {
        let mut sample = input.first(SAMPLE_BYTES)?;
        let bom = if sample.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        sample.drain(..bom);
        if sample.starts_with(b"\xff\xfe") || sample.starts_with(b"\xfe\xff") {
            let problem = "the text is UTF-16; convert it to UTF-8 with `iconv -f UTF-16 -t UTF-8`".into();
            return Err(input.invalid(Place::Whole, problem));
        }
        let dialect = Dialect::of(&sample, sample.len() < SAMPLE_BYTES / 2);
        let mut reader = RecordReader::new(dialect.delimiter);
        reader.advance(&mut input, bom);
        if !reader.read(&mut input)? {
            return Err(input.invalid(Place::Whole, "the file is empty: there is not even a header".into()));
        }
        let name = |i: usize| match dialect.header {
            true => String::from_utf8_lossy(reader.field(i)).trim().to_owned(),
            false => format!("column_{}", i + 1),
        };
        let names = (0..reader.len()).map(name).collect();
        Ok(Self { input, reader, names, dialect })
    }
}

impl Table {
    /// Opens a file and chooses its columns.
    fn open(input: Input, options: &SeriesOptions) -> Result<Self> {
        let Opened { input, reader, names, dialect } = Opened::new(input)?;
        let chosen = columns::choose((&names, &dialect.numeric(names.len())), options, input.path());
        let columns = chosen.map_err(|problem| input.request(problem))?;
        let kind = match columns.time {
            None => Some(TimeKind::Step),
            Some(column) => dialect.time(column).map_err(|text| {
                let (name, text) = (&names[column], value::shown(&text));
                input.request(format!(
                    "the time column '{name}' holds '{text}', which is no time (known: {}); name another; {}",
                    time::FORMS,
                    columns::there_are(&names)
                ))
            })?,
        };
        let unread = !dialect.header;
        let next = if unread { 0 } else { reader.offset() };
        let stem = columns.constant_id.clone().unwrap_or_else(|| stem(input.path()));
        Ok(Self { input, reader, names, columns, stem, kind, unread, next })
    }

    /// Where the record at hand stands, for rejects.
    fn place(&self) -> String {
        let (path, line, last) = (self.input.path().display(), self.reader.line(), self.reader.last_line());
        if last == line {
            format!("{path}, line {line}")
        } else {
            format!("{path}, lines {line} to {last} (in quotes)")
        }
    }

    /// Reads the next row; `false` at the end of the file.
    fn read(&mut self) -> Result<bool> {
        Ok(std::mem::take(&mut self.unread) || self.reader.read(&mut self.input)?)
    }

    /// Adds the values of the row at hand.
    fn add(&self, rows: &mut Rows) -> Result<()> {
        let too_many = |problem| self.input.invalid(Place::Line(self.reader.line()), problem);
        for (place, keep) in self.columns.keep.iter().enumerate() {
            match keep {
                Keep::Same(text) => rows.beside(place, text.as_deref()),
                Keep::Column(column) if *column < self.reader.len() => {
                    let text = self.text(*column).ok().filter(|text| !value::is_missing(text));
                    rows.beside(place, text);
                }
                Keep::Column(_) => rows.beside(place, None),
            }
        }
        let (id, time) = match self.id_and_time(rows.kind()) {
            Ok(found) => found,
            Err(reason) => {
                rows.reject(self.place(), reason, self.reader.raw());
                return self.skip(rows).map_err(too_many);
            }
        };
        for &column in &self.columns.values {
            let name = &self.names[column];
            let id = match (self.columns.wide, self.columns.id) {
                (false, _) => Cow::Borrowed(id),
                (true, None) => Cow::Borrowed(name.as_str()),
                (true, Some(_)) => Cow::Owned(format!("{id}/{name}")),
            };
            let value = self.text(column).and_then(value::parse).map_err(|reason| format!("column '{name}': {reason}"));
            let reason = match (value, time) {
                (Ok(value), _) => {
                    let time = time.map_or_else(|| rows.next_step(&id), Ok).map_err(too_many)?;
                    match rows.push(&id, time, value).map_err(too_many)? {
                        Pushed::Kept => continue,
                        Pushed::Late(reason) => reason,
                    }
                }
                (Err(reason), None) => {
                    rows.skip_step(&id).map_err(too_many)?;
                    reason
                }
                (Err(reason), Some(_)) => reason,
            };
            rows.reject(self.place(), reason, self.reader.raw());
        }
        Ok(())
    }

    /// Counts a rejected row where rows are numbered, so that those after it keep their numbers.
    fn skip(&self, rows: &mut Rows) -> Result<(), String> {
        match (self.columns.time, self.columns.id, self.columns.wide) {
            (None, None, false) => rows.skip_step(&self.stem),
            (None, None, true) => {
                self.columns.values.iter().try_for_each(|&column| rows.skip_step(&self.names[column]))
            }
            _ => Ok(()),
        }
    }

    /// The id and the time (where there is a column of them) of the row at hand, else why it is rejected.
    fn id_and_time(&self, kind: TimeKind) -> Result<(&str, Option<i64>), String> {
        if self.reader.len() != self.names.len() {
            return Err(format!("{} fields where there are {} columns", self.reader.len(), self.names.len()));
        }
        let id = match self.columns.id {
            None => self.stem.as_str(),
            Some(column) => std::str::from_utf8(self.reader.field(column)).map_err(|_| "the id is not UTF-8")?,
        };
        if id.is_empty() {
            return Err("the id is empty".into());
        }
        if id.len() > MAX_ID_BYTES {
            return Err(format!("the id is longer than {MAX_ID_BYTES} bytes"));
        }
        let Some(column) = self.columns.time else { return Ok((id, None)) };
        let text = self.text(column)?;
        if value::is_missing(text) {
            return Err("the time is missing".into());
        }
        let known = match kind {
            TimeKind::Step => "a whole number, as the times before",
            TimeKind::Timestamp => time::FORMS,
        };
        let time = time::parse(text, kind);
        let time = time.ok_or_else(|| format!("'{}' is not a time (known: {known})", value::shown(text)))?;
        Ok((id, Some(time)))
    }

    /// A field of the row at hand, trimmed.
    fn text(&self, column: usize) -> Result<&str, String> {
        std::str::from_utf8(self.reader.field(column).trim_ascii()).map_err(|_| "the text is not UTF-8".into())
    }
}

impl Records for Csv {
    fn step(&mut self, rows: &mut Rows) -> Result<bool> {
        while !self.table.read()? {
            let Some(path) = self.files.get(self.file + 1) else { return Ok(false) };
            self.sizes.0 += self.table.input.progress().map_or(0, |(_, size)| size);
            self.base += self.table.reader.offset();
            self.table = Table::open(Input::open(path, 0)?, &self.options)?;
            self.file += 1;
        }
        debug_assert!(self.kind == rows.kind());
        self.table.add(rows)?;
        self.table.next = self.table.reader.offset();
        self.record += 1;
        Ok(true)
    }

    fn position(&self) -> Position {
        Position::Text { offset: self.base + self.table.next, record: self.record, within: 0 }
    }

    fn path(&self) -> PathBuf {
        self.files[0].clone()
    }

    fn progress(&self) -> Option<(u64, u64)> {
        let (read, _) = self.table.input.progress()?;
        Some((self.sizes.0 + read, self.sizes.1))
    }
}
