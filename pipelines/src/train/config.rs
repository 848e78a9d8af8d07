//! A training file: what is trained, on what, and how.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use unspool_model::{
    Weights,
    config::{Config, MixerConfig},
    series::{Alignment, SeriesShape},
    train::{AdamStep, DnaWeights, SeriesWeights},
};

use super::{
    TrainError,
    data::{DataOptions, dna::DnaOptions},
};

/// The content of a training file.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// The model's name.
    pub name: String,
    /// A model's directory to begin from; without it weights are drawn at random.
    #[serde(default)]
    pub from: Option<PathBuf>,
    /// Layers, where they are to be more than those of the model to begin from.
    #[serde(default)]
    pub layers: Option<usize>,
    /// The shape of a model that begins at random.
    #[serde(default)]
    pub model: Option<ModelOptions>,
    /// What a series model sees.
    #[serde(default)]
    pub data: DataOptions,
    /// What a DNA model sees; a file that has it trains one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dna: Option<DnaOptions>,
    /// How it is trained.
    #[serde(default)]
    pub train: TrainOptions,
}

/// The shape of a model that begins at random.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelOptions {
    /// Model width.
    pub d: usize,
    /// Layers.
    pub layers: usize,
    /// States a channel.
    pub n: usize,
    /// Values in a patch. (This, the horizon and the levels are of series models alone.)
    pub patch: usize,
    /// Values predicted beyond a patch.
    pub horizon: usize,
    /// Levels of the quantiles.
    pub levels: Vec<f64>,
    /// Weights are drawn from it.
    pub seed: u64,
}

impl Default for ModelOptions {
    fn default() -> Self {
        let levels = (1..10).map(|i| f64::from(i) / 10.0).collect();
        Self { d: 256, layers: 8, n: 16, patch: 16, horizon: 64, levels, seed: 1 }
    }
}

/// How a model is trained.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainOptions {
    /// Steps in all; the learning rate falls along a cosine until the last.
    pub steps: u64,
    /// Patches of a step, in all its batches; bases, of a DNA model.
    #[serde(alias = "bases")]
    pub patches: usize,
    /// Batches whose gradients are added up in a step.
    pub batches: usize,
    /// The largest learning rate.
    pub rate: f64,
    /// Steps in which the rate rises from 0.
    pub warmup: u64,
    /// What share of the rate is left at the end.
    pub floor: f64,
    /// Decay of the gradients' average.
    pub beta1: f32,
    /// Decay of the average of their squares.
    pub beta2: f32,
    /// Added to the root of that.
    pub eps: f32,
    /// Weight decay of matrices.
    pub decay: f32,
    /// Gradients of a larger norm are shrunk to this one.
    pub clip: f32,
    /// What stays of the weights' running average in a step, from a few thousand steps on.
    pub average: f32,
    /// What a partly filled patch's predictions weigh, whole ones 1.
    pub partial: f32,
    /// The type of products' operands on a GPU: `bf16` or `f32`.
    pub products: Weights,
    /// Steps from one checkpoint to the next.
    pub checkpoint_steps: u64,
    /// Steps from one line of the log to the next.
    pub log_steps: u64,
    /// Checkpoints that are kept.
    pub keep: usize,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            steps: 10_000,
            patches: 65_536,
            batches: 1,
            rate: 2e-3,
            warmup: 200,
            floor: 0.02,
            beta1: 0.9,
            beta2: 0.98,
            eps: 1e-8,
            decay: 0.05,
            clip: 1.0,
            average: 0.999,
            partial: 3.0,
            products: Weights::Bf16,
            checkpoint_steps: 500,
            log_steps: 50,
            keep: 2,
        }
    }
}

/// The most patches of a batch, as the kernels of GPUs take them.
const MOST_PATCHES: u64 = 1 << 22;
/// The largest weights that are drawn, in bytes; the projections are nearly all of them.
const MOST_BYTES: u128 = 4 << 30;

impl TrainConfig {
    /// Checks that the numbers make sense.
    ///
    /// # Errors
    /// Names the first that does not.
    pub fn check(&self) -> Result<(), TrainError> {
        let t = &self.train;
        let one = |name: &'static str, value: u64| (name, value as f64, value >= 1, "1 or more");
        let up_to = |name, value: u64, most: u64, expected| (name, value as f64, (1..=most).contains(&value), expected);
        let share =
            |name: &'static str, value: f64| (name, value, (0.0..1.0).contains(&value), "from 0 to less than 1");
        let some = |name: &'static str, value: f64| (name, value, value > 0.0 && value.is_finite(), "more than 0");
        let checks = [
            one("train.steps", t.steps),
            up_to("train.batches", t.batches as u64, 65_536, "from 1 to 65536"),
            up_to("train.patches", (t.patches / t.batches.max(1)) as u64, MOST_PATCHES, "1 to 4194304 for each batch"),
            one("train.checkpoint_steps", t.checkpoint_steps),
            one("train.log_steps", t.log_steps),
            one("train.keep", t.keep as u64),
            some("train.rate", t.rate),
            share("train.floor", t.floor),
            share("train.beta1", f64::from(t.beta1)),
            share("train.beta2", f64::from(t.beta2)),
            share("train.average", f64::from(t.average)),
            share("train.decay", f64::from(t.decay)),
            some("train.eps", f64::from(t.eps)),
            some("train.clip", f64::from(t.clip)),
            some("train.partial", f64::from(t.partial)),
        ];
        if let Some((option, value, _, expected)) = checks.into_iter().find(|(_, _, good, _)| !good) {
            return Err(TrainError::Option { option, value: value.to_string(), expected });
        }
        if self.from.is_none() && self.layers.is_some() {
            let (value, expected) = ("without `from`".into(), "left out: [model] has a number of layers");
            return Err(TrainError::Option { option: "layers", value, expected });
        }
        if self.from.is_some() && self.model.is_some() {
            let (value, expected) = ("beside `from`".into(), "left out: the model to begin from has a shape");
            return Err(TrainError::Option { option: "model", value, expected });
        }
        Ok(())
    }

    /// The weights that training begins with, of `alignment: any`. `from` is looked for in `folder` where it is relative, and is
    /// a built-in model's name where nothing is there.
    ///
    /// # Errors
    /// When the model to begin from cannot be read, or the shape makes no sense.
    pub fn weights(&self, folder: &Path) -> Result<SeriesWeights, TrainError> {
        if let Some(from) = &self.from {
            let weights = SeriesWeights::load(&found(folder, from))?.aligned_any()?;
            let layers = self.layers.unwrap_or(weights.config.layers);
            return Ok(weights.deepened(layers, self.data.seed)?);
        }
        let ModelOptions { patch, horizon, levels, seed, .. } = self.model.clone().unwrap_or_default();
        let config = self.shape()?;
        let shape = SeriesShape { patch, horizon, levels, alignment: Alignment::Any, context: 4096, tail: 1.0 };
        shape.check().map_err(|problem| TrainError::Option {
            option: "model",
            value: problem,
            expected: "sizes that fit",
        })?;
        Ok(SeriesWeights::fresh(&config, &shape, seed)?)
    }

    /// The weights that a DNA model's training begins with; `from` as of [`TrainConfig::weights`].
    ///
    /// # Errors
    /// When the model to begin from cannot be read, or the shape makes no sense.
    pub fn dna_weights(&self, folder: &Path) -> Result<DnaWeights, TrainError> {
        if let (Some(from), None) = (&self.from, self.layers) {
            return Ok(DnaWeights::load(&found(folder, from))?);
        }
        if let Some(layers) = self.layers {
            let (value, expected) = (layers.to_string(), "left out: a DNA model keeps its number of layers");
            return Err(TrainError::Option { option: "layers", value, expected });
        }
        Ok(DnaWeights::fresh(&self.shape()?, self.model.clone().unwrap_or_default().seed)?)
    }

    /// What steps are counted in.
    #[must_use]
    pub fn unit(&self) -> &'static str {
        if self.dna.is_some() { "bases" } else { "patches" }
    }

    /// The shape of a backbone that begins at random; it takes rows.
    fn shape(&self) -> Result<Config, TrainError> {
        let ModelOptions { d, layers, n, .. } = self.model.clone().unwrap_or_default();
        let bytes = 24 * layers as u128 * (d as u128 * d as u128 + d as u128 * n as u128);
        if bytes > MOST_BYTES {
            let (value, expected) = (format!("{} GiB of weights", bytes >> 30), "4 GiB at most: d, layers, n");
            return Err(TrainError::Option { option: "model", value, expected });
        }
        let mut config = Config { layers, vocab: 0, ..Config::mamba1(d) };
        if let MixerConfig::Mamba1 { n: states, .. } = &mut config.mixer {
            *states = n;
        }
        config.check().map_err(|problem| TrainError::Option {
            option: "model",
            value: problem,
            expected: "sizes that fit",
        })?;
        Ok(config)
    }

    /// AdamW's numbers for the step after so many.
    #[must_use]
    pub fn step(&self, done: u64) -> AdamStep {
        let t = &self.train;
        let step = done + 1;
        let rising = (step as f64 / t.warmup.max(1) as f64).min(1.0);
        let falling = 0.5 * (1.0 + libm::cos(std::f64::consts::PI * done as f64 / t.steps as f64));
        let rate = (t.rate * rising * (t.floor + (1.0 - t.floor) * falling)) as f32;
        // Early weights are far from where they will be: at first the average forgets fast.
        let keep = t.average.min((1 + step) as f32 / (10 + step) as f32);
        AdamStep { step, rate, beta1: t.beta1, beta2: t.beta2, eps: t.eps, decay: t.decay, clip: t.clip, keep }
    }

    /// Whether a run of this configuration can go on from a checkpoint of the other: all but how often it is saved and
    /// logged is the same.
    #[must_use]
    pub fn continues(&self, other: &Self) -> bool {
        let TrainOptions { log_steps, keep, .. } = self.train.clone();
        let train = TrainOptions { log_steps, keep, ..other.train.clone() };
        *self == Self { train, ..other.clone() }
    }
}

/// A path of the folder, or a name alone where nothing is there.
fn found(folder: &Path, from: &Path) -> PathBuf {
    let path = folder.join(from);
    if path.exists() || from.components().count() > 1 { path } else { from.to_owned() }
}
