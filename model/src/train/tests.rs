use std::sync::Arc;

use unspool_kernels::cpu::Team;

use super::{quantiles::gradients, *};
use crate::{
    Model, Options, RunOptions,
    config::{Config, MixerConfig},
    model::{Events, Item},
    series::{Alignment, SeriesShape},
};

fn shape(alignment: Alignment) -> SeriesShape {
    SeriesShape { patch: 4, horizon: 8, levels: vec![0.1, 0.5, 0.9], alignment, context: 4096, tail: 1.0 }
}

fn config() -> Config {
    let mixer = MixerConfig::Mamba1 { d_in: 24, n: 4, k: 3, r: 2, bcdt_norm_eps: None };
    Config { layers: 2, vocab: 0, mixer, ..Config::mamba1(12) }
}

fn team() -> Arc<Team> {
    Arc::new(Team::new(2).unwrap())
}

/// Weights whose head is not close to 0.
fn weights(alignment: Alignment) -> SeriesWeights {
    let mut weights = SeriesWeights::fresh(&config(), &shape(alignment), 3).unwrap();
    let mut at = 0_u32;
    for tensor in weights.tensors_mut() {
        tensor.iter_mut().for_each(|w| {
            at = at.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *w += (at >> 8) as f32 / (1 << 24) as f32 * 0.2 - 0.1;
        });
    }
    weights
}

/// Windows with late starts, gaps, a partly filled last patch and unknown ends.
struct Windows {
    len: usize,
    values: Vec<f32>,
    known: Vec<bool>,
    observed: Vec<bool>,
}

impl Windows {
    fn new(count: usize, patches: usize) -> Self {
        let len = patches * 4 + 8;
        let value = |i: usize| ((i % len) as f32 / 5.0).sin() * (1.0 + (i / len) as f32) + (i * i % 7) as f32 * 0.05;
        let known: Vec<bool> = (0..count * len).map(|i| i % len >= 5 * (i / len % 3) && i % 41 != 40).collect();
        let seen = |i: usize| {
            known[i]
                && i % len < patches * 4
                && i % 11 != 3
                && (!(i / len).is_multiple_of(2) || i % len < patches * 4 - 2)
        };
        let observed = (0..count * len).map(seen).collect();
        Self { len, values: (0..count * len).map(value).collect(), known, observed }
    }

    fn batch(&self, shape: &SeriesShape, threads: usize) -> SeriesBatch {
        let Self { len, values, known, observed } = self;
        SeriesBatch::new(shape, WindowSlices { len: *len, values, known, observed }, 3.0, threads).unwrap()
    }
}

#[test]
fn threads_change_no_bit_of_a_batch_and_weights_add_up() {
    let (windows, shape) = (Windows::new(7, 5), shape(Alignment::Any));
    let batch = windows.batch(&shape, 1);
    assert_eq!(batch, windows.batch(&shape, 3));
    assert_eq!(batch.offsets.len(), 8);
    let counts = |i: usize, at: usize| windows.known[at] && !(i < 4 && windows.observed[at]);
    let counted = |t: usize| (0..12).filter(|&i| counts(i, batch.firsts[t] as usize + i)).count();
    let sum: f64 = (0..batch.patches()).map(|t| f64::from(batch.weights[t]) * counted(t) as f64).sum();
    assert!((sum - 1.0).abs() < 1e-5, "{sum}");
    let mut ratios: Vec<f32> = batch.weights.iter().map(|w| w / batch.weights[batch.patches() - 2]).collect();
    ratios.sort_by(f32::total_cmp);
    ratios.dedup_by(|a, b| (*a - *b).abs() < 1e-4);
    assert_eq!(ratios.len(), 3, "nothing yet, whole and partly filled patches: {ratios:?}");
}

#[test]
fn bad_windows_are_refused() {
    let shape = shape(Alignment::Any);
    let check = |len: usize, values: &[f32], marks: usize, expected: &str| {
        let marks = vec![true; marks];
        let windows = WindowSlices { len, values, known: &marks, observed: &marks };
        let error = SeriesBatch::new(&shape, windows, 1.0, 1).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(8, &[0.0; 8], 8, "windows of 8 values");
    check(13, &[0.0; 13], 13, "windows of 13 values");
    check(12, &[0.0; 13], 13, "no windows of 12");
    check(12, &[0.0; 12], 11, "11 and 11 marks");
    check(12, &[f32::NAN; 12], 12, "value 0 of window 0 is NaN");
}

/// Every tensor's gradient, along random directions, against central differences in f64.
#[test]
fn gradients_are_those_of_finite_differences() {
    for alignment in [Alignment::End, Alignment::Any] {
        let batch = Windows::new(3, 4).batch(&shape(alignment), 1);
        let weights = weights(alignment).map(|&w| f64::from(w)).unwrap();
        let loss = |weights: &SeriesWeights<f64>| gradients(weights, &batch, &team()).unwrap().0;
        let (value, found) = gradients(&weights, &batch, &team()).unwrap();
        assert!(value > 0.0);
        for (i, (spec, gradient)) in found.tensors().into_iter().enumerate() {
            let mut at = 7_u64 + i as u64;
            let along: Vec<f64> = gradient
                .iter()
                .map(|_| {
                    at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (at >> 33) as f64 / (1u64 << 31) as f64 - 0.5
                })
                .collect();
            let moved = |step: f64| {
                let mut weights = weights.clone();
                let tensor = weights.tensors_mut().swap_remove(i);
                tensor.iter_mut().zip(&along).for_each(|(w, along)| *w += step * along);
                loss(&weights)
            };
            // Quantile losses have corners: the step is small, and few terms cross one within it.
            let expected = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            let dot: f64 = gradient.iter().zip(&along).map(|(g, a)| g * a).sum();
            let scale = gradient.iter().map(|g| g * g).sum::<f64>().sqrt().max(expected.abs());
            assert!((dot - expected).abs() <= 2e-4 * scale + 1e-9, "{}: {dot} for {expected}", spec.name);
        }
    }
}

/// What a trained model says is what the trainer's forward pass was taught on: the same features, scaling and head.
#[test]
fn a_saved_model_forecasts_what_the_loss_saw() {
    let (weights, shape) = (weights(Alignment::Any), shape(Alignment::Any));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model");
    weights.save(&path, "tiny", false).unwrap();
    assert_eq!(SeriesWeights::load(&path).unwrap(), weights);
    let series: Vec<f64> = (0..19).map(|i| f64::from((f64::from(i) / 3.0).sin() as f32) + 2.0).collect();
    let model = Model::load(&path, RunOptions::cpu()).unwrap();
    let mut state = model.open(&Options::default()).unwrap();
    model.append(&mut [Item { state: &mut state, events: Events::Values(&series) }]).unwrap();
    let forecast = model.forecast(&[&state], 8).unwrap().remove(0);

    // The last patch of 20 lacks a value: the first forecast is that one's.
    let (len, known) = (28, vec![true; 28]);
    let values: Vec<f32> = (0..len).map(|i| series.get(i).map_or(0.0, |&v| v as f32)).collect();
    let observed: Vec<bool> = (0..len).map(|i| i < series.len()).collect();
    let windows = WindowSlices { len, values: &values, known: &known, observed: &observed };
    let batch = SeriesBatch::new(&shape, windows, 1.0, 1).unwrap();
    let outputs = quantiles::outputs(&weights, &batch, &team()).unwrap();
    let last = &outputs[4 * shape.outputs()..][3 * 3..];
    let (anchor, step) = (f64::from(batch.anchors[4]), f64::from(batch.steps[4]));
    for (ahead, found) in forecast.values.chunks_exact(3).enumerate() {
        let mut expected: Vec<f64> =
            last[ahead * 3..][..3].iter().map(|&q| f64::from(q).sinh() * step + anchor).collect();
        expected.sort_by(f64::total_cmp);
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-4 * expected.abs().max(1.0), "{ahead}: {found} for {expected}");
        }
    }
}

fn adam(step: u64) -> AdamStep {
    AdamStep { step, rate: 1e-2, beta1: 0.9, beta2: 0.98, eps: 1e-8, decay: 0.05, clip: 0.5, keep: 0.9 }
}

#[test]
fn a_step_is_adamw() {
    let mut moments = Moments::fresh(vec![vec![1.0, -2.0], vec![0.5]]);
    let gradients: [&[f32]; 2] = [&[0.3, 0.4], &[1.2]];
    let norm = moments.advance(&gradients, &[true, false], &adam(1));
    assert!((norm - 1.3).abs() < 1e-6);
    // After one step both corrected moments are the shrunk gradient and its square: each weight moves by the rate.
    let close =
        |found: f32, expected: f64| assert!((f64::from(found) - expected).abs() < 1e-6, "{found} for {expected}");
    close(moments.weights[0][0], 1.0 - 1e-2 * 0.05 - 1e-2);
    close(moments.weights[0][1], -2.0 + 1e-2 * 0.05 * 2.0 - 1e-2);
    close(moments.weights[1][0], 0.5 - 1e-2);
    close(moments.m[1][0], 0.1 * 1.2 * 0.5 / 1.3);
    close(moments.average[1][0], 0.5 - 1e-3);
    let before = moments.clone();
    assert!(!moments.advance(&[&[0.3, f32::NAN], &[1.2]], &[true, false], &adam(2)).is_finite());
    assert_eq!(moments, before, "a gradient that is not finite moves nothing");
}

/// A run that goes on from rounded moments, and one that loads them, have the same bits; and the loss falls.
#[test]
fn a_resumed_run_is_the_undisturbed_one() {
    let (shape, weights) = (shape(Alignment::Any), weights(Alignment::Any));
    let batches = [Windows::new(4, 5), Windows::new(5, 3)].map(|windows| {
        let mut batch = windows.batch(&shape, 1);
        batch.share(2);
        batch
    });
    let mut whole = CpuTrainer::new(weights.clone(), team()).unwrap();
    let run = |trainer: &mut CpuTrainer<SeriesWeights>, steps: std::ops::Range<u64>| -> Report {
        steps.for_each(|step| trainer.step(&batches, &adam(step + 1)).unwrap());
        trainer.report().unwrap()
    };
    let first = run(&mut whole, 0..20);
    let mut moments = whole.moments().unwrap();
    moments.round();
    whole.set_moments(&moments).unwrap();
    let mut other = CpuTrainer::new(weights, Arc::new(Team::new(1).unwrap())).unwrap();
    other.set_moments(&moments).unwrap();
    let (second, third) = (run(&mut whole, 20..40), run(&mut other, 20..40));
    assert_eq!((second, whole.moments().unwrap()), (third, other.moments().unwrap()));
    assert!(second.loss < 0.8 * first.loss && second.skipped == 0, "{} after {}", second.loss, first.loss);
}

#[test]
fn more_layers_say_the_same_until_they_are_trained() {
    let (weights, shape) = (weights(Alignment::Any), shape(Alignment::Any));
    let deep = weights.clone().deepened(5, 1).unwrap();
    assert_eq!(deep.backbone.layers.len(), 5);
    assert!(weights.backbone.layers.iter().all(|layer| deep.backbone.layers.contains(layer)));
    let batch = Windows::new(3, 4).batch(&shape, 1);
    let outputs = |weights: &SeriesWeights| quantiles::outputs(weights, &batch, &team()).unwrap();
    assert_eq!(outputs(&deep), outputs(&weights));
    assert!(weights.deepened(1, 1).unwrap_err().to_string().contains("has 2 already"));
}

#[test]
fn an_end_aligned_head_becomes_one_for_streams() {
    let end = weights(Alignment::End);
    let any = end.clone().aligned_any().unwrap();
    let (old, new) = (&end.head.down, &any.head.down);
    assert_eq!(
        (new.n_out, &new.weight[12 * 24..], &new.weight[..12 * 24]),
        (36, &old.weight[..], &old.weight[..12 * 24])
    );
    assert_eq!(any.clone().aligned_any().unwrap(), any);
}

#[test]
fn moments_come_back_from_files_and_damage_is_refused() {
    let weights = weights(Alignment::Any);
    let specs = SeriesWeights::<f32>::specs(&weights.config, &weights.shape);
    let batch = Windows::new(3, 4).batch(&weights.shape, 1);
    let mut trainer = CpuTrainer::new(weights, team()).unwrap();
    (1..4).for_each(|step| trainer.step(std::slice::from_ref(&batch), &adam(step)).unwrap());
    let mut moments = trainer.moments().unwrap();
    moments.round();
    let dir = tempfile::tempdir().unwrap();
    moments.save(dir.path(), &specs).unwrap();
    assert_eq!(Moments::load(dir.path(), &specs).unwrap(), moments);
    let path = dir.path().join("moments-00001-of-00001.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert!(Moments::load(dir.path(), &specs).unwrap_err().to_string().contains("moments-00001"));
    std::fs::remove_file(&path).unwrap();
    assert!(Moments::load(dir.path(), &specs).unwrap_err().to_string().contains("weights.backbone"));
}
