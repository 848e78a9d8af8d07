//! Series that a batch job has run before: a stream job goes on from where that left them.
//!
//! A series that is new to the job, in whichever partition, begins with the batch job's state of it; rows that the batch job had
//! are late here. Nothing is copied beforehand: the partition of a series shows when its first row comes.

use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use unspool_ingest::schema::TimeKind;
use unspool_model::{Events, Item, Model};

use super::{
    emit::{Emit, Every},
    error::{Error, Result},
    states::{Beside, Entry},
};
use crate::batch::{self, SavedStates};

/// What a batch job has come to of each series.
pub struct Seed {
    model: Arc<Model>,
    saved: Mutex<SavedStates>,
    every: Every,
    print: String,
}

impl Seed {
    /// That of a batch job's output folder, for a stream job that gives this and whose times are of this kind.
    ///
    /// # Errors
    /// When the folder holds no such job, another model or route ran it, its states were opened for something else, or its times
    /// are written otherwise.
    pub fn open(dir: &Path, model: &Arc<Model>, (emit, kind): (&Emit, TimeKind)) -> Result<Self> {
        let saved = SavedStates::open(dir, model).map_err(said)?;
        let here = dir.display();
        if saved.options().map_err(said)? != emit.options(model)? {
            let problem = format!("run.begin_with: {here} was run for something else than output.give");
            return Err(Error::Settings(format!(
                "{problem}: scores go on from scores, embeddings of a layer from those"
            )));
        }
        if saved.time_kind() != kind {
            let name = |kind| if kind == TimeKind::Step { "step numbers" } else { "timestamps" };
            let (there, now) = (name(saved.time_kind()), name(kind));
            return Err(Error::Settings(format!(
                "run.begin_with: times are {there} in {here}, and {now} in the topic"
            )));
        }
        let print = saved.print().map_err(said)?;
        Ok(Self { model: Arc::clone(model), saved: Mutex::new(saved), every: emit.every, print })
    }

    /// What tells it from another one.
    #[must_use]
    pub fn print(&self) -> &str {
        &self.print
    }

    /// Whether there is such a series in it.
    pub(super) fn has(&self, series: &str) -> bool {
        self.saved.lock().unwrap_or_else(PoisonError::into_inner).number(series).is_some()
    }

    /// What these series begin with; `None`: they are new here, too.
    pub(super) fn entries(&self, series: &[&str]) -> Result<Vec<Option<Entry>>> {
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        let numbers: Vec<Option<usize>> = series.iter().map(|series| saved.number(series)).collect();
        let known: Vec<usize> = numbers.iter().copied().flatten().collect();
        let mut found = vec![];
        for (mut state, series) in saved.of(&known).map_err(said)? {
            let held = series.held_back();
            if !held.is_empty() {
                self.model.append(&mut [Item { state: &mut state, events: Events::Values(&held) }])?;
            }
            let last = series.last_time();
            let interval = match self.every {
                Every::Interval(width) => {
                    last.map(|last| last.div_euclid(i64::try_from(width.max(1)).unwrap_or(i64::MAX)))
                }
                Every::Events(_) => None,
            };
            let beside = Beside { last, count: state.position(), interval };
            found.push(Entry { state, beside });
        }
        let mut found = found.into_iter();
        Ok(numbers.into_iter().map(|number| number.and_then(|_| found.next())).collect())
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seed").field("print", &self.print).finish_non_exhaustive()
    }
}

/// What the batch job's folder says, to those who asked the stream job.
fn said(error: batch::Error) -> Error {
    Error::Settings(format!("run.begin_with: {error}"))
}
