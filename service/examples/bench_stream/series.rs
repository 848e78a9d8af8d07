//! More series than memory holds: their states lie on the disk, come back for each event, and are saved and restored.

use std::{path::Path, sync::Arc, time::Instant};

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use unspool_ingest::schema;
use unspool_model::{Model, RunOptions, checkpoint, config::Config, dna, init};
use unspool_pipelines::stream::{
    core::{Core, CoreOptions},
    emit::{Emit, Every, Give, Output, Pooling},
    snapshot::Snapshots,
    time::TimeOptions,
};

use super::{Done, PARTITIONS};

/// Events of a call, one a series.
const CALL: usize = 20_000;
/// Events between two snapshots of all partitions: what is superseded stays on the disk for so long, twice.
const SNAPSHOT: usize = 100_000;
/// Rounds of an event for every series before the restore.
const ROUNDS: usize = 2;
/// Each `SAMPLE`-th series is compared with one of a core that had nothing else to do.
const SAMPLE: usize = 997;

/// A test model: d = 64, 4 layers, random weights.
fn model(dir: &Path) -> Done<Arc<Model>> {
    let config = Config { layers: 4, vocab: dna::VOCAB, ..Config::mamba1(64) };
    let weights = init::fresh(&config, 1)?;
    let mut json = config.to_json()?;
    json["unspool"] = serde_json::json!({"name": "test", "front_end": "dna", "trained": false});
    checkpoint::save(dir, &json, &weights.tensors(&config))?;
    Ok(Arc::new(Model::load(dir, RunOptions::cpu())?))
}

/// One event each of these series, in a round; offsets go on from `from`, the same in every partition.
fn events(series: &[usize], round: usize, from: i64) -> Done<RecordBatch> {
    let each = || series.iter().copied();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_iter_values(each().map(|n| (n % PARTITIONS as usize) as i32))),
        Arc::new(Int64Array::from_iter_values((from..).take(series.len()))),
        Arc::new(StringArray::from_iter_values(each().map(|n| format!("series-{n}")))),
        Arc::new(Int64Array::from_iter_values(each().map(|_| round as i64))),
        Arc::new(Float64Array::from(vec![None; series.len()])),
        Arc::new(StringArray::from_iter_values(each().map(|n| &"ACGTTGCAAC"[n % 7..n % 7 + 1 + round % 3]))),
        Arc::new(BooleanArray::from(vec![false; series.len()])),
    ];
    Ok(RecordBatch::try_new(schema::events(), columns)?)
}

fn nexts(next: i64) -> Vec<(i32, i64)> {
    (0..PARTITIONS).map(|partition| (partition, next)).collect()
}

fn begin(core: &mut Core, snapshots: &Snapshots) -> Done {
    for partition in 0..PARTITIONS {
        let newest = snapshots.newest(partition, i64::MAX)?;
        core.begin((partition, 0, 0), snapshots, newest)?;
    }
    Ok(())
}

/// What a core that has these series alone gives for the last round.
fn alone(model: &Arc<Model>, options: &CoreOptions, series: &[usize]) -> Done<Vec<Output>> {
    let dir = tempfile::tempdir()?;
    let snapshots = Snapshots::new(dir.path().to_owned(), "{}".into());
    let mut core = Core::new(Arc::clone(model), options)?;
    begin(&mut core, &snapshots)?;
    let mut outputs = vec![];
    for round in 0..=ROUNDS {
        let from = (round * series.len()) as i64;
        outputs = core.process(&events(series, round, from)?, &nexts(from + series.len() as i64))?.outputs;
    }
    Ok(outputs)
}

/// Peak memory of this process, in GB.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap_or(f64::NAN) / 1e6
}

/// What a folder takes on the disk, in GB.
fn taken(dir: &Path) -> Done<f64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let (path, metadata) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)))?;
        bytes += if metadata.is_dir() { (taken(&path)? * 1e9) as u64 } else { metadata.len() };
    }
    Ok(bytes as f64 / 1e9)
}

/// Runs `count` series with states in `dir`, of which `budget` bytes may be in memory.
pub(crate) fn run(count: usize, dir: &Path, budget: usize) -> Done {
    let weights = tempfile::tempdir()?;
    let model = model(weights.path())?;
    let give = Give::Embedding { layer: None, pool: Pooling::Mean, restart: false };
    let emit = Emit { give, every: Every::Events(ROUNDS as u64 + 1) };
    let options = CoreOptions { time: TimeOptions::default(), emit, states_bytes: budget };
    let snapshots = Snapshots::new(dir.join("snapshots"), "{}".into());
    let state = model.save(&model.open(&options.emit.options(&model)?)?)?.len();
    println!(
        "{count} series, {state} bytes a state: {:.1} GB; in memory {:.1} GB",
        (state * count) as f64 / 1e9,
        budget as f64 / 1e9
    );
    let mut core = Core::new(Arc::clone(&model), &options)?;
    begin(&mut core, &snapshots)?;
    let all: Vec<usize> = (0..count).collect();
    let (mut next, mut most) = (0, 0.0f64);
    for round in 0..ROUNDS {
        let (began, mut saving) = (Instant::now(), 0.0);
        for (number, some) in all.chunks(CALL).enumerate() {
            core.process(&events(some, round, next)?, &nexts(next + some.len() as i64))?;
            next += some.len() as i64;
            if (number + 1) * CALL % SNAPSHOT < CALL || (number + 1) * CALL >= count {
                let began = Instant::now();
                (0..PARTITIONS).try_for_each(|partition| core.snapshot(partition, &snapshots))?;
                saving += began.elapsed().as_secs_f64();
                most = most.max(taken(dir)?);
            }
        }
        let (took, stats) = (began.elapsed().as_secs_f64(), core.states());
        println!(
            "round {}: {:.0} events/s, {took:.0} s of which {saving:.0} s snapshots; {} brought up, {} spilled, peak memory {:.1} GB; \
             on the disk {:.1} GB, at most {most:.1}",
            round + 1,
            count as f64 / took,
            stats.raised,
            stats.spilled,
            peak(),
            taken(dir)?
        );
    }
    drop(core);
    let began = Instant::now();
    let mut core = Core::new(Arc::clone(&model), &options)?;
    begin(&mut core, &snapshots)?;
    println!(
        "restore of {} series: {:.1} s until events may come",
        core.states().series,
        began.elapsed().as_secs_f64()
    );
    let sample: Vec<usize> = all.into_iter().step_by(SAMPLE).collect();
    let given = core.process(&events(&sample, ROUNDS, next)?, &nexts(next + sample.len() as i64))?.outputs;
    let expected = alone(&model, &options, &sample)?;
    let same = |(a, b): (&Output, &Output)| a.series == b.series && a.content == b.content;
    if given.len() != sample.len() || expected.len() != sample.len() || !given.iter().zip(&expected).all(same) {
        return Err("a series differs from one that was alone".into());
    }
    println!("{} of them, one more event each: the same bits as alone", sample.len());
    Ok(())
}
