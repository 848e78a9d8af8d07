//! Forecasts of all series of an input, made when the input has ended.

pub(crate) mod table;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, num::NonZeroUsize, sync::Arc};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use unspool_ingest::{Reject, schema::TimeKind};
use unspool_model::{Model, Options, State};

use self::table::Table;
use crate::{
    Error, Frequency, Job, Result, Scheduler, Step, Worker,
    featurise::{Series, SeriesFeaturiser},
    scheduler::Limits,
};

/// A forecast in a pack counts as at least this many values: each takes two backbone states, however short the series.
pub(crate) const LEAST_EVENTS: u64 = 256;

/// What is asked of a [`Forecaster`] job.
#[derive(Clone, Debug)]
pub struct ForecastOptions {
    /// Values to forecast of each series.
    pub horizon: NonZeroUsize,
    /// Levels of the quantiles that are wanted, of those that the model forecasts; `None`: all of them.
    pub levels: Option<Vec<f64>>,
    /// How the input writes times.
    pub time: TimeKind,
    /// Tokens a pack, at most: patches of values.
    pub pack_tokens: usize,
    /// Series at once, at most.
    pub max_series: usize,
}

/// The job behind `unspool forecast`.
///
/// Output rows: `id`, `time`, `step` (1 to the horizon), and a column for each level of the model, or each that is wanted: `q10` to `q90`. Series in the order of their first rows. Times go on
/// at the frequency of a series' last 64 rows ([`Frequency::infer`]); a series of one row takes the input's most
/// frequent one, and where there is none its times are null. A series without a single value is a reject.
pub struct Forecaster {
    horizon: NonZeroUsize,
    /// Values a pack.
    pack_events: u64,
    model: Arc<Model>,
    /// Values that a forecast looks back on, at most.
    context: u64,
    featuriser: SeriesFeaturiser,
    scheduler: Scheduler,
    worker: Worker,
    table: Table,
    /// The number of the next series to be forecast; `None` before the input's end.
    next: Option<usize>,
    /// The input's most frequent frequency.
    common: Option<Frequency>,
}

impl Forecaster {
    /// A job for a series model.
    ///
    /// # Errors
    /// When the model is none, or does not forecast a level that is wanted.
    pub fn new(model: Arc<Model>, options: ForecastOptions) -> Result<Self> {
        let Some(shape) = model.series_shape() else {
            let problem = format!("{} is no series model: leave --model out for the built-in one", model.info().name);
            return Err(Error::Rows(problem));
        };
        let table = Table::new(options.time, &shape.levels, options.levels.as_deref())?;
        let context = shape.context as u64;
        let pack_events = options.pack_tokens.saturating_mul(shape.patch);
        Ok(Self {
            horizon: options.horizon,
            pack_events: pack_events as u64,
            featuriser: SeriesFeaturiser::default(),
            scheduler: Scheduler::new(Limits::job(pack_events)),
            worker: Worker::new(Arc::clone(&model), Options::default(), options.max_series),
            model,
            context,
            table,
            next: None,
            common: None,
        })
    }

    /// Forecasts a pack of the series that have not been forecast yet.
    fn forecast(&mut self) -> Result<Option<Step>> {
        let (Some(next), all) = (&mut self.next, self.featuriser.series()) else { return Ok(None) };
        if *next == all.len() {
            return Ok(None);
        }
        let (mut pack, mut states, mut events): (Vec<&Series>, Vec<State>, u64) = (vec![], vec![], 0);
        while *next < all.len() && events < self.pack_events {
            let series = &all[*next];
            *next += 1;
            let Some(state) = self.worker.take(series.sequence) else { continue };
            let ahead = self.horizon.get() as u64;
            events += state.position().min(self.context).max(LEAST_EVENTS).max(ahead);
            pack.push(series);
            states.push(state);
        }
        let states: Vec<&State> = states.iter().collect();
        let forecasts = self.model.forecast(&states, self.horizon.get())?;
        let mut rejects = vec![];
        for (series, forecast) in pack.into_iter().zip(&forecasts) {
            if forecast.reason.is_some() {
                rejects.push(no_value(series, self.context));
                continue;
            }
            self.table.push(series, series.frequency().or(self.common), forecast);
        }
        Ok(Some(Step { rows: self.table.take()?, rejects, events: 0 }))
    }
}

impl Job for Forecaster {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn push(&mut self, rows: &RecordBatch) -> Result<Vec<Reject>> {
        let (chunks, rejects) = self.featuriser.featurise(rows)?;
        self.scheduler.push_all(chunks)?;
        Ok(rejects)
    }

    fn end(&mut self) -> Result<Vec<Reject>> {
        let chunks = self.featuriser.end();
        self.scheduler.push_all(chunks)?;
        let series = self.featuriser.series();
        self.common = most_frequent(series.iter().filter_map(Series::frequency));
        self.next = Some(0);
        Ok(vec![])
    }

    fn closing(&self) -> Option<(u64, u64)> {
        Some((self.next? as u64, self.featuriser.series().len() as u64))
    }

    fn step(&mut self) -> Result<Option<Step>> {
        let pack = self.scheduler.pack();
        if pack.is_empty() {
            return self.forecast();
        }
        let events: usize = pack.iter().map(|chunk| chunk.events.len()).sum();
        self.worker.encode(&pack)?;
        Ok(Some(Step { rows: RecordBatch::new_empty(self.schema()), rejects: vec![], events: events as u64 }))
    }
}

/// There is nothing to forecast from.
pub(crate) fn no_value(series: &Series, context: u64) -> Reject {
    let reason = match series.present {
        0 => "it has no value, only missing ones".into(),
        _ => format!("its last {context} values are missing: there is nothing to forecast from"),
    };
    Reject { place: format!("series '{}'", series.id), reason, payload: vec![] }
}

/// The most frequent frequency; of equally frequent ones the first.
pub(crate) fn most_frequent(all: impl Iterator<Item = Frequency>) -> Option<Frequency> {
    let mut counts: HashMap<Frequency, (usize, usize)> = HashMap::new();
    for (number, frequency) in all.enumerate() {
        counts.entry(frequency).or_insert((0, usize::MAX - number)).0 += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(frequency, _)| frequency)
}
