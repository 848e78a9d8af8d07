//! Windows of series made into patches: features as serving makes them, and what the loss measures predictions by.

use std::{ops::Range, thread};

use crate::{
    Error, Result,
    series::{Alignment, SeriesShape, TrainingPatch, TrainingPatches},
};

/// Observed values that a series must have shown before its predictions count.
const FEWEST: usize = 3;

/// Windows of one length, row-major `[windows, len]`.
#[derive(Clone, Copy, Debug)]
pub struct WindowSlices<'a> {
    /// Values of a window: whole patches, then the horizon.
    pub len: usize,
    /// The values; anything where they are not known.
    pub values: &'a [f32],
    /// Whether a value is known: it counts in the loss.
    pub known: &'a [bool],
    /// Whether the model sees it.
    pub observed: &'a [bool],
}

impl WindowSlices<'_> {
    fn seen(&self, i: usize) -> bool {
        self.known[i] && self.observed[i]
    }
}

/// Patches of windows packed end to end, ready for a step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeriesBatch {
    /// `[t, f]`, with zeros up to a multiple of 8.
    pub(super) features: Vec<f32>,
    /// The windows' first patches, and the end.
    pub(super) offsets: Vec<usize>,
    /// The windows' values; 0 where not known.
    pub(super) values: Vec<f32>,
    /// 1: known, 2: observed.
    pub(super) marks: Vec<u8>,
    /// Where each patch's predictions begin among the values, `[t]`.
    pub(super) firsts: Vec<u32>,
    /// `[t]` each.
    pub(super) anchors: Vec<f32>,
    pub(super) steps: Vec<f32>,
    pub(super) weights: Vec<f32>,
}

impl SeriesBatch {
    /// Makes a batch. What a partly filled patch predicts weighs `partial` times what others do.
    ///
    /// A window starts at its first patch that holds an observed value, as a series does. The weights of all terms add up
    /// to 1 ([`Self::share`] divides them).
    ///
    /// # Errors
    /// When the windows' sizes do not go together, or a value that is known is not finite.
    pub fn new(shape: &SeriesShape, windows: WindowSlices<'_>, partial: f32, threads: usize) -> Result<Self> {
        let WindowSlices { len, values, known, observed } = windows;
        let wrong = |problem: String| Err(Error::Input(problem));
        if len <= shape.horizon || !(len - shape.horizon).is_multiple_of(shape.patch) {
            return wrong(format!(
                "windows of {len} values are not patches of {} and {} more",
                shape.patch, shape.horizon
            ));
        }
        if !values.len().is_multiple_of(len) || known.len() != values.len() || observed.len() != values.len() {
            return wrong(format!(
                "{} values, {} and {} marks: no windows of {len}",
                values.len(),
                known.len(),
                observed.len()
            ));
        }
        if values.len() > u32::MAX as usize {
            return wrong(format!("{} values in a batch: {} are the most", values.len(), u32::MAX));
        }
        if let Some(at) = (0..values.len()).find(|&i| known[i] && !values[i].is_finite()) {
            return wrong(format!("value {} of window {} is {}", at % len, at / len, values[at]));
        }
        let count = values.len() / len;
        let share = count.div_ceil(threads.max(1)).max(1);
        let parts: Vec<Range<usize>> = (0..count).step_by(share).map(|first| first..count.min(first + share)).collect();
        let parts: Vec<(Self, Vec<u32>)> = thread::scope(|scope| {
            let part = |range| scope.spawn(move || Self::part(shape, windows, range, partial));
            let threads: Vec<_> = parts.into_iter().map(part).collect();
            threads.into_iter().flat_map(|thread| thread.join()).collect()
        });
        let mut batch = Self { offsets: vec![0], ..Self::default() };
        let mut sum = 0.0;
        for (part, terms) in parts {
            let each = part.weights.iter().zip(&terms);
            each.for_each(|(&weight, &terms)| sum += f64::from(weight) * f64::from(terms));
            batch.append(part);
        }
        batch.scale(if sum > 0.0 { 1.0 / sum } else { 0.0 });
        batch.values = values.iter().zip(known).map(|(&value, &known)| if known { value } else { 0.0 }).collect();
        let mark = |(&known, &observed): (&bool, &bool)| u8::from(known) + 2 * u8::from(known && observed);
        batch.marks = known.iter().zip(observed).map(mark).collect();
        Ok(batch)
    }

    /// Patches in it.
    #[must_use]
    pub fn patches(&self) -> usize {
        self.firsts.len()
    }

    /// Makes it one of `batches` whose losses are added up.
    pub fn share(&mut self, batches: usize) {
        self.scale(1.0 / batches.max(1) as f64);
    }

    fn scale(&mut self, by: f64) {
        self.weights.iter_mut().for_each(|weight| *weight = (f64::from(*weight) * by) as f32);
    }

    /// The patches of some windows, and how many terms of the loss each has.
    fn part(shape: &SeriesShape, windows: WindowSlices<'_>, range: Range<usize>, partial: f32) -> (Self, Vec<u32>) {
        let (mut part, mut terms) = (Self { offsets: vec![0], ..Self::default() }, vec![]);
        let width = shape.features();
        let padding = vec![0.0; width.next_multiple_of(8) - width];
        let (len, patches) = (windows.len, (windows.len - shape.horizon) / shape.patch);
        let ahead = if shape.alignment == Alignment::Any { 0 } else { shape.patch };
        for window in range {
            let (mut series, mut seen) = (TrainingPatches::default(), 0);
            for patch in 0..patches {
                let first = window * len + patch * shape.patch;
                let at = first..first + shape.patch;
                let values = at.map(|i| if windows.seen(i) { f64::from(windows.values[i]) } else { f64::NAN });
                let pushed = series.push(values, &mut part.features);
                let Some(TrainingPatch { anchor, step, count, whole }) = pushed else { continue };
                part.features.extend_from_slice(&padding);
                seen += count;
                let predicted = first + ahead..first + ahead + shape.reach();
                let counts = |i: &usize| windows.known[*i] && !(*i < first + shape.patch && windows.observed[*i]);
                terms.push(predicted.filter(counts).count() as u32);
                part.firsts.push((first + ahead) as u32);
                part.anchors.push(anchor);
                part.steps.push(step);
                let weight = if whole || count == 0 { 1.0 } else { partial };
                part.weights.push(if seen >= FEWEST { weight } else { 0.0 });
            }
            part.offsets.push(part.firsts.len());
        }
        (part, terms)
    }

    fn append(&mut self, part: Self) {
        let patches = self.firsts.len();
        self.offsets.extend(part.offsets[1..].iter().map(|offset| offset + patches));
        self.features.extend(part.features);
        self.firsts.extend(part.firsts);
        self.anchors.extend(part.anchors);
        self.steps.extend(part.steps);
        self.weights.extend(part.weights);
    }
}
