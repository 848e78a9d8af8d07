//! Rows of series, in the order in which they came.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array, Float64Builder, Int64Array, RecordBatch, StringBuilder},
    compute::cast,
    datatypes::{DataType, Float64Type, Int64Type},
};
use unspool_ingest::{
    Reject,
    schema::{self, TimeKind},
};

use super::shared::{GROUP_ROWS, Shared};
use crate::Result;

/// The rows of one series.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    times: Int64Array,
    values: Float64Array,
    /// The rows that count: each has a time, later than those before it.
    pub(super) kept: Vec<usize>,
}

impl Rows {
    /// The rows of columns that were coerced; those that are late, doubled or without a time do not count.
    ///
    /// # Errors
    /// When the columns have other types.
    pub(super) fn new(times: &ArrayRef, values: &ArrayRef, shared: &Shared) -> Result<Self> {
        let times = cast(times, &DataType::Int64)?.as_primitive::<Int64Type>().clone();
        let values = cast(values, &DataType::Float64)?.as_primitive::<Float64Type>().clone();
        let (mut kept, mut last): (Vec<usize>, Option<i64>) = (Vec::with_capacity(times.len()), None);
        for row in 0..times.len() {
            let time = times.is_valid(row).then(|| times.value(row));
            if time.is_some_and(|time| last.is_none_or(|last| time > last)) {
                kept.push(row);
                last = time;
                continue;
            }
            let reason = match time {
                None => "it has no time".to_owned(),
                Some(time) => format!("its time {time} is not after that of the row before: order by time"),
            };
            shared.reject([Reject { place: "a row of a series".into(), reason, payload: vec![] }]);
        }
        Ok(Self { times, values, kept })
    }

    /// Whether a row has a value.
    pub(super) fn is_present(&self, row: usize) -> bool {
        self.values.is_valid(row)
    }

    /// All rows, with those that do not count.
    pub(super) fn len(&self) -> usize {
        self.times.len()
    }
}

/// The rows of series that count, as rows of the series schema; the number of each series is its id.
///
/// # Errors
/// When Arrow refuses.
pub(super) fn batch(all: &[Rows], kind: TimeKind) -> Result<RecordBatch> {
    let (mut ids, mut times, mut values) = (StringBuilder::new(), vec![], Float64Builder::new());
    for (number, rows) in all.iter().enumerate() {
        let id = number.to_string();
        for &row in &rows.kept {
            ids.append_value(&id);
            times.push(rows.times.value(row));
            values.append_option(rows.values.is_valid(row).then(|| rows.values.value(row)));
        }
    }
    let schema = schema::series(kind);
    let times = cast(&Int64Array::from(times), schema.field(1).data_type())?;
    Ok(RecordBatch::try_new(schema, vec![Arc::new(ids.finish()), times, Arc::new(values.finish())])?)
}

/// Consecutive series that are worked on together: so many at most, and so many rows.
pub(super) fn groups(all: &[Rows], most: usize) -> Vec<Range<usize>> {
    let (mut groups, mut start, mut rows) = (vec![], 0, 0);
    for (number, series) in all.iter().enumerate() {
        if number > start && (number - start >= most || rows + series.len() > GROUP_ROWS) {
            groups.push(start..number);
            (start, rows) = (number, 0);
        }
        rows += series.len();
    }
    if start < all.len() {
        groups.push(start..all.len());
    }
    groups
}

/// A batch in pieces of a bounded number of rows.
pub(super) fn pieces(rows: &RecordBatch) -> impl Iterator<Item = RecordBatch> {
    (0..rows.num_rows()).step_by(GROUP_ROWS).map(|start| rows.slice(start, GROUP_ROWS.min(rows.num_rows() - start)))
}
