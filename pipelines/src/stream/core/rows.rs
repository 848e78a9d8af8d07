//! The rows of a batch, one by one.

use std::{collections::HashSet, sync::Arc};

use arrow::{
    array::{Array, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray},
    datatypes::{Float64Type, Int32Type, Int64Type},
    error::ArrowError,
};
use unspool_ingest::schema;

use crate::stream::time::{Content, Row};

/// The columns of [`schema::events`].
pub(super) struct Rows<'a> {
    partitions: &'a Int32Array,
    offsets: &'a Int64Array,
    ids: &'a StringArray,
    times: &'a Int64Array,
    values: &'a Float64Array,
    bases: &'a StringArray,
    ends: &'a BooleanArray,
    at: usize,
    /// One copy of each name.
    names: HashSet<Arc<str>>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(rows: &'a RecordBatch) -> Result<Self, ArrowError> {
        if rows.schema() != schema::events() {
            return Err(ArrowError::SchemaError("rows of the schema `events` expected".into()));
        }
        Ok(Self {
            partitions: rows.column(0).as_primitive::<Int32Type>(),
            offsets: rows.column(1).as_primitive::<Int64Type>(),
            ids: rows.column(2).as_string(),
            times: rows.column(3).as_primitive::<Int64Type>(),
            values: rows.column(4).as_primitive::<Float64Type>(),
            bases: rows.column(5).as_string(),
            ends: rows.column(6).as_boolean(),
            at: 0,
            names: HashSet::new(),
        })
    }

    fn name(&mut self, id: &str) -> Arc<str> {
        if let Some(name) = self.names.get(id) {
            return Arc::clone(name);
        }
        let name: Arc<str> = id.into();
        self.names.insert(Arc::clone(&name));
        name
    }
}

impl Iterator for Rows<'_> {
    /// The partition, and the row.
    type Item = (i32, Row);

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.at;
        if at >= self.partitions.len() {
            return None;
        }
        self.at += 1;
        let content = if self.ends.value(at) {
            Content::End
        } else if self.bases.is_valid(at) {
            Content::Bases(self.bases.value(at).into())
        } else {
            Content::Value(self.values.is_valid(at).then(|| self.values.value(at)))
        };
        let series = self.name(self.ids.value(at));
        let row = Row { series, time: self.times.value(at), offset: self.offsets.value(at), content };
        Some((self.partitions.value(at), row))
    }
}

/// A row as text, for dead letters whose payload is gone.
pub(super) fn row_as_json(row: &Row) -> Vec<u8> {
    let mut json = serde_json::json!({"series": &*row.series, "time": row.time});
    match &row.content {
        Content::Value(value) => json["value"] = (*value).into(),
        Content::Bases(bases) => json["sequence"] = (&**bases).into(),
        Content::End => json["end"] = true.into(),
    }
    json.to_string().into_bytes()
}
