//! Rows decoded together, as ids, times and values.

use std::borrow::Cow;

use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array, Int32Array, Int64Array, LargeListArray, RecordBatch, StringArray},
    datatypes::Int32Type,
    error::ArrowError,
};
use chrono::{DateTime, NaiveDateTime};

use super::{table::Table, types};
use crate::{
    schema::TimeKind,
    tables::{
        SeriesOptions,
        columns::Keep,
        rows::{MAX_ID_BYTES, Pushed, Rows},
        tsf::Frequency,
    },
};

/// The most bytes that the ids of one row's lists may take.
const MAX_LIST_ID_BYTES: usize = 1 << 30;

/// Ids of the rows: texts, or places among texts.
enum Ids {
    Texts(StringArray),
    /// With the slot of each text, once it was looked up.
    Dictionary(Int32Array, StringArray, Vec<Option<usize>>),
}

impl Ids {
    fn new(array: &ArrayRef) -> Result<Self, ArrowError> {
        if let Some(dictionary) = array.as_dictionary_opt::<Int32Type>()
            && let Some(texts) = dictionary.values().as_string_opt::<i32>()
            && texts.null_count() == 0
        {
            return Ok(Self::Dictionary(dictionary.keys().clone(), texts.clone(), vec![None; texts.len()]));
        }
        types::ids(array).map(Self::Texts)
    }

    /// The id of a row; `None` where it is missing.
    fn get(&self, row: usize) -> Option<&str> {
        let (texts, at) = match self {
            Self::Texts(texts) => (texts, row),
            Self::Dictionary(keys, texts, _) => {
                let key = keys.is_valid(row).then(|| keys.value(row))?;
                (texts, usize::try_from(key).ok().filter(|key| *key < texts.len())?)
            }
        };
        texts.is_valid(at).then(|| texts.value(at))
    }

    /// How many rows from this one on have its id.
    fn run(&self, row: usize, most: usize) -> usize {
        match self {
            Self::Dictionary(keys, ..) if keys.null_count() == 0 => {
                let keys = &keys.values()[row..row + most];
                keys.iter().take_while(|key| **key == keys[0]).count()
            }
            _ => {
                let id = self.get(row);
                (row..row + most).take_while(|row| self.get(*row) == id).count()
            }
        }
    }

    /// The slot of a row's series.
    fn slot(&mut self, row: usize, rows: &mut Rows) -> Result<usize, String> {
        let Self::Dictionary(keys, texts, slots) = self else {
            return rows.slot(self.get(row).unwrap_or_default());
        };
        let key = usize::try_from(keys.value(row)).unwrap_or_default();
        match slots[key] {
            Some(slot) => Ok(slot),
            None => {
                let slot = rows.slot(texts.value(key))?;
                slots[key] = Some(slot);
                Ok(slot)
            }
        }
    }
}

/// Times of the rows.
enum Times {
    Numbered,
    Each(Int64Array),
    Lists(LargeListArray),
}

/// Values of the rows.
enum Values {
    Each(Float64Array),
    Lists(LargeListArray),
}

/// Rows decoded together.
pub(super) struct Chunk {
    raw: RecordBatch,
    ids: Option<Ids>,
    times: Times,
    values: Vec<Values>,
    /// Columns that are read beside; `None`: the same text in all rows.
    kept: Vec<Option<StringArray>>,
    kind: TimeKind,
    frequency: Option<Frequency>,
}

/// Times of the values of one list.
enum Steps {
    Numbered,
    From(i64),
    Calendar(NaiveDateTime, Frequency),
    Each(Int64Array),
}

impl Steps {
    /// The time of a value, 0-based.
    fn time(&self, n: usize) -> Result<i64, &'static str> {
        match self {
            Self::Numbered => i64::try_from(n).ok(),
            Self::From(start) => i64::try_from(n).ok().and_then(|n| start.checked_add(n)),
            Self::Calendar(start, frequency) => frequency.step(start, n as u64),
            Self::Each(times) => return types::get(times, n).ok_or("the time is missing or out of range"),
        }
        .ok_or("its time is beyond the calendar's end")
    }
}

impl Chunk {
    /// Casts decoded rows.
    pub(super) fn new(raw: RecordBatch, table: &Table, options: &SeriesOptions) -> Result<Self, ArrowError> {
        let columns = &table.columns;
        let times = match columns.time.map(|column| raw.column(column)) {
            None => Times::Numbered,
            Some(array) if table.time_lists => Times::Lists(types::lists(array)?),
            Some(array) => Times::Each(types::times(array, table.kind)?),
        };
        let values = columns.values.iter().map(|&column| {
            let array = raw.column(column);
            match types::items(array.data_type()) {
                Some(_) => types::lists(array).map(Values::Lists),
                None => types::values(array).map(Values::Each),
            }
        });
        let kept = columns.keep.iter().map(|keep| match keep {
            Keep::Column(column) => types::ids(raw.column(*column)).map(Some),
            Keep::Same(_) => Ok(None),
        });
        Ok(Self {
            kept: kept.collect::<Result<_, _>>()?,
            ids: columns.id.map(|column| Ids::new(raw.column(column))).transpose()?,
            times,
            values: values.collect::<Result<_, _>>()?,
            kind: table.kind,
            frequency: options.frequency,
            raw,
        })
    }

    /// How many rows.
    pub(super) fn len(&self) -> usize {
        self.raw.num_rows()
    }

    /// Adds a row. `place` says where it stands.
    ///
    /// # Errors
    /// Why the reading cannot go on.
    pub(super) fn add(
        &self,
        row: usize,
        table: &Table,
        rows: &mut Rows,
        place: &dyn Fn() -> String,
    ) -> Result<(), String> {
        let reject = |rows: &mut Rows, reason: String| rows.reject(place(), reason, &table.shown(&self.raw, row));
        let id = match self.ids.as_ref().map(|ids| ids.get(row)) {
            None => table.stem.as_str(),
            Some(None | Some("")) => {
                reject(rows, "the id is missing".into());
                return Ok(());
            }
            Some(Some(id)) if id.len() > MAX_ID_BYTES => {
                reject(rows, format!("the id is longer than {MAX_ID_BYTES} bytes"));
                return Ok(());
            }
            Some(Some(id)) => id,
        };
        for (place, (texts, keep)) in self.kept.iter().zip(&table.columns.keep).enumerate() {
            match (texts, keep) {
                (Some(texts), _) => rows.beside(place, texts.is_valid(row).then(|| texts.value(row))),
                (None, Keep::Same(text)) => rows.beside(place, text.as_deref()),
                (None, Keep::Column(_)) => rows.beside(place, None),
            }
        }
        for (values, name) in self.values.iter().zip(&table.value_names) {
            let id = match (table.columns.wide, table.columns.id) {
                (false, _) => Cow::Borrowed(id),
                (true, None) => Cow::Borrowed(name.as_str()),
                (true, Some(_)) => Cow::Owned(format!("{id}/{name}")),
            };
            match values {
                Values::Each(values) => {
                    if let Some(reason) = self.add_value(row, &id, values, rows)? {
                        reject(rows, format!("column '{name}': {reason}"));
                    }
                }
                Values::Lists(lists) => match self.list(row, &id, lists) {
                    Ok(list) => add_list(&id, &list, rows, place)?,
                    Err(reason) => reject(rows, format!("column '{name}': {reason}")),
                },
            }
        }
        Ok(())
    }

    /// Adds rows from this one on, as many as need no second look: observations with ids and times, in order. How many.
    ///
    /// # Errors
    /// Why the reading cannot go on.
    pub(super) fn add_plain(&mut self, row: usize, table: &Table, rows: &mut Rows) -> Result<usize, String> {
        let (Some(ids), Times::Each(times), [Values::Each(values)]) = (&mut self.ids, &self.times, &self.values[..])
        else {
            return Ok(0);
        };
        if table.columns.wide || times.null_count() > 0 {
            return Ok(0);
        }
        let end = self.raw.num_rows().min(row + rows.room());
        let mut at = row;
        while at < end {
            let run = ids.run(at, end - at);
            if ids.get(at).is_none_or(|id| id.is_empty() || id.len() > MAX_ID_BYTES) {
                break;
            }
            let slot = ids.slot(at, rows)?;
            let id = ids.get(at).unwrap_or_default();
            let added = rows.push_many((slot, id), &times.values()[at..at + run], (values, at));
            at += added;
            if added < run {
                break;
            }
        }
        Ok(at - row)
    }

    /// Adds one observation; why not, where it is rejected.
    fn add_value(
        &self,
        row: usize,
        id: &str,
        values: &Float64Array,
        rows: &mut Rows,
    ) -> Result<Option<String>, String> {
        let value = finite(values, row);
        let time = match &self.times {
            Times::Each(times) => match types::get(times, row) {
                Some(time) => time,
                None => return Ok(Some("the time is missing or out of range".into())),
            },
            _ if value.is_err() => {
                rows.skip_step(id)?;
                0
            }
            _ => rows.next_step(id)?,
        };
        match value {
            Err(reason) => Ok(Some(reason.into())),
            Ok(value) => match rows.push(id, time, value)? {
                Pushed::Kept => Ok(None),
                Pushed::Late(reason) => Ok(Some(reason)),
            },
        }
    }

    /// The values and times of a list, or why it is rejected.
    fn list(&self, row: usize, id: &str, lists: &LargeListArray) -> Result<(Float64Array, Steps), String> {
        if lists.is_null(row) {
            return Err("the list is missing".into());
        }
        let values = types::values(&lists.value(row)).map_err(|error| error.to_string())?;
        let n = values.len();
        if n.saturating_mul(id.len()) > MAX_LIST_ID_BYTES / self.values.len().max(1) {
            return Err(format!("a list of {n} values with an id of {} bytes is too long", id.len()));
        }
        let steps = match &self.times {
            Times::Numbered => Steps::Numbered,
            Times::Each(starts) => {
                let start = types::get(starts, row).ok_or("the start is missing or out of range")?;
                match (self.kind, self.frequency) {
                    (TimeKind::Timestamp, Some(frequency)) => {
                        let start = DateTime::from_timestamp_micros(start).ok_or("the start is out of range")?;
                        Steps::Calendar(start.naive_utc(), frequency)
                    }
                    _ => Steps::From(start),
                }
            }
            Times::Lists(times) if times.is_null(row) => return Err("the list of times is missing".into()),
            Times::Lists(times) => {
                let times = types::times(&times.value(row), self.kind).map_err(|error| error.to_string())?;
                if times.len() != n {
                    return Err(format!("{n} values, but {} times", times.len()));
                }
                Steps::Each(times)
            }
        };
        Ok((values, steps))
    }
}

/// A value; `None` where it is missing, an error where it is infinite.
fn finite(values: &Float64Array, row: usize) -> Result<Option<f64>, &'static str> {
    match values.value(row) {
        _ if values.is_null(row) => Ok(None),
        value if value.is_nan() => Ok(None),
        value if value.is_finite() => Ok(Some(value)),
        _ => Err("the value is infinite"),
    }
}

/// Adds the values of one list; those rejected are named by their number, 1-based.
fn add_list(id: &str, list: &(Float64Array, Steps), rows: &mut Rows, place: &dyn Fn() -> String) -> Result<(), String> {
    let (values, steps) = list;
    for n in 0..values.len() {
        let reason = match (finite(values, n), steps.time(n)) {
            (Ok(value), Ok(time)) => match rows.push(id, time, value)? {
                Pushed::Kept => continue,
                Pushed::Late(reason) => reason,
            },
            (Err(reason), _) | (_, Err(reason)) => reason.to_owned(),
        };
        let payload = if values.is_null(n) { String::new() } else { values.value(n).to_string() };
        rows.reject(place(), format!("series '{id}', value {}: {reason}", n + 1), payload.as_bytes());
    }
    Ok(())
}
