//! What a training step is told and tells, on any device.

/// One step of AdamW (arXiv 1711.05101).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// Steps with this one: 1 is the first.
    pub step: u64,
    /// Learning rate.
    pub rate: f32,
    /// Decay of the gradients' average.
    pub beta1: f32,
    /// Decay of the average of their squares.
    pub beta2: f32,
    /// Added to the root of that.
    pub eps: f32,
    /// Weight decay, times the rate, of the tensors that decay.
    pub decay: f32,
    /// Gradients of a larger norm are shrunk to this one.
    pub clip: f32,
    /// What stays of the weights' running average.
    pub keep: f32,
}

/// What happened since the last report.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Report {
    /// Sum of the losses of batches.
    pub loss: f64,
    /// Sum of the gradients' norms, before they were clipped.
    pub norms: f64,
    /// The largest norm.
    pub largest: f64,
    /// Steps that were left out, because their gradient was not finite.
    pub skipped: u64,
}
