//! Rates of the CPU encoder, and of its matrix products alone, in tokens a second.
//!
//! ```text
//! cargo run --release -p unspool-model --example bench_encoder [-- THREADS]
//! ```
//!
//! Random weights; the best of several runs, since a machine's other work only ever makes a run slower.

use std::{env, hint::black_box, time::Instant};

use unspool_kernels::cpu::{Buffer, Isa, Linear, Out, Team, padded};
use unspool_model::{
    Error, Result,
    config::{Config, MixerConfig},
    cpu::{CpuEncoder, CpuOptions},
    encoder::{BackboneState, Encoder, Input, Packed},
    init,
};

/// Sequences that a batched step moves on together.
const BATCH: usize = 64;
/// Runs of which the best counts.
const RUNS: usize = 7;

fn main() -> Result<()> {
    let threads = env::args().nth(1).map_or(Ok(0), |text| text.parse());
    let threads = threads.map_err(|_| Error::Input("usage: bench_encoder [THREADS]".into()))?;
    println!(
        "{:<22}{:>10}{:>10}{:>7}{:>12}{:>10}{:>10}{:>7}",
        "", "prefill", "products", "", "step", "64 steps", "products", ""
    );
    let small = [Config::mamba1(256), Config::mamba2(256)].map(|config| Config { layers: 8, vocab: 16, ..config });
    let large = [Config::mamba1(768), Config::mamba2(768)].map(|config| Config { layers: 24, vocab: 16, ..config });
    for (config, length) in small.into_iter().map(|config| (config, 2048)).chain(large.map(|config| (config, 512))) {
        report(config, length, threads)?;
    }
    Ok(())
}

/// One line: tokens a second of a prefill, of one sequence's steps, and of [`BATCH`] sequences' steps.
fn report(config: Config, length: usize, threads: usize) -> Result<()> {
    let products = Products::new(&config, threads)?;
    let encoder = CpuEncoder::new(config.clone(), &init::fresh(&config, 1)?, CpuOptions { threads, isa: None })?;
    let kind = if matches!(config.mixer, MixerConfig::Mamba1 { .. }) { "Mamba-1" } else { "Mamba-2" };
    let tokens: Vec<u32> = (0..length as u32).map(|i| i * 7 % 16).collect();
    let taps = [config.layers];

    let mut state = encoder.fresh();
    let whole = Packed { input: Input::Tokens(&tokens), offsets: &[0, length] };
    let prefill = best(length, || encoder.encode(&whole, &mut [&mut state], &taps).map(drop))?;
    let one = Packed { input: Input::Tokens(&tokens[..1]), offsets: &[0, 1] };
    let steps = || (0..20).try_for_each(|_| encoder.encode(&one, &mut [&mut state], &taps).map(drop));
    let step = best(20, steps)?;
    let mut states: Vec<BackboneState> = (0..BATCH).map(|_| encoder.fresh()).collect();
    let offsets: Vec<usize> = (0..=BATCH).collect();
    let many = Packed { input: Input::Tokens(&tokens[..BATCH]), offsets: &offsets };
    let batched = best(BATCH, || encoder.encode(&many, &mut states.iter_mut().collect::<Vec<_>>(), &taps).map(drop))?;

    let (alone, alone_batched) = (products.rate(length)?, products.rate(BATCH)?);
    println!(
        "{:<22}{prefill:>10.0}{alone:>10.0}{:>6.0}%{step:>12.1}{batched:>10.0}{alone_batched:>10.0}{:>6.0}%",
        format!("{kind} d={} x{}", config.d, config.layers),
        100.0 * prefill / alone,
        100.0 * batched / alone_batched,
    );
    Ok(())
}

/// Tokens a second of the best run.
fn best(tokens: usize, mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    run()?;
    let mut rate: f64 = 0.0;
    for _ in 0..RUNS {
        let start = Instant::now();
        run()?;
        rate = rate.max(tokens as f64 / start.elapsed().as_secs_f64());
    }
    Ok(rate)
}

/// The products of all layers, with nothing in between.
struct Products {
    isa: Isa,
    team: Team,
    linears: Vec<Linear>,
    layers: usize,
}

impl Products {
    fn new(config: &Config, threads: usize) -> Result<Self> {
        let (d, d_in) = (config.d, config.mixer.d_in());
        let shapes = match config.mixer {
            MixerConfig::Mamba1 { n, r, .. } => vec![(2 * d_in, d), (r + 2 * n, d_in), (d_in, r), (d, d_in)],
            MixerConfig::Mamba2 { heads, .. } => {
                vec![(d_in + config.mixer.conv_channels() + heads, d), (d, d_in)]
            }
        };
        let all = shapes.iter().cycle().take(config.layers * shapes.len());
        let linears = all.map(|&(n_out, n_in)| Linear::new(&vec![0.01; n_out * n_in], n_in, None)).collect();
        let refused = |error: &dyn std::fmt::Display| Error::Input(error.to_string());
        let team = Team::new(threads).map_err(|error| refused(&error))?;
        Ok(Self { isa: Isa::detect().map_err(|error| refused(&error))?, team, linears, layers: config.layers })
    }

    /// Tokens a second of `rows` rows through all layers, 128 at once.
    fn rate(&self, rows: usize) -> Result<f64> {
        let widest = self.linears.iter().map(|linear| padded(linear.n_in()).max(linear.n_out())).max().unwrap_or(0);
        let at_once = rows.min(128);
        let (mut x, mut y) = (Buffer::zeros(at_once * widest), Buffer::zeros(at_once * widest));
        x.fill(0.5);
        assert!(self.layers > 0 && rows.is_multiple_of(at_once));
        best(rows, || {
            for _ in 0..rows / at_once {
                for linear in &self.linears {
                    let out = Out { y: &mut y, stride: linear.n_out(), accumulate: false };
                    linear.forward((self.isa, &self.team), (&x, padded(linear.n_in())), at_once, out);
                }
            }
            black_box(&y);
            Ok(())
        })
    }
}
