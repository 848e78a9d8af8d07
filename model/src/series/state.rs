//! What is remembered of a series beside the backbone's state.

use super::{
    Alignment, Prediction, Said, SeriesShape, anomaly, features,
    scaling::{Scale, Scaling},
};
use crate::{
    error::StateError,
    state::bytes::{Reader, Writer},
};

/// Causal statistics, the pending patch, the last raw values (`end`), and what was forecast after the last complete patch.
///
/// Of `any`, statistics and backbone are there twice: every `span` patches a young pair begins afresh, and the pair that
/// began `span` patches before takes the old one's place. A function of the number of patches alone, whatever the cuts.
#[derive(Clone, Debug)]
pub struct SeriesState {
    pub(super) scaling: Scaling,
    /// Of the young pair, once there is one.
    young: Option<Scaling>,
    /// Patches since the first that held a value, counted where pairs are: a state is compared with its saved form.
    patches: u64,
    /// See [`SeriesShape::span`].
    span: Option<u64>,
    /// Values of the patch that is not complete yet; NaN where missing.
    pub(super) pending: Vec<f64>,
    /// The last `context` values, a ring whose oldest stands at `recent_start`; empty for `any`.
    recent: Vec<f64>,
    recent_start: usize,
    /// After the last complete patch.
    pub(super) prediction: Option<Prediction>,
    patch: usize,
    context: usize,
    outputs: usize,
}

/// Patches that became complete.
#[derive(Default)]
pub(crate) struct Patches {
    /// `[l, 3 P + 4]`
    pub features: Vec<f32>,
    /// One a patch.
    pub scales: Vec<Scale>,
    /// The features for the young backbone, `[.., 3 P + 4]`.
    pub young: Vec<f32>,
}

impl Patches {
    /// There are any.
    pub(super) fn any(&self) -> bool {
        !self.scales.is_empty()
    }
}

impl SeriesState {
    pub(super) fn new(shape: &SeriesShape) -> Self {
        Self {
            scaling: Scaling::default(),
            young: None,
            patches: 0,
            span: shape.span(),
            pending: Vec::with_capacity(shape.patch),
            recent: vec![],
            recent_start: 0,
            prediction: None,
            patch: shape.patch,
            context: if shape.alignment == Alignment::End { shape.context } else { 0 },
            outputs: shape.reach() * shape.levels.len(),
        }
    }

    /// Remembers a value for the forecasts of `end` weights.
    pub(crate) fn remember(&mut self, value: f64) {
        if self.context == 0 {
            return;
        }
        if self.recent.len() < self.context {
            self.recent.push(value);
        } else {
            self.recent[self.recent_start] = value;
            self.recent_start = (self.recent_start + 1) % self.context;
        }
    }

    /// The last raw values, oldest first.
    pub(super) fn recent(&self) -> impl Iterator<Item = f64> + '_ {
        let (after, before) = self.recent.split_at(self.recent_start);
        before.iter().chain(after).copied()
    }

    /// Takes in a value; a patch that becomes complete joins `patches`.
    ///
    /// Returns the value's place in its patch.
    pub(crate) fn push(&mut self, value: f64, patches: &mut Patches) -> usize {
        let at = self.pending.len();
        self.pending.push(if value.is_finite() { value } else { f64::NAN });
        if self.pending.len() == self.patch {
            self.complete(patches);
            self.pending.clear();
        }
        at
    }

    /// Takes the pending values as a patch, missing values for the rest.
    pub(super) fn complete(&mut self, patches: &mut Patches) {
        self.pending.resize(self.patch, f64::NAN);
        if let Some((values, scales)) = self.scaling.push(&self.pending) {
            features::write(&values, &scales, &mut patches.features);
            patches.scales.push(scales[0]);
            self.patches += u64::from(self.span.is_some());
        }
        if let Some((values, scales)) = self.young.as_mut().and_then(|young| young.push(&self.pending)) {
            features::write(&values, &scales, &mut patches.young);
        }
    }

    /// The last complete patch was the last before a young pair begins.
    pub(crate) fn ends_span(&self) -> bool {
        self.patches > 0 && self.pending.is_empty() && self.span.is_some_and(|span| self.patches.is_multiple_of(span))
    }

    /// Begins a young pair. Returns whether the one before has seen a value, and so takes the old one's place.
    pub(crate) fn begin_span(&mut self) -> bool {
        let grown = self.young.replace(Scaling::default()).filter(Scaling::observed);
        grown.map(|grown| self.scaling = grown).is_some()
    }

    /// A fork that forecasts: the young pair and the last raw values stay behind, and so does what was said of the patch
    /// before, unless it stands where that patch ended.
    pub(super) fn fork(&self) -> Self {
        let prediction = if self.pending.is_empty() { self.prediction.clone() } else { None };
        let (pending, recent) = (self.pending.clone(), vec![]);
        Self { young: None, prediction, pending, recent, ..*self }
    }

    /// Whether the saved form has a young pair.
    pub(crate) fn pairs(&self) -> bool {
        self.span.is_some()
    }

    /// Whether there is a young pair as yet.
    pub(crate) fn has_young(&self) -> bool {
        self.young.is_some()
    }

    /// The value of a series that never showed another, once a patch's worth of it was observed.
    pub(crate) fn constant(&self) -> Option<f64> {
        let (value, count) = match self.context {
            0 => self.scaling.constant()?,
            _ => (self.recent().find(|v| v.is_finite())?, 0.0),
        };
        let mut loose = self.recent().chain(if self.context == 0 { &self.pending[..] } else { &[] }.iter().copied());
        let count = loose.try_fold(count, |count, v| match v {
            v if v.is_finite() && v != value => None,
            v => Some(count + f64::from(u8::from(v.is_finite()))),
        })?;
        (count >= self.patch as f64).then_some(value)
    }

    /// The p-value of a value that stands at place `at` of the patch after the one that `prediction` followed.
    pub(crate) fn score(prediction: Option<Said<'_>>, shape: &SeriesShape, at: usize, value: f64) -> f64 {
        let first = if shape.alignment == Alignment::Any { shape.patch } else { 0 };
        let quantiles = prediction.and_then(|p| p.step(first + at, shape.levels.len()).map(|q| (q, p.scale)));
        match quantiles {
            Some((quantiles, scale)) if value.is_finite() => {
                let mut quantiles: Vec<f64> = quantiles.iter().map(|q| f64::from(*q)).collect();
                quantiles.sort_by(f64::total_cmp);
                anomaly::p_value(scale.place(value), &quantiles, (&shape.levels, shape.tail))
            }
            _ => f64::NAN,
        }
    }

    /// What was said after the last complete patch.
    pub(crate) fn prediction(&self) -> Option<&Prediction> {
        self.prediction.as_ref()
    }

    /// Keeps what the head said after the last complete patch.
    pub(crate) fn predicted(&mut self, prediction: Prediction) {
        self.prediction = Some(prediction);
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        let counts = [self.pending.len(), self.recent.len(), usize::from(self.prediction.is_some())];
        writer.u64("series.counts", &counts.map(|n| n as u64));
        writer.f64("series.scaling", &self.scaling.to_array());
        writer.f64("series.pending", &fill(self.pending.clone(), self.patch));
        writer.f64("series.recent", &fill(self.recent().collect(), self.context));
        let scale = self.prediction.as_ref().map_or([0.0; 5], |p| {
            let Scale { unit, mean, deviation, anchor, step } = p.scale;
            [unit, mean, deviation, anchor, step]
        });
        writer.f64("series.prediction.scale", &scale);
        let zeros = vec![0.0; self.outputs];
        writer.f32("series.prediction.outputs", self.prediction.as_ref().map_or(&zeros, |p| &p.outputs));
        if self.span.is_some() {
            writer.u64("series.spans", &[self.patches, u64::from(self.young.is_some())]);
            writer.f64("series.young", &self.young.unwrap_or_default().to_array());
        }
    }

    pub(crate) fn read(&mut self, reader: &Reader<'_>) -> Result<(), StateError> {
        let counts = reader.u64("series.counts", 3)?;
        let cut = |mut values: Vec<f64>, count: u64| {
            values.truncate(usize::try_from(count).unwrap_or(usize::MAX));
            values
        };
        let scaling = reader.f64("series.scaling", 13)?;
        self.scaling = Scaling::from_array(std::array::from_fn(|i| scaling[i]));
        self.pending = cut(reader.f64("series.pending", self.patch)?, counts[0]);
        if self.pending.len() == self.patch {
            return Err(StateError::Content("the pending patch is full".into()));
        }
        self.recent = cut(reader.f64("series.recent", self.context)?, counts[1]);
        self.recent_start = 0;
        let scale = reader.f64("series.prediction.scale", 5)?;
        let scale = Scale { unit: scale[0], mean: scale[1], deviation: scale[2], anchor: scale[3], step: scale[4] };
        let outputs = reader.f32("series.prediction.outputs", self.outputs)?;
        self.prediction = (counts[2] > 0).then_some(Prediction { scale, outputs });
        if self.span.is_some() {
            let spans = reader.u64("series.spans", 2)?;
            let young = reader.f64("series.young", 13)?;
            self.patches = spans[0];
            self.young = (spans[1] > 0).then(|| Scaling::from_array(std::array::from_fn(|i| young[i])));
        }
        Ok(())
    }
}

fn fill(mut values: Vec<f64>, len: usize) -> Vec<f64> {
    values.resize(len, f64::NAN);
    values
}

/// Equal to the bit; missing values are equal to each other.
impl PartialEq for SeriesState {
    fn eq(&self, other: &Self) -> bool {
        let bits = |state: &Self| {
            let values = state.recent().chain(state.pending.iter().copied()).chain(state.scaling.to_array());
            let values = values.chain(state.young.iter().flat_map(|young| young.to_array()));
            (state.pending.len(), state.patches, values.map(f64::to_bits).collect::<Vec<_>>())
        };
        bits(self) == bits(other) && self.prediction == other.prediction
    }
}
