//! Batch jobs: a lake of files of series into Parquet parts, restartable, each series in the order of time.
//!
//! ```text
//! DIR/part-00000003.parquet             output rows; a data set reader takes these
//! DIR/_rejects/part-00000003.parquet    what could not be used of the same unit
//! DIR/_states/00000003.states           the states that the unit changed
//! DIR/_manifest.json                    what is finished; written aside, then named
//! ```
//!
//! The files are taken in the order of their names, and read in *units* of so many rows. A unit's files get their names
//! first, then the manifest names the unit: that is the commit. Killed at any point, a job goes on from the manifest and
//! writes what lies after it again, to the same bytes. A new run over a lake with new files reads these alone, and goes
//! on from the saved states.

mod core;
mod error;
mod files;
mod lake;
mod manifest;
mod part;
mod run;
mod states;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use unspool_ingest::{schema::TimeKind, tables::SeriesOptions};

pub use self::{
    error::{Error, Result},
    files::FileEntry,
    manifest::{Manifest, PartEntry},
    run::{Report, plan, run},
    states::{SavedSeries, saved_states},
};
use crate::stream::emit::Give;

/// What becomes of a job when a file is damaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnCorrupt {
    /// It stops with an error that names the file.
    #[default]
    Stop,
    /// The rest of the file from the damage on is left out, as one reject.
    Skip,
}

/// A job.
#[derive(Clone, Debug)]
pub struct BatchJob {
    /// Files, folders and globs, relative to `folder`.
    pub inputs: Vec<String>,
    /// The folder of the job's file: the manifest names files relative to it.
    pub folder: PathBuf,
    /// Which columns are read; `start` and `max_series` are set by the job.
    pub columns: SeriesOptions,
    /// What becomes of the job when a file is damaged.
    pub on_corrupt: OnCorrupt,
    /// What is given. Of scores each row is an event; forecasts and embeddings lay the rows on the series' grid, as
    /// [`crate::Forecaster`] and [`crate::Embed`] do. Embeddings never begin again.
    pub give: Give,
    /// The folder of the output.
    pub output: PathBuf,
    /// Key-value metadata of each part.
    pub metadata: Vec<(String, String)>,
    /// A unit ends with the batch in which it reaches so many rows.
    pub unit_rows: u64,
    /// Series at once, at most: the states of all are in memory.
    pub max_series: usize,
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
