//! The readable encoder of whole windows, in f64: `CaduceusMixerModel`, `BiMambaWrapper`, `RCPSWrapper` and `RCPSMambaBlock` of
//! kuleshov-group/caduceus (`modeling_caduceus.py`, `modeling_rcps.py`; arXiv 2403.03234).
//!
//! A strand is `[l][d]`. Both strands of a window are kept each in its own direction of reading, where the published code keeps
//! the other one with rows and columns reversed; `R` is that reversal.

use super::{
    maths::{add, norm},
    mixer,
};
use crate::{
    Result,
    config::{Join, NormKind, Strands, WindowConfig},
    encoder::{Route, StrandTokens, WindowEncoder},
    weights::{Mixer, Norm, WindowBackbone, WindowLayer},
};

/// Rows of a strand.
type Rows = Vec<Vec<f64>>;

/// Caduceus in f64, token by token.
pub struct ReferenceWindows {
    config: WindowConfig,
    weights: WindowBackbone,
    route: Route,
}

impl ReferenceWindows {
    /// An encoder of a backbone.
    #[must_use]
    pub fn new(config: WindowConfig, weights: WindowBackbone) -> Self {
        Self { config, weights, route: Route("reference-f64".into()) }
    }

    /// `x + directions(norm(x))`. x: `[l][d]`.
    fn layer(&self, layer: &WindowLayer, x: &Rows) -> Rows {
        let u = self.norm(&layer.norm, x); // [l][d]
        let mut y = self.mix(&layer.forward, u.iter()); // [l][d]
        if let (Some(reverse), Some(join)) = (&layer.reverse, self.config.directions) {
            let other = self.mix(reverse, u.iter().rev()).into_iter().rev(); // [l][d]
            for (y, other) in y.iter_mut().zip(other) {
                y.iter_mut().zip(other).for_each(|(y, other)| match join {
                    Join::Add => *y += other,
                    Join::Multiply => *y *= other,
                });
            }
        }
        x.iter().zip(&y).map(|(x, y)| add(x, y)).collect()
    }

    /// The causal mixer over rows in the order that they come in.
    fn mix<'a>(&self, mixer: &Mixer, rows: impl Iterator<Item = &'a Vec<f64>>) -> Rows {
        let config = &self.config.backbone;
        let mut state = vec![0.0; config.mixer.window_len() + config.mixer.h_len()];
        rows.map(|u| mixer::step(config, mixer, u, &mut state)).collect()
    }

    fn norm(&self, weights: &Norm, x: &Rows) -> Rows {
        let config = &self.config.backbone;
        x.iter().map(|x| norm(config.norm == NormKind::Layer, weights, config.norm_eps, x)).collect()
    }

    /// A window's strands before and after each layer: `[layers + 1][strands]`, the last after the final norm.
    fn stream(&self, strands: Vec<Rows>) -> Vec<Vec<Rows>> {
        let mut stream = vec![strands];
        for layer in &self.weights.layers {
            let mut x = stream[stream.len() - 1].clone();
            if self.config.strands == (Strands::Both { swapped: true }) {
                x = x.iter().rev().map(reversed).collect(); // (a, b) -> (R b, R a)
            }
            stream.push(x.iter().map(|x| self.layer(layer, x)).collect());
        }
        let last = stream.len() - 1;
        stream[last] = stream[last].iter().map(|x| self.norm(&self.weights.norm_f, x)).collect();
        stream
    }
}

/// Rows and columns reversed. `[l][d]`
fn reversed(rows: &Rows) -> Rows {
    rows.iter().rev().map(|row| row.iter().rev().copied().collect()).collect()
}

impl WindowEncoder for ReferenceWindows {
    fn config(&self) -> &WindowConfig {
        &self.config
    }

    fn route(&self) -> &Route {
        &self.route
    }

    fn encode_window(&self, tokens: &[u32], offsets: &[usize], taps: &[usize]) -> Result<Vec<Vec<f32>>> {
        let all = StrandTokens::new(&self.config, (tokens, offsets), taps)?;
        let d = self.config.backbone.d;
        let row =
            |token: &u32| self.weights.embedding[*token as usize * d..][..d].iter().map(|&v| f64::from(v)).collect();
        let strands: Vec<Rows> =
            all.offsets.windows(2).map(|ends| all.tokens[ends[0]..ends[1]].iter().map(row).collect()).collect();
        let mut outputs = vec![vec![]; taps.len()];
        for window in strands.chunks(self.config.width() / d) {
            let stream = self.stream(window.to_vec());
            for (output, &tap) in outputs.iter_mut().zip(taps) {
                let second = stream[tap].get(1).map(reversed).unwrap_or_default();
                for (t, row) in stream[tap][0].iter().enumerate() {
                    output.extend(row.iter().chain(second.get(t).into_iter().flatten()).map(|&v| v as f32));
                }
            }
        }
        Ok(outputs)
    }
}
