//! The objective of a DNA model: the next base, in bits.

use std::{path::Path, sync::Arc};

use serde_json::json;
use unspool_kernels::cpu::{Target, Team};
#[cfg(feature = "cuda")]
use unspool_kernels::cuda::backward::{Shape, TokenHead, TokenInput, Training, TrainingGradients};

use super::Objective;
#[cfg(feature = "cuda")]
use crate::backward::cuda_shape;
use crate::{
    Error, Result,
    backward::{CpuBackbone, Real, linear},
    checkpoint,
    config::Config,
    dna,
    encoder::{Input, Packed},
    init,
    weights::{Backbone, Linear, Spec},
};

/// Nothing is to be told after this token.
const NONE: i32 = -1;

/// Sequences of tokens packed end to end, each from a fresh state, ready for a step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DnaBatch {
    /// `[t]`
    tokens: Vec<u32>,
    /// `[b + 1]`
    offsets: Vec<usize>,
    /// Which of [`dna::BASES`] comes after each token, or [`NONE`]: at a sequence's end, before an N. `[t]`
    targets: Vec<i32>,
    /// What each token's term weighs, `[t]`; those that have a target add up to 1.
    weights: Vec<f32>,
}

impl DnaBatch {
    /// Packs sequences of [`dna::tokens`].
    pub fn new<'a>(sequences: impl IntoIterator<Item = &'a [u32]>) -> Self {
        let mut batch = Self { offsets: vec![0], ..Self::default() };
        for sequence in sequences {
            batch.tokens.extend_from_slice(sequence);
            batch.offsets.push(batch.tokens.len());
            let target = |&token: &u32| dna::base(token).and_then(|base| i32::try_from(base).ok()).unwrap_or(NONE);
            batch.targets.extend(sequence.iter().skip(1).map(target));
            batch.targets.resize(batch.tokens.len(), NONE);
        }
        batch.weigh();
        batch
    }

    /// Packs sequences that belong to classes, numbered from 0 to 3. What is to be told is the class alone, after a
    /// [`dna::CLS`] at each sequence's end: outputs of bases become those of classes.
    pub fn classes<'a>(cases: impl IntoIterator<Item = (&'a [u32], usize)>) -> Self {
        let mut batch = Self { offsets: vec![0], ..Self::default() };
        for (sequence, class) in cases {
            batch.tokens.extend_from_slice(sequence);
            batch.targets.resize(batch.tokens.len(), NONE);
            batch.tokens.push(dna::CLS);
            batch.targets.push(i32::try_from(class.min(dna::BASES.len() - 1)).unwrap_or(NONE));
            batch.offsets.push(batch.tokens.len());
        }
        batch.weigh();
        batch
    }

    /// Every term weighs the same.
    fn weigh(&mut self) {
        self.weights = vec![1.0 / self.told().max(1) as f32; self.tokens.len()];
    }

    /// Makes a token an N to the model; what is to be told of it stays. Models that see a few of these learn less by heart.
    ///
    /// `token`: its place in the batch, from 0 to less than [`Self::len`]; another one changes nothing.
    pub fn hide(&mut self, token: usize) {
        self.tokens.iter_mut().skip(token).take(1).for_each(|token| *token = u32::from(dna::N));
    }

    /// Tokens in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// There are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Bases that have a token before them: the terms of its loss.
    #[must_use]
    pub fn told(&self) -> usize {
        self.targets.iter().filter(|&&target| target != NONE).count()
    }

    /// Makes it one of `batches` whose losses are added up.
    pub fn share(&mut self, batches: usize) {
        let by = batches.max(1) as f32;
        self.weights.iter_mut().for_each(|weight| *weight /= by);
    }

    fn packed(&self) -> Packed<'_> {
        Packed { input: Input::Tokens(&self.tokens), offsets: &self.offsets }
    }

    #[cfg(feature = "cuda")]
    fn input(&self) -> TokenInput<'_> {
        let Self { tokens, offsets, targets, weights } = self;
        TokenInput { tokens, offsets, targets, weights }
    }
}

/// The weights of a DNA model whose head is its own (never tied to the embedding); gradients have the same form.
#[derive(Clone, Debug, PartialEq)]
pub struct DnaWeights<T = f32> {
    /// The backbone's shape.
    pub config: Config,
    /// The backbone, with `lm_head`.
    pub backbone: Backbone<T>,
    /// The labels of a classifier's classes; none where the next base is told.
    pub classes: Vec<String>,
}

impl DnaWeights {
    /// Fresh weights, as [`init::fresh`]; vocabulary and head are what DNA needs.
    ///
    /// # Errors
    /// When the configuration's sizes do not go together.
    pub fn fresh(config: &Config, seed: u64) -> Result<Self> {
        let config = Config { vocab: dna::VOCAB, tie_embeddings: false, ..config.clone() };
        let backbone = init::fresh(&config, seed)?;
        Ok(Self { config, backbone, classes: vec![] })
    }

    /// Reads a DNA model's directory, or a built-in model by its name where there is no such directory. A head that is tied to the embedding becomes one of its own.
    ///
    /// # Errors
    /// When it holds no DNA model, or a file is damaged.
    pub fn load(dir: &Path) -> Result<Self> {
        let mut checkpoint = crate::model::open(dir)?;
        let front = checkpoint.config.raw.get("unspool").and_then(|ours| ours.get("front_end"));
        let mut config = checkpoint.config.backbone.clone();
        if front.and_then(|front| front.as_str()) != Some("dna") || config.vocab < dna::VOCAB {
            let problem = "no DNA model: 'unspool.front_end' is not \"dna\"".into();
            return Err(Error::Config { path: dir.join("config.json"), problem });
        }
        let mut backbone = checkpoint.backbone()?;
        checkpoint.tensors.finish()?;
        config.tie_embeddings = false;
        backbone.lm_head.get_or_insert_with(|| backbone.embedding.clone());
        let classes = checkpoint.config.raw.get("unspool").and_then(|ours| ours.get("classes")).cloned();
        let classes = classes.and_then(|classes| serde_json::from_value(classes).ok()).unwrap_or_default();
        Ok(Self { config, backbone, classes })
    }

    /// The same model with a head that tells classes and knows nothing yet. Labels: two to four of them.
    ///
    /// # Errors
    /// When there are fewer or more.
    pub fn classifier(mut self, classes: Vec<String>) -> Result<Self> {
        if !(2..=dna::BASES.len()).contains(&classes.len()) {
            return Err(Error::Input(format!("{} classes: a classifier of DNA has 2 to 4", classes.len())));
        }
        let rows = dna::FIRST_BASE * self.config.d..(dna::FIRST_BASE + dna::BASES.len()) * self.config.d;
        if let Some(head) = &mut self.backbone.lm_head {
            head[rows].fill(0.0);
        }
        self.classes = classes;
        Ok(self)
    }

    /// Writes the model's directory: matrices in bf16 where `narrow`, all else in f32.
    ///
    /// # Errors
    /// When the directory holds a model already, or the system refuses.
    pub fn save(&self, dir: &Path, name: &str, narrow: bool) -> Result<()> {
        let mut file = self.config.to_json()?;
        file["unspool"] = json!({"name": name, "front_end": "dna", "trained": true});
        if !self.classes.is_empty() {
            file["unspool"]["classes"] = json!(self.classes);
        }
        checkpoint::save_as(dir, &file, &self.backbone.tensors(&self.config), narrow)
    }
}

impl<T: Real> DnaWeights<T> {
    fn head(&self) -> Result<Linear<T>> {
        let missing = || Error::Input("a DNA model without a head of its own cannot be trained".into());
        let weight = self.backbone.lm_head.clone().ok_or_else(missing)?;
        Ok(Linear { n_out: self.config.vocab, n_in: self.config.d, weight, bias: None })
    }

    /// The outputs after each token, `[t, vocab]`, and what the backward pass needs.
    fn forward(&self, batch: &DnaBatch, team: &Arc<Team>) -> Result<Forward<T>> {
        let backbone = CpuBackbone::new(self.config.clone(), self.backbone.clone(), Arc::clone(team))?;
        let (hidden, tape) = backbone.forward_packed(&batch.packed())?;
        let head = self.head()?;
        let outputs = linear::forward(team, &head, (&hidden, self.config.d), batch.len());
        Ok(Forward { backbone, hidden, tape, head, outputs })
    }
}

/// What a forward pass leaves.
struct Forward<T> {
    backbone: CpuBackbone<T>,
    hidden: Vec<T>,
    tape: crate::backward::Tape<T>,
    head: Linear<T>,
    outputs: Vec<T>,
}

impl Objective for DnaWeights {
    type Batch = DnaBatch;

    fn config(&self) -> &Config {
        &self.config
    }

    fn tensors(&self) -> Vec<(Spec, &[f32])> {
        self.backbone.tensors(&self.config)
    }

    fn tensors_mut(&mut self) -> Vec<&mut [f32]> {
        self.backbone.tensors_mut()
    }

    fn replaced(&self, tensors: Vec<Vec<f32>>) -> Result<Self> {
        let mut tensors = tensors.into_iter();
        let backbone = Backbone::build(&self.config, |_| Ok(tensors.next().unwrap_or_default()))?;
        backbone.check(&self.config)?;
        Ok(Self { config: self.config.clone(), backbone, classes: self.classes.clone() })
    }

    fn loss(&self, batch: &DnaBatch, team: &Arc<Team>) -> Result<f64> {
        Ok(loss(batch, &self.forward(batch, team)?.outputs, self.config.vocab).0)
    }

    fn gradients(&self, batch: &DnaBatch, team: &Arc<Team>) -> Result<(f64, Self)> {
        gradients(self, batch, team)
    }

    fn size(batch: &DnaBatch) -> usize {
        batch.len()
    }

    fn save(&self, dir: &Path, name: &str, narrow: bool) -> Result<()> {
        self.save(dir, name, narrow)
    }

    #[cfg(feature = "cuda")]
    fn kernels(&self) -> Result<Shape> {
        let head = TokenHead { first: dna::FIRST_BASE, count: dna::BASES.len() };
        Ok(Shape { head: Some(head), ..cuda_shape(&self.config)? })
    }

    #[cfg(feature = "cuda")]
    fn gradients_on(&self, training: &Training, batch: &DnaBatch) -> Result<TrainingGradients> {
        Ok(training.token_gradients(&batch.input())?)
    }

    #[cfg(feature = "cuda")]
    fn loss_on(&self, training: &Training, batch: &DnaBatch) -> Result<f64> {
        Ok(training.token_losses(&batch.input())?.into_iter().map(f64::from).sum())
    }
}

/// A batch's loss and its gradients.
pub(super) fn gradients<T: Real>(
    weights: &DnaWeights<T>,
    batch: &DnaBatch,
    team: &Arc<Team>,
) -> Result<(f64, DnaWeights<T>)> {
    let d = weights.config.d;
    let Forward { backbone, hidden, tape, head, outputs } = weights.forward(batch, team)?;
    let (loss, d_outputs) = loss(batch, &outputs, weights.config.vocab);
    let d_head = linear::backward_w(team, &head, &d_outputs, (&hidden, d));
    let mut d_hidden = vec![T::ZERO; hidden.len()];
    linear::backward_x(team, &head, &d_outputs, Target { values: &mut d_hidden, stride: d, accumulate: false });
    let mut gradients = backbone.backward_rows(&tape, &d_hidden)?.weights;
    gradients.lm_head = Some(d_head.weight);
    Ok((loss, DnaWeights { config: weights.config.clone(), backbone: gradients, classes: vec![] }))
}

/// The cross-entropy in bits, and its gradient for the outputs `[t, vocab]`.
fn loss<T: Real>(batch: &DnaBatch, outputs: &[T], vocab: usize) -> (f64, Vec<T>) {
    let (mut loss, mut d_outputs) = (0.0, vec![T::ZERO; outputs.len()]);
    let rows = outputs.chunks_exact(vocab).zip(d_outputs.chunks_exact_mut(vocab));
    let terms = batch.targets.iter().zip(&batch.weights);
    for ((outputs, d_outputs), (&target, &weight)) in rows.zip(terms) {
        let Ok(target) = usize::try_from(target) else { continue };
        let weight = f64::from(weight) * std::f64::consts::LOG2_E;
        let four = dna::FIRST_BASE..dna::FIRST_BASE + dna::BASES.len();
        let outputs: Vec<f64> = outputs[four.clone()].iter().map(|output| output.to_f64()).collect();
        let most = outputs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let shares: Vec<f64> = outputs.iter().map(|output| libm::exp(output - most)).collect();
        let sum: f64 = shares.iter().sum();
        loss += weight * (most - outputs[target] + libm::log(sum));
        for (i, (d_output, share)) in d_outputs[four].iter_mut().zip(&shares).enumerate() {
            *d_output = T::from_f64(weight * (share / sum - if i == target { 1.0 } else { 0.0 }));
        }
    }
    (loss, d_outputs)
}

#[cfg(test)]
mod tests;
