//! The encoder of whole windows on a CPU: the causal mixers, run over each strand from both its ends.
//!
//! A layer is, for all strands of a call:
//!
//! ```text
//! residual ─norm─┬──────────────► mamba_fwd ──────────────┬─ + or x ─► + residual
//!                └─► backwards ─► mamba_rev ─► backwards ─┘
//! ```
//!
//! Both strands of a window are two sequences that go through the same layers, each in its own direction of reading: nothing
//! passes between them but where layers swap them ([`Strands::Both`]).

use std::sync::Arc;

use unspool_kernels::cpu::{Buffer, Isa, Team, padded};

use super::{BLOCK, CpuOptions, Norm, On, mamba1::Mamba1, padded_rows};
use crate::{
    Result,
    blocks::blocks,
    config::{Join, Strands, WindowConfig},
    encoder::{Route, StrandTokens, WindowEncoder},
    weights::{WindowBackbone, WindowLayer},
};

/// Caduceus on a CPU.
pub struct CpuWindows {
    config: WindowConfig,
    route: Route,
    isa: Isa,
    team: Arc<Team>,
    /// `[vocab, padded d]`
    embedding: Vec<f32>,
    layers: Vec<Layer>,
    norm_f: Norm,
}

struct Layer {
    norm: Norm,
    forward: Mamba1,
    reverse: Option<(Mamba1, Join)>,
}

impl Layer {
    fn new(config: &WindowConfig, layer: &WindowLayer) -> Self {
        let mixer = |weights| Mamba1::new(&config.backbone.mixer, weights);
        let reverse = layer.reverse.as_ref().zip(config.directions).map(|(weights, join)| (mixer(weights), join));
        Self { norm: Norm::new(&config.backbone, &layer.norm), forward: mixer(&layer.forward), reverse }
    }
}

impl CpuWindows {
    /// Packs a backbone's weights for this machine.
    ///
    /// # Errors
    /// When the options ask for what the machine lacks.
    pub fn new(config: WindowConfig, weights: &WindowBackbone, options: CpuOptions) -> Result<Self> {
        let (isa, team) = options.open()?;
        let embedding = padded_rows(&weights.embedding, config.backbone.d);
        let layers = weights.layers.iter().map(|layer| Layer::new(&config, layer)).collect();
        let norm_f = Norm::new(&config.backbone, &weights.norm_f);
        Ok(Self { config, route: Route("cpu-f32-1".into()), isa, team, embedding, layers, norm_f })
    }

    fn on(&self) -> On<'_> {
        (self.isa, &self.team)
    }

    /// Values of a padded row.
    fn stride(&self) -> usize {
        padded(self.config.backbone.d)
    }

    /// `residual += both directions' mixers(norm(residual))`.
    fn layer(&self, layer: &Layer, residual: &mut [f32], offsets: &[usize], scratch: &mut Scratch) {
        let Scratch { normed, ahead, back, buffers } = scratch;
        layer.norm.forward(self.on(), residual, normed);
        self.mix(&layer.forward, (normed, ahead), offsets, buffers);
        if let Some((mixer, join)) = &layer.reverse {
            backwards(normed, offsets, self.stride());
            self.mix(mixer, (normed, back), offsets, buffers);
            backwards(back, offsets, self.stride());
            for (ahead, back) in ahead.iter_mut().zip(back.iter()) {
                match join {
                    Join::Add => *ahead += back,
                    Join::Multiply => *ahead *= back,
                }
            }
        }
        residual.iter_mut().zip(ahead.iter()).for_each(|(x, y)| *x += y);
    }

    /// `y = mixer(normed)`, each strand from a fresh state on. The strands go through in blocks, which change no bit.
    fn mix(&self, mixer: &Mamba1, (normed, y): (&[f32], &mut [f32]), offsets: &[usize], buffers: &mut [Buffer; 5]) {
        y.fill(0.0);
        let lengths: Vec<usize> = offsets.windows(2).map(|strand| strand[1] - strand[0]).collect();
        let (mut strand, mut state) = (usize::MAX, (vec![], vec![]));
        for block in blocks(&lengths, BLOCK) {
            // Only the first strand of a block can go on from the block before.
            let mut states: Vec<(Vec<f32>, Vec<f32>)> = block
                .iter()
                .map(|(of, _)| match *of == strand {
                    true => std::mem::take(&mut state),
                    false => (vec![0.0; mixer.conv.window_len()], vec![0.0; mixer.scan.state_len()]),
                })
                .collect();
            let mut inner = vec![0];
            block.iter().for_each(|(_, range)| inner.push(inner[inner.len() - 1] + range.len()));
            let first = block.first().map_or(0, |(strand, range)| offsets[*strand] + range.start);
            let rows = first * self.stride()..(first + inner[inner.len() - 1]) * self.stride();
            let (mut windows, mut hs): (Vec<_>, Vec<_>) =
                states.iter_mut().map(|(window, h)| (&mut window[..], &mut h[..])).unzip();
            mixer.forward(self.on(), (&normed[rows.clone()], &mut y[rows]), &inner, (&mut windows, &mut hs), buffers);
            if let (Some((last, _)), Some(left)) = (block.last(), states.pop()) {
                (strand, state) = (*last, left);
            }
        }
    }

    /// Rows as they are given out, of strands' padded rows.
    fn rows(&self, strands: &[f32], offsets: &[usize]) -> Vec<f32> {
        let (d, stride) = (self.config.backbone.d, self.stride());
        let row = |place: usize| &strands[place * stride..][..d];
        if self.config.strands == Strands::One {
            return (0..offsets[offsets.len() - 1]).flat_map(row).copied().collect();
        }
        let mut rows = Vec::with_capacity(strands.len() / stride * d);
        for (from, middle, to) in pairs(offsets) {
            for (here, there) in (from..middle).zip((middle..to).rev()) {
                rows.extend_from_slice(row(here));
                rows.extend(row(there).iter().rev());
            }
        }
        rows
    }
}

/// Buffers of a call, `[t, padded d]` each, and a mixer's.
struct Scratch {
    normed: Vec<f32>,
    ahead: Vec<f32>,
    back: Vec<f32>,
    buffers: [Buffer; 5],
}

/// Both strands of each window: from, the end of the first and start of the second, to.
fn pairs(offsets: &[usize]) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
    offsets.windows(3).step_by(2).map(|ends| (ends[0], ends[1], ends[2]))
}

/// Reverses the order of each strand's rows.
fn backwards(rows: &mut [f32], offsets: &[usize], stride: usize) {
    for strand in offsets.windows(2) {
        let rows = &mut rows[strand[0] * stride..strand[1] * stride];
        let (first, last) = rows.split_at_mut(rows.len() / stride / 2 * stride);
        for (a, b) in first.chunks_exact_mut(stride).zip(last.chunks_exact_mut(stride).rev()) {
            a.swap_with_slice(b);
        }
    }
}

/// Each window's strands change places: rows and columns of both are reversed on the way.
fn swap(rows: &mut [f32], offsets: &[usize], (d, stride): (usize, usize)) {
    for (from, middle, to) in pairs(offsets) {
        let (here, there) = rows[from * stride..to * stride].split_at_mut((middle - from) * stride);
        for (a, b) in here.chunks_exact_mut(stride).zip(there.chunks_exact_mut(stride).rev()) {
            a[..d].iter_mut().zip(b[..d].iter_mut().rev()).for_each(|(a, b)| std::mem::swap(a, b));
        }
    }
}

impl WindowEncoder for CpuWindows {
    fn config(&self) -> &WindowConfig {
        &self.config
    }

    fn route(&self) -> &Route {
        &self.route
    }

    fn encode_window(&self, tokens: &[u32], offsets: &[usize], taps: &[usize]) -> Result<Vec<Vec<f32>>> {
        let StrandTokens { tokens, offsets } = StrandTokens::new(&self.config, (tokens, offsets), taps)?;
        let mut outputs = vec![vec![]; taps.len()];
        if tokens.is_empty() {
            return Ok(outputs);
        }
        let (d, stride) = (self.config.backbone.d, self.stride());
        let mut residual: Vec<f32> = Vec::with_capacity(tokens.len() * stride);
        for token in &tokens {
            residual.extend_from_slice(&self.embedding[*token as usize * stride..][..stride]);
        }
        let fresh = || vec![0.0; residual.len()];
        let mut scratch = Scratch { normed: fresh(), ahead: fresh(), back: fresh(), buffers: Default::default() };
        let mut tap = |layer: usize, rows: &[f32]| {
            for (_, output) in taps.iter().zip(&mut outputs).filter(|(tap, _)| **tap == layer) {
                *output = self.rows(rows, &offsets);
            }
        };
        for (i, layer) in self.layers.iter().enumerate() {
            tap(i, &residual);
            if self.config.strands == (Strands::Both { swapped: true }) {
                swap(&mut residual, &offsets, (d, stride));
            }
            self.layer(layer, &mut residual, &offsets, &mut scratch);
        }
        self.norm_f.forward(self.on(), &residual, &mut scratch.normed);
        tap(self.layers.len(), &scratch.normed);
        Ok(outputs)
    }
}

#[cfg(test)]
mod tests;
