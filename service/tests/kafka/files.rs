//! Outputs that went to Parquet files.

use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{Float64Type, Int64Type},
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::broker::Got;

/// Outputs and dead letters in a folder: partition by partition, file by file. The files must follow one another.
pub(crate) fn read(dir: &Path, input: &str) -> (Vec<Got>, Vec<Got>) {
    let (mut outputs, mut rejects) = (vec![], vec![]);
    for (partition, folder) in partitions(dir) {
        let mut next = None;
        for path in parquet(&folder) {
            let (rows, note) = open(&path);
            let (from, to) = (note["from"].as_i64().unwrap(), note["next"].as_i64().unwrap());
            assert!(next.is_none_or(|next| next == from) && from <= to, "{}: {note}", path.display());
            next = Some(to);
            rows.iter().for_each(|rows| outputs.extend(scores(rows, (input, partition))));
        }
    }
    for (partition, folder) in partitions(&dir.join("_rejects")) {
        for path in parquet(&folder) {
            let (rows, _) = open(&path);
            rows.iter().for_each(|rows| rejects.extend(letters(rows, (input, partition))));
        }
    }
    (outputs, rejects)
}

fn partitions(dir: &Path) -> BTreeMap<i32, PathBuf> {
    let all = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let number = |path: PathBuf| {
        let number = path.file_name()?.to_str()?.strip_prefix("partition=")?.parse().ok()?;
        Some((number, path))
    };
    all.filter_map(number).collect()
}

fn parquet(folder: &Path) -> Vec<PathBuf> {
    let all = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = all.filter(|path| path.extension().is_some_and(|e| e == "parquet")).collect();
    all.sort();
    all
}

/// A file's rows, and what it says of itself.
fn open(path: &Path) -> (Vec<RecordBatch>, serde_json::Value) {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let pairs = builder.metadata().file_metadata().key_value_metadata().unwrap();
    let note = pairs.iter().find(|pair| pair.key == "unspool.stream").and_then(|pair| pair.value.clone());
    let rows = builder.build().unwrap().map(|rows| rows.unwrap()).collect();
    (rows, note.map(|note| serde_json::from_str(&note).unwrap()).unwrap_or_default())
}

fn got(key: String, payload: String, headers: &[(&str, String)]) -> Got {
    Got { key, payload, headers: headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect() }
}

/// Scores, their bits as text.
fn scores(rows: &RecordBatch, (input, partition): (&str, i32)) -> Vec<Got> {
    let (offsets, series) = (rows.column(0).as_primitive::<Int64Type>(), rows.column(1).as_string::<i32>());
    let times = rows.column(2).as_primitive::<Int64Type>();
    let bits = |row: usize, name: &str| {
        let column = rows.column_by_name(name).unwrap().as_primitive::<Float64Type>();
        column.is_valid(row).then(|| column.value(row).to_bits())
    };
    let one = |row: usize| {
        let payload = format!(
            "{} {:?} {:?} {:?}",
            times.value(row),
            bits(row, "value"),
            bits(row, "p_value"),
            bits(row, "score")
        );
        let source = format!("{input}/{partition}/{}", offsets.value(row));
        got(series.value(row).to_owned(), payload, &[("source", source)])
    };
    (0..rows.num_rows()).map(one).collect()
}

fn letters(rows: &RecordBatch, (input, partition): (&str, i32)) -> Vec<Got> {
    let offsets = rows.column(0).as_primitive::<Int64Type>();
    let text = |column: usize, row: usize| rows.column(column).as_string::<i32>().value(row).to_owned();
    let bytes = |column: usize, row: usize| {
        let column = rows.column(column).as_binary::<i32>();
        if column.is_valid(row) { String::from_utf8_lossy(column.value(row)).into_owned() } else { String::new() }
    };
    let one = |row: usize| {
        let source = format!("{input}/{partition}/{}", offsets.value(row));
        let headers = [("source", source), ("kind", text(1, row)), ("reason", text(2, row))];
        got(bytes(3, row), bytes(4, row), &headers)
    };
    (0..rows.num_rows()).map(one).collect()
}
