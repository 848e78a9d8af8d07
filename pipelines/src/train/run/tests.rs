use std::{f64::consts::TAU, fs};

use unspool_model::{Events, Item, Model, Options, RunOptions, train::SeriesWeights};

use super::*;
use crate::train::{DnaData, DnaOptions, DnaSource, ModelOptions, TrainOptions, Windows, read_log};

/// Noisy waves of a period of 12 that differ in level, height and phase.
struct Waves {
    patches: usize,
    count: usize,
}

fn unit(seed: u64) -> f64 {
    let mut x = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x >> 11) as f64 / (1u64 << 53) as f64
}

fn wave(seed: u64, len: usize) -> Vec<f64> {
    let [level, height, phase] = [0, 1, 2].map(|i| unit(seed * 1000 + i));
    let noise = |t: usize| unit(seed * 1000 + 10 + t as u64) - 0.5;
    (0..len).map(|t| 5.0 * level + (0.5 + height) * (TAU * (t as f64 / 12.0 + phase)).sin() + noise(t)).collect()
}

impl WindowSource for Waves {
    fn windows(&self, number: u64) -> Windows {
        let len = self.patches * 4 + 8;
        let value = |i: usize| wave(7 + number * self.count as u64 + i as u64, len);
        let values: Vec<f32> = (0..self.count).flat_map(value).map(|v| v as f32).collect();
        // Of every other window the last patch is partly filled.
        let seen =
            |i: usize| i % len < self.patches * 4 - if (i / len).is_multiple_of(2) { 0 } else { 1 + i / len % 3 };
        let observed = (0..values.len()).map(seen).collect();
        Windows { count: self.count, patches: self.patches, len, known: vec![true; values.len()], observed, values }
    }
}

fn config(steps: u64) -> TrainConfig {
    let levels = vec![0.1, 0.5, 0.9];
    let model = ModelOptions { d: 16, layers: 2, n: 4, patch: 4, horizon: 8, levels, seed: 5 };
    let train =
        TrainOptions { steps, rate: 1e-2, warmup: 10, checkpoint_steps: 4, log_steps: 2, ..TrainOptions::default() };
    let (name, data) = ("waves".into(), Default::default());
    TrainConfig { name, from: None, layers: None, model: Some(model), data, dna: None, train }
}

fn open<'a>(config: &'a TrainConfig, folder: &Path) -> Result<Run<'a, SeriesWeights>, TrainError> {
    let limits = RunLimits { device: Device::Cpu, ..RunLimits::default() };
    let start = config.weights(Path::new("")).unwrap();
    Run::open(config, source(config, &start, (6, 8)), start, (folder, &limits))
}

fn source(config: &TrainConfig, start: &SeriesWeights, (patches, count): (usize, usize)) -> Arc<SeriesBatches> {
    Arc::new(SeriesBatches::new(Arc::new(Waves { patches, count }), start.shape.clone(), config))
}

fn go<W: Objective + 'static>(run: &mut Run<'_, W>, threads: usize, stop_at: u64) -> Summary {
    let (cancel, limits) = (Cancel::default(), RunLimits { threads: Some(threads), ..RunLimits::default() });
    run.run(&limits, &cancel, &mut |line| {
        if line.step >= stop_at {
            cancel.cancel();
        }
    })
    .unwrap()
}

/// A run that was stopped between checkpoints and gone on with, by other threads, has the bits and the log of another.
#[test]
fn a_run_that_was_stopped_ends_as_one_that_was_not() {
    let config = config(12);
    let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut run = open(&config, whole.path()).unwrap();
    assert_eq!(go(&mut run, 1, u64::MAX).step, 12);
    let expected = run.model().unwrap();

    let mut run = open(&config, parts.path()).unwrap();
    assert_eq!(go(&mut run, 3, 6).step, 6);
    drop(run);
    let mut run = open(&config, parts.path()).unwrap();
    assert_eq!(run.done(), 4, "the last checkpoint");
    go(&mut run, 2, u64::MAX);
    assert_eq!(run.model().unwrap(), expected);
    let log = |folder: &Path| -> Vec<(u64, f64, f64)> {
        read_log(folder).unwrap().iter().map(|line| (line.step, line.loss, line.norm)).collect()
    };
    assert_eq!(log(parts.path()), log(whole.path()));
    assert_eq!(log(whole.path()).iter().map(|line| line.0).collect::<Vec<_>>(), [2, 4, 6, 8, 10, 12]);
    let kept = fs::read_dir(whole.path().join("checkpoints")).unwrap().count();
    assert_eq!(kept, 2, "older checkpoints go");
}

#[test]
fn a_damaged_checkpoint_is_named() {
    let (config, folder) = (config(4), tempfile::tempdir().unwrap());
    go(&mut open(&config, folder.path()).unwrap(), 1, u64::MAX);
    let path = folder.path().join("checkpoints/step-000000004");
    let check = |expected: &str| {
        let error = open(&config, folder.path()).err().unwrap().to_string();
        assert!(error.contains("step-000000004") && error.contains(expected), "{error}");
    };
    fs::write(path.join("checkpoint.json"), "{\"version\":1,\"step\":3}").unwrap();
    check("step 3: not what its name says");
    fs::write(path.join("checkpoint.json"), "{").unwrap();
    check("checkpoint.json");
    fs::write(path.join("checkpoint.json"), "{\"version\":1,\"step\":4}").unwrap();
    fs::write(path.join("moments-00001-of-00001.safetensors"), "short").unwrap();
    check("moments-00001");
    fs::remove_dir_all(&path).unwrap();
    assert_eq!(open(&config, folder.path()).unwrap().done(), 0);
}

/// A small model learns a family of series within seconds: its forecasts are better than last season's values.
#[test]
fn a_short_run_beats_the_seasonal_naive_forecast() {
    let (mut config, folder) = (config(250), tempfile::tempdir().unwrap());
    config.train = TrainOptions { checkpoint_steps: 250, log_steps: 50, average: 0.9, ..config.train };
    let limits = RunLimits { device: Device::Cpu, ..RunLimits::default() };
    let start = config.weights(Path::new("")).unwrap();
    let source = source(&config, &start, (12, 24));
    let mut run = Run::open(&config, source, start, (folder.path(), &limits)).unwrap();
    go(&mut run, 1, u64::MAX);
    let path = folder.path().join("model");
    run.model().unwrap().save(&path, "waves", true).unwrap();

    let model = Model::load(&path, RunOptions::cpu()).unwrap();
    let (mut naive, mut ours) = (0.0, 0.0);
    for seed in 1_000_000..1_000_060 {
        let series = wave(seed, 46 + 8);
        let (history, future) = series.split_at(46);
        let mut state = model.open(&Options::default()).unwrap();
        model.append(&mut [Item { state: &mut state, events: Events::Values(history) }]).unwrap();
        let forecast = model.forecast(&[&state], 8).unwrap().remove(0);
        for (i, &value) in future.iter().enumerate() {
            naive += (value - history[46 - 12 + i]).abs();
            ours += (value - forecast.values[3 * i + 1]).abs();
        }
    }
    eprintln!("error {:.3} of the seasonal naive forecast's", ours / naive);
    assert!(ours < 0.9 * naive, "{ours} against {naive}");
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let check = |change: &dyn Fn(&mut TrainConfig), expected: &str| {
        let mut config = config(4);
        change(&mut config);
        let error = config.check().and_then(|()| config.weights(Path::new("")).map(drop)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(&|c| c.train.steps = 0, "train.steps is 0: it must be 1 or more");
    check(&|c| c.train.patches = usize::MAX, "1 to 4194304 for each batch");
    check(&|c| (c.train.patches, c.train.batches) = (3, 4), "train.patches is 0");
    check(&|c| c.model.as_mut().unwrap().d = 1 << 30, "GiB of weights");
    check(&|c| c.train.rate = f64::NAN, "train.rate is NaN");
    check(&|c| c.train.average = 1.0, "train.average is 1");
    check(&|c| c.layers = Some(3), "layers is without `from`");
    check(&|c| c.from = Some("somewhere".into()), "model is beside `from`");
    check(&|c| c.model.as_mut().unwrap().levels = vec![0.5, 0.4, 0.6], "growing levels");
    check(&|c| c.model.as_mut().unwrap().patch = 0, "a patch of 0 values");
    check(&|c| (c.model, c.from) = (None, Some("nowhere".into())), "nowhere");
}

/// A DNA run that was stopped has the bits, the held-out losses and the best model of one that was not.
#[test]
fn a_run_of_dna_goes_on_and_keeps_its_best_model() {
    let data = tempfile::tempdir().unwrap();
    let word = |i: usize| ["ACG", "TTGCA", "GATTACA"][(i * i + i / 7) % 3];
    let genome: String = (0..400).map(word).collect();
    fs::write(data.path().join("a.fa"), format!(">one\n{genome}\n>two\nACGTNNACGT\n")).unwrap();
    let source = |take| DnaSource { path: "a.fa".into(), share: 1.0, take };
    let options = DnaOptions {
        lengths: vec![(64, 1.0), (128, 1.0)],
        hidden: 0.05,
        sources: vec![source((0.0, 0.8))],
        validation: vec![source((0.8, 1.0))],
        validation_bases: (100, 1000),
        ..DnaOptions::default()
    };
    let mut config = TrainConfig { dna: Some(options.clone()), ..config(30) };
    config.train = TrainOptions { patches: 512, batches: 2, checkpoint_steps: 10, average: 0.9, ..config.train };
    let open = |folder: &Path| {
        let source = DnaData::open(options.clone(), data.path(), (512, 2)).unwrap();
        let limits = RunLimits { device: Device::Cpu, ..RunLimits::default() };
        Run::open(&config, Arc::new(source), config.dna_weights(Path::new("")).unwrap(), (folder, &limits)).unwrap()
    };
    let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut run = open(whole.path());
    assert_eq!(go(&mut run, 1, u64::MAX).step, 30);
    let expected = run.model().unwrap();
    go(&mut open(parts.path()), 2, 14);
    let mut run = open(parts.path());
    assert_eq!(run.done(), 10);
    go(&mut run, 3, u64::MAX);
    assert_eq!(run.model().unwrap(), expected);
    let losses = |folder: &Path| -> Vec<(u64, f64, Option<f64>)> {
        read_log(folder).unwrap().iter().map(|line| (line.step, line.loss, line.validation)).collect()
    };
    assert_eq!(losses(whole.path()), losses(parts.path()));
    let held: Vec<f64> = losses(whole.path()).iter().filter_map(|line| line.2).collect();
    assert!(held.len() == 3 && held[2] < held[0] - 0.2, "{held:?}");
    let best = |folder: &Path| fs::read(folder.join("best/model.safetensors")).unwrap();
    assert_eq!(best(whole.path()), best(parts.path()));
}
