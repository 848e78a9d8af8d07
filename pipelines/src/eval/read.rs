//! Files of series as plain vectors.

use std::{
    collections::HashMap,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Float64Type;
use unspool_ingest::tables::{self, SeriesOptions};

use super::{Error, Result};

/// A series with its name: values in time order, NaN where missing.
pub(super) type Named = (String, Arc<[f64]>);

/// What is said where a file of the data is not there.
const REMEDY: &str = "name the folder that holds the data's files as they were published";

/// A file of the data's folder, which must be there.
pub(super) fn file(dir: &Path, name: &str) -> Result<PathBuf> {
    let path = dir.join(name);
    if path.is_file() { Ok(path) } else { Err(Error::Missing { path, remedy: REMEDY }) }
}

/// All series of a TSF or CSV file, in the order of their first rows.
///
/// `columns`: of a CSV, the column of times where its name does not tell, and the one of values (`*`: all of numbers).
pub(super) fn series(path: &Path, columns: Option<(Option<&str>, &str)>) -> Result<Vec<Named>> {
    let (time, values) =
        columns.map_or((None, vec![]), |(time, value)| (time.map(str::to_owned), vec![value.to_owned()]));
    let options = SeriesOptions { time, values, ..SeriesOptions::default() };
    let mut decoder = tables::decoder(&[path.to_owned()], &options)?;
    let mut all: Vec<(String, Vec<f64>)> = vec![];
    let mut places: HashMap<String, usize> = HashMap::new();
    while let Some(batch) = decoder.decode()? {
        if let Some(reject) = batch.rejects.first() {
            let problem = format!("a row cannot be used: {}: {}", reject.place, reject.reason);
            return Err(Error::Unexpected { path: path.to_owned(), problem });
        }
        take(&batch.rows, &mut all, &mut places);
    }
    Ok(all.into_iter().map(|(id, values)| (id, values.into())).collect())
}

/// Rows of the series schema.
fn take(rows: &RecordBatch, all: &mut Vec<(String, Vec<f64>)>, places: &mut HashMap<String, usize>) {
    let (ids, values) = (rows["id"].as_string::<i32>(), rows["value"].as_primitive::<Float64Type>());
    for row in 0..rows.num_rows() {
        let id = ids.value(row);
        let place = places.get(id).copied().unwrap_or_else(|| {
            places.insert(id.to_owned(), all.len());
            all.push((id.to_owned(), vec![]));
            all.len() - 1
        });
        all[place].1.push(if values.is_valid(row) { values.value(row) } else { f64::NAN });
    }
}

/// The columns of a gzipped text of numbers with commas between them and no header, each a series.
pub(super) fn columns(path: &Path) -> Result<Vec<Named>> {
    let fail = |problem: String| Error::Unexpected { path: path.to_owned(), problem };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| fail(error.to_string()))?;
    flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).map_err(|error| fail(error.to_string()))?;
    let mut columns: Vec<Vec<f64>> = vec![];
    for (line, row) in text.lines().enumerate() {
        let numbers: Result<Vec<f64>, _> = row.split(',').map(|cell| cell.trim().parse()).collect();
        let numbers = numbers.map_err(|error| fail(format!("line {}: {error}", line + 1)))?;
        columns.resize(numbers.len().max(columns.len()), vec![]);
        if columns.iter().any(|column| column.len() != line) || numbers.len() != columns.len() {
            return Err(fail(format!(
                "line {}: it has {} numbers, not as many as the others",
                line + 1,
                numbers.len()
            )));
        }
        columns.iter_mut().zip(numbers).for_each(|(column, number)| column.push(number));
    }
    Ok(columns.into_iter().enumerate().map(|(i, column)| (format!("column {}", i + 1), column.into())).collect())
}
