//! Training: a model's weights as one list of tensors, batches, a loss and AdamW, on the CPU and on a GPU.
//!
//! What is trained is an [`Objective`]: weights, and a loss of batches of their own kind. There are two, of series and of DNA:
//!
//! ```text
//! windows ── the same scaling and features as serving ──► patches ── embed, backbone, head ──► quantiles
//! loss = mean over patches, values not observed and levels q of max(q e, (q - 1) e), e = asinh((value - anchor) / step) - quantile
//!
//! bases ── one token each ──► embedding, backbone, lm_head ──► outputs of A, C, G, T
//! loss = mean over the bases that have one before them of -log2 softmax(outputs)
//! ```
//!
//! A run repeats to the bit on the same route: sums are taken in an order that the batch fixes.

mod batch;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod dense;
mod dna;
mod optimizer;
mod place;
mod quantiles;
mod store;
mod weights;

pub use batch::{SeriesBatch, WindowSlices};
pub use cpu::CpuTrainer;
#[cfg(feature = "cuda")]
pub use cuda::CudaTrainer;
pub use dna::{DnaBatch, DnaWeights};
pub use optimizer::{AdamStep, Moments, Report};
pub use place::{PlacedTrainer, trainer};
pub use weights::SeriesWeights;

use std::{path::Path, sync::Arc};

use unspool_kernels::cpu::Team;

use crate::{Result, config::Config, weights::Spec};

/// The weights of a model, and the loss that moves them.
pub trait Objective: Clone + Send + Sync {
    /// What a loss is measured on.
    type Batch: Send + Sync;

    /// Its backbone's shape.
    fn config(&self) -> &Config;

    /// All tensors that training moves, in order.
    fn tensors(&self) -> Vec<(Spec, &[f32])>;

    /// As [`Self::tensors`], to be changed in place.
    fn tensors_mut(&mut self) -> Vec<&mut [f32]>;

    /// The same model with each tensor replaced.
    ///
    /// # Errors
    /// When there are not as many tensors as the model has, or a size is another.
    fn replaced(&self, tensors: Vec<Vec<f32>>) -> Result<Self>;

    /// A batch's loss on the CPU.
    ///
    /// # Errors
    /// When the batch is not for this model.
    fn loss(&self, batch: &Self::Batch, team: &Arc<Team>) -> Result<f64>;

    /// A batch's loss on the CPU, and its gradients.
    ///
    /// # Errors
    /// When the batch is not for this model.
    fn gradients(&self, batch: &Self::Batch, team: &Arc<Team>) -> Result<(f64, Self)>;

    /// Tokens or patches of a batch.
    fn size(batch: &Self::Batch) -> usize;

    /// Writes the model's directory: matrices in bf16 where `narrow`, all else in f32.
    ///
    /// # Errors
    /// When the directory holds a model already, or the system refuses.
    fn save(&self, dir: &Path, name: &str, narrow: bool) -> Result<()>;

    /// What the kernels of a GPU need to know of the model.
    ///
    /// # Errors
    /// When it cannot be trained there.
    #[cfg(feature = "cuda")]
    fn kernels(&self) -> Result<unspool_kernels::cuda::backward::Shape>;

    /// A batch's gradients on a GPU, of the weights that are there; its loss joins the report.
    ///
    /// # Errors
    /// When the batch is not for this model, or the device fails.
    #[cfg(feature = "cuda")]
    fn gradients_on(
        &self,
        training: &unspool_kernels::cuda::backward::Training,
        batch: &Self::Batch,
    ) -> Result<unspool_kernels::cuda::backward::TrainingGradients>;

    /// A batch's loss on a GPU, of the weights that are there.
    ///
    /// # Errors
    /// When the batch is not for this model, or the device fails.
    #[cfg(feature = "cuda")]
    fn loss_on(&self, training: &unspool_kernels::cuda::backward::Training, batch: &Self::Batch) -> Result<f64>;
}

/// What moves a model's weights, by batches `B`.
pub trait Trainer<B> {
    /// One step: the gradients of the batches' losses added up, then AdamW.
    ///
    /// The batches' weights must have been made for so many of them ([`SeriesBatch::share`], [`DnaBatch::share`]).
    ///
    /// # Errors
    /// When a batch is not for this model, or the device fails.
    fn step(&mut self, batches: &[B], step: &AdamStep) -> Result<()>;

    /// The loss of a batch, with the weights as they are.
    ///
    /// # Errors
    /// When the batch is not for this model, or the device fails.
    fn loss(&self, batch: &B) -> Result<f64>;

    /// What happened since the last report.
    ///
    /// # Errors
    /// When the device fails.
    fn report(&mut self) -> Result<Report>;

    /// Weights and moments, tensor by tensor in the order of [`Objective::tensors`].
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
