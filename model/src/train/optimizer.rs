//! AdamW with clipped gradients and a running average of the weights.

use half::bf16;
pub use unspool_kernels::training::{AdamStep, Report};

/// Weights and what an optimiser remembers of them, tensor by tensor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments {
    /// The weights.
    pub weights: Vec<Vec<f32>>,
    /// Averages of the gradients.
    pub m: Vec<Vec<f32>>,
    /// Averages of their squares.
    pub v: Vec<Vec<f32>>,
    /// The running average of the weights.
    pub average: Vec<Vec<f32>>,
}

impl Moments {
    /// Those of a run that begins with these weights.
    #[must_use]
    pub fn fresh(weights: Vec<Vec<f32>>) -> Self {
        let zeros: Vec<Vec<f32>> = weights.iter().map(|tensor| vec![0.0; tensor.len()]).collect();
        Self { average: weights.clone(), m: zeros.clone(), v: zeros, weights }
    }

    /// Rounds all but the weights to bf16, as a checkpoint keeps them: a run that goes on from the rounded values goes on
    /// as one that loads the checkpoint.
    pub fn round(&mut self) {
        let tensors = [&mut self.m, &mut self.v, &mut self.average].into_iter().flatten().flatten();
        tensors.for_each(|value| *value = bf16::from_f32(*value).to_f32());
    }

    /// Adds a step's gradients, tensor by tensor.
    ///
    /// Returns the gradients' norm; when that is not finite nothing moves.
    pub(super) fn advance(&mut self, gradients: &[&[f32]], decays: &[bool], step: &AdamStep) -> f64 {
        let norm = libm::sqrt(gradients.iter().copied().flatten().map(|&g| f64::from(g) * f64::from(g)).sum());
        if !norm.is_finite() {
            return norm;
        }
        let correction = |beta: f32| (1.0 - libm::pow(f64::from(beta), step.step as f64)) as f32;
        let corrections = [correction(step.beta1), correction(step.beta2)];
        let shrink = (step.clip / (norm as f32 + 1e-6)).min(1.0);
        for (i, gradients) in gradients.iter().enumerate() {
            let decay = if decays[i] { step.rate * step.decay } else { 0.0 };
            let (m, v) = (&mut self.m[i], &mut self.v[i]);
            let moments = m.iter_mut().zip(v).zip(&mut self.average[i]);
            for ((w, ((m, v), average)), &g) in self.weights[i].iter_mut().zip(moments).zip(*gradients) {
                let g = g * shrink;
                *m = step.beta1 * *m + (1.0 - step.beta1) * g;
                *v = step.beta2 * *v + (1.0 - step.beta2) * g * g;
                *w -= decay * *w;
                *w -= step.rate * (*m / corrections[0]) / (libm::sqrtf(*v / corrections[1]) + step.eps);
                *average += (1.0 - step.keep) * (*w - *average);
            }
        }
        norm
    }
}

/// Whether a tensor's weights decay: matrices and filters do, A_log does not.
pub(super) fn decays(name: &str, shape: &[usize]) -> bool {
    shape.len() > 1 && !name.ends_with("A_log")
}
