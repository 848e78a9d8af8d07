//! Causal statistics of a series, moved on patch by patch: what its values are measured against.
//!
//! Values are seen in two ways: against the mean and deviation of all history, and against the *anchor* (the last
//! observed value) in units of the *step* (the root mean square of the values' distance from the previous anchor, decayed
//! by 0.97 a patch). All f64, all O(1).

/// What each patch's distances are decayed by.
const DECAY: f64 = 0.97;
/// Values are clamped to this many units, so that squares stay finite.
const LARGEST: f64 = 1e150;
/// First magnitudes in this range are taken as they are; others are measured in a power of two of their own.
const PLAIN: std::ops::RangeInclusive<f64> = 9.5e-7..=1.3e30;

/// The statistics after the patches so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scaling {
    /// The power of two that values are divided by; 0 while only zeros were seen.
    unit: f64,
    /// Observed values, their sum and sum of squares.
    count: f64,
    sum: f64,
    squares: f64,
    /// Decayed sums of squared distances from the previous anchor, and of their number.
    distances: f64,
    distance_count: f64,
    /// Two values were observed that differ.
    varied: bool,
    /// Of the last patch.
    last: Option<Scale>,
}

/// What one patch is measured against, in units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scale {
    /// Raw values are these times the unit.
    pub unit: f64,
    /// Mean of all history.
    pub mean: f64,
    /// Deviation of all history, never 0.
    pub deviation: f64,
    /// Last observed value.
    pub anchor: f64,
    /// Step, never 0.
    pub step: f64,
}

impl Scale {
    /// A head's output in the unit of the series: `sinh(q) step + anchor`.
    pub(crate) fn value(&self, q: f32) -> f64 {
        let value = (super::sinh::sinh(f64::from(q)) * self.step + self.anchor) * self.unit;
        value.clamp(-f64::MAX, f64::MAX)
    }

    /// The inverse of [`Scale::value`].
    pub(crate) fn place(&self, value: f64) -> f64 {
        libm::asinh((value / self.unit - self.anchor) / self.step)
    }
}

impl Scaling {
    /// Takes in one patch (NaN: missing) and gives the patch in units, and its scale and the one before it.
    ///
    /// `None`, and no change, while no value was ever observed: a series starts at the first patch that holds a value.
    pub(crate) fn push(&mut self, patch: &[f64]) -> Option<(Vec<f64>, [Scale; 2])> {
        let first = patch.iter().find(|v| !v.is_nan());
        if self.last.is_none() && first.is_none() {
            return None;
        }
        if self.unit == 0.0 {
            self.unit = patch.iter().find(|v| v.abs() > 0.0).map_or(0.0, |v| unit(v.abs()));
        }
        let unit = if self.unit == 0.0 { 1.0 } else { self.unit };
        let values: Vec<f64> = patch.iter().map(|v| (v / unit).clamp(-LARGEST, LARGEST)).collect();
        let previous = self.last.map_or_else(|| first_of(&values), |last| last.anchor);
        let (mut count, mut sum, mut squares, mut distances, mut anchor) = (0.0, 0.0, 0.0, 0.0, previous);
        for &value in values.iter().filter(|v| !v.is_nan()) {
            self.varied |= value != previous;
            count += 1.0;
            sum += value;
            squares += value * value;
            distances += (value - previous) * (value - previous);
            anchor = value;
        }
        self.count += count;
        self.sum += sum;
        self.squares += squares;
        self.distances = DECAY * self.distances + distances;
        self.distance_count = DECAY * self.distance_count + count;
        let scale = self.scale(unit, anchor);
        let before = self.last.map_or(scale, |last| Scale { unit, ..last });
        self.last = Some(scale);
        Some((values, [scale, before]))
    }

    /// The one value that was observed again and again, and how often.
    pub(crate) fn constant(&self) -> Option<(f64, f64)> {
        self.last.filter(|_| !self.varied).map(|last| (last.anchor * last.unit, self.count))
    }

    /// A value was observed in a complete patch.
    pub(crate) fn observed(&self) -> bool {
        self.last.is_some()
    }

    fn scale(&self, unit: f64, anchor: f64) -> Scale {
        let (mean, square) = (self.sum / self.count.max(1.0), self.squares / self.count.max(1.0));
        let floor = 1e-5 * libm::sqrt(square) + 1e-8;
        let deviation = libm::sqrt((square - mean * mean).max(0.0)).max(floor);
        let step = libm::sqrt(self.distances / (self.distance_count + 1e-12)).max(floor);
        Scale { unit, mean, deviation, anchor, step }
    }

    /// The statistics as numbers, for saving.
    pub(crate) fn to_array(self) -> [f64; 13] {
        let Self { unit, count, sum, squares, distances, distance_count, varied, last } = self;
        let varied = f64::from(u8::from(varied));
        let s = last.unwrap_or(Scale { unit: 0.0, mean: 0.0, deviation: 0.0, anchor: 0.0, step: 0.0 });
        let seen = f64::from(u8::from(last.is_some()));
        let last = [seen, s.unit, s.mean, s.deviation, s.anchor, s.step];
        let sums = [unit, count, sum, squares, distances, distance_count, varied];
        std::array::from_fn(|i| if i < sums.len() { sums[i] } else { last[i - sums.len()] })
    }

    /// The inverse of [`Scaling::to_array`].
    pub(crate) fn from_array(values: [f64; 13]) -> Self {
        let [unit, count, sum, squares, distances, distance_count, varied, seen, last @ ..] = values;
        let varied = varied > 0.0;
        let [last_unit, mean, deviation, anchor, step] = last;
        let last = (seen > 0.0).then_some(Scale { unit: last_unit, mean, deviation, anchor, step });
        Self { unit, count, sum, squares, distances, distance_count, varied, last }
    }
}

fn first_of(values: &[f64]) -> f64 {
    values.iter().copied().find(|v| !v.is_nan()).unwrap_or(0.0)
}

/// The unit of a series whose first magnitude is `first`: 1, or for very large and very small ones a power of two near it.
fn unit(first: f64) -> f64 {
    if PLAIN.contains(&first) { 1.0 } else { libm::exp2(libm::floor(libm::log2(first)).clamp(-1000.0, 1000.0)) }
}
