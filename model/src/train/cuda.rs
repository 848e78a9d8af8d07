//! Training on a GPU: everything between a batch's patches and the moved weights stays on the card.

use std::sync::Arc;

use unspool_kernels::cuda::{
    Gpu,
    backward::{self, Precision, SeriesEnds, SeriesInput, Training},
};

use super::{AdamStep, Moments, Report, SeriesBatch, SeriesTrainer, SeriesWeights, optimizer::decays};
use crate::{Result, backward::cuda_shape, backward::trainable, device::Weights, series::Alignment};

/// A series model on a GPU, for training.
pub struct CudaTrainer {
    training: Training,
    moments: backward::Moments,
    levels: Vec<f32>,
}

impl CudaTrainer {
    /// A run that begins with these weights. `rows`: the type of products' operands; weights and moments are f32.
    ///
    /// # Errors
    /// When the configuration cannot be trained, or the card's memory does not suffice.
    pub fn new(weights: &SeriesWeights, gpu: Arc<Gpu>, rows: Weights) -> Result<Self> {
        trainable(&weights.config)?;
        let shape = &weights.shape;
        let ends = SeriesEnds {
            features: shape.features(),
            reach: shape.reach(),
            within: if shape.alignment == Alignment::Any { shape.patch } else { 0 },
            levels: shape.levels.len(),
        };
        let kernels = backward::Shape { series: Some(ends), ..cuda_shape(&weights.config)? };
        let precision = match rows {
            Weights::F32 => Precision::F32,
            Weights::Bf16 => Precision::Bf16,
        };
        let mut training = Training::new(gpu, kernels, precision)?;
        let tensors = weights.tensors();
        training.set_weights(&tensors.iter().map(|(_, values)| *values).collect::<Vec<_>>())?;
        let decays: Vec<bool> = tensors.iter().map(|(spec, _)| decays(&spec.name, &spec.shape)).collect();
        let moments = training.moments(&decays)?;
        Ok(Self { training, moments, levels: shape.levels.iter().map(|&level| level as f32).collect() })
    }

    fn input<'a>(&'a self, batch: &'a SeriesBatch) -> SeriesInput<'a> {
        let SeriesBatch { features, offsets, values, marks, firsts, anchors, steps, weights } = batch;
        SeriesInput { features, offsets, values, marks, firsts, anchors, steps, weights, levels: &self.levels }
    }

    /// A batch's gradients, tensor by tensor.
    ///
    /// # Errors
    /// As [`SeriesTrainer::step`].
    pub fn gradients(&self, batch: &SeriesBatch) -> Result<Vec<Vec<f32>>> {
        Ok(self.training.weight_gradients(&self.training.series_gradients(&self.input(batch))?)?)
    }
}

impl SeriesTrainer for CudaTrainer {
    fn step(&mut self, batches: &[SeriesBatch], step: &AdamStep) -> Result<()> {
        let Some((first, rest)) = batches.split_first() else { return Ok(()) };
        let sum = self.training.series_gradients(&self.input(first))?;
        for batch in rest {
            let gradients = self.training.series_gradients(&self.input(batch))?;
            self.training.add(&sum, &gradients)?;
        }
        Ok(self.training.step(&sum, &mut self.moments, *step)?)
    }

    fn report(&mut self) -> Result<Report> {
        Ok(self.training.report()?)
    }

    fn moments(&self) -> Result<Moments> {
        let [weights, m, v, average] = self.training.read(&self.moments)?;
        Ok(Moments { weights, m, v, average })
    }

    fn set_moments(&mut self, moments: &Moments) -> Result<()> {
        let Moments { weights, m, v, average } = moments;
        let all = [weights, m, v, average].map(|tensors| tensors.iter().map(Vec::as_slice).collect::<Vec<_>>());
        Ok(self.training.write(&self.moments, [&all[0], &all[1], &all[2], &all[3]])?)
    }
}
