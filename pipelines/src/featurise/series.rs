//! Series rows to chunks of values: grouped by id, in time order, gaps of a regular grid filled.

use std::collections::{HashMap, VecDeque, hash_map::Entry};

use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray},
    compute::cast,
    datatypes::{DataType, Float64Type, Int64Type, TimeUnit},
};
use serde::{Deserialize, Serialize};
use unspool_ingest::{Reject, schema::TimeKind};

use crate::{Chunk, End, Error, Events, Frequency, Owner, Result, Sequence};

/// The frequency is inferred from a series' first times, and from its last ones: this many.
const TIMES: usize = 64;
/// A gap is filled with this many missing values at most: models forget over such a length, and memory is bounded.
const LONGEST_GAP: u64 = 4096;

/// One series so far.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Series {
    /// Its sequence.
    pub sequence: Sequence,
    /// Its name.
    pub id: String,
    /// Values that are not missing.
    pub present: u64,
    /// Its last times, oldest first, at most 64 of them.
    times: VecDeque<i64>,
    kind: TimeKind,
    grid: Grid,
    /// Values to be cut into a chunk at the batch's end; none between batches.
    #[serde(skip)]
    ready: Vec<f64>,
}

/// What is known of the step between a series' rows.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Grid {
    /// Nothing yet: the first values are held back.
    Unknown(Vec<f64>),
    /// The step inferred from the first times; `None` for a single row.
    Known(Option<Frequency>),
}

/// Rows of the series schema to chunks of values.
///
/// The step between a series' rows is inferred from its first 64 (or all, if there are fewer): those are held back until it is
/// known. A row that is missing from a regular grid becomes a missing value (NaN), of 4,096 in a row at most; off the grid, a row counts as the
/// nearest step, and as the next one at least. An irregular series has no gaps. A row whose time is not after the
/// one before, and an infinite value, are rejected; the latter counts as missing.
#[derive(Debug, Default)]
pub struct SeriesFeaturiser {
    numbers: HashMap<String, usize>,
    series: Vec<Series>,
    /// Series with values in the batch at hand, in the order of their first row.
    touched: Vec<usize>,
    /// Every row is an event: new series have no grid.
    gridless: bool,
}

/// The columns of a batch.
struct Columns<'a> {
    id: &'a StringArray,
    time: Int64Array,
    value: &'a Float64Array,
    kind: TimeKind,
}

impl SeriesFeaturiser {
    /// Goes on from series as they were between two batches, in the order of their numbers.
    ///
    /// `gridless`: each row of a series that is new is one event, at once; no gap is filled.
    pub(crate) fn resumed(series: Vec<Series>, gridless: bool) -> Self {
        let numbers = series.iter().enumerate().map(|(number, series)| (series.id.clone(), number)).collect();
        Self { numbers, series, touched: vec![], gridless }
    }

    /// Cuts a batch into chunks, one for each series that has values ready, in the order of their first rows.
    ///
    /// # Errors
    /// When a column is missing or has another type.
    pub fn featurise(&mut self, rows: &RecordBatch) -> Result<(Vec<Chunk>, Vec<Reject>)> {
        let numbers = self.number_rows(rows)?;
        let rejects = self.push_rows(rows, &numbers)?;
        Ok((self.cut(), rejects))
    }

    /// The number of each row's series, a new one where there is none yet.
    ///
    /// # Errors
    /// As [`SeriesFeaturiser::featurise`].
    pub(crate) fn number_rows(&mut self, rows: &RecordBatch) -> Result<Vec<u32>> {
        let columns = Columns::of(rows)?;
        let mut numbers: Vec<u32> = Vec::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            let id = columns.id.value(row);
            let same = row > 0 && id == columns.id.value(row - 1);
            let number = match numbers.last() {
                Some(number) if same => *number,
                _ => u32::try_from(self.find(id, columns.kind))
                    .map_err(|_| Error::Rows("more than 4294967295 series".into()))?,
            };
            numbers.push(number);
        }
        Ok(numbers)
    }

    /// Takes rows in, with the numbers of their series: what they make ready is for [`SeriesFeaturiser::drain`].
    ///
    /// # Errors
    /// As [`SeriesFeaturiser::featurise`].
    pub(crate) fn push_rows(&mut self, rows: &RecordBatch, numbers: &[u32]) -> Result<Vec<Reject>> {
        let columns = Columns::of(rows)?;
        let mut rejects = vec![];
        for (row, number) in numbers.iter().enumerate() {
            let value = if columns.value.is_valid(row) { columns.value.value(row) } else { f64::NAN };
            let number = *number as usize;
            let series = &mut self.series[number];
            if series.ready.is_empty() {
                self.touched.push(number);
            }
            rejects.extend(series.push(columns.time.value(row), value));
        }
        Ok(rejects)
    }

    /// Hands over the values that are ready, series by series.
    pub(crate) fn drain(&mut self, mut take: impl FnMut(usize, &[f64])) {
        for number in std::mem::take(&mut self.touched) {
            let ready = &mut self.series[number].ready;
            if !ready.is_empty() {
                take(number, ready);
                ready.clear();
            }
        }
    }

    /// The input has ended: chunks of the values that were held back.
    pub fn end(&mut self) -> Vec<Chunk> {
        for number in 0..self.series.len() {
            self.series[number].settle();
            self.touched.push(number);
        }
        self.cut()
    }

    /// All series, in the order of their first rows.
    #[must_use]
    pub fn series(&self) -> &[Series] {
        &self.series
    }

    fn find(&mut self, id: &str, kind: TimeKind) -> usize {
        match self.numbers.get(id) {
            Some(number) => *number,
            None => {
                let number = self.series.len();
                let grid = if self.gridless { Grid::Known(None) } else { Grid::Unknown(vec![]) };
                self.series.push(Series::new(Sequence(number as u64), id, (kind, grid)));
                match self.numbers.entry(id.to_owned()) {
                    Entry::Occupied(entry) => *entry.get(),
                    Entry::Vacant(entry) => *entry.insert(number),
                }
            }
        }
    }

    fn cut(&mut self) -> Vec<Chunk> {
        let mut chunks = vec![];
        for number in std::mem::take(&mut self.touched) {
            let series = &mut self.series[number];
            let values = std::mem::take(&mut series.ready);
            if !values.is_empty() {
                let events = Events::Values(values.into());
                chunks.push(Chunk { sequence: series.sequence, owner: Owner::default(), events, end: End::Open });
            }
        }
        chunks
    }
}

impl Series {
    fn new(sequence: Sequence, id: &str, (kind, grid): (TimeKind, Grid)) -> Self {
        Self { sequence, id: id.to_owned(), present: 0, times: VecDeque::new(), kind, grid, ready: vec![] }
    }

    /// The values that are held back until its grid is known, as they would be if no row followed.
    pub(crate) fn held_back(&self) -> Vec<f64> {
        let mut ended = self.clone();
        ended.settle();
        ended.ready
    }

    /// The time of the last row.
    #[must_use]
    pub(crate) fn last_time(&self) -> Option<i64> {
        self.times.back().copied()
    }

    /// How its time is written.
    #[must_use]
    pub fn time_kind(&self) -> TimeKind {
        self.kind
    }

    /// The frequency of its last 64 times; `None` for a single one.
    #[must_use]
    pub fn frequency(&self) -> Option<Frequency> {
        let times: Vec<i64> = self.times.iter().copied().collect();
        Frequency::infer(&times, self.kind)
    }

    /// Takes a row in; what cannot be used of it comes back.
    fn push(&mut self, time: i64, value: f64) -> Option<Reject> {
        let last = self.last_time();
        if last.is_some_and(|last| time <= last) {
            return Some(self.reject(time, "its time is not after the row before it: sort the rows by time".into()));
        }
        let infinite = value.is_infinite();
        let value = if infinite { f64::NAN } else { value };
        self.present += u64::from(!value.is_nan());
        if self.times.len() == TIMES {
            self.times.pop_front();
        }
        self.times.push_back(time);
        match &mut self.grid {
            Grid::Unknown(held) => {
                held.push(value);
                if held.len() == TIMES {
                    self.settle();
                }
            }
            Grid::Known(frequency) => {
                let gap = missing(*frequency, last, time);
                self.ready.extend(std::iter::repeat_n(f64::NAN, gap));
                self.ready.push(value);
            }
        }
        infinite.then(|| self.reject(time, "the value is infinite; it counts as missing".into()))
    }

    /// Infers the grid, and lays the values that were held back on it.
    fn settle(&mut self) {
        let Grid::Unknown(held) = &mut self.grid else { return };
        let held = std::mem::take(held);
        let frequency = self.frequency();
        let mut last = None;
        for (time, value) in self.times.iter().zip(held) {
            self.ready.extend(std::iter::repeat_n(f64::NAN, missing(frequency, last, *time)));
            self.ready.push(value);
            last = Some(*time);
        }
        self.grid = Grid::Known(frequency);
    }

    fn reject(&self, time: i64, reason: String) -> Reject {
        let time = match self.kind {
            TimeKind::Step => time.to_string(),
            TimeKind::Timestamp => chrono::DateTime::from_timestamp_micros(time)
                .map_or_else(|| format!("{time} µs"), |time| time.naive_utc().to_string()),
        };
        Reject { place: format!("series '{}', time {time}", self.id), reason, payload: vec![] }
    }
}

/// Values missing between two rows, as many as are filled in.
fn missing(frequency: Option<Frequency>, last: Option<i64>, time: i64) -> usize {
    let gap = frequency.zip(last).map_or(0, |(frequency, last)| frequency.missing_between(last, time));
    usize::try_from(gap.min(LONGEST_GAP)).unwrap_or(0)
}

impl<'a> Columns<'a> {
    fn of(rows: &'a RecordBatch) -> Result<Self> {
        let column = |name: &str| {
            let missing = || Error::Rows(format!("the rows have no column '{name}': a series has id, time and value"));
            rows.column_by_name(name).ok_or_else(missing)
        };
        let (id, time, value): (&ArrayRef, &ArrayRef, &ArrayRef) = (column("id")?, column("time")?, column("value")?);
        let kind = match time.data_type() {
            DataType::Int64 => TimeKind::Step,
            DataType::Timestamp(TimeUnit::Microsecond, _) => TimeKind::Timestamp,
            other => {
                return Err(Error::Rows(format!("times of type {other}: timestamps (µs) or step numbers are needed")));
            }
        };
        let unfit =
            || Error::Rows("the rows are not id (text), time, value (f64), with every id and time there".into());
        if id.null_count() + time.null_count() > 0 {
            return Err(unfit());
        }
        Ok(Self {
            id: id.as_string_opt().ok_or_else(unfit)?,
            time: cast(time, &DataType::Int64)?.as_primitive::<Int64Type>().clone(),
            value: value.as_primitive_opt::<Float64Type>().ok_or_else(unfit)?,
            kind,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn rows(rows: &[(&str, i64, Option<f64>)]) -> RecordBatch {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|row| Some(row.0)).collect::<StringArray>()),
            Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|row| row.2).collect::<Float64Array>()),
        ];
        RecordBatch::try_new(unspool_ingest::schema::series(TimeKind::Step), columns).expect("rows")
    }

    /// Values of each series, `?` where missing, whatever the batches; and the rejects.
    fn check(input: &[(&str, i64, Option<f64>)], expected: &[&str], rejects: &[&str]) {
        for batch_rows in [1, 3, 1000] {
            let mut featuriser = SeriesFeaturiser::default();
            let (mut chunks, mut refused) = (vec![], vec![]);
            for part in input.chunks(batch_rows) {
                let (more, bad) = featuriser.featurise(&rows(part)).expect("the series schema");
                chunks.extend(more);
                refused.extend(bad.into_iter().map(|reject| format!("{}: {}", reject.place, reject.reason)));
            }
            chunks.extend(featuriser.end());
            let mut found: Vec<String> = featuriser.series().iter().map(|series| format!("{}:", series.id)).collect();
            for chunk in chunks {
                let Events::Values(values) = &chunk.events else { panic!("values") };
                let text = &mut found[usize::try_from(chunk.sequence.0).expect("small")];
                for value in values.iter() {
                    text.push_str(&if value.is_nan() { " ?".into() } else { format!(" {value}") });
                }
            }
            assert_eq!(found, expected, "{input:?} by {batch_rows}");
            assert_eq!(refused, rejects, "{input:?} by {batch_rows}");
        }
    }

    #[test]
    fn rows_are_grouped_and_gaps_are_filled() {
        check(&[], &[], &[]);
        check(&[("a", 5, Some(1.0))], &["a: 1"], &[]);
        let mixed = [("b", 0, Some(1.0)), ("a", 7, None), ("b", 1, Some(2.0)), ("a", 9, Some(3.0))];
        check(&mixed, &["b: 1 2", "a: ? 3"], &[]);
        let gap = [("a", 0, Some(0.0)), ("a", 1, Some(1.0)), ("a", 2, Some(2.0)), ("a", 5, Some(5.0))];
        check(&gap, &["a: 0 1 2 ? ? 5"], &[]);
    }

    #[test]
    fn gaps_after_the_grid_is_known() {
        let input: Vec<_> = (0..80).filter(|time| *time != 70).map(|time| ("a", time, Some(time as f64))).collect();
        let values: Vec<String> = (0..80).map(|time| if time == 70 { "?".into() } else { time.to_string() }).collect();
        check(&input, &[&format!("a: {}", values.join(" "))], &[]);
    }

    #[test]
    fn a_gap_is_bounded() {
        let mut featuriser = SeriesFeaturiser::default();
        let input = [("a", 0, Some(0.0)), ("a", 1, Some(0.0)), ("a", 2, Some(0.0)), ("a", i64::MAX, Some(1.0))];
        featuriser.featurise(&rows(&input)).expect("the series schema");
        assert_eq!(featuriser.end()[0].events.len() as u64, LONGEST_GAP + 4);
    }

    #[test]
    fn bad_rows_are_rejected() {
        let late = "series 'a', time 1: its time is not after the row before it: sort the rows by time";
        check(&[("a", 2, Some(1.0)), ("a", 1, Some(2.0)), ("a", 3, Some(3.0))], &["a: 1 3"], &[late]);
        let infinite = "series 'a', time 1: the value is infinite; it counts as missing";
        check(&[("a", 0, Some(1.0)), ("a", 1, Some(f64::INFINITY))], &["a: 1 ?"], &[infinite]);
    }
}
