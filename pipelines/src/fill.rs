//! Missing values filled in: forecast from both sides, and blended across each gap.
//!
//! A gap's values are forecast from the session's state before it, and, in the series turned round, from the state after it; a
//! value's two estimates weigh by how near their sides are. A gap at the start has one side only, and so has one at the end.

mod job;
#[cfg(test)]
mod tests;

use std::ops::Range;

use unspool_model::{Events, Item, Model, Options, State};

pub use self::job::{FillOptions, Filler};
use crate::{Error, Result};

/// Missing values in a row that are filled at most: models forget over such a length.
pub const LONGEST: usize = 4096;
/// Values that a gap's forecasts may come to at once, all series together: their quantiles take 9 times 8 bytes each.
const AT_ONCE: usize = 1 << 20;

/// What a missing value may have been.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The median.
    pub median: f64,
    /// The least and the greatest quantile that the model forecasts.
    pub low: f64,
    /// See `low`.
    pub high: f64,
}

impl Estimate {
    /// Between this one and another, which weighs `share`.
    fn blend(self, other: Self, share: f64) -> Self {
        let between = |a: f64, b: f64| a + (b - a) * share;
        Self {
            median: between(self.median, other.median),
            low: between(self.low, other.low),
            high: between(self.high, other.high),
        }
    }
}

/// Estimates of the missing values (NaN) of each series, `None` where a value is there or nothing can be said: in a gap of
/// more than [`LONGEST`] values, and in a series without a value.
///
/// # Errors
/// When the model is not for series, or fails.
pub fn fill(model: &Model, series: &[&[f64]]) -> Result<Vec<Vec<Option<Estimate>>>> {
    let turned: Vec<Vec<f64>> = series.iter().map(|values| values.iter().rev().copied().collect()).collect();
    let turned: Vec<&[f64]> = turned.iter().map(Vec::as_slice).collect();
    let mut forward = from_one_side(model, series)?;
    let backward = from_one_side(model, &turned)?;
    for ((values, forward), backward) in series.iter().zip(&mut forward).zip(backward) {
        for gap in gaps(values) {
            for (place, i) in gap.clone().enumerate() {
                let share = (place + 1) as f64 / (gap.len() + 1) as f64;
                forward[i] = match (forward[i], backward[values.len() - 1 - i]) {
                    (Some(before), Some(after)) => Some(before.blend(after, share)),
                    (one, other) => one.or(other),
                };
            }
        }
    }
    Ok(forward)
}

/// Runs of missing values.
fn gaps(values: &[f64]) -> Vec<Range<usize>> {
    let mut gaps: Vec<Range<usize>> = vec![];
    for i in (0..values.len()).filter(|i| values[*i].is_nan()) {
        match gaps.last_mut() {
            Some(gap) if gap.end == i => gap.end = i + 1,
            _ => gaps.push(i..i + 1),
        }
    }
    gaps
}

/// One series on its way.
struct Walk<'a> {
    values: &'a [f64],
    state: State,
    /// Values fed so far.
    fed: usize,
    gaps: std::vec::IntoIter<Range<usize>>,
    found: Vec<Option<Estimate>>,
}

/// Estimates from the values before each gap.
fn from_one_side(model: &Model, series: &[&[f64]]) -> Result<Vec<Vec<Option<Estimate>>>> {
    let walk = |values: &&'_ [f64]| {
        let gaps: Vec<_> = gaps(values).into_iter().filter(|gap| gap.start > 0 && gap.len() <= LONGEST).collect();
        let (state, found) = (model.open(&Options::default())?, vec![None; values.len()]);
        Ok::<_, Error>((state, gaps.into_iter(), found))
    };
    let mut walks = vec![];
    for values in series {
        let (state, gaps, found) = walk(values)?;
        walks.push(Walk { values, state, fed: 0, gaps, found });
    }
    loop {
        let mut here: Vec<(&mut Walk<'_>, Range<usize>)> =
            walks.iter_mut().filter_map(|walk| walk.gaps.next().map(|gap| (walk, gap))).collect();
        if here.is_empty() {
            return Ok(walks.into_iter().map(|walk| walk.found).collect());
        }
        // Gaps of like lengths together: a call's forecasts are of one length.
        here.sort_by_key(|(_, gap)| gap.len());
        let mut rest = &mut here[..];
        while let Some((_, shortest)) = rest.first() {
            let alike = 2 * shortest.len();
            let most = (AT_ONCE / alike).max(1);
            let count = rest.iter().take_while(|(_, gap)| gap.len() <= alike).count().min(most);
            let (some, others) = rest.split_at_mut(count);
            estimate(model, some)?;
            rest = others;
        }
    }
}

/// Feeds what comes before each gap, and forecasts the gap.
fn estimate(model: &Model, here: &mut [(&mut Walk<'_>, Range<usize>)]) -> Result<()> {
    let items = here.iter_mut().map(|(walk, gap)| {
        let events = Events::Values(&walk.values[walk.fed..gap.start]);
        walk.fed = gap.start;
        Item { state: &mut walk.state, events }
    });
    model.append(&mut items.collect::<Vec<_>>())?;
    let longest = here.iter().map(|(_, gap)| gap.len()).max().unwrap_or(0);
    let states: Vec<&State> = here.iter().map(|(walk, _)| &walk.state).collect();
    let forecasts = model.forecast(&states, longest)?;
    for ((walk, gap), forecast) in here.iter_mut().zip(forecasts).filter(|(_, forecast)| forecast.reason.is_none()) {
        let levels = forecast.levels.len();
        for (i, quantiles) in gap.clone().zip(forecast.values.chunks_exact(levels)) {
            let (median, low, high) = (quantiles[levels / 2], quantiles[0], quantiles[levels - 1]);
            walk.found[i] = Some(Estimate { median, low, high });
        }
    }
    Ok(())
}
