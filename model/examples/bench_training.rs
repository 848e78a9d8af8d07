//! Rates of a forward and a backward pass on a GPU, in tokens a second.
//!
//! ```text
//! cargo run --release -p unspool-model --features cuda --example bench_training
//! ```
//!
//! Random weights and tokens, vocab 256; the median of 20 runs after three. "card": the two passes alone, as a trainer on
//! the card would call them, host work of making the batch included. "host": through `Trainable`, with the hidden rows and
//! all gradients copied to the host and the rows' gradients back, as a trainer on the CPU calls it.

use std::{sync::Arc, time::Instant};

use unspool_kernels::cuda::{
    Gpu,
    backward::{Precision, Shape, Training, TrainingInput},
};
use unspool_model::{
    Result,
    backward::{CudaBackbone, Trainable},
    config::{Config, MixerConfig},
    device::Weights,
    encoder::{Input, Packed},
    init,
};

/// Runs of which the median counts.
const RUNS: usize = 20;

fn main() -> Result<()> {
    let gpu = Gpu::open(0)?;
    println!("{}, driver {}", gpu.card().name, gpu.card().driver.as_deref().unwrap_or("unknown"));
    println!("{:<36}{:>8}{:>14}{:>14}{:>14}", "", "rows", "forward, ms", "card, Mtok/s", "host, Mtok/s");
    let mixed: Vec<usize> = (0..64).map(|i| 1 + i * 389 % 1024).collect();
    for (name, d, layers, lengths) in [
        ("d=256, 8 layers, 64 x 512", 256, 8, vec![512; 64]),
        ("d=256, 8 layers, 512 x 64", 256, 8, vec![64; 512]),
        ("d=256, 8 layers, 8 x 4096", 256, 8, vec![4096; 8]),
        ("d=256, 8 layers, 64 of 1 to 1024", 256, 8, mixed),
        ("d=768, 24 layers, 32 x 512", 768, 24, vec![512; 32]),
    ] {
        let config = Config { layers, vocab: 256, ..Config::mamba1(d) };
        report(&gpu, name, &config, (&lengths, Weights::Bf16))?;
        if name.ends_with("64 x 512") {
            report(&gpu, name, &config, (&lengths, Weights::F32))?;
        }
    }
    Ok(())
}

/// One line.
fn report(gpu: &Arc<Gpu>, name: &str, config: &Config, (lengths, rows): (&[usize], Weights)) -> Result<()> {
    let mut offsets = vec![0];
    lengths.iter().for_each(|length| offsets.push(offsets[offsets.len() - 1] + length));
    let t = offsets[lengths.len()];
    let tokens: Vec<u32> = (0..t as u32).map(|i| i.wrapping_mul(2_654_435_761) >> 24).collect();
    let d_hidden: Vec<f32> = (0..t * config.d).map(|i| ((i * 37 % 101) as f32 - 50.0) * 1e-4).collect();
    let weights = init::fresh(config, 1)?;
    let rate = |times: Vec<f64>| t as f64 / median(times) / 1e6;

    let training = training(gpu, config, rows)?;
    let (mut forward, mut both) = (vec![], vec![]);
    {
        let mut training = training;
        let tensors = weights.tensors(config);
        training.set_weights(&tensors.iter().map(|(_, values)| *values).collect::<Vec<_>>())?;
        let d_hidden = training.hidden_gradient(&d_hidden)?;
        for _ in 0..RUNS + 3 {
            gpu.synchronize()?;
            let start = Instant::now();
            let tape = training.forward(TrainingInput::Tokens(&tokens), &offsets)?;
            gpu.synchronize()?;
            forward.push(start.elapsed().as_secs_f64());
            training.backward(&tape, &d_hidden)?;
            gpu.synchronize()?;
            both.push(start.elapsed().as_secs_f64());
        }
    }
    let backbone = CudaBackbone::new(config.clone(), &weights, Arc::clone(gpu), rows)?;
    let batch = Packed { input: Input::Tokens(&tokens), offsets: &offsets };
    let mut host = vec![];
    for _ in 0..RUNS + 3 {
        let start = Instant::now();
        let (_, tape) = backbone.forward(&batch)?;
        backbone.backward(&tape, &d_hidden)?;
        host.push(start.elapsed().as_secs_f64());
    }
    println!("{name:<36}{rows:>8}{:>14.2}{:>14.2}{:>14.2}", median(forward) * 1e3, rate(both), rate(host));
    Ok(())
}

fn training(gpu: &Arc<Gpu>, config: &Config, rows: Weights) -> Result<Training> {
    let MixerConfig::Mamba1 { d_in, n, k, r, .. } = config.mixer else { unreachable!("the cases are Mamba-1") };
    let &Config { d, layers, vocab, norm_eps: eps, linear_bias, conv_bias, .. } = config;
    let shape = Shape { d, d_in, n, k, r, layers, vocab, eps, linear_bias, conv_bias, series: None, head: None };
    let precision = if rows == Weights::F32 { Precision::F32 } else { Precision::Bf16 };
    Ok(Training::new(Arc::clone(gpu), shape, precision)?)
}

/// The median of all but the first three.
fn median(times: Vec<f64>) -> f64 {
    let mut times = times[3..].to_vec();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
