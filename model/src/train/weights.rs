//! All that training moves of a series model, as one list of named tensors.

use std::path::Path;

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};
use serde_json::{Value, json};

use super::dense::Dense;
use crate::{
    Error, Result, checkpoint,
    checkpoint::Checkpoint,
    config::Config,
    init,
    series::{Alignment, SeriesShape},
    weights::{Backbone, Mixer, Spec, specs},
};

/// Deviation of a fresh head's linear path; its other path begins at 0.
const HEAD_DEVIATION: f64 = 0.01;

/// The weights of a series model; gradients have the same form.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesWeights<T = f32> {
    /// The backbone's shape.
    pub config: Config,
    /// Patches, horizon, levels, alignment.
    pub shape: SeriesShape,
    /// The backbone.
    pub backbone: Backbone<T>,
    /// Features to rows.
    pub(super) embed: Dense<T>,
    /// Hidden rows to quantiles.
    pub(super) head: Dense<T>,
}

impl<T: Clone> SeriesWeights<T> {
    /// Builds the weights by asking for each tensor in the order of [`Self::specs`].
    ///
    /// # Errors
    /// Those of `tensor`.
    pub fn build(
        config: &Config,
        shape: &SeriesShape,
        mut tensor: impl FnMut(&Spec) -> Result<Vec<T>>,
    ) -> Result<Self> {
        let (d, features, outputs) = (config.d, shape.features(), shape.outputs());
        let backbone = Backbone::build(config, &mut tensor)?;
        let embed = Dense::build("embed", (features, 2 * d, d), &mut tensor)?;
        let head = Dense::build("head", (d, 2 * d, outputs), &mut tensor)?;
        Ok(Self { config: config.clone(), shape: shape.clone(), backbone, embed, head })
    }

    /// Names and shapes of the tensors, in order.
    pub fn specs(config: &Config, shape: &SeriesShape) -> Vec<Spec> {
        let mut specs = vec![];
        let built = Self::build(config, shape, |spec| {
            specs.push(spec.clone());
            Ok(vec![])
        });
        debug_assert!(built.is_ok(), "only the closure can fail");
        specs
    }

    /// The tensors and their values, in order.
    pub fn tensors(&self) -> Vec<(Spec, &[T])> {
        let backbone = self.backbone.tensors(&self.config).into_iter().map(|(_, values)| values);
        let values = backbone.chain(self.embed.parts()).chain(self.head.parts());
        Self::specs(&self.config, &self.shape).into_iter().zip(values).collect()
    }

    /// The tensors, to be changed in place, in order.
    pub fn tensors_mut(&mut self) -> Vec<&mut [T]> {
        let backbone = self.backbone.tensors_mut().into_iter();
        backbone.chain(self.embed.parts_mut()).chain(self.head.parts_mut()).collect()
    }

    /// The same weights with each tensor replaced.
    ///
    /// # Errors
    /// When there are not as many tensors as the model has, or a size is another.
    pub fn with<U: Clone>(&self, tensors: Vec<Vec<U>>) -> Result<SeriesWeights<U>> {
        let mut tensors = tensors.into_iter();
        SeriesWeights::build(&self.config, &self.shape, |spec| {
            let values = tensors.next().unwrap_or_default();
            if values.len() == spec.shape.iter().product::<usize>() {
                return Ok(values);
            }
            let found = format!("{} values", values.len());
            Err(Error::Tensor { name: spec.name.clone(), expected: spec.shape.clone(), found })
        })
    }

    /// The same weights in another type of number.
    ///
    /// # Errors
    /// When a tensor's size is not the model's.
    pub fn map<U: Clone>(&self, number: impl Fn(&T) -> U) -> Result<SeriesWeights<U>> {
        self.with(self.tensors().into_iter().map(|(_, values)| values.iter().map(&number).collect()).collect())
    }
}

impl SeriesWeights {
    /// Fresh weights: the backbone as [`init::fresh`], the networks around it as PyTorch's linear layers begin, the head
    /// close to 0.
    ///
    /// # Errors
    /// When the configuration's sizes do not go together.
    pub fn fresh(config: &Config, shape: &SeriesShape, seed: u64) -> Result<Self> {
        let mut backbone = init::fresh(config, seed)?
            .tensors(config)
            .into_iter()
            .map(|(_, v)| v.to_vec())
            .collect::<Vec<_>>()
            .into_iter();
        let count = specs(config).len();
        let mut draw = ChaCha8Rng::seed_from_u64(seed ^ 0x5eed);
        let mut even = move || (draw.next_u64() >> 11) as f64 / (1u64 << 52) as f64 - 1.0;
        let mut at = 0;
        Self::build(config, shape, |spec| {
            at += 1;
            if at <= count {
                return Ok(backbone.next().unwrap_or_default());
            }
            let len = spec.shape.iter().product();
            let fan_in = match spec.shape[..] {
                [_, n_in] => n_in,
                // Biases go with the matrix before them.
                _ if spec.name.contains(".down.") => 2 * config.d,
                _ if spec.name.starts_with("embed") => shape.features(),
                _ => config.d,
            };
            let bound = match spec.name.as_str() {
                "head.down.weight" | "head.down.bias" => 0.0,
                "head.skip.weight" => HEAD_DEVIATION * libm::sqrt(3.0),
                _ => 1.0 / libm::sqrt(fan_in as f64),
            };
            Ok((0..len).map(|_| (bound * even()) as f32).collect())
        })
    }

    /// The built-in series model.
    ///
    /// # Errors
    /// When the program was put together wrongly.
    pub fn built_in() -> Result<Self> {
        let (config, weights) = crate::model::SERIES;
        Self::take(Checkpoint::from_bytes(config, weights)?, Path::new("config.json"))
    }

    /// Reads a series model's directory, or a built-in model by its name where there is no such directory.
    ///
    /// # Errors
    /// When it holds no series model, or a file is damaged.
    pub fn load(dir: &Path) -> Result<Self> {
        Self::take(crate::model::open(dir)?, &dir.join("config.json"))
    }

    fn take(mut checkpoint: Checkpoint<'_>, file: &Path) -> Result<Self> {
        let config = checkpoint.config.backbone.clone();
        let front = checkpoint.config.raw.get("unspool").and_then(|ours| ours.get("front_end"));
        if front.is_some_and(|front| front.as_str() != Some("series")) {
            let problem = "no series model: 'unspool.front_end' is not \"series\"".into();
            return Err(Error::Config { path: file.into(), problem });
        }
        let shape = SeriesShape::parse(&checkpoint.config.raw, file)?;
        let backbone = checkpoint.backbone()?;
        let mut backbone =
            backbone.tensors(&config).into_iter().map(|(_, v)| v.to_vec()).collect::<Vec<_>>().into_iter();
        let (mut at, count) = (0, specs(&config).len());
        let weights = Self::build(&config, &shape, |spec| {
            at += 1;
            if at <= count {
                Ok(backbone.next().unwrap_or_default())
            } else {
                checkpoint.tensors.take(&spec.name, &spec.shape)
            }
        })?;
        checkpoint.tensors.finish()?;
        Ok(weights)
    }

    /// The same model with the head of `alignment: any`: what it says of the current patch starts from what it says of the
    /// next one. A model that is so already stays as it is.
    ///
    /// # Errors
    /// When the head's sizes do not go together.
    pub fn aligned_any(mut self) -> Result<Self> {
        if self.shape.alignment == Alignment::Any {
            return Ok(self);
        }
        let first = self.shape.patch * self.shape.levels.len();
        for linear in [&mut self.head.down, &mut self.head.skip] {
            let begin = linear.weight[..first * linear.n_in].to_vec();
            linear.weight = [begin, std::mem::take(&mut linear.weight)].concat();
            if let Some(bias) = &mut linear.bias {
                *bias = [&bias[..first], &bias[..]].concat();
            }
            linear.n_out += first;
        }
        self.shape.alignment = Alignment::Any;
        self.map(|&w| w)
    }

    /// The same model with more layers, spread evenly between the others. A new layer adds nothing as yet: its out_proj is 0,
    /// the rest of it fresh.
    ///
    /// # Errors
    /// When there are fewer layers than before.
    pub fn deepened(mut self, layers: usize, seed: u64) -> Result<Self> {
        let before = self.config.layers;
        if layers < before {
            return Err(Error::Input(format!("{layers} layers: the model to begin from has {before} already")));
        }
        self.config.layers = layers;
        let fresh = init::fresh(&self.config, seed)?.layers;
        let mut old = std::mem::take(&mut self.backbone.layers).into_iter();
        for (i, mut layer) in fresh.into_iter().enumerate() {
            if (i + 1) * before / layers > i * before / layers {
                self.backbone.layers.extend(old.next());
                continue;
            }
            let (Mixer::Mamba1 { out_proj, .. } | Mixer::Mamba2 { out_proj, .. }) = &mut layer.mixer;
            out_proj.weight.fill(0.0);
            out_proj.bias.iter_mut().for_each(|bias| bias.fill(0.0));
            self.backbone.layers.push(layer);
        }
        self.map(|&w| w)
    }

    /// Writes the model's directory: matrices in bf16 where `narrow`, all else in f32.
    ///
    /// # Errors
    /// When the directory holds a model already, or the system refuses.
    pub fn save(&self, dir: &Path, name: &str, narrow: bool) -> Result<()> {
        checkpoint::save_as(dir, &self.to_json(name)?, &self.tensors(), narrow)
    }

    fn to_json(&self, name: &str) -> Result<Value> {
        let mut file = self.config.to_json()?;
        let SeriesShape { patch, horizon, levels, alignment, context, tail } = &self.shape;
        file["patch_len"] = json!(patch);
        file["horizon"] = json!(horizon);
        file["quantiles"] = json!(levels);
        file["features"] = json!(self.shape.features());
        file["alignment"] = json!(if *alignment == Alignment::Any { "any" } else { "end" });
        file["context_limit"] = json!(context);
        file["p_value_tail"] = json!(tail);
        file["beyond_horizon"] = json!("median");
        file["unspool"] = json!({"name": name, "front_end": "series", "trained": true});
        Ok(file)
    }
}
