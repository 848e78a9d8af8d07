//! Features by the record that they are of.

use std::collections::HashMap;

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::{DataType, UInt64Type},
};

use crate::{Error, Result};

/// Places of features, by contig: 0-based, half-open, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeatureSpans {
    by_contig: HashMap<String, Vec<(u64, u64)>>,
}

impl FeatureSpans {
    /// Adds rows of the schema of features (at least `contig`, `start`, `end`). A place that comes twice is one.
    ///
    /// # Errors
    /// When a column is missing or has another type.
    pub fn add(&mut self, rows: &RecordBatch) -> Result<()> {
        let column = |name: &str, expected: &DataType| match rows.column_by_name(name) {
            Some(column) if column.data_type() == expected => Ok(column),
            _ => Err(Error::Rows(format!("a column '{name}' of type {expected} is needed"))),
        };
        let contig = column("contig", &DataType::Utf8)?.as_string::<i32>();
        let start = column("start", &DataType::UInt64)?.as_primitive::<UInt64Type>();
        let end = column("end", &DataType::UInt64)?.as_primitive::<UInt64Type>();
        for row in 0..rows.num_rows() {
            let spans = self.by_contig.entry(contig.value(row).to_owned()).or_default();
            let span = (start.value(row), end.value(row));
            let at = spans.partition_point(|known| *known < span);
            if spans.get(at) != Some(&span) {
                spans.insert(at, span);
            }
        }
        Ok(())
    }

    /// The places on a contig, in order.
    pub(super) fn of(&self, contig: &str) -> &[(u64, u64)] {
        self.by_contig.get(contig).map_or(&[], Vec::as_slice)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_contig.values().map(Vec::len).sum()
    }

    /// There are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
