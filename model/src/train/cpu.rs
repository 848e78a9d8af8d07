//! Training on the CPU: the readable form, and the one that gradients elsewhere are checked by.

use std::sync::Arc;

use unspool_kernels::cpu::Team;

use super::{AdamStep, Moments, Objective, Report, Trainer, optimizer::decays};
use crate::{Result, backward::trainable};

/// A model on the CPU, for training.
pub struct CpuTrainer<W> {
    weights: W,
    moments: Moments,
    decays: Vec<bool>,
    team: Arc<Team>,
    report: Report,
}

impl<W: Objective> CpuTrainer<W> {
    /// A run that begins with these weights.
    ///
    /// # Errors
    /// When the configuration cannot be trained.
    pub fn new(weights: W, team: Arc<Team>) -> Result<Self> {
        trainable(weights.config())?;
        let decays = weights.tensors().iter().map(|(spec, _)| decays(&spec.name, &spec.shape)).collect();
        let moments = Moments::fresh(weights.tensors().into_iter().map(|(_, values)| values.to_vec()).collect());
        Ok(Self { weights, moments, decays, team, report: Report::default() })
    }
}

impl<W: Objective> Trainer<W::Batch> for CpuTrainer<W> {
    fn step(&mut self, batches: &[W::Batch], step: &AdamStep) -> Result<()> {
        let mut sum: Option<W> = None;
        for batch in batches {
            let (loss, gradients) = self.weights.gradients(batch, &self.team)?;
            self.report.loss += loss;
            match &mut sum {
                None => sum = Some(gradients),
                Some(sum) => {
                    for (sum, (_, gradient)) in sum.tensors_mut().into_iter().zip(gradients.tensors()) {
                        sum.iter_mut().zip(gradient).for_each(|(sum, &gradient)| *sum += gradient);
                    }
                }
            }
        }
        let Some(sum) = sum else { return Ok(()) };
        let gradients: Vec<&[f32]> = sum.tensors().into_iter().map(|(_, values)| values).collect();
        let norm = self.moments.advance(&gradients, &self.decays, step);
        if norm.is_finite() {
            self.report.norms += norm;
            self.report.largest = self.report.largest.max(norm);
        } else {
            self.report.skipped += 1;
        }
        self.weights
            .tensors_mut()
            .into_iter()
            .zip(&self.moments.weights)
            .for_each(|(to, from)| to.copy_from_slice(from));
        Ok(())
    }

    fn loss(&self, batch: &W::Batch) -> Result<f64> {
        self.weights.loss(batch, &self.team)
    }

    fn report(&mut self) -> Result<Report> {
        Ok(std::mem::take(&mut self.report))
    }

    fn moments(&self) -> Result<Moments> {
        Ok(self.moments.clone())
    }

    fn set_moments(&mut self, moments: &Moments) -> Result<()> {
        for tensors in [&moments.m, &moments.v, &moments.average] {
            self.weights.replaced(tensors.clone())?;
        }
        self.weights = self.weights.replaced(moments.weights.clone())?;
        self.moments.clone_from(moments);
        Ok(())
    }
}
