//! Series from CSV, TSF and Parquet files, as [`crate::schema::series`].
//!
//! [`open`] tells the format by the first bytes after decompression. Several files, in the order given, are one stream.
//! The times of a series must grow from row to row: a row that does not is a reject (unless
//! [`SeriesOptions::unordered`] says that the rows are still to be sorted).

mod columns;
mod csv;
mod decoder;
mod parquet;
mod paths;
mod rows;
pub(crate) mod time;
mod tsf;
pub(crate) mod value;

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use self::rows::Rows;
pub use self::tsf::{AttributeKind, Frequency, TsfHeader, tsf_header};
pub(crate) use self::{csv::facts as csv_facts, parquet::facts as parquet_facts, tsf::facts as tsf_facts};
use crate::{
    Decode, Error, Position, Result, Threaded,
    format::{self, FIRST_BYTES, Format},
    reads::input::Input,
    schema::TimeKind,
};

/// Batches that may wait between the decoding thread and the reader.
const BATCHES_AHEAD: usize = 2;

/// How the rows of a table hold series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// A row is an observation (CSV with several value columns: one of each series).
    #[default]
    Long,
    /// A row is a series, with its values in a list (Parquet).
    List,
}

/// How tables of series are read.
#[derive(Clone, Debug)]
pub struct SeriesOptions {
    /// The id column; `None`: `id`, `series_id`, `unique_id` or `item_id`, else one series named after the file.
    pub id: Option<String>,
    /// The time column (of lists: of their start); `None`: `time`, `timestamp`, `ds`, `date` or `datetime`, else rows
    /// are numbered.
    pub time: Option<String>,
    /// The value columns; empty: `value`, `y` or `target`, else the only column of numbers. Several, or `*` for all:
    /// each is a series, named `column`, or `id/column` where there is an id.
    pub values: Vec<String>,
    /// Columns that are read beside, as text, behind the three of the schema.
    pub keep: Vec<String>,
    /// Of those a file may lack some: they are null in its rows then. Else such a file is refused.
    pub union: bool,
    /// How often values follow, where lists start at a timestamp.
    pub frequency: Option<Frequency>,
    /// What a row is.
    pub layout: Layout,
    /// A batch ends at so many rows.
    pub batch_rows: usize,
    /// The most series: each one's last time is kept.
    pub max_series: usize,
    /// Where to go on; `None`: at the start. What lies before is read again, since whether a row is late depends on it.
    pub start: Option<Position>,
    /// Rows may come in any order, for someone who sorts them: none is late, none doubled.
    pub unordered: bool,
}

impl Default for SeriesOptions {
    fn default() -> Self {
        Self {
            id: None,
            time: None,
            values: vec![],
            keep: vec![],
            union: false,
            frequency: None,
            layout: Layout::Long,
            batch_rows: 8192,
            max_series: 1_000_000,
            start: None,
            unordered: false,
        }
    }
}

impl SeriesOptions {
    /// No rows yet, within these limits.
    fn rows(&self, kind: TimeKind) -> Rows {
        let max_series = if self.unordered { usize::MAX } else { self.max_series };
        Rows::new(kind, self.batch_rows, (max_series, self.unordered), &self.keep)
    }
}

/// Opens files of series.
///
/// # Errors
/// [`Error::Io`] when a file cannot be opened; [`Error::Request`] when the format is not known, the files do not go
/// together, or a column is not there; [`Error::Invalid`] when a header is damaged or a file is empty.
pub fn open(paths: &[PathBuf], options: &SeriesOptions) -> Result<Threaded> {
    let decoder = decoder(paths, options)?;
    let input = paths.first().map(|path| path.display().to_string()).unwrap_or_default();
    Ok(Threaded::spawn(decoder, &input, BATCHES_AHEAD))
}

/// The bytes of a Parquet file, beside its footer, that reading it takes: those of the chosen columns. `None` for other formats,
/// of which all is read.
///
/// # Errors
/// As [`open`].
pub fn column_ranges(path: &Path, options: &SeriesOptions) -> Result<Option<Vec<Range<u64>>>> {
    let mut input = Input::open(path, 0)?;
    match format::of(&input.first(FIRST_BYTES)?, path)? {
        Format::Parquet => parquet::column_ranges(path, options).map(Some),
        _ => Ok(None),
    }
}

/// The blocking reader behind [`open`].
///
/// # Errors
/// As [`open`].
pub fn decoder(paths: &[PathBuf], options: &SeriesOptions) -> Result<Box<dyn Decode>> {
    let Some(first) = paths.first() else {
        return Err(Error::Request { path: PathBuf::new(), problem: "no file is given".into() });
    };
    let mut input = Input::open(first, 0)?;
    let format = format::of(&input.first(FIRST_BYTES)?, first)?;
    match format {
        Format::Csv => Ok(Box::new(csv::open(paths, input, options)?)),
        Format::Parquet => Ok(Box::new(parquet::open(paths, options)?)),
        Format::Tsf => Ok(Box::new(tsf::open(paths, input, options)?)),
        other => Err(Error::Request { path: first.clone(), problem: format!("{other} holds no series") }),
    }
}
