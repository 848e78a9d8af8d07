//! What the inputs are, and opening them.

use std::{
    collections::VecDeque,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use unspool_ingest::{
    Source, Threaded,
    format::{self, Format},
    reads::{self, ReadOptions},
    schema::TimeKind,
    tables::{self, Layout, SeriesOptions},
};

use crate::{
    args::{ColumnArgs, ReadArgs},
    error::{Error, Result},
};

/// The columns of the reads schema that an embedding needs.
pub(crate) const READ_COLUMNS: [&str; 4] = ["id", "start", "last", "sequence"];

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// FASTA, FASTQ, SAM, BAM, CRAM.
    Reads,
    /// CSV, TSF, Parquet.
    Series,
    /// VCF, BCF.
    Variants,
}

/// What all inputs hold.
///
/// # Errors
/// When one cannot be read, or reads and series are mixed.
pub(crate) fn kind(inputs: &[PathBuf]) -> Result<Kind> {
    let mut found: Option<Kind> = None;
    for path in inputs {
        let kind = kind_of(path)?;
        if found.is_some_and(|found| found != kind) {
            return Err(Error::Usage(format!(
                "{}: reads and series cannot be mixed: run them one by one",
                path.display()
            )));
        }
        found = Some(kind);
    }
    found.ok_or_else(|| Error::Usage("name an input".into()))
}

/// Refuses inputs that are no series; `cannot` says what others cannot.
///
/// # Errors
/// When they are reads or variants, or cannot be read.
pub(crate) fn series_alone(inputs: &[PathBuf], cannot: &str) -> Result<()> {
    let (those, remedy) = match kind(inputs)? {
        Kind::Series => return Ok(()),
        Kind::Reads => ("reads", "`unspool embed` takes them"),
        Kind::Variants => ("variants", "`unspool score` takes them"),
    };
    Err(Error::Usage(format!("{those} {cannot}; {remedy}")))
}

/// What one file holds, by its format.
fn kind_of(path: &Path) -> Result<Kind> {
    if path.is_dir() {
        return Err(Error::Usage(format!("{}: it is a folder: name the files in it", path.display())));
    }
    Ok(match format::detect(path)? {
        Format::Fasta | Format::Fastq | Format::Sam | Format::Bam | Format::Cram => Kind::Reads,
        Format::Vcf | Format::Bcf => Kind::Variants,
        _ => Kind::Series,
    })
}

/// Bytes of all inputs, for progress.
pub(crate) fn total_bytes(inputs: &[PathBuf]) -> u64 {
    inputs.iter().filter_map(|path| path.metadata().ok()).map(|metadata| metadata.len()).sum()
}

/// Inputs still to be opened, in order.
pub(crate) enum Inputs {
    /// One source a file.
    Reads {
        /// The files.
        paths: VecDeque<PathBuf>,
        /// How they are read.
        options: ReadOptions,
    },
    /// One source, open already: its schema was needed.
    Open(Option<Threaded>),
}

impl Inputs {
    /// Reads, for embedding.
    ///
    /// # Errors
    /// When a column that is to be kept is none.
    pub(crate) fn reads(paths: Vec<PathBuf>, wanted: &ReadArgs) -> Result<Self> {
        Ok(Self::Reads { paths: paths.into(), options: wanted.options(&READ_COLUMNS)? })
    }

    /// Series.
    ///
    /// # Errors
    /// When a file cannot be opened or lacks a column.
    pub(crate) fn series(paths: &[PathBuf], columns: &ColumnArgs) -> Result<Self> {
        Ok(Self::Open(Some(tables::open(paths, &series_options(columns))?)))
    }

    /// How the series' times are written.
    pub(crate) fn time_kind(&self) -> TimeKind {
        match self {
            Self::Open(Some(source)) if source.schema() == unspool_ingest::schema::series(TimeKind::Step) => {
                TimeKind::Step
            }
            _ => TimeKind::Timestamp,
        }
    }

    /// Opens the next source.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) fn next(&mut self) -> Result<Option<Threaded>> {
        match self {
            Self::Reads { paths, options } => match paths.pop_front() {
                Some(path) => Ok(Some(reads::open(&path, options)?)),
                None => Ok(None),
            },
            Self::Open(source) => Ok(source.take()),
        }
    }
}

/// What was typed about columns, for the reader.
pub(crate) fn series_options(columns: &ColumnArgs) -> SeriesOptions {
    let defaults = SeriesOptions::default();
    SeriesOptions {
        max_series: columns.max_series.map_or(defaults.max_series, NonZeroUsize::get),
        id: columns.id.clone(),
        time: columns.time.clone(),
        values: columns.value.clone(),
        layout: if columns.lists { Layout::List } else { Layout::Long },
        ..defaults
    }
}
