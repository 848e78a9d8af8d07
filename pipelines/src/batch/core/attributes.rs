//! Columns that stay the same for a series, and go with it into the output.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};

use crate::batch::error::Result;

/// The columns' names, and their values of each series.
pub(super) struct Attributes {
    names: Vec<String>,
    /// Each text once.
    texts: HashMap<Arc<str>, ()>,
    /// `[series, columns]`
    values: Vec<Option<Arc<str>>>,
}

impl Attributes {
    /// No series yet.
    pub(super) fn new(names: &[String]) -> Self {
        Self { names: names.to_vec(), texts: HashMap::new(), values: vec![] }
    }

    /// The output's columns with these behind.
    pub(super) fn schema(&self, rows: &SchemaRef) -> SchemaRef {
        if self.names.is_empty() {
            return Arc::clone(rows);
        }
        let added = self.names.iter().map(|name| Arc::new(Field::new(name, DataType::Utf8, true)));
        Arc::new(Schema::new(rows.fields().iter().cloned().chain(added).collect::<Vec<_>>()))
    }

    /// The next series.
    pub(super) fn push(&mut self, values: Vec<Option<String>>) {
        for column in 0..self.names.len() {
            let text = values.get(column).and_then(Option::as_deref).map(|text| self.text(text));
            self.values.push(text);
        }
    }

    /// Takes what series that are new have in their first row.
    pub(super) fn take(&mut self, rows: &RecordBatch, numbers: &[u32]) -> Result<()> {
        let width = self.names.len();
        if width == 0 {
            return Ok(());
        }
        let columns: Vec<ArrayRef> = self.names.iter().filter_map(|name| rows.column_by_name(name).cloned()).collect();
        let columns: Vec<&StringArray> = columns.iter().filter_map(|column| column.as_string_opt::<i32>()).collect();
        for (row, number) in numbers.iter().enumerate() {
            if *number as usize * width < self.values.len() {
                continue;
            }
            let of = |column: Option<&&StringArray>| {
                column.filter(|column| column.is_valid(row)).map(|column| column.value(row).to_owned())
            };
            self.push((0..width).map(|column| of(columns.get(column))).collect());
        }
        Ok(())
    }

    /// A series' values.
    pub(super) fn of(&self, number: usize) -> Vec<Option<String>> {
        let width = self.names.len();
        let of = self.values.get(number * width..(number + 1) * width).unwrap_or_default();
        of.iter().map(|text| text.as_deref().map(str::to_owned)).collect()
    }

    /// Rows with these columns added; `numbers` are those of the rows' series.
    pub(super) fn add(&self, rows: RecordBatch, numbers: &[u32]) -> Result<RecordBatch> {
        let width = self.names.len();
        if width == 0 {
            return Ok(rows);
        }
        let column = |column: usize| -> ArrayRef {
            let of = |number: &u32| self.values.get(*number as usize * width + column)?.as_deref();
            Arc::new(numbers.iter().map(of).collect::<StringArray>())
        };
        let columns = rows.columns().iter().cloned().chain((0..width).map(column)).collect();
        Ok(RecordBatch::try_new(self.schema(&rows.schema()), columns)?)
    }

    fn text(&mut self, text: &str) -> Arc<str> {
        if let Some((known, ())) = self.texts.get_key_value(text) {
            return Arc::clone(known);
        }
        let text: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&text), ());
        text
    }
}
