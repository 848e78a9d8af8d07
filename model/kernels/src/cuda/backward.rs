//! Training a backbone of RMS norms and Mamba-1 mixers on a card: a forward pass that leaves a tape, and the backward
//! pass that reads it, as `unspool_model::backward` defines them.
//!
//! The residual stream, the weights, all gradients of weights and all sums are f32. Rows between kernels, and products'
//! operands, are bf16 or f32 ([`Precision`]). The tape keeps of each layer:
//!
//! ```text
//! f32:    x [t, d]   h before every 8th token [.., d_in, n]
//! rows:   norm(x) [t, d]   in_proj's output [t, 2 d_in]   conv's [t, d_in]   x_proj's [t, r + 2 n]   dt, y, g [t, d_in]
//! again:  h between
//! ```
//!
//! 12 KB a token and layer for d = 256 in bf16. Every sum's order depends on the shape, the offsets and the tokens alone,
//! and nothing is added atomically, so a run repeats to the bit. The kernels and their maths: `backward_*.cuh`.

mod args;
mod batch;
mod functions;
mod launch;
mod layer;
mod layout;
mod memory;
mod optimizer;
mod pass;
mod segments;
mod series;
mod shape;
mod staging;
mod tokens;

use std::sync::Arc;

use args::Address;
use cudarc::driver::{CudaSlice, DevicePtr};
use functions::Functions;
use launch::Launcher;
use layer::LayerWeights;
use layout::Layout;
use memory::Spare;
pub use optimizer::Moments;
pub use pass::{HiddenGradient, TrainingGradients, TrainingTape};
pub use series::SeriesInput;
use shape::Padded;
pub use shape::{SeriesEnds, Shape, TokenHead};
use staging::Staging;
pub use tokens::TokenInput;

use super::{CudaError, Gpu};

/// Why a backbone cannot be trained on a card.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrainingError {
    /// The card, or its driver.
    #[error(transparent)]
    Cuda(#[from] CudaError),
    /// The kernels do not have the shape.
    #[error("{what} of {size} cannot be trained on a GPU, {most} is the most: train on the CPU")]
    Shape {
        /// What is too large.
        what: &'static str,
        /// Its size.
        size: usize,
        /// The largest.
        most: usize,
    },
    /// What was passed does not fit.
    #[error("{0}")]
    Input(String),
}

/// The type of rows between kernels and of products' operands. Sums are f32 with either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// As the CPU computes.
    F32,
    /// Tensor cores: fast, and gradients within about 1 % of those of f32.
    Bf16,
}

impl Precision {
    fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }
}

/// What goes into a backbone.
#[derive(Clone, Copy, Debug)]
pub enum TrainingInput<'a> {
    /// Token ids, `[t]`.
    Tokens(&'a [u32]),
    /// Embedded rows, `[t, d]`.
    Rows(&'a [f32]),
}

/// A backbone's weights on a card, and all that training them takes.
pub struct Training {
    launcher: Launcher,
    precision: Precision,
    layout: Layout,
    /// All weights, f32, as laid out.
    weights: CudaSlice<f32>,
    /// The same in bf16, where rows are.
    narrow: Option<CudaSlice<u16>>,
    /// `-exp(A_log) log2(e)` of all layers, `[layers, ip, n]`.
    decay_rates: CudaSlice<f32>,
    /// See `backward_adam.cuh`.
    report: CudaSlice<f64>,
    spare: Spare,
    staging: Staging,
    /// Tapes and gradients hold it too.
    owner: Arc<()>,
}

impl Training {
    /// A backbone whose weights are all 0 as yet.
    ///
    /// # Errors
    /// When the kernels do not have the shape, or memory does not suffice.
    pub fn new(gpu: Arc<Gpu>, shape: Shape, precision: Precision) -> Result<Self, TrainingError> {
        let p = Padded::new(shape)?;
        let layout = Layout::new(&p);
        let what = "weights to train";
        let weights = gpu.zeros(what, layout.len)?;
        let narrow = (precision == Precision::Bf16).then(|| gpu.zeros(what, layout.len)).transpose()?;
        let decay_rates = gpu.zeros(what, shape.layers * p.ip * p.n)?;
        let report = gpu.zeros(what, optimizer::REPORTED)?;
        let functions = Functions::load(&gpu, &p, precision)?;
        let launcher = Launcher { gpu, functions, p };
        Ok(Self {
            launcher,
            precision,
            layout,
            weights,
            narrow,
            decay_rates,
            report,
            spare: Spare::default(),
            staging: Staging::default(),
            owner: Arc::default(),
        })
    }

    /// Takes over weights: all tensors in the order of checkpoints and in their form; the head where the shape has it.
    ///
    /// # Errors
    /// When their number or a size is not the shape's, or the card refuses.
    pub fn set_weights(&mut self, tensors: &[&[f32]]) -> Result<(), TrainingError> {
        let all = self.padded(tensors)?;
        self.staging.copy_in(&self.launcher.gpu, &all, [1, 1], self.address(&self.weights))?;
        self.prepare()
    }

    /// What kernels read beside the weights in f32.
    fn prepare(&self) -> Result<(), TrainingError> {
        if let Some(narrow) = &self.narrow {
            self.launcher.narrow(self.address(&self.weights), self.layout.len, self.address(narrow))?;
        }
        for layer in 0..self.layout.layers.len() {
            let weights = self.layer_weights(layer);
            self.launcher.decay_rates(self.address(&self.weights) + 4 * weights.at.scan as Address, weights.a)?;
        }
        Ok(())
    }

    /// The card.
    #[must_use]
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.launcher.gpu
    }

    fn layer_weights(&self, layer: usize) -> LayerWeights {
        let (all, p) = (self.address(&self.weights), &self.launcher.p);
        let rows = self.narrow.as_ref().map_or(all, |narrow| self.address(narrow));
        let a = self.address(&self.decay_rates) + (4 * layer * p.ip * p.n) as Address;
        LayerWeights { at: self.layout.layers[layer], all, rows, precision: self.precision, a }
    }

    fn address<T>(&self, values: &CudaSlice<T>) -> Address {
        values.device_ptr(self.launcher.gpu.stream()).0
    }
}
