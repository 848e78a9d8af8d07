//! A series model's training step on a GPU against the CPU's.

use std::sync::Arc;

use unspool_kernels::{cpu::Team, cuda::Gpu};
use unspool_model::{
    config::{Config, MixerConfig},
    device::Weights,
    series::{Alignment, SeriesShape},
    train::{AdamStep, CpuTrainer, CudaTrainer, Moments, SeriesBatch, SeriesWeights, Trainer, WindowSlices},
};

const STEP: AdamStep =
    AdamStep { step: 1, rate: 1e-3, beta1: 0.9, beta2: 0.98, eps: 1e-8, decay: 0.05, clip: 0.5, keep: 0.9 };

/// Weights none of which is 0.
fn weights(config: &Config, shape: &SeriesShape) -> SeriesWeights {
    let mut weights = SeriesWeights::fresh(config, shape, 3).unwrap();
    let mut at = 0_u32;
    for tensor in weights.tensors_mut() {
        tensor.iter_mut().for_each(|w| {
            at = at.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *w += (at >> 8) as f32 / (1 << 24) as f32 * 0.1 - 0.05;
        });
    }
    weights
}

fn batch(shape: &SeriesShape, count: usize, patches: usize) -> SeriesBatch {
    let len = patches * shape.patch + shape.horizon;
    let value = |i: usize| ((i % len) as f32 / 5.0).sin() * (1.0 + (i / len) as f32) + (i * i % 7) as f32 * 0.05;
    let values: Vec<f32> = (0..count * len).map(value).collect();
    let known: Vec<bool> = (0..count * len).map(|i| i % len >= 5 * (i / len % 3) && i % 41 != 40).collect();
    let end = patches * shape.patch;
    let seen =
        |i: usize| known[i] && i % len < end && i % 11 != 3 && (!(i / len).is_multiple_of(2) || i % len < end - 2);
    let observed: Vec<bool> = (0..count * len).map(seen).collect();
    let windows = WindowSlices { len, values: &values, known: &known, observed: &observed };
    let mut batch = SeriesBatch::new(shape, windows, 3.0, 2).unwrap();
    batch.share(2);
    batch
}

/// How far tensors are from others, relative to those, at most.
fn error(found: &[Vec<f32>], expected: &[Vec<f32>]) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let each = found.iter().zip(expected).map(|(found, expected)| {
        let distance = norm(&mut found.iter().zip(expected).map(|(f, e)| f64::from(*f) - f64::from(*e)));
        distance / norm(&mut expected.iter().map(|&e| f64::from(e))).max(1e-12)
    });
    each.fold(0.0, f64::max)
}

fn check(gpu: &Arc<Gpu>, config: &Config, shape: &SeriesShape, (rows, tolerance): (Weights, f64)) {
    let weights = weights(config, shape);
    let batches = [batch(shape, 5, 9), batch(shape, 3, 70)];
    let mut cpu = CpuTrainer::new(weights.clone(), Arc::new(Team::new(4).unwrap())).unwrap();
    let mut cuda = CudaTrainer::new(&weights, Arc::clone(gpu), rows).unwrap();
    let run = |trainer: &mut dyn Trainer<SeriesBatch>| {
        trainer.step(&batches, &STEP).unwrap();
        (trainer.moments().unwrap(), trainer.report().unwrap())
    };
    let ((expected, said), (found, report)) = (run(&mut cpu), run(&mut cuda));
    let errors =
        [error(&found.m, &expected.m), (report.loss / said.loss - 1.0).abs(), (report.norms / said.norms - 1.0).abs()];
    eprintln!("{rows} d {}: gradients {:.1e}, loss {:.1e}, norm {:.1e}", config.d, errors[0], errors[1], errors[2]);
    assert!(errors.iter().all(|&error| error < tolerance), "{rows}: {errors:?}");
    assert_eq!((report.skipped, said.skipped), (0, 0));
    moved(&weights, &found);

    // Again, from what was read: the same bits.
    let mut again = CudaTrainer::new(&weights, Arc::clone(gpu), rows).unwrap();
    again.set_moments(&Moments::fresh(weights.tensors().into_iter().map(|(_, w)| w.to_vec()).collect())).unwrap();
    assert_eq!(run(&mut again), (found, report));
}

/// The weights have moved by what their moments say.
fn moved(before: &SeriesWeights, after: &Moments) {
    for (i, (spec, weights)) in before.tensors().into_iter().enumerate() {
        let decay = if spec.shape.len() > 1 && !spec.name.ends_with("A_log") { STEP.rate * STEP.decay } else { 0.0 };
        for (j, &w) in weights.iter().enumerate() {
            let (m, v) = (after.m[i][j] / 0.1, after.v[i][j] / 0.02);
            let expected = w - decay * w - STEP.rate * m / (v.sqrt() + STEP.eps);
            let found = after.weights[i][j];
            assert!((found - expected).abs() < 2e-5 * w.abs().max(0.1), "{} {j}: {found} for {expected}", spec.name);
            let average = w + 0.1 * (found - w);
            assert!((after.average[i][j] - average).abs() < 1e-6 * w.abs().max(1.0), "{} {j}", spec.name);
        }
    }
}

#[test]
fn a_training_step_is_the_cpus() {
    let Some(gpu) = super::training::gpu() else { return };
    let shape = |alignment, patch, horizon, levels: &[f64]| SeriesShape {
        patch,
        horizon,
        levels: levels.to_vec(),
        alignment,
        context: 4096,
        tail: 1.0,
    };
    let nine: Vec<f64> = (1..10).map(|i| f64::from(i) / 10.0).collect();
    let odd = MixerConfig::Mamba1 { d_in: 40, n: 5, k: 3, r: 3, bcdt_norm_eps: None };
    let odd = Config { layers: 2, vocab: 0, mixer: odd, ..Config::mamba1(20) };
    let usual = Config { layers: 2, vocab: 0, ..Config::mamba1(256) };
    for (config, shape) in
        [(odd, shape(Alignment::End, 6, 12, &[0.1, 0.5, 0.9])), (usual, shape(Alignment::Any, 16, 64, &nine))]
    {
        check(&gpu, &config, &shape, (Weights::F32, 2e-4));
        check(&gpu, &config, &shape, (Weights::Bf16, 3e-2));
    }
}
