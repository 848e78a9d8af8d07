//! What the tests of several jobs share.

use std::{path::Path, sync::Arc};

use arrow::{
    array::{
        ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
        UInt64Array,
    },
    compute::concat_batches,
};
use unspool_ingest::{MemorySource, schema::TimeKind};
use unspool_model::{Model, RunOptions, checkpoint, config::Config, dna, init};

use crate::{Committed, Job, MemorySink, Pipeline, Summary};

/// A tiny DNA model with random weights.
pub(crate) fn dna_model() -> Arc<Model> {
    let dir = tempfile::tempdir().expect("a folder");
    save_dna_model(dir.path());
    Arc::new(Model::load(dir.path(), RunOptions::cpu()).expect("loads"))
}

/// Writes the files of [`dna_model`].
pub(crate) fn save_dna_model(dir: &Path) {
    let config = Config { layers: 2, vocab: dna::VOCAB, ..Config::mamba1(8) };
    let weights = init::scattered(&config, 1).expect("the sizes go together");
    let mut json = config.to_json().expect("it can be written");
    json["unspool"] = serde_json::json!({"name": "tiny", "front_end": "dna", "trained": false});
    checkpoint::save(dir, &json, &weights.tensors(&config)).expect("writes");
}

/// A tiny model that reads whole windows, of the published format (a golden of the model's own tests).
pub(crate) fn window_model(case: &str) -> Arc<unspool_model::WindowModel> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/goldens").join(case);
    Arc::new(unspool_model::WindowModel::load(&dir, RunOptions::cpu()).expect("loads"))
}

/// The built-in series model.
pub(crate) fn series_model() -> Arc<Model> {
    Arc::new(Model::series(RunOptions::cpu()).expect("it is built in"))
}

/// A row of the reads schema: id, start, last, bases.
pub(crate) type Read<'a> = (Option<&'a str>, u64, bool, Option<&'a str>);

pub(crate) fn reads(rows: &[Read<'_>]) -> RecordBatch {
    let columns: [(&str, ArrayRef); 4] = [
        ("id", Arc::new(rows.iter().map(|row| row.0).collect::<StringArray>())),
        ("start", Arc::new(rows.iter().map(|row| row.1).collect::<UInt64Array>())),
        ("last", Arc::new(rows.iter().map(|row| Some(row.2)).collect::<BooleanArray>())),
        ("sequence", Arc::new(rows.iter().map(|row| row.3).collect::<StringArray>())),
    ];
    RecordBatch::try_from_iter(columns).expect("rows")
}

pub(crate) fn series(kind: TimeKind, rows: &[(&str, i64, Option<f64>)]) -> RecordBatch {
    let times = rows.iter().map(|row| row.1);
    let times: ArrayRef = match kind {
        TimeKind::Step => Arc::new(times.collect::<Int64Array>()),
        TimeKind::Timestamp => Arc::new(times.map(Some).collect::<TimestampMicrosecondArray>()),
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| Some(row.0)).collect::<StringArray>()),
        times,
        Arc::new(rows.iter().map(|row| row.2).collect::<Float64Array>()),
    ];
    RecordBatch::try_new(unspool_ingest::schema::series(kind), columns).expect("rows")
}

/// Runs a job over rows read `batch_rows` at a time; all output rows in one batch, and what else was committed.
pub(crate) async fn run(job: Box<dyn Job>, rows: RecordBatch, batch_rows: usize) -> (RecordBatch, Committed, Summary) {
    let schema = job.schema();
    let sink = MemorySink::new(Arc::clone(&schema));
    let mut pipeline = Pipeline::new(job, Box::new(sink.clone()));
    pipeline.drain(&mut MemorySource::new(rows, batch_rows, None)).await.expect("drains");
    let summary = pipeline.finish().await.expect("finishes");
    let committed = sink.committed();
    (concat_batches(&schema, &committed.rows).expect("one schema"), committed, summary)
}
