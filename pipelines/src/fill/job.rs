//! The job behind `unspool fill`: whole series in, whole series out.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::Arc,
};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringBuilder,
        TimestampMicrosecondArray,
    },
    compute::cast,
    datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef, TimeUnit},
};
use unspool_ingest::{Reject, schema::TimeKind};
use unspool_model::Model;

use super::{Estimate, fill};
use crate::{Error, Frequency, Job, Result, Step};

/// Values of all series together: they are in memory until the input ends.
const MOST_VALUES: usize = 100_000_000;
/// Times that a frequency is inferred from.
const TIMES: usize = 64;

/// What is asked of a [`Filler`] job.
#[derive(Clone, Copy, Debug)]
pub struct FillOptions {
    /// How the input writes times.
    pub time: TimeKind,
    /// Values that are filled together, at most; one longer series is a pack of its own.
    pub pack_values: usize,
    /// Series, at most.
    pub max_series: usize,
}

/// Fills in missing values.
///
/// Output rows: `id`, `time`, `value` (null where nothing can be said), `filled`, and for a filled value `low` and `high`, the
/// model's outer quantiles. A row that is missing from a regular grid becomes a row. Series in the order of their first rows.
pub struct Filler {
    model: Arc<Model>,
    options: FillOptions,
    schema: SchemaRef,
    numbers: HashMap<String, usize>,
    series: VecDeque<Whole>,
    total: usize,
    count: usize,
    ended: bool,
}

/// One series.
#[derive(Default)]
struct Whole {
    id: String,
    times: Vec<i64>,
    values: Vec<f64>,
}

impl Filler {
    /// A job for a series model.
    ///
    /// # Errors
    /// When the model is none.
    pub fn new(model: Arc<Model>, options: FillOptions) -> Result<Self> {
        if model.series_shape().is_none() {
            let problem = format!("{} is no series model: leave --model out for the built-in one", model.info().name);
            return Err(Error::Rows(problem));
        }
        let time = match options.time {
            TimeKind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            TimeKind::Step => DataType::Int64,
        };
        let schema = Arc::new(Schema::new(vec![
            Field::new("id", DataType::Utf8, false),
            Field::new("time", time, false),
            Field::new("value", DataType::Float64, true),
            Field::new("filled", DataType::Boolean, false),
            Field::new("low", DataType::Float64, true),
            Field::new("high", DataType::Float64, true),
        ]));
        let (numbers, series) = (HashMap::new(), VecDeque::new());
        Ok(Self { model, options, schema, numbers, series, total: 0, count: 0, ended: false })
    }

    fn series(&mut self, id: &str) -> Result<&mut Whole> {
        let (next, most) = (self.series.len(), self.options.max_series);
        let number = match self.numbers.entry(id.to_owned()) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(_) if next == most => {
                return Err(Error::Rows(format!("more than {most} series: give fewer at once, or allow more")));
            }
            Entry::Vacant(new) => {
                self.series.push_back(Whole { id: id.to_owned(), ..Whole::default() });
                *new.insert(next)
            }
        };
        Ok(&mut self.series[number])
    }

    fn table(&self, pack: &[Whole], estimates: &[Vec<Option<Estimate>>]) -> Result<RecordBatch> {
        let (mut ids, mut times, mut values, mut filled) = (StringBuilder::new(), vec![], vec![], vec![]);
        let (mut low, mut high) = (vec![], vec![]);
        for (series, estimates) in pack.iter().zip(estimates) {
            for ((time, value), estimate) in series.times.iter().zip(&series.values).zip(estimates) {
                ids.append_value(&series.id);
                times.push(*time);
                values.push(estimate.map(|e| e.median).or(Some(*value).filter(|v| !v.is_nan())));
                filled.push(estimate.is_some());
                low.push(estimate.map(|e| e.low));
                high.push(estimate.map(|e| e.high));
            }
        }
        let times: ArrayRef = match self.options.time {
            TimeKind::Timestamp => Arc::new(TimestampMicrosecondArray::from(times)),
            TimeKind::Step => Arc::new(Int64Array::from(times)),
        };
        let [values, low, high] = [values, low, high].map(|column| Arc::new(Float64Array::from(column)) as ArrayRef);
        let filled: ArrayRef = Arc::new(BooleanArray::from(filled));
        let columns = vec![Arc::new(ids.finish()) as ArrayRef, times, values, filled, low, high];
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

impl Job for Filler {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn push(&mut self, rows: &RecordBatch) -> Result<Vec<Reject>> {
        let column = |name: &str| rows.column_by_name(name).ok_or_else(|| Error::Rows(format!("no column '{name}'")));
        let (ids, times) = (column("id")?.as_string::<i32>(), cast(column("time")?, &DataType::Int64)?);
        let (times, values) = (times.as_primitive::<Int64Type>(), column("value")?.as_primitive::<Float64Type>());
        self.total += rows.num_rows();
        if self.total > MOST_VALUES {
            let problem =
                format!("more than {MOST_VALUES} rows: whole series are filled in memory; give fewer at once");
            return Err(Error::Rows(problem));
        }
        let mut rejects = vec![];
        for row in 0..rows.num_rows() {
            let (id, time) = (ids.value(row), times.value(row));
            let series = self.series(id)?;
            if let Some(last) = series.times.last().filter(|last| time <= **last) {
                let reason = format!("its time, {time}, is not after the one before, {last}");
                rejects.push(Reject { place: format!("series '{id}'"), reason, payload: vec![] });
                continue;
            }
            let value = if values.is_valid(row) { values.value(row) } else { f64::NAN };
            if value.is_infinite() {
                let reason = "its value is infinite: it is filled in".into();
                rejects.push(Reject { place: format!("series '{id}'"), reason, payload: vec![] });
            }
            series.times.push(time);
            series.values.push(if value.is_finite() { value } else { f64::NAN });
        }
        Ok(rejects)
    }

    fn end(&mut self) -> Result<Vec<Reject>> {
        self.ended = true;
        self.count = self.series.len();
        Ok(vec![])
    }

    fn closing(&self) -> Option<(u64, u64)> {
        self.ended.then_some(((self.count - self.series.len()) as u64, self.count as u64))
    }

    fn step(&mut self) -> Result<Option<Step>> {
        if !self.ended || self.series.is_empty() {
            return Ok(None);
        }
        let (mut pack, mut events): (Vec<Whole>, usize) = (vec![], 0);
        while pack.is_empty() || events < self.options.pack_values {
            let Some(series) = self.series.pop_front() else { break };
            let series = series.on_its_grid(self.options.time);
            events += series.values.len();
            pack.push(series);
        }
        let values: Vec<&[f64]> = pack.iter().map(|series| &series.values[..]).collect();
        let estimates = fill(&self.model, &values)?;
        Ok(Some(Step { rows: self.table(&pack, &estimates)?, rejects: vec![], events: events as u64 }))
    }
}

impl Whole {
    /// With a missing value for each row that a regular grid lacks, of [`super::LONGEST`] in a row at most.
    fn on_its_grid(self, kind: TimeKind) -> Self {
        let frequency = Frequency::infer(&self.times[..self.times.len().min(TIMES)], kind);
        let Some(frequency) = frequency.filter(|frequency| !matches!(frequency, Frequency::Irregular(_))) else {
            return self;
        };
        let mut whole = Self { id: self.id, ..Self::default() };
        for (time, value) in self.times.into_iter().zip(self.values) {
            if let Some(last) = whole.times.last().copied() {
                let missing = frequency.missing_between(last, time);
                let lacking = (1..=missing).filter(|_| missing <= super::LONGEST as u64);
                let between = lacking.filter_map(|step| frequency.after(last, i64::try_from(step).ok()?));
                for between in between.take_while(|between| *between < time) {
                    whole.times.push(between);
                    whole.values.push(f64::NAN);
                }
            }
            whole.times.push(time);
            whole.values.push(value);
        }
        whole
    }
}
