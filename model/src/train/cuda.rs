//! Training on a GPU: everything between a batch and the moved weights stays on the card.

use std::sync::Arc;

use unspool_kernels::cuda::{
    Gpu,
    backward::{self, Precision, Training},
};

use super::{AdamStep, Moments, Objective, Report, Trainer, optimizer::decays};
use crate::{Result, backward::trainable, device::Weights};

/// A model on a GPU, for training.
pub struct CudaTrainer<W> {
    training: Training,
    moments: backward::Moments,
    /// What is trained; the weights themselves are on the card.
    objective: W,
}

impl<W: Objective> CudaTrainer<W> {
    /// A run that begins with these weights. `rows`: the type of products' operands; weights and moments are f32.
    ///
    /// # Errors
    /// When the configuration cannot be trained, or the card's memory does not suffice.
    pub fn new(weights: &W, gpu: Arc<Gpu>, rows: Weights) -> Result<Self> {
        trainable(weights.config())?;
        let precision = match rows {
            Weights::F32 => Precision::F32,
            Weights::Bf16 => Precision::Bf16,
        };
        let mut training = Training::new(gpu, weights.kernels()?, precision)?;
        let tensors = weights.tensors();
        training.set_weights(&tensors.iter().map(|(_, values)| *values).collect::<Vec<_>>())?;
        let decays: Vec<bool> = tensors.iter().map(|(spec, _)| decays(&spec.name, &spec.shape)).collect();
        let moments = training.moments(&decays)?;
        Ok(Self { training, moments, objective: weights.clone() })
    }

    /// A batch's gradients, tensor by tensor.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn gradients(&self, batch: &W::Batch) -> Result<Vec<Vec<f32>>> {
        Ok(self.training.weight_gradients(&self.objective.gradients_on(&self.training, batch)?)?)
    }
}

impl<W: Objective> Trainer<W::Batch> for CudaTrainer<W> {
    fn step(&mut self, batches: &[W::Batch], step: &AdamStep) -> Result<()> {
        let Some((first, rest)) = batches.split_first() else { return Ok(()) };
        let sum = self.objective.gradients_on(&self.training, first)?;
        for batch in rest {
            let gradients = self.objective.gradients_on(&self.training, batch)?;
            self.training.add(&sum, &gradients)?;
        }
        Ok(self.training.step(&sum, &mut self.moments, *step)?)
    }

    fn loss(&self, batch: &W::Batch) -> Result<f64> {
        self.objective.loss_on(&self.training, batch)
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
