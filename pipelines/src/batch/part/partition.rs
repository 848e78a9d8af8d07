//! Rows into `key=value` folders, as Hive lays them out.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use arrow::{
    array::{Array, RecordBatch, UInt32Array},
    compute::take_record_batch,
    datatypes::{Schema, SchemaRef},
    util::display::array_value_to_string,
};

use crate::batch::error::{Error, Result};

/// What a folder is named after where there is no value.
const NONE: &str = "__HIVE_DEFAULT_PARTITION__";

/// By which columns rows are laid out.
pub(super) struct Partition {
    /// Their places, and those of the others.
    by: Vec<usize>,
    rest: Vec<usize>,
    /// That of the files: the others.
    schema: SchemaRef,
}

impl Partition {
    /// Rows of this schema by columns of these names.
    ///
    /// # Errors
    /// When there is no such column, or nothing is left.
    pub(super) fn new(schema: &SchemaRef, names: &[String]) -> Result<Self> {
        let place = |name: &String| {
            schema.index_of(name).map_err(|_| {
                let there: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
                let there = there.join(", ");
                Error::Settings(format!(
                    "output.partition_by: there is no column '{name}' in the output; the columns are: {there} (input.keep adds \
                     columns of the input)"
                ))
            })
        };
        let by = names.iter().map(place).collect::<Result<Vec<usize>>>()?;
        let rest: Vec<usize> = (0..schema.fields().len()).filter(|place| !by.contains(place)).collect();
        if rest.is_empty() {
            return Err(Error::Settings("output.partition_by: no column would be left".into()));
        }
        let fields: Vec<_> = rest.iter().map(|place| Arc::clone(&schema.fields()[*place])).collect();
        let schema = if by.is_empty() { SchemaRef::clone(schema) } else { Arc::new(Schema::new(fields)) };
        Ok(Self { by, rest, schema })
    }

    /// The schema of the files.
    pub(super) fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    /// The rows of each folder, in their order; one without a name where nothing is partitioned.
    pub(super) fn split(&self, rows: RecordBatch) -> Result<Vec<(String, RecordBatch)>> {
        if self.by.is_empty() {
            return Ok(vec![(String::new(), rows)]);
        }
        let mut folders: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for row in 0..rows.num_rows() {
            folders.entry(self.folder(&rows, row)?).or_default().push(u32::try_from(row).unwrap_or(u32::MAX));
        }
        let rest = rows.project(&self.rest)?;
        let taken = folders.into_iter().map(|(folder, places)| {
            let rows = take_record_batch(&rest, &UInt32Array::from(places))?;
            Ok((folder, RecordBatch::try_new(self.schema(), rows.columns().to_vec())?))
        });
        taken.collect()
    }

    fn folder(&self, rows: &RecordBatch, row: usize) -> Result<String> {
        let mut folder = String::new();
        for place in &self.by {
            let (field, column) = (rows.schema_ref().field(*place), rows.column(*place));
            let value = if column.is_null(row) { NONE.into() } else { array_value_to_string(column, row)? };
            let value = if value.is_empty() { NONE.to_owned() } else { escaped(&value) };
            let slash = if folder.is_empty() { "" } else { "/" };
            let _ = write!(folder, "{slash}{}={value}", escaped(field.name()));
        }
        Ok(folder)
    }
}

/// With `%XX` for what Hive writes so: it would not do in a folder's name.
fn escaped(text: &str) -> String {
    let mut name = String::new();
    for letter in text.chars() {
        match letter {
            '"'
            | '#'
            | '%'
            | '\''
            | '*'
            | '/'
            | ':'
            | '='
            | '?'
            | '\\'
            | '{'
            | '['
            | ']'
            | '^'
            | '\u{0}'..='\u{1f}'
            | '\u{7f}' => {
                let _ = write!(name, "%{:02X}", letter as u32);
            }
            letter => name.push(letter),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    fn rows() -> RecordBatch {
        let columns: [(&str, ArrayRef); 3] = [
            ("id", Arc::new(StringArray::from(vec!["a", "b", "c", "d"]))),
            ("region", Arc::new(StringArray::from(vec![Some("north/1"), None, Some("south"), Some("north/1")]))),
            ("year", Arc::new(Int64Array::from(vec![1, 2, 1, 1]))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
    }

    #[test]
    fn rows_go_into_folders() {
        let rows = rows();
        let check = |by: &[&str], expected: &[(&str, usize)]| {
            let names: Vec<String> = by.iter().map(|name| (*name).to_owned()).collect();
            let partition = Partition::new(&rows.schema(), &names).unwrap();
            let split = partition.split(rows.clone()).unwrap();
            assert!(split.iter().all(|(_, rows)| rows.num_columns() == 3 - by.len()), "{by:?}");
            let found: Vec<_> = split.iter().map(|(folder, rows)| (folder.as_str(), rows.num_rows())).collect();
            assert_eq!(found, expected, "{by:?}");
        };
        check(&[], &[("", 4)]);
        check(&["region"], &[("region=__HIVE_DEFAULT_PARTITION__", 1), ("region=north%2F1", 2), ("region=south", 1)]);
        check(
            &["year", "region"],
            &[
                ("year=1/region=north%2F1", 2),
                ("year=1/region=south", 1),
                ("year=2/region=__HIVE_DEFAULT_PARTITION__", 1),
            ],
        );
    }

    #[test]
    fn columns_that_are_not_there_are_refused() {
        let check = |names: &[&str], expected: &str| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let error = Partition::new(&rows().schema(), &names).err().unwrap().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(&["town"], "there is no column 'town' in the output; the columns are: id, region, year");
        check(&["id", "region", "year"], "no column would be left");
    }
}
