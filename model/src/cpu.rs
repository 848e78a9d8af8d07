//! The fast encoder on a CPU: f32, vector units, all cores, and the same bits on every instruction set.
//!
//! Hidden rows lie in padded rows ([`padded`]), tokens of all sequences one after the other. Each layer is, for a block
//! of tokens:
//!
//! ```text
//! residual ─norm─► in_proj ─► conv + SiLU ─► (x_proj, dt_proj) ─► scan, gate ─► out_proj ─► + residual
//!                               ▲ window                           ▲ h
//! ```
//!
//! Steps and prefills take the same path; the kernels see to it that no row's bits depend on the others.

mod expand;
mod mamba1;
mod mamba2;
mod windows;

use std::sync::{Arc, Mutex, PoisonError};

use unspool_kernels::cpu::{self as kernels, Buffer, Isa, Linear, Out, Team, padded};

pub use self::windows::CpuWindows;
use self::{mamba1::Mamba1, mamba2::Mamba2};
use crate::{
    Error, Result,
    blocks::blocks,
    config::{Config, MixerConfig, NormKind},
    encoder::{BackboneState, Encoder, Input, Packed, Route},
    weights::{self, Backbone, Mixer},
};

/// Tokens that go through the layers at once: enough to read the weights rarely, few enough to keep rows in the cache.
const BLOCK: usize = 512;

/// How a [`CpuEncoder`] runs; the default is the best of the machine. Nothing here changes a bit.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuOptions {
    /// Threads (0: `UNSPOOL_THREADS`, else one for each core).
    pub threads: usize,
    /// Instructions (`None`: `UNSPOOL_ISA`, else the best of the machine).
    pub isa: Option<Isa>,
}

/// Mamba-1 and Mamba-2 on a CPU.
pub struct CpuEncoder {
    config: Config,
    route: Route,
    isa: Isa,
    team: Arc<Team>,
    /// `[vocab, padded d]`
    embedding: Vec<f32>,
    layers: Vec<Layer>,
    norm_f: Norm,
    scratch: Mutex<Vec<Scratch>>,
}

/// What the kernels run on.
type On<'a> = (Isa, &'a Team);

struct Layer {
    norm: Norm,
    mixer: MixerKernels,
    mlp: Option<Mlp>,
}

enum MixerKernels {
    Mamba1(Mamba1),
    Mamba2(Mamba2),
}

struct Norm {
    kind: NormKind,
    d: usize,
    /// `[padded d]`
    weight: Vec<f32>,
    /// `[padded d]`
    bias: Vec<f32>,
    eps: f32,
}

struct Mlp {
    norm: Norm,
    fc1: Linear,
    fc2: Linear,
    hidden: usize,
}

/// Rows of one block on their way through a layer. Kept between calls; grows to the largest block seen.
#[derive(Default)]
struct Scratch {
    residual: Buffer,
    normed: Buffer,
    mixer: [Buffer; 5],
}

impl CpuOptions {
    /// The instructions, and threads of their own.
    ///
    /// # Errors
    /// When the options ask for what the machine lacks.
    pub(crate) fn open(self) -> Result<(Isa, Arc<Team>)> {
        let isa = match self.isa {
            Some(isa) if Isa::available().contains(&isa) => isa,
            Some(isa) => return Err(Error::Input(format!("this machine lacks the instructions {isa}"))),
            None => Isa::detect().map_err(|e| Error::Input(e.to_string()))?,
        };
        let team = Team::new(threads(self.threads)?).map_err(|e| Error::Input(format!("threads: {e}")))?;
        Ok((isa, Arc::new(team)))
    }
}

impl CpuEncoder {
    /// Packs a backbone's weights for this machine.
    ///
    /// # Errors
    /// When a weight's size is not the configuration's, or the options ask for what the machine lacks.
    pub fn new(config: Config, weights: &Backbone, options: CpuOptions) -> Result<Self> {
        weights.check(&config)?;
        let (isa, team) = options.open()?;
        let d = config.d;
        let embedding = padded_rows(&weights.embedding, d);
        let layers = weights.layers.iter().map(|layer| Layer::new(&config, layer)).collect();
        let norm_f = Norm::new(&config, &weights.norm_f);
        // The instruction set is no part of the route: the bits are the same on all.
        let route = Route("cpu-f32-1".into());
        Ok(Self { config, route, isa, team, embedding, layers, norm_f, scratch: Mutex::default() })
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The threads, for front ends and heads to share.
    pub(crate) fn team(&self) -> Arc<Team> {
        Arc::clone(&self.team)
    }

    /// The number of threads.
    pub fn threads(&self) -> usize {
        self.team.threads()
    }

    fn state_len(&self) -> usize {
        self.layers.iter().map(|layer| layer.mixer.window_len() + layer.mixer.h_len()).sum()
    }

    /// Runs one block of tokens through all layers.
    fn block(&self, residual: &mut [f32], run: &mut Run<'_, '_>, scratch: (&mut Buffer, &mut [Buffer; 5])) {
        let (on, d): (On<'_>, usize) = ((self.isa, &self.team), self.config.d);
        let (normed, buffers) = scratch;
        let normed = normed.room(residual.len());
        run.tap(0, residual, d);
        let mut at = 0;
        for (i, layer) in self.layers.iter().enumerate() {
            let len = layer.mixer.window_len() + layer.mixer.h_len();
            let (mut windows, mut hs) = (vec![], vec![]);
            for state in &mut run.states {
                let (window, h) = state[at..at + len].split_at_mut(layer.mixer.window_len());
                windows.push(window);
                hs.push(h);
            }
            at += len;
            layer.norm.forward(on, residual, normed);
            let states = (&mut windows[..], &mut hs[..]);
            match &layer.mixer {
                MixerKernels::Mamba1(mixer) => mixer.forward(on, (normed, residual), run.offsets, states, buffers),
                MixerKernels::Mamba2(mixer) => mixer.forward(on, (normed, residual), run.offsets, states, buffers),
            }
            if let Some(mlp) = &layer.mlp {
                mlp.forward(on, (normed, residual), buffers);
            }
            if i + 1 < self.layers.len() {
                run.tap(i + 1, residual, d);
            }
        }
        self.norm_f.forward(on, residual, normed);
        run.tap(self.layers.len(), normed, d);
    }

    /// A block's embedded rows, padded.
    fn embed(&self, input: &Input<'_>, ranges: impl Iterator<Item = std::ops::Range<usize>>, rows: &mut [f32]) {
        let (d, stride) = (self.config.d, padded(self.config.d));
        for (i, row) in ranges.flatten().zip(rows.chunks_exact_mut(stride)) {
            match input {
                Input::Tokens(tokens) => {
                    row.copy_from_slice(&self.embedding[tokens[i] as usize * stride..][..stride]);
                }
                Input::Rows(all) => {
                    row[..d].copy_from_slice(&all[i * d..(i + 1) * d]);
                    row[d..].fill(0.0);
                }
            }
        }
    }
}

/// One block on its way: where its sequences lie, their states, and where hidden rows go.
struct Run<'a, 'b> {
    offsets: &'a [usize],
    states: Vec<&'b mut [f32]>,
    /// Each sequence's first row in the call's outputs.
    starts: Vec<usize>,
    taps: &'a [usize],
    outputs: &'a mut [Vec<f32>],
}

impl Run<'_, '_> {
    /// Copies padded rows to every output that asks for this layer.
    fn tap(&mut self, layer: usize, rows: &[f32], d: usize) {
        let stride = padded(d);
        for (_, output) in self.taps.iter().zip(self.outputs.iter_mut()).filter(|(tap, _)| **tap == layer) {
            for (sequence, start) in self.offsets.windows(2).zip(&self.starts) {
                let (from, to) = (&rows[sequence[0] * stride..sequence[1] * stride], &mut output[start * d..]);
                for (from, to) in from.chunks_exact(stride).zip(to.chunks_exact_mut(d)) {
                    to.copy_from_slice(&from[..d]);
                }
            }
        }
    }
}

impl Encoder for CpuEncoder {
    fn config(&self) -> &Config {
        &self.config
    }

    fn route(&self) -> &Route {
        &self.route
    }

    fn fresh(&self) -> BackboneState {
        BackboneState::in_memory(vec![0.0; self.state_len()])
    }

    fn encode(&self, batch: &Packed<'_>, states: &mut [&mut BackboneState], taps: &[usize]) -> Result<Vec<Vec<f32>>> {
        let t = batch.check(&self.config, self.state_len(), states, taps)?;
        let mut outputs: Vec<Vec<f32>> = taps.iter().map(|_| vec![0.0; t * self.config.d]).collect();
        let lengths: Vec<usize> = batch.offsets.windows(2).map(|sequence| sequence[1] - sequence[0]).collect();
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        for block in blocks(&lengths, BLOCK) {
            let starts: Vec<usize> =
                block.iter().map(|(sequence, range)| batch.offsets[*sequence] + range.start).collect();
            let mut offsets = vec![0];
            offsets.extend(block.iter().scan(0, |end, (_, range)| {
                *end += range.len();
                Some(*end)
            }));
            let mut wanted = block.iter().map(|(sequence, _)| *sequence).peekable();
            let states = (states.iter_mut().enumerate())
                .filter_map(|(i, state)| wanted.next_if_eq(&i).map(|_| state.values_mut()))
                .collect();
            let Scratch { residual, normed, mixer } = &mut scratch;
            let ranges = block.iter().zip(&starts).map(|((_, range), start)| *start..*start + range.len());
            let residual = residual.room(offsets[offsets.len() - 1] * padded(self.config.d));
            self.embed(&batch.input, ranges, residual);
            let mut run = Run { offsets: &offsets, states, starts: starts.clone(), taps, outputs: &mut outputs };
            self.block(residual, &mut run, (normed, mixer));
        }
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
        Ok(outputs)
    }

    fn export(&self, state: &BackboneState) -> Result<Vec<f32>> {
        state.has(self.state_len())?;
        let (mut values, mut rest) = (Vec::with_capacity(self.state_len()), state.values());
        for layer in &self.layers {
            let (window, after) = rest.split_at(layer.mixer.window_len());
            let (h, after) = after.split_at(layer.mixer.h_len());
            layer.mixer.places(&mut |part, at| values.push(if part == Part::Window { window[at] } else { h[at] }));
            rest = after;
        }
        Ok(values)
    }

    fn import(&self, values: &[f32]) -> Result<BackboneState> {
        if values.len() != self.config.state_len() {
            let expected = self.config.state_len();
            return Err(Error::Input(format!("{} values; this backbone's state has {expected}", values.len())));
        }
        let mut state = self.fresh();
        let (mut values, mut rest) = (values.iter(), state.values_mut());
        for layer in &self.layers {
            let (window, after) = rest.split_at_mut(layer.mixer.window_len());
            let (h, after) = after.split_at_mut(layer.mixer.h_len());
            layer.mixer.places(&mut |part, at| {
                let value = values.next().copied().unwrap_or_default();
                *(if part == Part::Window { &mut window[at] } else { &mut h[at] }) = value;
            });
            rest = after;
        }
        Ok(state)
    }
}

/// A part of a layer's state.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Window,
    H,
}

impl MixerKernels {
    fn window_len(&self) -> usize {
        match self {
            Self::Mamba1(mixer) => mixer.conv.window_len(),
            Self::Mamba2(mixer) => mixer.conv.window_len(),
        }
    }

    fn h_len(&self) -> usize {
        match self {
            Self::Mamba1(mixer) => mixer.scan.state_len(),
            Self::Mamba2(mixer) => mixer.ssd.state_len(),
        }
    }

    /// Where each value of the published order stands here.
    fn places(&self, place: &mut dyn FnMut(Part, usize)) {
        match self {
            Self::Mamba1(mixer) => mixer.places(place),
            Self::Mamba2(mixer) => mixer.places(place),
        }
    }
}

impl Layer {
    fn new(config: &Config, layer: &weights::Layer) -> Self {
        let mixer = match (&config.mixer, &layer.mixer) {
            (MixerConfig::Mamba1 { .. }, Mixer::Mamba1 { .. }) => {
                MixerKernels::Mamba1(Mamba1::new(&config.mixer, &layer.mixer))
            }
            _ => MixerKernels::Mamba2(Mamba2::new(config, &layer.mixer)),
        };
        let mlp = layer.mlp.as_ref().map(|mlp| Mlp::new(config, mlp));
        Self { norm: Norm::new(config, &layer.norm), mixer, mlp }
    }
}

impl Norm {
    fn new(config: &Config, norm: &weights::Norm) -> Self {
        let pad = |values: &[f32]| {
            let mut values = values.to_vec();
            values.resize(padded(config.d), 0.0);
            values
        };
        let bias = pad(norm.bias.as_deref().unwrap_or_default());
        Self { kind: config.norm, d: config.d, weight: pad(&norm.weight), bias, eps: config.norm_eps }
    }

    fn forward(&self, on: On<'_>, x: &[f32], y: &mut [f32]) {
        match self.kind {
            NormKind::Rms => kernels::rms_norm(on, (x, self.d), (&self.weight, self.eps), y),
            NormKind::Layer => kernels::layer_norm(on, (x, self.d), (&self.weight, &self.bias, self.eps), y),
        }
    }
}

impl Mlp {
    fn new(config: &Config, mlp: &weights::Mlp) -> Self {
        let hidden = config.mlp_hidden;
        let halves = expand::Regions::new(&[hidden, hidden]);
        let fc1 = halves.linear_rows(&mlp.fc1);
        let fc2 = Linear::new(&mlp.fc2.weight, mlp.fc2.n_in, mlp.fc2.bias.as_deref());
        Self { norm: Norm::new(config, &mlp.norm), fc1, fc2, hidden: padded(hidden) }
    }

    /// `x += fc2(y silu(gate))`, y and gate the halves of `fc1(norm(x))`.
    fn forward(&self, on: On<'_>, (normed, residual): (&mut [f32], &mut [f32]), buffers: &mut [Buffer; 5]) {
        self.norm.forward(on, residual, normed);
        let rows = residual.len() / self.norm.weight.len();
        let [both, y, ..] = buffers;
        let stride = 2 * self.hidden;
        let both = both.room(rows * stride);
        let out = Out { y: &mut *both, stride, accumulate: false };
        self.fc1.forward(on, (normed, self.norm.weight.len()), rows, out);
        let y = y.room(rows * self.hidden);
        for (y, both) in y.chunks_exact_mut(self.hidden).zip(both.chunks_exact(stride)) {
            y.copy_from_slice(&both[..self.hidden]);
        }
        if rows > 0 {
            kernels::silu_gate(on, (y, self.hidden), (&both[self.hidden..], stride));
        }
        let out = Out { y: residual, stride: self.norm.weight.len(), accumulate: true };
        self.fc2.forward(on, (y, self.hidden), rows, out);
    }
}

/// Rows of `[.., d]`, padded.
fn padded_rows(rows: &[f32], d: usize) -> Vec<f32> {
    let mut all = vec![0.0; rows.len() / d * padded(d)];
    for (row, values) in all.chunks_exact_mut(padded(d)).zip(rows.chunks_exact(d)) {
        row[..d].copy_from_slice(values);
    }
    all
}

/// The number asked for, else that of `UNSPOOL_THREADS`, else 0.
fn threads(asked: usize) -> Result<usize> {
    match std::env::var("UNSPOOL_THREADS") {
        Ok(text) if asked == 0 => {
            text.parse().map_err(|_| Error::Input(format!("UNSPOOL_THREADS={text}: a whole number is wanted")))
        }
        _ => Ok(asked),
    }
}

#[cfg(test)]
mod tests;
