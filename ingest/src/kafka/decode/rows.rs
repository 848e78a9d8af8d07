//! The rows under way, in columns.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray},
    buffer::{NullBuffer, OffsetBuffer, ScalarBuffer},
};

use super::Record;
use crate::schema;

/// Texts end to end, with where each ends.
#[derive(Default)]
struct Texts {
    bytes: String,
    ends: Vec<i32>,
}

impl Texts {
    fn push(&mut self, text: &str) {
        self.bytes.push_str(text);
        self.ends.push(i32::try_from(self.bytes.len()).unwrap_or(i32::MAX));
    }

    fn truncate(&mut self, len: usize) {
        self.ends.truncate(len);
        self.bytes.truncate(self.ends.last().map_or(0, |end| *end as usize));
    }

    fn take(&mut self, nulls: Option<NullBuffer>) -> StringArray {
        let offsets = std::iter::once(0).chain(std::mem::take(&mut self.ends)).collect::<ScalarBuffer<i32>>();
        let bytes = std::mem::take(&mut self.bytes).into_bytes();
        StringArray::new(OffsetBuffer::new(offsets), bytes.into(), nulls)
    }
}

/// Columns of [`schema::events`]; rows of a record that turns out bad are cut off again.
#[derive(Default)]
pub(super) struct Rows {
    partitions: Vec<i32>,
    offsets: Vec<i64>,
    ids: Texts,
    times: Vec<i64>,
    values: Vec<Option<f64>>,
    bases: Texts,
    with_bases: Vec<bool>,
    ends: Vec<bool>,
}

impl Rows {
    pub(super) fn len(&self) -> usize {
        self.times.len()
    }

    pub(super) fn value(&mut self, record: &Record<'_>, id: &str, time: i64, value: Option<f64>) {
        self.push(record, id, time, (value, None, false));
    }

    pub(super) fn bases(&mut self, record: &Record<'_>, id: &str, time: i64, bases: &str) {
        self.push(record, id, time, (None, Some(bases), false));
    }

    pub(super) fn end(&mut self, record: &Record<'_>, id: &str, time: i64) {
        self.push(record, id, time, (None, None, true));
    }

    fn push(&mut self, record: &Record<'_>, id: &str, time: i64, content: (Option<f64>, Option<&str>, bool)) {
        let (value, bases, end) = content;
        self.partitions.push(record.partition);
        self.offsets.push(record.offset);
        self.ids.push(id);
        self.times.push(time);
        self.values.push(value);
        self.bases.push(bases.unwrap_or_default());
        self.with_bases.push(bases.is_some());
        self.ends.push(end);
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.partitions.truncate(len);
        self.offsets.truncate(len);
        self.ids.truncate(len);
        self.times.truncate(len);
        self.values.truncate(len);
        self.bases.truncate(len);
        self.with_bases.truncate(len);
        self.ends.truncate(len);
    }

    /// The rows, and none in their place.
    pub(super) fn take(&mut self) -> RecordBatch {
        let with_bases = std::mem::take(&mut self.with_bases);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(std::mem::take(&mut self.partitions))),
            Arc::new(Int64Array::from(std::mem::take(&mut self.offsets))),
            Arc::new(self.ids.take(None)),
            Arc::new(Int64Array::from(std::mem::take(&mut self.times))),
            Arc::new(Float64Array::from(std::mem::take(&mut self.values))),
            Arc::new(self.bases.take(Some(NullBuffer::from(with_bases)))),
            Arc::new(BooleanArray::from(std::mem::take(&mut self.ends))),
        ];
        RecordBatch::try_new(schema::events(), columns).expect("the columns are those of the schema")
    }
}
