//! Series from tables.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{Float64Type, Int64Type, TimestampMicrosecondType},
};
use unspool_ingest::{
    MemorySource, Reject, Result, conformance,
    schema::TimeKind,
    tables::{self, SeriesOptions},
};

mod csv;
mod parquet;
mod tsf;

/// What `check` compares: `id time value` a line (`-`: missing), then `! place: reason` a reject.
pub(crate) fn read(paths: &[PathBuf], options: &SeriesOptions) -> Result<String> {
    let (batches, rejects) = read_batches(paths, options)?;
    let mut lines: Vec<String> = batches.iter().flat_map(lines).collect();
    lines.extend(rejects.iter().map(|reject| {
        let place = reject.place.rsplit_once(", ").map_or("", |(_, place)| place);
        format!("! {place}: {}", reject.reason)
    }));
    Ok(lines.join("\n"))
}

/// All batches and rejects.
pub(crate) fn read_batches(paths: &[PathBuf], options: &SeriesOptions) -> Result<(Vec<RecordBatch>, Vec<Reject>)> {
    let mut decoder = tables::decoder(paths, options)?;
    let (mut batches, mut rejects) = (vec![], vec![]);
    while let Some(batch) = decoder.decode()? {
        assert_eq!(batch.rows.schema(), decoder.schema());
        batches.push(batch.rows);
        rejects.extend(batch.rejects);
    }
    assert!(decoder.decode()?.is_none(), "a batch after the end");
    Ok((batches, rejects))
}

/// How many rows there are in all.
pub(crate) fn count(paths: &[PathBuf], options: &SeriesOptions) -> (usize, usize) {
    let (batches, rejects) = read_batches(paths, options).unwrap();
    (batches.iter().map(RecordBatch::num_rows).sum(), rejects.len())
}

/// The rows of a batch as text.
fn lines(batch: &RecordBatch) -> Vec<String> {
    let (ids, values) = (batch.column(0).as_string::<i32>(), batch.column(2).as_primitive::<Float64Type>());
    let timestamps = batch.schema() == unspool_ingest::schema::series(TimeKind::Timestamp);
    (0..batch.num_rows())
        .map(|i| {
            let time = if timestamps {
                let times = batch.column(1).as_primitive::<TimestampMicrosecondType>();
                times.value_as_datetime(i).unwrap().format("%Y-%m-%dT%H:%M:%S%.f").to_string()
            } else {
                batch.column(1).as_primitive::<Int64Type>().value(i).to_string()
            };
            let value = if values.is_null(i) { "-".into() } else { values.value(i).to_string() };
            format!("{} {time} {value}", ids.value(i))
        })
        .collect()
}

/// Runs the conformance suite with tiny batches; going on at any position, the rejects are those of the rest too.
pub(crate) async fn conforms(paths: &[PathBuf], options: &SeriesOptions, batch_rows: &[usize]) {
    for &batch_rows in batch_rows {
        let with = |start| SeriesOptions { start, batch_rows, ..options.clone() };
        conformance::check(|start| tables::open(paths, &with(start))).await;
        let (_, all) = read_batches(paths, &with(None)).unwrap();
        let (mut decoder, mut before) = (tables::decoder(paths, &with(None)).unwrap(), 0);
        while let Some(batch) = decoder.decode().unwrap() {
            before += batch.rejects.len();
            let (_, rest) = read_batches(paths, &with(Some(batch.next))).unwrap();
            assert_eq!(rest, all[before..], "rejects from {:?} on", batch.next);
        }
    }
}

/// Where the evaluation data lie, or a line that says that the test is skipped.
pub(crate) fn data(path: &str) -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");
    let root = std::env::var_os("UNSPOOL_DATA").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    let path = root.join("timeseries").join(path);
    if !path.exists() {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

/// A file in a directory of the test's own, plain or (by its name) gzipped.
pub(crate) fn write(dir: &tempfile::TempDir, name: &str, text: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    let bytes = if Path::new(name).extension().is_some_and(|end| end == "gz") { gzip(text) } else { text.to_vec() };
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Two gzip members.
fn gzip(text: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let (first, second) = text.split_at(text.len() / 2);
    let mut out = vec![];
    for part in [first, second] {
        let mut encoder = flate2::write::GzEncoder::new(&mut out, flate2::Compression::fast());
        encoder.write_all(part).unwrap();
        encoder.finish().unwrap();
    }
    out
}

#[tokio::test]
async fn sources_held_in_memory_keep_the_contract() {
    let times = arrow::array::Int64Array::from_iter_values(0..10);
    let ids = arrow::array::StringArray::from_iter_values((0..10).map(|i| format!("s{i}")));
    let values = arrow::array::Float64Array::from_iter((0..10).map(|i| (i % 3 > 0).then_some(f64::from(i))));
    let schema = unspool_ingest::schema::series(TimeKind::Step);
    let rows = RecordBatch::try_new(schema.clone(), vec![Arc::new(ids), Arc::new(times), Arc::new(values)]).unwrap();
    for batch_rows in [1, 3, 10, 11] {
        conformance::check(|start| Ok(MemorySource::new(rows.clone(), batch_rows, start))).await;
    }
    conformance::check(|start| Ok(MemorySource::new(RecordBatch::new_empty(schema.clone()), 3, start))).await;
}
