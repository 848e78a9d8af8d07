//! A DNA model's training step on a GPU against the CPU's.

use std::sync::Arc;

use unspool_kernels::{cpu::Team, cuda::Gpu};
use unspool_model::{
    config::{Config, MixerConfig},
    device::Weights,
    dna, init,
    train::{AdamStep, CpuTrainer, CudaTrainer, DnaBatch, DnaWeights, Moments, Objective, Report, Trainer},
};

const STEP: AdamStep =
    AdamStep { step: 1, rate: 1e-3, beta1: 0.9, beta2: 0.98, eps: 1e-8, decay: 0.05, clip: 0.5, keep: 0.9 };

fn batch(lengths: &[usize], seed: u64) -> DnaBatch {
    let mut at = seed;
    let mut base = || {
        at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        b"ACGTACGTACGTACGN"[(at >> 60) as usize]
    };
    let sequence = |&length: &usize| dna::tokens(&(0..length).map(|_| base()).collect::<Vec<u8>>()).unwrap();
    let sequences: Vec<Vec<u32>> = lengths.iter().map(sequence).collect();
    let mut batch = DnaBatch::new(sequences.iter().map(Vec::as_slice));
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

fn check(gpu: &Arc<Gpu>, config: &Config, (rows, tolerance): (Weights, f64)) {
    let weights = DnaWeights { config: config.clone(), backbone: init::scattered(config, 3).unwrap(), classes: vec![] };
    let batches = [batch(&[64, 1, 129, 0, 300], 1), batch(&[7, 1200], 2)];
    let mut cpu = CpuTrainer::new(weights.clone(), Arc::new(Team::new(4).unwrap())).unwrap();
    let mut cuda = CudaTrainer::new(&weights, Arc::clone(gpu), rows).unwrap();
    let losses = |trainer: &dyn Trainer<DnaBatch>| batches.iter().map(|b| trainer.loss(b).unwrap()).sum::<f64>();
    let (loss, expected_loss) = (losses(&cuda), losses(&cpu));
    let run = |trainer: &mut dyn Trainer<DnaBatch>| -> (Moments, Report) {
        trainer.step(&batches, &STEP).unwrap();
        (trainer.moments().unwrap(), trainer.report().unwrap())
    };
    let ((expected, said), (found, report)) = (run(&mut cpu), run(&mut cuda));
    let errors = [
        error(&found.m, &expected.m),
        (report.loss / said.loss - 1.0).abs(),
        (report.norms / said.norms - 1.0).abs(),
        (loss / expected_loss - 1.0).abs(),
        (loss / report.loss - 1.0).abs(),
    ];
    eprintln!("{rows} d {}: gradients {:.1e}, loss {:.1e}, norm {:.1e}", config.d, errors[0], errors[1], errors[2]);
    assert!(errors.iter().all(|&error| error < tolerance), "{rows}: {errors:?}");
    assert_eq!((report.skipped, said.skipped), (0, 0));

    // Again, from what was read: the same bits.
    let mut again = CudaTrainer::new(&weights, Arc::clone(gpu), rows).unwrap();
    again.set_moments(&Moments::fresh(weights.tensors().into_iter().map(|(_, w)| w.to_vec()).collect())).unwrap();
    assert_eq!(run(&mut again), (found, report));
}

#[test]
fn a_training_step_is_the_cpus() {
    let Some(gpu) = super::training::gpu() else { return };
    let odd = MixerConfig::Mamba1 { d_in: 40, n: 5, k: 3, r: 3, bcdt_norm_eps: None };
    let dna = Config { layers: 2, vocab: dna::VOCAB, tie_embeddings: false, ..Config::mamba1(256) };
    let odd = Config { d: 20, mixer: odd, ..dna.clone() };
    for config in [odd, dna] {
        check(&gpu, &config, (Weights::F32, 2e-4));
        check(&gpu, &config, (Weights::Bf16, 3e-2));
    }
}
