//! Batch jobs: the series of Parquet files, the reads of a FASTQ file.

use std::{
    fs::{self, File},
    ops::Range,
    path::Path,
    sync::Arc,
};

use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray},
    datatypes::{Float32Type, Float64Type, Int64Type},
};
use parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder};
use unspool_pipelines::batch::saved_states;

use super::{
    given::{Given, Kind, bits, bits_f32},
    input::Series,
    stage::{HORIZON, Stage},
};

/// What `unspool run --what` calls it.
pub(super) fn what(kind: Kind) -> String {
    match kind {
        Kind::Forecast => format!("forecasts --horizon {HORIZON}"),
        Kind::Scores => "scores".to_owned(),
        _ => "embeddings".to_owned(),
    }
}

/// Rows of series in the order of time: `id`, `time`, `value`.
pub(super) fn rows(series: &[Series], part: &dyn Fn(&Series) -> Range<usize>) -> RecordBatch {
    let mut rows: Vec<(usize, &str, f64)> = vec![];
    for series in series {
        rows.extend(part(series).map(|time| (time, &*series.id, series.values[time])));
    }
    rows.sort_by_key(|(time, ..)| *time);
    let values: Float64Array = rows.iter().map(|row| Some(row.2).filter(|value| !value.is_nan())).collect();
    let columns: [(&str, ArrayRef); 3] = [
        ("id", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1)))),
        ("time", Arc::new(rows.iter().map(|row| row.0 as i64).collect::<Int64Array>())),
        ("value", Arc::new(values)),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// Writes rows as a file of a lake.
pub(super) fn write(path: &Path, rows: &RecordBatch) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), rows.schema(), None).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
}

/// The rows of all parts of an output, part by part.
pub(super) fn parts(dir: &Path) -> Vec<RecordBatch> {
    let all = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let is_part = |path: &Path| path.file_name().unwrap().to_string_lossy().starts_with("part-");
    let mut all: Vec<_> = all.filter(|path| is_part(path)).collect();
    all.sort();
    let open = |path| ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    all.into_iter().flat_map(open).map(Result::unwrap).collect()
}

/// Puts p-values where their times are.
pub(super) fn put_scores(dir: &Path, (id, scores): (&str, &mut [f64])) {
    for rows in parts(dir) {
        let (ids, times) = (rows["id"].as_string::<i32>(), rows["time"].as_primitive::<Int64Type>());
        let p_values = rows["p_value"].as_primitive::<Float64Type>();
        for row in (0..rows.num_rows()).filter(|row| ids.value(*row) == id && p_values.is_valid(*row)) {
            let slot = &mut scores[times.value(row) as usize];
            assert!(slot.is_nan(), "{id} was scored twice at {}", times.value(row));
            *slot = p_values.value(row);
        }
    }
}

/// The forecast of a series.
fn forecast(dir: &Path, id: &str) -> Vec<f64> {
    let mut values = vec![];
    for rows in parts(dir) {
        let ids = rows["id"].as_string::<i32>();
        let levels: Vec<_> = rows.columns()[3..].iter().map(|level| level.as_primitive::<Float64Type>()).collect();
        for row in (0..rows.num_rows()).filter(|row| ids.value(*row) == id) {
            values.extend(levels.iter().map(|level| level.value(row)));
        }
    }
    values
}

/// The embedding of a sequence.
fn embedding(dir: &Path, id: &str) -> Vec<f32> {
    let mut found = vec![];
    for rows in parts(dir) {
        let (ids, lists) = (rows["id"].as_string::<i32>(), rows["embedding"].as_fixed_size_list());
        for row in (0..rows.num_rows()).filter(|row| ids.value(*row) == id) {
            found = lists.value(row).as_primitive::<Float32Type>().values().to_vec();
        }
    }
    found
}

pub(super) fn run(stage: &Stage) -> Given {
    let (mut given, folder) = (Given::default(), &stage.folder);
    // Two files, of which the second goes on where the first ends.
    for (name, part) in [("1", 0..2), ("2", 2..3)] {
        let part = |series: &Series| series.values.len() * part.start / 3..series.values.len() * part.end / 3;
        write(&folder.join(format!("lake/{name}.parquet")), &rows(&stage.input.series, &part));
    }
    for (kind, state) in Kind::OF_SERIES {
        let out = format!("batch-{kind:?}");
        stage.run(&format!("run --quiet --input lake --what {} --output {out} --unit-rows 5000", what(kind)));
        let dir = folder.join(&out);
        for series in &stage.input.series {
            let bytes = match kind {
                Kind::Forecast => bits(&forecast(&dir, &series.id)),
                Kind::Scores => {
                    let mut scores = vec![f64::NAN; series.values.len()];
                    put_scores(&dir, (&series.id, &mut scores));
                    bits(&scores)
                }
                _ => bits_f32(&embedding(&dir, &series.id)),
            };
            given.put((kind, &series.id), bytes);
        }
        let take = &mut |series: unspool_pipelines::batch::SavedSeries| {
            assert!(series.held_back.is_empty(), "{}", series.id);
            given.put((state, &series.id), series.state);
            Ok(())
        };
        saved_states(&dir, &stage.series_model, take).unwrap();
    }
    let fastq = stage.input.reads.iter().map(|read| {
        let quality = "I".repeat(read.bases.len());
        format!("@{}\n{}\n+\n{quality}\n", read.id, read.bases)
    });
    fs::write(folder.join("reads.fastq"), fastq.collect::<String>()).unwrap();
    stage.run("run --quiet --input reads.fastq --what embeddings --model dna-1 --output batch-reads");
    for read in &stage.input.reads {
        given.put((Kind::Embedding, &read.id), bits_f32(&embedding(&folder.join("batch-reads"), &read.id)));
    }
    given
}
