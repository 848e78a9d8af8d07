//! The rows of a batch under way, checked for the order of time within each series.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{
        Array as _, ArrayRef, Float64Array, Float64Builder, Int64Builder, RecordBatch, StringBuilder,
        TimestampMicrosecondBuilder,
    },
    datatypes::{DataType, Field, Schema, SchemaRef},
};

use crate::{
    Reject,
    schema::{self, TimeKind},
};

/// The most bytes of a row that its reject keeps.
pub(super) const MAX_PAYLOAD_BYTES: usize = 64 << 10;
/// The longest id, in bytes: all ids seen are kept.
pub(super) use crate::schema::MAX_ID_BYTES;
/// A batch ends at so many bytes of rejected rows, or of ids.
const MAX_BATCH_BYTES: usize = 64 << 20;

/// The last time of each series seen.
struct Order {
    slots: HashMap<Box<str>, usize>,
    last: Vec<Option<i64>>,
    /// The series of the row before: rows of one series mostly come together.
    recent: Option<usize>,
    recent_id: String,
    max_series: usize,
}

impl Order {
    /// The slot of a series, a new one where it was not seen yet.
    fn slot(&mut self, id: &str) -> Result<usize, String> {
        if let Some(slot) = self.recent
            && self.recent_id == id
        {
            return Ok(slot);
        }
        let slot = match self.slots.get(id) {
            Some(&slot) => slot,
            None if self.last.len() >= self.max_series => {
                return Err(format!("more than {} series: raise the limit or split the input", self.max_series));
            }
            None => {
                self.slots.insert(id.into(), self.last.len());
                self.last.push(None);
                self.last.len() - 1
            }
        };
        self.recent = Some(slot);
        self.recent_id.clear();
        self.recent_id.push_str(id);
        Ok(slot)
    }
}

/// What became of a row.
pub(super) enum Pushed {
    /// It is in the batch.
    Kept,
    /// It is not later than the row before of its series: why, for its reject.
    Late(String),
}

/// The rows and rejects of a batch under way.
pub(super) struct Rows {
    kind: TimeKind,
    ids: StringBuilder,
    times: Vec<i64>,
    values: Float64Builder,
    /// Columns that are read beside: names, those of the rows so far, and what the row at hand has.
    keep: Vec<String>,
    kept: Vec<StringBuilder>,
    beside: Vec<Option<String>>,
    rejects: Vec<Reject>,
    bytes: usize,
    order: Order,
    batch_rows: usize,
    /// No row is late: they are still to be sorted.
    unordered: bool,
    /// While an earlier part is read again, rows are put in order and thrown away.
    pub(super) muted: bool,
}

impl Rows {
    /// No rows yet. `unordered`: each row is taken, whatever its time.
    pub(super) fn new(
        kind: TimeKind,
        batch_rows: usize,
        (max_series, unordered): (usize, bool),
        keep: &[String],
    ) -> Self {
        let order = Order { slots: HashMap::new(), last: vec![], recent: None, recent_id: String::new(), max_series };
        Self {
            kind,
            ids: StringBuilder::new(),
            times: vec![],
            values: Float64Builder::new(),
            keep: keep.to_vec(),
            kept: keep.iter().map(|_| StringBuilder::new()).collect(),
            beside: vec![None; keep.len()],
            rejects: vec![],
            bytes: 0,
            order,
            batch_rows: batch_rows.clamp(1, 1 << 24),
            unordered,
            muted: false,
        }
    }

    /// How time is written.
    pub(super) fn kind(&self) -> TimeKind {
        self.kind
    }

    /// The schema of the batches.
    pub(super) fn schema(&self) -> SchemaRef {
        let series = schema::series(self.kind);
        if self.keep.is_empty() {
            return series;
        }
        let kept = self.keep.iter().map(|name| Arc::new(Field::new(name, DataType::Utf8, true)));
        Arc::new(Schema::new(series.fields().iter().cloned().chain(kept).collect::<Vec<_>>()))
    }

    /// Says what the next rows have in a column that is read beside.
    pub(super) fn beside(&mut self, column: usize, text: Option<&str>) {
        let beside = &mut self.beside[column];
        match (beside.as_mut(), text) {
            (Some(beside), Some(text)) => {
                beside.clear();
                beside.push_str(text);
            }
            _ => *beside = text.map(str::to_owned),
        }
    }

    /// Adds a row.
    ///
    /// # Errors
    /// When it is of one series too many.
    pub(super) fn push(&mut self, id: &str, time: i64, value: Option<f64>) -> Result<Pushed, String> {
        let slot = self.order.slot(id)?;
        if let Some(last) = self.order.last[slot]
            && time <= last
            && !self.unordered
        {
            let (time, last) = (self.show(time), self.show(last));
            let what = if time == last { "a second row at" } else { "late:" };
            return Ok(Pushed::Late(format!("{what} {time} (series '{id}' is already at {last})")));
        }
        self.order.last[slot] = Some(time);
        if !self.muted {
            self.ids.append_value(id);
            self.times.push(time);
            self.values.append_option(value);
            self.bytes += id.len();
            for (column, text) in self.kept.iter_mut().zip(&self.beside) {
                column.append_option(text.as_deref());
                self.bytes += text.as_ref().map_or(0, String::len);
            }
        }
        Ok(Pushed::Kept)
    }

    /// The slot of a series, for [`Rows::push_many`].
    ///
    /// # Errors
    /// When it is one series too many.
    pub(super) fn slot(&mut self, id: &str) -> Result<usize, String> {
        self.order.slot(id)
    }

    /// How many more rows the batch has room for; none are added together while rows are thrown away, or are read with columns
    /// beside.
    pub(super) fn room(&self) -> usize {
        if self.muted || !self.keep.is_empty() { 0 } else { self.batch_rows.saturating_sub(self.times.len()) }
    }

    /// Adds rows of one series as [`Rows::push`] does, their values from a place on, up to the first that is late or infinite:
    /// how many.
    pub(super) fn push_many(
        &mut self,
        (slot, id): (usize, &str),
        times: &[i64],
        (values, from): (&Float64Array, usize),
    ) -> usize {
        let last = &mut self.order.last[slot];
        let mut added = 0;
        for (time, at) in times.iter().zip(from..) {
            let value = values.value(at);
            let missing = value.is_nan() || values.is_null(at);
            if (last.is_some_and(|last| *time <= last) && !self.unordered) || (value.is_infinite() && !missing) {
                break;
            }
            *last = Some(*time);
            self.ids.append_value(id);
            if missing {
                self.values.append_null()
            } else {
                self.values.append_value(value)
            }
            added += 1;
        }
        self.times.extend_from_slice(&times[..added]);
        self.bytes += id.len() * added;
        added
    }

    /// The step number that follows the last one of a series; 0 for a new one.
    ///
    /// # Errors
    /// When it is one series too many.
    pub(super) fn next_step(&mut self, id: &str) -> Result<i64, String> {
        let slot = self.order.slot(id)?;
        Ok(self.order.last[slot].map_or(0, |last| last.saturating_add(1)))
    }

    /// Moves a series on to a step that has no row: its row was rejected.
    ///
    /// # Errors
    /// When it is one series too many.
    pub(super) fn skip_step(&mut self, id: &str) -> Result<(), String> {
        let step = self.next_step(id)?;
        let slot = self.order.slot(id)?;
        self.order.last[slot] = Some(step);
        Ok(())
    }

    /// Adds a reject.
    pub(super) fn reject(&mut self, place: String, reason: String, raw: &[u8]) {
        if !self.muted {
            let payload = raw[..raw.len().min(MAX_PAYLOAD_BYTES)].to_vec();
            self.bytes += payload.len() + reason.len();
            self.rejects.push(Reject { place, reason, payload });
        }
    }

    /// Whether the batch is full.
    pub(super) fn is_full(&self) -> bool {
        self.times.len() >= self.batch_rows || self.rejects.len() >= self.batch_rows || self.bytes >= MAX_BATCH_BYTES
    }

    /// Whether the batch has neither rows nor rejects.
    pub(super) fn is_empty(&self) -> bool {
        self.times.is_empty() && self.rejects.is_empty()
    }

    /// The batch, and an empty one in its place.
    pub(super) fn take(&mut self) -> (RecordBatch, Vec<Reject>) {
        let times = std::mem::take(&mut self.times);
        let times: ArrayRef = match self.kind {
            TimeKind::Step => {
                let mut builder = Int64Builder::with_capacity(times.len());
                builder.append_slice(&times);
                Arc::new(builder.finish())
            }
            TimeKind::Timestamp => {
                let mut builder = TimestampMicrosecondBuilder::with_capacity(times.len());
                builder.append_slice(&times);
                Arc::new(builder.finish())
            }
        };
        let (ids, values) = (self.ids.finish(), self.values.finish());
        debug_assert_eq!((ids.len(), values.len()), (times.len(), times.len()));
        self.bytes = 0;
        let mut columns: Vec<ArrayRef> = vec![Arc::new(ids), times, Arc::new(values)];
        columns.extend(self.kept.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef));
        let rows = RecordBatch::try_new(self.schema(), columns).expect("the columns are those of the schema");
        (rows, std::mem::take(&mut self.rejects))
    }

    /// A time as a person reads it.
    fn show(&self, time: i64) -> String {
        match self.kind {
            TimeKind::Step => format!("step {time}"),
            TimeKind::Timestamp => super::time::show(time),
        }
    }
}
