//! Training a series model: its weights as one list of tensors, batches of patches, the quantile loss and AdamW, on the CPU
//! and on a GPU.
//!
//! ```text
//! windows ── the same scaling and features as serving ──► patches ── embed, backbone, head ──► quantiles
//! loss = mean over patches, values not observed and levels q of max(q e, (q - 1) e), e = asinh((value - anchor) / step) - quantile
//! ```
//!
//! A run repeats to the bit on the same route: sums are taken in an order that the batch fixes.

mod batch;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod dense;
mod optimizer;
mod place;
mod store;
mod weights;

pub use batch::{SeriesBatch, WindowSlices};
pub use cpu::CpuTrainer;
#[cfg(feature = "cuda")]
pub use cuda::CudaTrainer;
pub use optimizer::{AdamStep, Moments, Report};
pub use place::{PlacedTrainer, trainer};
pub use weights::SeriesWeights;

use crate::Result;

/// What moves a series model's weights.
pub trait SeriesTrainer {
    /// One step: the gradients of the batches' losses added up, then AdamW.
    ///
    /// The batches' weights must have been made for so many of them ([`SeriesBatch::share`]).
    ///
    /// # Errors
    /// When a batch is not of this model's patches, or the device fails.
    fn step(&mut self, batches: &[SeriesBatch], step: &AdamStep) -> Result<()>;

    /// What happened since the last report.
    ///
    /// # Errors
    /// When the device fails.
    fn report(&mut self) -> Result<Report>;

    /// Weights and moments, tensor by tensor in the order of [`SeriesWeights::specs`].
    ///
    /// # Errors
    /// When the device fails.
    fn moments(&self) -> Result<Moments>;

    /// Takes weights and moments over.
    ///
    /// # Errors
    /// When a tensor's size is not the model's, or the device fails.
    fn set_moments(&mut self, moments: &Moments) -> Result<()>;
}

#[cfg(test)]
mod tests;
