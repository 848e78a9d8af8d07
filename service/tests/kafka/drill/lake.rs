//! The batch job's load: a file a few seconds, and a run after the other over what is new.

use std::{fs, path::Path, sync::Arc, sync::atomic::Ordering::SeqCst, time::Duration};

use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray},
    datatypes::{Float64Type, Int64Type},
};
use parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder};

use super::{
    flows::Shared,
    truth::{Truth, bits},
};

pub(super) const SERIES: usize = 12;
/// Rows of a series in a file.
const ROWS: usize = 50;
const STEP: Duration = Duration::from_secs(4);

fn rows(truth: &Truth, from: usize) -> RecordBatch {
    let places: Vec<(usize, usize)> =
        (from..from + ROWS).flat_map(|time| (0..SERIES).map(move |series| (series, time))).collect();
    let columns: [(&str, ArrayRef); 3] = [
        ("id", Arc::new(StringArray::from_iter_values(places.iter().map(|(series, _)| series.to_string())))),
        ("time", Arc::new(places.iter().map(|(_, time)| *time as i64).collect::<Int64Array>())),
        ("value", Arc::new(places.iter().map(|(series, time)| truth.value(*series, *time)).collect::<Float64Array>())),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// Writes files until no more is wanted; how many rows each series has then.
pub(super) fn write(dir: &Path, (truth, shared): (&Truth, &Shared)) -> usize {
    let mut file = 0;
    // The first is there at once: a job over nothing is an error.
    while file == 0 || shared.waits(STEP * file) {
        let rows = rows(truth, file as usize * ROWS);
        let draft = dir.join("draft.tmp");
        let mut writer = ArrowWriter::try_new(fs::File::create(&draft).unwrap(), rows.schema(), None).unwrap();
        writer.write(&rows).unwrap();
        writer.close().unwrap();
        fs::rename(draft, dir.join(format!("{file:06}.parquet"))).unwrap();
        file += 1;
        shared.lake.store(u64::from(file), SeqCst);
    }
    file as usize * ROWS
}

/// Scores of each series of a job's output; each row was given once.
pub(super) fn read(dir: &Path, len: usize) -> Vec<Vec<u64>> {
    let mut scores: Vec<Vec<Option<u64>>> = vec![vec![None; len]; SERIES];
    let mut parts: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    parts.retain(|path| path.file_name().unwrap().to_string_lossy().starts_with("part-"));
    parts.sort();
    for path in parts {
        let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap()).unwrap().build().unwrap();
        for rows in reader.map(Result::unwrap) {
            let (ids, times) = (rows["id"].as_string::<i32>(), rows["time"].as_primitive::<Int64Type>());
            let p_values = rows["p_value"].as_primitive::<Float64Type>();
            for row in 0..rows.num_rows() {
                let p_value = if p_values.is_valid(row) { p_values.value(row) } else { f64::NAN };
                let series: usize = ids.value(row).parse().unwrap();
                let slot = &mut scores[series][times.value(row) as usize];
                assert!(slot.is_none(), "batch, series {series}: a row was given twice, at {}", times.value(row));
                *slot = Some(bits(p_value));
            }
        }
    }
    let whole = |scores: Vec<Option<u64>>| scores.into_iter().map_while(|score| score).collect();
    scores.into_iter().map(whole).collect()
}
