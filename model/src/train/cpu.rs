//! Training on the CPU: the readable form, and the one that gradients elsewhere are checked by.

use std::sync::Arc;

use unspool_kernels::cpu::Team;

use super::{AdamStep, Moments, Report, SeriesBatch, SeriesTrainer, SeriesWeights, optimizer::decays};
use crate::{
    Error, Result,
    backward::{CpuBackbone, Real},
    series::Alignment,
};

/// A series model on the CPU, for training.
pub struct CpuTrainer {
    weights: SeriesWeights,
    moments: Moments,
    decays: Vec<bool>,
    team: Arc<Team>,
    report: Report,
}

impl CpuTrainer {
    /// A run that begins with these weights.
    ///
    /// # Errors
    /// When the configuration cannot be trained.
    pub fn new(weights: SeriesWeights, team: Arc<Team>) -> Result<Self> {
        CpuBackbone::new(weights.config.clone(), weights.backbone.clone(), Arc::clone(&team))?;
        let specs = SeriesWeights::<f32>::specs(&weights.config, &weights.shape);
        let decays = specs.iter().map(|spec| decays(&spec.name, &spec.shape)).collect();
        let moments = Moments::fresh(weights.tensors().into_iter().map(|(_, values)| values.to_vec()).collect());
        Ok(Self { weights, moments, decays, team, report: Report::default() })
    }
}

impl SeriesTrainer for CpuTrainer {
    fn step(&mut self, batches: &[SeriesBatch], step: &AdamStep) -> Result<()> {
        let mut sum: Option<SeriesWeights> = None;
        for batch in batches {
            let (loss, gradients) = gradients(&self.weights, batch, &self.team)?;
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

    fn report(&mut self) -> Result<Report> {
        Ok(std::mem::take(&mut self.report))
    }

    fn moments(&self) -> Result<Moments> {
        Ok(self.moments.clone())
    }

    fn set_moments(&mut self, moments: &Moments) -> Result<()> {
        for tensors in [&moments.m, &moments.v, &moments.average] {
            self.weights.with(tensors.clone())?;
        }
        self.weights = self.weights.with(moments.weights.clone())?;
        self.moments.clone_from(moments);
        Ok(())
    }
}

/// A batch's loss and its gradients.
pub(super) fn gradients<T: Real>(
    weights: &SeriesWeights<T>,
    batch: &SeriesBatch,
    team: &Arc<Team>,
) -> Result<(f64, SeriesWeights<T>)> {
    let (t, d) = (batch.patches(), weights.config.d);
    let width = weights.shape.features().next_multiple_of(8);
    if batch.features.len() != t * width {
        return Err(Error::Input("the batch was made for patches of another length".into()));
    }
    let features: Vec<T> = batch.features.iter().map(|&value| T::from_f64(f64::from(value))).collect();
    let backbone = CpuBackbone::new(weights.config.clone(), weights.backbone.clone(), Arc::clone(team))?;
    let (rows, embed) = weights.embed.forward(team, (&features, width), t);
    let (hidden, tape) = backbone.forward_rows(rows, &batch.offsets)?;
    let (outputs, head) = weights.head.forward(team, (&hidden, d), t);
    let (loss, d_outputs) = loss(weights, batch, &outputs);
    let (head, d_hidden) = weights.head.backward(team, (&hidden, d), &head, &d_outputs);
    let gradients = backbone.backward_rows(&tape, &d_hidden())?;
    let (embed, _) = weights.embed.backward(team, (&features, width), &embed, &gradients.rows);
    let (config, shape) = (weights.config.clone(), weights.shape.clone());
    Ok((loss, SeriesWeights { config, shape, backbone: gradients.weights, embed, head }))
}

/// What the head says after each patch, `[t, reach * levels]`.
#[cfg(test)]
pub(super) fn outputs(weights: &SeriesWeights, batch: &SeriesBatch, team: &Arc<Team>) -> Result<Vec<f32>> {
    let width = weights.shape.features().next_multiple_of(8);
    let backbone = CpuBackbone::new(weights.config.clone(), weights.backbone.clone(), Arc::clone(team))?;
    let (rows, _) = weights.embed.forward(team, (&batch.features, width), batch.patches());
    let (hidden, _) = backbone.forward_rows(rows, &batch.offsets)?;
    Ok(weights.head.forward(team, (&hidden, weights.config.d), batch.patches()).0)
}

/// The loss, and its gradient for the outputs `[t, reach * levels]`.
fn loss<T: Real>(weights: &SeriesWeights<T>, batch: &SeriesBatch, outputs: &[T]) -> (f64, Vec<T>) {
    let (shape, count) = (&weights.shape, weights.shape.levels.len());
    let within = if shape.alignment == Alignment::Any { shape.patch } else { 0 };
    let (mut loss, mut d_outputs) = (0.0, vec![T::ZERO; outputs.len()]);
    let rows = outputs.chunks_exact(shape.outputs()).zip(d_outputs.chunks_exact_mut(shape.outputs()));
    for (t, (outputs, d_outputs)) in rows.enumerate() {
        let weight = f64::from(batch.weights[t]) / count as f64;
        let (anchor, step) = (f64::from(batch.anchors[t]), f64::from(batch.steps[t]));
        let each = outputs.chunks_exact(count).zip(d_outputs.chunks_exact_mut(count)).enumerate();
        for (ahead, (outputs, d_outputs)) in each {
            let at = batch.firsts[t] as usize + ahead;
            if batch.marks[at] & 1 == 0 || (ahead < within && batch.marks[at] & 2 != 0) {
                continue;
            }
            let value = libm::asinh((f64::from(batch.values[at]) - anchor) / step);
            for ((&output, d_output), level) in outputs.iter().zip(d_outputs).zip(&shape.levels) {
                let e = value - output.to_f64();
                let slope = if e > 0.0 { -level } else { 1.0 - level };
                loss -= weight * slope * e;
                *d_output = T::from_f64(weight * slope);
            }
        }
    }
    (loss, d_outputs)
}
