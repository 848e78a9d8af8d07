//! The readable encoder: one token at a time, in f64, for tests to compare the fast ones with.
//!
//! It follows the papers (Mamba-1: arXiv 2312.00752, Mamba-2: arXiv 2405.21060) and the published modules `Mamba`,
//! `Mamba2`, `Block` and `MixerModel` of state-spaces/mamba; the layout on the page is that of johnma2006/mamba-minimal.
//!
//! Letters: `d` model width, `d_in` inner width, `n` state size, `k` convolution width, `r` rank of dt; Mamba-2 splits
//! `d_in` into `heads` of `head_dim` channels and shares B and C in `groups` of heads.
//!
//! Everything is computed in f64. The state is kept in f32 and rounded once, at the end of each token, so that a cut
//! between two tokens changes nothing (the chunk law).

mod maths;
mod mixer;
mod windows;

use self::maths::{add, gated, linear, norm};
pub use self::windows::ReferenceWindows;
use crate::{
    Error, Result,
    config::{Config, NormKind},
    encoder::{BackboneState, Encoder, Input, Packed, Route},
    weights::{Backbone, Layer, Mlp},
};

/// Mamba-1 and Mamba-2 in f64, token by token.
pub struct ReferenceEncoder {
    config: Config,
    weights: Backbone,
    route: Route,
}

impl ReferenceEncoder {
    /// An encoder of a backbone.
    ///
    /// # Errors
    /// When a weight's size is not the configuration's.
    pub fn new(config: Config, weights: Backbone) -> Result<Self> {
        weights.check(&config)?;
        Ok(Self { config, weights, route: Route("reference-f64".into()) })
    }

    /// Moves one sequence on by one token.
    ///
    /// x: `[d]`, the embedded token. Returns the residual stream `[d]` before and after each layer: `[layers + 1][d]`,
    /// the last after the final norm.
    fn step(&self, x: Vec<f64>, state: &mut [f32]) -> Vec<Vec<f64>> {
        let mut stream = vec![x];
        let one_layer = state.len() / self.config.layers;
        for (layer, state) in self.weights.layers.iter().zip(state.chunks_exact_mut(one_layer)) {
            let x = stream[stream.len() - 1].clone(); // [d]
            stream.push(self.layer(layer, x, state)); // [d]
        }
        let last = stream.len() - 1;
        stream[last] = self.norm(&self.weights.norm_f, &stream[last]); // [d]
        stream
    }

    /// `x + mixer(norm(x))`, then `x + mlp(norm2(x))` where there is one. x: `[d]`; state: this layer's.
    fn layer(&self, layer: &Layer, x: Vec<f64>, state: &mut [f32]) -> Vec<f64> {
        let y = mixer::step(&self.config, &layer.mixer, &self.norm(&layer.norm, &x), state); // [d]
        let x = add(&x, &y); // [d]
        match &layer.mlp {
            Some(mlp) => add(&x, &self.mlp(mlp, &x)),
            None => x,
        }
    }

    fn mlp(&self, mlp: &Mlp, x: &[f64]) -> Vec<f64> {
        let both = linear(&mlp.fc1, &self.norm(&mlp.norm, x)); // [2 h]
        let (y, gate) = both.split_at(both.len() / 2); // [h], [h]
        linear(&mlp.fc2, &gated(y, gate)) // [d]
    }

    fn norm(&self, weights: &crate::weights::Norm, x: &[f64]) -> Vec<f64> {
        norm(self.config.norm == NormKind::Layer, weights, self.config.norm_eps, x)
    }

    /// The embedded token at place i. `[d]`
    fn embedded(&self, input: &Input<'_>, i: usize) -> Vec<f64> {
        let d = self.config.d;
        let (table, row) = match input {
            Input::Tokens(tokens) => (&self.weights.embedding[..], tokens[i] as usize),
            Input::Rows(rows) => (*rows, i),
        };
        table[row * d..][..d].iter().map(|&v| f64::from(v)).collect()
    }
}

impl Encoder for ReferenceEncoder {
    fn config(&self) -> &Config {
        &self.config
    }

    fn route(&self) -> &Route {
        &self.route
    }

    fn fresh(&self) -> BackboneState {
        BackboneState::in_memory(vec![0.0; self.config.state_len()])
    }

    fn encode(&self, batch: &Packed<'_>, states: &mut [&mut BackboneState], taps: &[usize]) -> Result<Vec<Vec<f32>>> {
        let t = batch.check(&self.config, self.config.state_len(), states, taps)?;
        let mut rows = vec![Vec::with_capacity(t * self.config.d); taps.len()];
        for (sequence, state) in batch.offsets.windows(2).zip(states) {
            for i in sequence[0]..sequence[1] {
                let stream = self.step(self.embedded(&batch.input, i), state.values_mut());
                for (rows, &tap) in rows.iter_mut().zip(taps) {
                    rows.extend(stream[tap].iter().map(|&v| v as f32));
                }
            }
        }
        Ok(rows)
    }

    fn export(&self, state: &BackboneState) -> Result<Vec<f32>> {
        state.has(self.config.state_len())?;
        Ok(state.values().to_vec())
    }

    fn import(&self, values: &[f32]) -> Result<BackboneState> {
        if values.len() == self.config.state_len() {
            return Ok(BackboneState::in_memory(values));
        }
        Err(Error::Input(format!("{} values; this backbone's state has {}", values.len(), self.config.state_len())))
    }
}

#[cfg(test)]
mod tests;
