//! The objective of a series model: the quantile loss of what comes after each patch.

use std::{path::Path, sync::Arc};

use unspool_kernels::cpu::Team;
#[cfg(feature = "cuda")]
use unspool_kernels::cuda::backward::{SeriesEnds, SeriesInput, Shape, Training, TrainingGradients};

use super::{Objective, SeriesBatch, SeriesWeights};
#[cfg(feature = "cuda")]
use crate::backward::cuda_shape;
use crate::{
    Error, Result,
    backward::{CpuBackbone, Real},
    config::Config,
    series::Alignment,
    weights::Spec,
};

impl Objective for SeriesWeights {
    type Batch = SeriesBatch;

    fn config(&self) -> &Config {
        &self.config
    }

    fn tensors(&self) -> Vec<(Spec, &[f32])> {
        self.tensors()
    }

    fn tensors_mut(&mut self) -> Vec<&mut [f32]> {
        self.tensors_mut()
    }

    fn replaced(&self, tensors: Vec<Vec<f32>>) -> Result<Self> {
        self.with(tensors)
    }

    fn loss(&self, batch: &SeriesBatch, team: &Arc<Team>) -> Result<f64> {
        Ok(loss(self, batch, &outputs(self, batch, team)?).0)
    }

    fn gradients(&self, batch: &SeriesBatch, team: &Arc<Team>) -> Result<(f64, Self)> {
        gradients(self, batch, team)
    }

    fn size(batch: &SeriesBatch) -> usize {
        batch.patches()
    }

    fn save(&self, dir: &Path, name: &str, narrow: bool) -> Result<()> {
        self.save(dir, name, narrow)
    }

    #[cfg(feature = "cuda")]
    fn kernels(&self) -> Result<Shape> {
        let shape = &self.shape;
        let ends = SeriesEnds {
            features: shape.features(),
            reach: shape.reach(),
            within: if shape.alignment == Alignment::Any { shape.patch } else { 0 },
            levels: shape.levels.len(),
        };
        Ok(Shape { series: Some(ends), ..cuda_shape(&self.config)? })
    }

    #[cfg(feature = "cuda")]
    fn gradients_on(&self, training: &Training, batch: &SeriesBatch) -> Result<TrainingGradients> {
        Ok(training.series_gradients(&input(batch, &self.levels()))?)
    }

    #[cfg(feature = "cuda")]
    fn loss_on(&self, training: &Training, batch: &SeriesBatch) -> Result<f64> {
        let outputs = training.series_outputs(&input(batch, &self.levels()))?;
        Ok(loss(self, batch, &outputs).0)
    }
}

#[cfg(feature = "cuda")]
impl SeriesWeights {
    fn levels(&self) -> Vec<f32> {
        self.shape.levels.iter().map(|&level| level as f32).collect()
    }
}

#[cfg(feature = "cuda")]
fn input<'a>(batch: &'a SeriesBatch, levels: &'a [f32]) -> SeriesInput<'a> {
    let SeriesBatch { features, offsets, values, marks, firsts, anchors, steps, weights } = batch;
    SeriesInput { features, offsets, values, marks, firsts, anchors, steps, weights, levels }
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
pub(super) fn outputs(weights: &SeriesWeights, batch: &SeriesBatch, team: &Arc<Team>) -> Result<Vec<f32>> {
    let width = weights.shape.features().next_multiple_of(8);
    if batch.features.len() != batch.patches() * width {
        return Err(Error::Input("the batch was made for patches of another length".into()));
    }
    let backbone = CpuBackbone::new(weights.config.clone(), weights.backbone.clone(), Arc::clone(team))?;
    let (rows, _) = weights.embed.forward(team, (&batch.features, width), batch.patches());
    let (hidden, _) = backbone.forward_rows(rows, &batch.offsets)?;
    Ok(weights.head.forward(team, (&hidden, weights.config.d), batch.patches()).0)
}

/// The loss, and its gradient for the outputs `[t, reach * levels]`.
pub(super) fn loss<T: Real>(weights: &SeriesWeights<T>, batch: &SeriesBatch, outputs: &[T]) -> (f64, Vec<T>) {
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
