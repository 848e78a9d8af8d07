//! Patches as a trainer needs them: the features that serving makes, and what predictions are measured in.

use super::{features, scaling::Scaling};

/// The patches of one window, in order.
#[derive(Default)]
pub(crate) struct TrainingPatches {
    scaling: Scaling,
    values: Vec<f64>,
}

/// One patch.
pub(crate) struct TrainingPatch {
    /// What predictions are measured in: `asinh((value - anchor) / step)`.
    pub anchor: f32,
    /// Never 0.
    pub step: f32,
    /// Observed values.
    pub count: usize,
    /// Its last value was observed.
    pub whole: bool,
}

impl TrainingPatches {
    /// Takes in a patch (NaN: missing) and writes its features; `None`, and nothing written, before the first value.
    pub fn push(&mut self, values: impl Iterator<Item = f64>, features: &mut Vec<f32>) -> Option<TrainingPatch> {
        self.values.clear();
        self.values.extend(values);
        let (units, scales) = self.scaling.push(&self.values)?;
        features::write(&units, &scales, features);
        let scale = scales[0];
        Some(TrainingPatch {
            anchor: (scale.anchor * scale.unit) as f32,
            step: ((scale.step * scale.unit) as f32).max(f32::MIN_POSITIVE),
            count: self.values.iter().filter(|value| !value.is_nan()).count(),
            whole: self.values.last().is_some_and(|value| !value.is_nan()),
        })
    }
}
