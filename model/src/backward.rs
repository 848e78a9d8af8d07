//! Gradients of a backbone: a forward pass that leaves a tape, and the backward pass that reads it.
//!
//! Training packs fresh sequences end to end, as serving does; every state begins at zero. The tape keeps of each layer
//! what cannot be computed again cheaply:
//!
//! ```text
//! kept:   x [t, d]   in_proj's output [t, 2 d_in]   x_proj's output [t, r + 2 n]   h at every 64th token [.., d_in, n]
//! again:  the norm, the convolution, dt, h between, y
//! ```
//!
//! The maths is written once for f32 and f64: tests check the f64 gradients by finite differences, and the f32 ones by
//! the f64 ones. Sums are taken in an order that depends on the batch alone, so the number of threads changes no bit.

mod conv;
#[cfg(feature = "cuda")]
mod cuda;
mod layer;
pub(crate) mod linear;
mod norm;
mod parts;
mod real;
mod scan;

use std::sync::Arc;

#[cfg(feature = "cuda")]
pub(crate) use cuda::shape as cuda_shape;
#[cfg(feature = "cuda")]
pub use cuda::{CudaBackbone, CudaTape};
pub use layer::LayerTape;
pub use real::Real;
use unspool_kernels::cpu::Team;

use crate::{
    Error, Result,
    config::{Config, MixerConfig, NormKind},
    encoder::{Input, Packed},
    weights::{Backbone, Layer, Norm},
};

/// A backbone that training moves.
pub trait Trainable {
    /// What a forward pass leaves for the backward pass.
    type Tape;

    /// The backbone's shape.
    fn config(&self) -> &Config;

    /// Takes over new weights.
    ///
    /// # Errors
    /// When a weight's size is not the configuration's.
    fn set_weights(&mut self, weights: &Backbone) -> Result<()>;

    /// Encodes packed sequences from fresh states: the last hidden rows `[t, d]`, after the final norm.
    ///
    /// # Errors
    /// When a token is outside the vocabulary or a length does not fit.
    fn forward(&self, batch: &Packed<'_>) -> Result<(Vec<f32>, Self::Tape)>;

    /// The gradients of a loss whose gradient for the hidden rows is `d_hidden`, `[t, d]`.
    ///
    /// # Errors
    /// When `d_hidden` has another size than the hidden rows.
    fn backward(&self, tape: &Self::Tape, d_hidden: &[f32]) -> Result<Gradients>;
}

/// The gradients of a backward pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients<T = f32> {
    /// For every weight, in the weights' own form. The head is not the backbone's: `lm_head`, where there is one, is 0,
    /// and a tied embedding has what came through the input alone.
    pub weights: Backbone<T>,
    /// For the embedded rows, `[t, d]`.
    pub rows: Vec<T>,
}

/// What a [`CpuBackbone`] keeps of a forward pass.
pub struct Tape<T = f32> {
    offsets: Vec<usize>,
    /// Empty when the batch came as rows.
    tokens: Vec<u32>,
    layers: Vec<LayerTape<T>>,
    /// The residual stream after the last layer, `[t, d]`.
    last: Vec<T>,
}

/// Mamba-1 on the CPU, for training.
pub struct CpuBackbone<T = f32> {
    config: Config,
    weights: Backbone<T>,
    team: Arc<Team>,
}

impl<T: Real> CpuBackbone<T> {
    /// A backbone of RMS norms and Mamba-1 mixers.
    ///
    /// # Errors
    /// When the configuration has what training does not know (Mamba-2, layer norms, MLPs, norms on dt, B and C), or a
    /// weight's size is not the configuration's.
    pub fn new(config: Config, weights: Backbone<T>, team: Arc<Team>) -> Result<Self> {
        trainable(&config)?;
        weights.check(&config)?;
        Ok(Self { config, weights, team })
    }

    /// Embedded rows of packed sequences to the last hidden rows, both `[t, d]`.
    ///
    /// # Errors
    /// When the lengths do not fit.
    pub fn forward_rows(&self, rows: Vec<T>, offsets: &[usize]) -> Result<(Vec<T>, Tape<T>)> {
        if !rows.len().is_multiple_of(self.config.d) {
            return Err(Error::Input(format!("{} values are not rows of width {}", rows.len(), self.config.d)));
        }
        check_offsets(offsets, rows.len() / self.config.d)?;
        let eps = T::from_f64(f64::from(self.config.norm_eps));
        let (mut x, mut layers) = (rows, vec![]);
        for layer in &self.weights.layers {
            let (next, tape) = layer::forward(&self.team, layer, eps, x, offsets);
            x = next;
            layers.push(tape);
        }
        let hidden = norm::forward(&self.team, &x, (&self.weights.norm_f.weight, eps));
        Ok((hidden, Tape { offsets: offsets.to_vec(), tokens: vec![], layers, last: x }))
    }

    /// As [`Trainable::backward`].
    ///
    /// # Errors
    /// As there.
    pub fn backward_rows(&self, tape: &Tape<T>, d_hidden: &[T]) -> Result<Gradients<T>> {
        if d_hidden.len() != tape.last.len() {
            let problem = format!("gradients of {} values for {} hidden ones", d_hidden.len(), tape.last.len());
            return Err(Error::Input(problem));
        }
        let eps = T::from_f64(f64::from(self.config.norm_eps));
        let mut dx = vec![T::ZERO; tape.last.len()];
        let weight = (&self.weights.norm_f.weight[..], eps);
        let norm_f = norm::backward(&self.team, &tape.last, weight, d_hidden, &mut dx);
        let mut layers: Vec<Layer<T>> = vec![];
        for (layer, kept) in self.weights.layers.iter().zip(&tape.layers).rev() {
            layers.push(layer::backward(&self.team, layer, eps, (kept, &tape.offsets), &mut dx));
        }
        layers.reverse();
        let mut embedding = vec![T::ZERO; self.weights.embedding.len()];
        for (&token, dx) in tape.tokens.iter().zip(dx.chunks_exact(self.config.d)) {
            let row = &mut embedding[token as usize * self.config.d..][..self.config.d];
            row.iter_mut().zip(dx).for_each(|(sum, &dx)| *sum += dx);
        }
        let lm_head = self.weights.lm_head.as_ref().map(|head| vec![T::ZERO; head.len()]);
        let norm_f = Norm { weight: norm_f, bias: None };
        Ok(Gradients { weights: Backbone { embedding, layers, norm_f, lm_head }, rows: dx })
    }

    /// As [`Self::forward_rows`], of tokens too; with them the gradients have the embedding's.
    ///
    /// # Errors
    /// When a token is outside the vocabulary, or the lengths do not fit.
    pub(crate) fn forward_packed(&self, batch: &Packed<'_>) -> Result<(Vec<T>, Tape<T>)> {
        let (hidden, mut tape) = self.forward_rows(self.embedded(&batch.input)?, batch.offsets)?;
        if let Input::Tokens(tokens) = batch.input {
            tape.tokens = tokens.to_vec();
        }
        Ok((hidden, tape))
    }

    fn embedded(&self, input: &Input<'_>) -> Result<Vec<T>> {
        let d = self.config.d;
        match input {
            Input::Rows(rows) => Ok(rows.iter().map(|&value| T::from_f64(f64::from(value))).collect()),
            Input::Tokens(tokens) => {
                let row = |&token: &u32| self.weights.embedding.chunks_exact(d).nth(token as usize).ok_or(token);
                let rows = tokens.iter().map(row).collect::<Result<Vec<_>, _>>();
                let outside =
                    |token| Error::Input(format!("token {token} is outside the vocabulary of {}", self.config.vocab));
                Ok(rows.map_err(outside)?.concat())
            }
        }
    }
}

impl Trainable for CpuBackbone {
    type Tape = Tape;

    fn config(&self) -> &Config {
        &self.config
    }

    fn set_weights(&mut self, weights: &Backbone) -> Result<()> {
        weights.check(&self.config)?;
        self.weights.clone_from(weights);
        Ok(())
    }

    fn forward(&self, batch: &Packed<'_>) -> Result<(Vec<f32>, Tape)> {
        self.forward_packed(batch)
    }

    fn backward(&self, tape: &Tape, d_hidden: &[f32]) -> Result<Gradients> {
        self.backward_rows(tape, d_hidden)
    }
}

/// Refuses what has no backward pass.
///
/// # Errors
/// Says what it is.
pub(crate) fn trainable(config: &Config) -> Result<()> {
    let what = match config.mixer {
        MixerConfig::Mamba2 { .. } => "Mamba-2 mixers",
        MixerConfig::Mamba1 { bcdt_norm_eps: Some(_), .. } => "norms on dt, B and C (Falcon-Mamba)",
        _ if config.norm == NormKind::Layer => "layer norms",
        _ if config.mlp_hidden > 0 => "MLPs",
        _ => return config.check().map_err(Error::Input),
    };
    Err(Error::Input(format!("{what} cannot be trained: only RMS norms and Mamba-1 mixers can")))
}

fn check_offsets(offsets: &[usize], t: usize) -> Result<()> {
    if offsets.first() == Some(&0) && offsets.last() == Some(&t) && offsets.is_sorted() {
        return Ok(());
    }
    Err(Error::Input(format!("offsets must grow from 0 to the number of tokens, {t}")))
}

#[cfg(test)]
mod tests;
