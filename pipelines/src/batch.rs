//! Batch jobs: a lake of files of series or reads into Parquet parts, restartable, each series in the order of time.
//!
//! ```text
//! DIR/part-00000003.parquet             output rows; a data set reader takes these (partitioned: DIR/region=north/...)
//! DIR/_rejects/part-00000003.parquet    what could not be used of the same unit
//! DIR/_states/00000003.states           values and states of the series that the unit changed
//! DIR/_manifest.json                    what is finished; written aside, then named
//! DIR/_runs.jsonl                       how long runs took
//! ```
//!
//! The files are taken in the order of their names, and read in *units* of so many rows. A unit's files get their names
//! first, then the manifest names the unit: that is the commit. Killed at any point, a job goes on from the manifest and
//! writes what lies after it again, to the same bytes. A new run over a lake with new files reads these alone, and goes
//! on from the saved states.

mod book;
mod core;
mod crew;
pub(crate) mod encode;
mod error;
mod files;
mod lake;
mod manifest;
mod mirror;
mod output;
mod part;
pub(crate) mod reads;
mod remote;
mod run;
mod runs;
mod segment;
mod states;
#[cfg(test)]
mod tests;
mod unit;

use std::{path::PathBuf, sync::Arc};

use unspool_ingest::{Source, schema::TimeKind, tables::SeriesOptions};

pub(crate) use self::states::SavedStates;
pub use self::{
    crew::Crew,
    error::{Error, Result},
    files::FileEntry,
    manifest::{Manifest, PartEntry},
    run::{Report, plan, plan_with, run, run_with},
    runs::RunEntry,
    states::{SavedSeries, saved_states},
};
use crate::{StoreSettings, stream::emit::Give};

/// What becomes of a job when a file is damaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnCorrupt {
    /// It stops with an error that names the file.
    #[default]
    Stop,
    /// The rest of the file from the damage on is left out, as one reject.
    Skip,
}

/// Puts the rows of several files in the order of time.
pub trait Sort: std::fmt::Debug + Send + Sync {
    /// The rows of all these files together, as [`unspool_ingest::tables::open`] yields them of one, each series' in the order of
    /// time; from `columns.start` on, which is a [`unspool_ingest::Position`] that it gave before. The same files come in
    /// the same order each time.
    ///
    /// # Errors
    /// When a file cannot be read, or there is no room to sort.
    fn open(&self, files: &[PathBuf], columns: &SeriesOptions) -> crate::Result<Box<dyn Source>>;
}

/// A job.
#[derive(Clone, Debug)]
pub struct BatchJob {
    /// Files, folders and globs, relative to `folder`; or URLs of objects, with `*` and `**`.
    pub inputs: Vec<String>,
    /// How object stores are asked.
    pub stores: StoreSettings,
    /// Where what is read of object stores lies meanwhile; `None`: in the system's folder for that.
    pub spool: Option<PathBuf>,
    /// The folder of the job's file: the manifest names files relative to it.
    pub folder: PathBuf,
    /// Which columns are read; `start` and `max_series` are set by the job.
    pub columns: SeriesOptions,
    /// Sorts what is new before it is read; `None`: the rows lie in the order of time, file by file.
    pub sort: Option<Arc<dyn Sort>>,
    /// The FASTA file that CRAM files' records differ from.
    pub reference: Option<PathBuf>,
    /// What becomes of the job when a file is damaged.
    pub on_corrupt: OnCorrupt,
    /// What is given. Of scores each row is an event; forecasts and embeddings lay the rows on the series' grid, as
    /// [`crate::Forecaster`] and [`crate::Embed`] do. Embeddings never begin again.
    pub give: Give,
    /// Embeddings of reads: one for each so many bases, instead of each record.
    pub window: Option<u64>,
    /// The folder of the output.
    pub output: PathBuf,
    /// Where the output goes from there: the URL of a folder in an object store.
    pub output_url: Option<String>,
    /// Columns of the output (those kept of the input, too) after which its folders are named, as Hive names them.
    pub partition_by: Vec<String>,
    /// Rows of a row group; `None`: as many as suit readers.
    pub row_group_rows: Option<usize>,
    /// Key-value metadata of each part.
    pub metadata: Vec<(String, String)>,
    /// A unit ends with the batch in which it reaches so many rows, or events that are run at the end.
    pub unit_rows: u64,
    /// A unit in which there are many series gets more rows, so that saving them stays cheap beside running them.
    pub stretch: bool,
    /// Series, at most.
    pub max_series: usize,
    /// Memory for states, in bytes: those beyond are read from the disk, or come of running their values again.
    pub states_bytes: usize,
    /// Once a series had more values than this since its last state, there is to be a new one; `None`: as many as take
    /// a quarter of a state's bytes.
    pub state_values: Option<u64>,
    /// Tokens a pack, at most: patches of values.
    pub pack_tokens: usize,
}

/// What a job would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Files still to be read, in order, each with its bytes.
    pub files: Vec<(String, u64)>,
    /// How the series' times are written; `None` where there is no file to tell by.
    pub time: Option<TimeKind>,
    /// What is finished already; `None`: the output folder holds no job.
    pub manifest: Option<Manifest>,
}
