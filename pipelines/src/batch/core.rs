//! Rows in, output rows out: the pure part of a batch job.

mod table;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use arrow::{
    array::{Array, AsArray, BooleanArray, Int64Array, RecordBatch},
    compute::{cast, filter_record_batch},
    datatypes::{DataType, Int64Type, SchemaRef},
};
use unspool_ingest::{Reject, schema::TimeKind};
use unspool_model::{Events, Item, Model, Options, State};

use self::table::Table;
use super::{
    BatchJob,
    error::{Error, Result},
    states::Record,
};
use crate::{
    Frequency, Scheduler, Sequence, Worker,
    featurise::{Series, SeriesFeaturiser},
    forecast,
    scheduler::Limits,
    state_bytes,
    stream::emit::{Emit, Every, Give},
};

/// What a batch of rows, or a pack of series at the end, came to.
#[derive(Debug)]
pub(super) struct Given {
    /// Output rows.
    pub rows: RecordBatch,
    /// What could not be used.
    pub rejects: Vec<Reject>,
    /// Events encoded.
    pub events: u64,
}

/// The series and their states.
pub(super) struct Core {
    model: Arc<Model>,
    options: Options,
    table: Table,
    featuriser: SeriesFeaturiser,
    scheduler: Scheduler,
    worker: Worker,
    /// The run at hand, and of each series the one that read its last row.
    run: u32,
    runs: Vec<u32>,
    /// Series that were changed since their states were saved.
    changed: BTreeSet<usize>,
    max_series: usize,
    pack_events: u64,
    /// The frequency that most series have, once the input has ended.
    common: Option<Frequency>,
}

impl Core {
    /// Goes on from the series that were saved, in any order.
    ///
    /// # Errors
    /// When the model does not give what the job asks for, or there are too many series.
    pub(super) fn new(
        job: &BatchJob,
        model: &Arc<Model>,
        (time, run): (TimeKind, u32),
        saved: Vec<(Record, State)>,
    ) -> Result<Self> {
        let options = options(job, model)?;
        let table = Table::new(job, model, (&options, time))?;
        let patch = model.series_shape().map_or(1, |shape| shape.patch);
        let pack_events = job.pack_tokens.saturating_mul(patch);
        let mut worker = Worker::new(Arc::clone(model), options.clone(), job.max_series);
        let (mut series, mut runs) = (vec![], vec![]);
        let mut saved = saved;
        if saved.len() > job.max_series {
            return Err(too_many(job.max_series, state_bytes(model, &options)?));
        }
        saved.sort_by_key(|(record, _)| record.series.sequence);
        for (record, state) in saved {
            worker.put(record.series.sequence, state)?;
            series.push(record.series);
            runs.push(record.run);
        }
        Ok(Self {
            model: Arc::clone(model),
            options,
            table,
            featuriser: SeriesFeaturiser::resumed(series, job.give == Give::Scores),
            scheduler: Scheduler::new(Limits::job(pack_events)),
            worker,
            run,
            runs,
            changed: BTreeSet::new(),
            max_series: job.max_series,
            pack_events: pack_events as u64,
            common: None,
        })
    }

    /// The schema of the output.
    pub(super) fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    /// How many series there are.
    pub(super) fn series(&self) -> usize {
        self.featuriser.series().len()
    }

    /// Takes rows of one file in, each series' in the order of time; `file` is named in rejects.
    ///
    /// # Errors
    /// When there are too many series, or the model refuses.
    pub(super) fn push(&mut self, rows: &RecordBatch, file: &str) -> Result<Given> {
        let (rows, mut rejects) = self.after_the_last(rows, file)?;
        let (chunks, refused) = self.featuriser.featurise(&rows)?;
        rejects.extend(refused);
        if self.series() > self.max_series {
            return Err(too_many(self.max_series, state_bytes(&self.model, &self.options)?));
        }
        let numbers = self.numbers(&rows)?;
        self.runs.resize(self.series(), self.run);
        for number in numbers.iter().flatten() {
            self.runs[*number] = self.run;
            self.changed.insert(*number);
        }
        self.scheduler.push_all(chunks)?;
        let (mut events, mut scores) = (0, HashMap::<Sequence, std::vec::IntoIter<f64>>::new());
        loop {
            let pack = self.scheduler.pack();
            if pack.is_empty() {
                break;
            }
            events += pack.iter().map(|chunk| chunk.events.len() as u64).sum::<u64>();
            for encoded in self.worker.encode(&pack)? {
                let before = scores.remove(&encoded.sequence).unwrap_or_default();
                let all: Vec<f64> = before.chain(encoded.output.scores).collect();
                scores.insert(encoded.sequence, all.into_iter());
            }
        }
        let p_values = numbers.iter().map(|number| scores.get_mut(&Sequence((*number)? as u64))?.next());
        let rows = self.table.scored(&rows, &p_values.collect::<Vec<_>>())?;
        Ok(Given { rows, rejects, events })
    }

    /// The rows that are later than what their series had before this batch (within one the reader has looked), and
    /// the others as rejects.
    fn after_the_last(&self, rows: &RecordBatch, file: &str) -> Result<(RecordBatch, Vec<Reject>)> {
        let (mut rejects, mut keep) = (vec![], Vec::with_capacity(rows.num_rows()));
        let times = cast(rows.column(1), &DataType::Int64)?;
        let times: &Int64Array = times.as_primitive::<Int64Type>();
        let ids = rows.column(0).as_string::<i32>();
        for (row, number) in self.numbers(rows)?.into_iter().enumerate() {
            let series = number.map(|number| &self.featuriser.series()[number]);
            let late = series.and_then(|series| Some((series.last_time()?, series.time_kind())));
            let late = late.filter(|(last, _)| times.value(row) <= *last);
            keep.push(late.is_none());
            if let Some((last, kind)) = late {
                let time = times.value(row);
                let what = if time == last { "a second row at" } else { "late:" };
                let (time, last) = (shown(time, kind), shown(last, kind));
                let id = ids.value(row);
                let reason = format!("{what} {time} (series '{id}' is already at {last}, by an earlier file)");
                rejects.push(Reject { place: file.to_owned(), reason, payload: vec![] });
            }
        }
        if rejects.is_empty() {
            return Ok((rows.clone(), rejects));
        }
        Ok((filter_record_batch(rows, &BooleanArray::from(keep))?, rejects))
    }

    /// The numbers of the rows' series, of those that are known.
    fn numbers(&self, rows: &RecordBatch) -> Result<Vec<Option<usize>>> {
        let ids = rows.column(0).as_string_opt::<i32>();
        let ids = ids.ok_or_else(|| crate::Error::Rows("the rows' first column is not their ids".into()))?;
        let mut numbers: Vec<Option<usize>> = Vec::with_capacity(ids.len());
        for row in 0..ids.len() {
            let same = row > 0 && ids.value(row) == ids.value(row - 1);
            numbers.push(if same { numbers[row - 1] } else { self.featuriser.number(ids.value(row)) });
        }
        Ok(numbers)
    }

    /// The series of which something is given now that the run's input has ended: those that had rows in it.
    pub(super) fn due(&mut self) -> Vec<usize> {
        self.common = forecast::most_frequent(self.featuriser.series().iter().filter_map(Series::frequency));
        let all = if self.table.is_scores() { 0..0 } else { 0..self.series() };
        all.filter(|number| self.runs[*number] == self.run).collect()
    }

    /// Gives forecasts or embeddings of the first of these series, as many as suit a pack, and says how many.
    ///
    /// Their own states stay as they are: what is held back goes into copies.
    ///
    /// # Errors
    /// When the model refuses.
    pub(super) fn give(&mut self, due: &[usize]) -> Result<(usize, Given)> {
        let ahead = self.table.horizon() as u64;
        let context = self.model.series_shape().map_or(0, |shape| shape.context) as u64;
        let (mut states, mut pending, mut cost, mut events) = (vec![], vec![], 0, 0);
        for number in due {
            if cost >= self.pack_events {
                break;
            }
            let series = &self.featuriser.series()[*number];
            let state = match self.worker.get(series.sequence) {
                Some(state) => state.clone(),
                None => self.model.open(&self.options)?,
            };
            let values = series.held_back();
            events += values.len() as u64;
            let len = state.position() + values.len() as u64;
            cost += len.min(context).max(forecast::LEAST_EVENTS).max(ahead);
            states.push(state);
            pending.push(values);
        }
        let mut items: Vec<Item<'_>> = states
            .iter_mut()
            .zip(&pending)
            .filter(|(_, values)| !values.is_empty())
            .map(|(state, values)| Item { state, events: Events::Values(values) })
            .collect();
        self.model.append(&mut items)?;
        let due: Vec<&Series> = due[..states.len()].iter().map(|number| &self.featuriser.series()[*number]).collect();
        let (rows, rejects) = self.table.rows(&self.model, (&due, &states), self.common)?;
        Ok((states.len(), Given { rows, rejects, events }))
    }

    /// What was changed since the last call (or, with `all`, every series), each with its state's bytes.
    ///
    /// # Errors
    /// When the model or `take` fails.
    pub(super) fn save(&mut self, all: bool, take: &mut dyn FnMut(&Record, &[u8]) -> Result<()>) -> Result<()> {
        let changed = std::mem::take(&mut self.changed);
        let numbers: Vec<usize> = if all { (0..self.series()).collect() } else { changed.into_iter().collect() };
        for number in numbers {
            let series = &self.featuriser.series()[number];
            let fresh;
            let state = match self.worker.get(series.sequence) {
                Some(state) => state,
                None => {
                    fresh = self.model.open(&self.options)?;
                    &fresh
                }
            };
            let record = Record { series: series.clone(), run: self.runs[number], position: state.position() };
            take(&record, &self.model.save(state)?)?;
        }
        Ok(())
    }

    /// How many series were changed since the last save.
    pub(super) fn changed(&self) -> usize {
        self.changed.len()
    }
}

/// What series are opened for.
///
/// # Errors
/// When the model does not give it.
pub(super) fn options(job: &BatchJob, model: &Model) -> Result<Options> {
    let emit = Emit { give: job.give.clone(), every: Every::Events(1) };
    emit.options(model).map_err(|error| Error::Settings(format!("give: {error}")))
}

fn too_many(limit: usize, state_bytes: usize) -> Error {
    Error::Settings(format!(
        "more than {limit} series (a state is {state_bytes} bytes): raise run.max_series or run.states_bytes, or split the input"
    ))
}

/// A time as a person reads it.
fn shown(time: i64, kind: TimeKind) -> String {
    match kind {
        TimeKind::Step => format!("step {time}"),
        TimeKind::Timestamp => chrono::DateTime::from_timestamp_micros(time)
            .map_or_else(|| format!("{time} µs"), |time| time.naive_utc().to_string()),
    }
}
