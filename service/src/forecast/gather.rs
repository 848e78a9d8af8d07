//! Histories and forecasts of a choice of series, gathered for a plot as they pass through the job.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Float64Type, Int64Type, SchemaRef},
};
use unspool_ingest::Reject;
use unspool_pipelines::{Job, Result, Step};

/// Series that are plotted where none is named.
const FIRST: usize = 12;
/// Rows of a history that are plotted: so many horizons, within bounds.
const HORIZONS: usize = 4;
const LEAST_ROWS: usize = 100;
const MOST_ROWS: usize = 1500;

/// One series of a plot. Times are microseconds since 1970, or steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Track {
    pub(crate) id: String,
    /// The last rows, oldest first; NaN where missing.
    pub(crate) history: VecDeque<(i64, f64)>,
    /// Time and quantiles of each step.
    pub(crate) ahead: Vec<(Option<i64>, Vec<f64>)>,
    /// What came after the history, where that is known; no model has seen it.
    pub(crate) then: Vec<(i64, f64)>,
}

/// What was gathered.
#[derive(Debug)]
pub(crate) struct Gathered {
    /// Ids that were asked for; empty: the first ones.
    chosen: Vec<String>,
    rows: usize,
    pub(crate) tracks: Vec<Track>,
}

impl Gathered {
    /// Nothing yet, of the series with these ids.
    pub(crate) fn new(chosen: Vec<String>, horizon: usize) -> Self {
        let rows = horizon.saturating_mul(HORIZONS).clamp(LEAST_ROWS, MOST_ROWS);
        Self { chosen, rows, tracks: vec![] }
    }

    /// Series that are plotted where none is named, at most.
    pub(crate) fn most(&self) -> usize {
        FIRST
    }

    /// These series alone, in this order, whether they have rows or not.
    pub(crate) fn choose(&mut self, ids: Vec<String>) {
        self.tracks = ids.iter().map(|id| Track { id: id.clone(), ..Track::default() }).collect();
        self.chosen = ids;
    }

    /// Of forecasts that were given more than once, the newest: so many steps.
    pub(crate) fn keep_newest(&mut self, horizon: usize) {
        for track in &mut self.tracks {
            track.ahead.drain(..track.ahead.len().saturating_sub(horizon));
        }
    }

    /// Ids that were asked for and are not among the series.
    pub(crate) fn missing(&self) -> Vec<&str> {
        let there = |id: &&String| self.tracks.iter().any(|track| track.id == **id);
        self.chosen.iter().filter(|id| !there(id)).map(String::as_str).collect()
    }

    /// The track of a series; a new one if the series is to be plotted.
    fn track(&mut self, id: &str) -> Option<&mut Track> {
        if let Some(at) = self.tracks.iter().position(|track| track.id == id) {
            return self.tracks.get_mut(at);
        }
        let wanted = if self.chosen.is_empty() {
            self.tracks.len() < FIRST
        } else {
            self.chosen.iter().any(|other| other == id)
        };
        if !wanted {
            return None;
        }
        self.tracks.push(Track { id: id.to_owned(), ..Track::default() });
        self.tracks.last_mut()
    }

    /// Takes rows of the input in: `id`, `time`, `value`.
    ///
    /// # Errors
    /// When a time cannot be cast.
    pub(crate) fn take_history(&mut self, rows: &RecordBatch) -> Result<()> {
        let (ids, times) = (rows["id"].as_string::<i32>(), cast(&rows["time"], &DataType::Int64)?);
        let (times, values) = (times.as_primitive::<Int64Type>(), rows["value"].as_primitive::<Float64Type>());
        let most = self.rows;
        for row in 0..rows.num_rows() {
            let Some(track) = self.track(ids.value(row)) else { continue };
            let value = if values.is_valid(row) { values.value(row) } else { f64::NAN };
            // A late row is a reject of the job's.
            if track.history.back().is_some_and(|(last, _)| times.value(row) <= *last) {
                continue;
            }
            if track.history.len() == most {
                track.history.pop_front();
            }
            track.history.push_back((times.value(row), if value.is_finite() { value } else { f64::NAN }));
        }
        Ok(())
    }

    /// Takes rows of the output in: `id`, `time`, `step`, quantiles, and columns that are no numbers behind them.
    ///
    /// # Errors
    /// As [`Gathered::take_history`].
    pub(crate) fn take_forecasts(&mut self, rows: &RecordBatch) -> Result<()> {
        let (ids, times) = (rows["id"].as_string::<i32>(), cast(&rows["time"], &DataType::Int64)?);
        let times = times.as_primitive::<Int64Type>();
        let quantiles: Vec<_> =
            rows.columns()[3..].iter().filter_map(|column| column.as_primitive_opt::<Float64Type>()).collect();
        for row in 0..rows.num_rows() {
            let Some(track) = self.tracks.iter_mut().find(|track| track.id == ids.value(row)) else { continue };
            let time = times.is_valid(row).then(|| times.value(row));
            track.ahead.push((time, quantiles.iter().map(|column| column.value(row)).collect()));
        }
        Ok(())
    }
}

/// A job that also gathers what passes through it.
pub(super) struct Gathering<J> {
    job: J,
    gathered: Arc<Mutex<Gathered>>,
}

impl<J: Job> Gathering<J> {
    /// The job, and what it will have gathered.
    pub(super) fn new(job: J, gathered: &Arc<Mutex<Gathered>>) -> Self {
        Self { job, gathered: Arc::clone(gathered) }
    }
}

/// What was gathered.
pub(super) fn lock(gathered: &Mutex<Gathered>) -> MutexGuard<'_, Gathered> {
    gathered.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<J: Job> Job for Gathering<J> {
    fn schema(&self) -> SchemaRef {
        self.job.schema()
    }

    fn push(&mut self, rows: &RecordBatch) -> Result<Vec<Reject>> {
        let rejects = self.job.push(rows)?;
        lock(&self.gathered).take_history(rows)?;
        Ok(rejects)
    }

    fn end(&mut self) -> Result<Vec<Reject>> {
        self.job.end()
    }

    fn closing(&self) -> Option<(u64, u64)> {
        self.job.closing()
    }

    fn step(&mut self) -> Result<Option<Step>> {
        let step = self.job.step()?;
        if let Some(step) = &step {
            lock(&self.gathered).take_forecasts(&step.rows)?;
        }
        Ok(step)
    }
}
