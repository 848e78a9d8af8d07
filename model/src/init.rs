//! Fresh random weights, as the published trainers start: the same bits on every machine.
//!
//! Sources: `_init_weights` in `mamba_ssm/models/mixer_seq_simple.py` and the constructors of `Mamba` and `Mamba2`.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

use crate::{
    Error, Result,
    config::{Config, MixerConfig, WindowConfig},
    weights::{Backbone, Spec, WindowBackbone},
};

/// dt starts between these, evenly on a log scale.
const DT_RANGE: (f64, f64) = (1e-3, 1e-1);
/// Deviation of a fresh embedding.
const EMBEDDING_DEVIATION: f64 = 0.02;
/// A of a fresh Mamba-2 head is drawn evenly from this range.
const A_RANGE: (f64, f64) = (1.0, 16.0);

/// Weights as the published trainers start from, drawn from `seed`.
///
/// `A_log = ln(1..n)` (Mamba-2: ln of an even draw from 1 to 16), dt's bias by inverse softplus of an even draw on a log
/// scale from 0.001 to 0.1, D and norms 1, biases of projections 0, and what writes to the residual stream divided by
/// the root of the number of such writers.
///
/// # Errors
/// When the configuration's sizes do not go together.
pub fn fresh(config: &Config, seed: u64) -> Result<Backbone> {
    config.check().map_err(Error::Input)?;
    let mut draw = Draw(ChaCha8Rng::seed_from_u64(seed));
    Backbone::build(config, |spec| Ok(published(config, spec, &mut draw)))
}

/// Weights for tests: as [`fresh`], then every value moved a little, so that none stays at a 0 or a 1 that hides a
/// mistake, and embeddings are of the size of trained ones.
///
/// # Errors
/// As [`fresh`].
pub fn scattered(config: &Config, seed: u64) -> Result<Backbone> {
    config.check().map_err(Error::Input)?;
    let mut draw = Draw(ChaCha8Rng::seed_from_u64(seed));
    Backbone::build(config, |spec| Ok(moved(config, spec, &mut draw)))
}

/// As [`scattered`], for a backbone that reads whole windows.
///
/// # Errors
/// As [`fresh`].
pub fn scattered_windows(config: &WindowConfig, seed: u64) -> Result<WindowBackbone> {
    config.backbone.check().map_err(Error::Input)?;
    let mut draw = Draw(ChaCha8Rng::seed_from_u64(seed));
    WindowBackbone::build(config, |spec| Ok(moved(&config.backbone, spec, &mut draw)))
}

fn moved(config: &Config, spec: &Spec, draw: &mut Draw) -> Vec<f32> {
    let scale = if spec.name.ends_with("embedding.weight") { 1.0 } else { 0.1 };
    let mut values = published(config, spec, draw);
    values.iter_mut().for_each(|value| *value += (scale * draw.normal()) as f32);
    values
}

fn published(config: &Config, spec: &Spec, draw: &mut Draw) -> Vec<f32> {
    let len = spec.shape.iter().product();
    let fan_in = spec.shape[1..].iter().product::<usize>() as f64;
    let residual_writers = config.layers * if config.mlp_hidden > 0 { 2 } else { 1 };
    let mut fill = |value: &mut dyn FnMut(&mut Draw) -> f64| (0..len).map(|_| value(draw) as f32).collect();
    let mut even = |bound: f64| fill(&mut |draw| draw.even(-bound, bound));
    let (parent, name) = part_names(&spec.name);
    match (parent, name) {
        ("embedding", _) => fill(&mut |draw| EMBEDDING_DEVIATION * draw.normal()),
        ("conv1d", _) => even(1.0 / libm::sqrt(config.mixer.k() as f64)),
        ("dt_proj", "bias") | (_, "dt_bias") => fill(&mut |draw| draw.dt_bias()),
        ("out_proj" | "fc2", "weight") => even(1.0 / libm::sqrt(fan_in * residual_writers as f64)),
        (_, "A_log") => a_log(config, len, draw),
        (_, "D") | ("norm" | "norm2" | "norm_f", "weight") => vec![1.0; len],
        (_, "bias") => vec![0.0; len],
        _ => even(1.0 / libm::sqrt(fan_in)),
    }
}

/// `backbone.layers.0.mixer.dt_proj.bias` → `dt_proj`, `bias`.
fn part_names(name: &str) -> (&str, &str) {
    let mut parts = name.rsplit('.');
    let last = parts.next().unwrap_or_default();
    (parts.next().unwrap_or_default(), last)
}

fn a_log(config: &Config, len: usize, draw: &mut Draw) -> Vec<f32> {
    match config.mixer {
        MixerConfig::Mamba1 { n, .. } => (0..len).map(|i| libm::log((i % n + 1) as f64) as f32).collect(),
        MixerConfig::Mamba2 { .. } => (0..len).map(|_| libm::log(draw.even(A_RANGE.0, A_RANGE.1)) as f32).collect(),
    }
}

/// Random numbers that are the same on every platform: ChaCha8, and libm for what the standard library leaves to the
/// system.
struct Draw(ChaCha8Rng);

impl Draw {
    /// Evenly from `low` to `high`.
    fn even(&mut self, low: f64, high: f64) -> f64 {
        let unit = (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        low + (high - low) * unit
    }

    /// From the standard normal distribution (Box and Muller).
    fn normal(&mut self) -> f64 {
        let (radius, angle) = (1.0 - self.even(0.0, 1.0), self.even(0.0, std::f64::consts::TAU));
        libm::sqrt(-2.0 * libm::log(radius)) * libm::cos(angle)
    }

    /// The inverse softplus of a dt from [`DT_RANGE`].
    fn dt_bias(&mut self) -> f64 {
        let dt = libm::exp(self.even(libm::log(DT_RANGE.0), libm::log(DT_RANGE.1)));
        dt + libm::log(-libm::expm1(-dt))
    }
}

#[cfg(test)]
mod tests;
