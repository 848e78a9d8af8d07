//! Sessions that never end: forecasts from a state that was fed a long series from its start, beside those from a fresh
//! state that was fed the last 4,096 values only.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use unspool_model::{Events, Item, Model, Options, State, series::Alignment};

use super::{
    History, Result, Score, Task, Window, forecast, predict,
    task::Quantiles,
    validation::{held_out_series, long_family},
};

/// What the fresh state is fed.
pub(crate) const FRESH: usize = 4096;
/// Positions of the forecasts, in values: every so many, a prime, so that they fall on all places of a patch.
const EVERY: usize = 701;
/// Bounds of the bands of positions.
const BANDS: [usize; 4] = [0, FRESH, 20_000, usize::MAX];
/// Steps of a season, and to forecast.
const SEASON: usize = 24;
const HORIZON: usize = 48;

/// Positions from one to another, and the scores there.
#[derive(Clone, Debug)]
pub struct Band {
    /// Values that the session had been fed: more than the first and at most the second (no bound: [`usize::MAX`]).
    pub positions: (usize, usize),
    /// Forecasts.
    pub forecasts: usize,
    /// Of the session.
    pub session: Score,
    /// Of the fresh state.
    pub fresh: Score,
    /// Within these the ratio of the two MASE lies 19 times of 20, as positions are drawn anew: forecasts of all series at
    /// one position err together, so that they are drawn together. NaN for fewer than two positions.
    pub interval: (f64, f64),
}

/// Times that positions are drawn anew, always the same.
const DRAWS: usize = 2000;
const SEED: u64 = 0x0e5d;

impl Band {
    /// The session's score as a share of the fresh state's.
    #[must_use]
    pub fn ratio(&self) -> Score {
        self.session.over(self.fresh)
    }
}

/// Runs sessions over the held-out series of the folder that have more values than the last band begins with.
///
/// `None` for a model that encodes its last values anew for each forecast: its sessions are fresh windows.
///
/// # Errors
/// When a file is missing, or the model is not for series, or refuses.
pub fn endless(model: &Model, dir: &Path) -> Result<Option<Vec<Band>>> {
    predict::check(model)?;
    if model.series_shape().is_none_or(|shape| shape.alignment == Alignment::End) {
        return Ok(None);
    }
    let series: Vec<Arc<[f64]>> = held_out_series(dir, long_family())?.into_iter().map(|(_, values)| values).collect();
    let (windows, sessions) = run(model, &series)?;
    let fresh = forecast(model, &windows, History::Last(FRESH))?;
    let bands = BANDS.windows(2).map(|bounds| {
        let within = |window: &Window| bounds[0] < window.context().len() && window.context().len() <= bounds[1];
        let score = |forecasts: &[Quantiles]| {
            let (windows, forecasts): (Vec<Window>, Vec<Quantiles>) =
                (windows.iter().zip(forecasts)).filter(|(w, _)| within(w)).map(|(w, f)| (w.clone(), f.clone())).unzip();
            Task { name: String::new(), horizon: HORIZON, season: SEASON, windows }.score(&forecasts)
        };
        let mut errors = BTreeMap::<usize, Vec<(f64, f64)>>::new();
        for ((window, session), fresh) in windows.iter().zip(&sessions).zip(&fresh).filter(|((w, _), _)| within(w)) {
            let mase = |forecast: &Quantiles| {
                let windows = vec![window.clone()];
                Task { name: String::new(), horizon: HORIZON, season: SEASON, windows }
                    .score(std::slice::from_ref(forecast))
                    .mase
            };
            errors.entry(window.context().len()).or_default().push((mase(session), mase(fresh)));
        }
        Band {
            positions: (bounds[0], bounds[1]),
            forecasts: errors.values().map(Vec::len).sum(),
            session: score(&sessions),
            fresh: score(&fresh),
            interval: interval(&errors.into_values().collect::<Vec<_>>()),
        }
    });
    Ok(Some(bands.collect()))
}

/// The 2.5th and the 97.5th percentile of the ratio of two sums, over drawings of the blocks that the pairs come in.
fn interval(blocks: &[Vec<(f64, f64)>]) -> (f64, f64) {
    if blocks.len() < 2 {
        return (f64::NAN, f64::NAN);
    }
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut ratios: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let drawn = (0..blocks.len()).flat_map(|_| &blocks[random.random_range(0..blocks.len())]);
            let known = drawn.filter(|(a, b)| a.is_finite() && b.is_finite());
            let (a, b) = known.fold((0.0, 0.0), |(a, b), pair| (a + pair.0, b + pair.1));
            a / b
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    (ratios[DRAWS / 40], ratios[DRAWS - 1 - DRAWS / 40])
}

/// Feeds sessions to the end, and forecasts on the way.
fn run(model: &Model, series: &[Arc<[f64]>]) -> Result<(Vec<Window>, Vec<Quantiles>)> {
    let mut states = series.iter().map(|_| model.open(&Options::default())).collect::<Result<Vec<State>, _>>()?;
    let (mut windows, mut forecasts) = (vec![], vec![]);
    let longest = series.iter().map(|values| values.len()).max().unwrap_or(0);
    for position in (EVERY..longest).step_by(EVERY) {
        let here: Vec<Option<Window>> = series.iter().map(|values| asks(values, position)).collect();
        let mut items: Vec<Item<'_>> = (states.iter_mut().zip(series))
            .map(|(state, values)| {
                let events = &values[(position - EVERY).min(values.len())..position.min(values.len())];
                Item { state, events: Events::Values(events) }
            })
            .collect();
        model.append(&mut items)?;
        let asked: Vec<&State> =
            states.iter().zip(&here).filter_map(|(state, here)| here.is_some().then_some(state)).collect();
        forecasts.extend(model.forecast(&asked, HORIZON)?.into_iter().map(|forecast| forecast.values));
        windows.extend(here.into_iter().flatten());
    }
    Ok((windows, forecasts))
}

/// The window at a position, where what comes is there and neither forecaster knows nothing.
fn asks(values: &Arc<[f64]>, position: usize) -> Option<Window> {
    let window = Window::new(values, 0, (position, HORIZON))?;
    let known = &window.context()[position.saturating_sub(FRESH)..];
    let there = |values: &[f64]| values.iter().any(|value| !value.is_nan());
    (there(known) && there(window.target())).then_some(window)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks whose ratio is the same give that alone; a spread of blocks gives one, of about the right width.
    #[test]
    fn the_interval_covers_what_it_should() {
        let same = vec![vec![(1.1, 1.0), (2.2, 2.0)]; 9];
        let (low, high) = interval(&same);
        assert!((low - 1.1).abs() < 1e-12 && (high - 1.1).abs() < 1e-12);
        // 100 blocks, half at 0.9 and half at 1.1: the mean's standard error is 0.01.
        let spread: Vec<Vec<(f64, f64)>> = (0..100).map(|i| vec![(0.9 + 0.2 * f64::from(i % 2), 1.0)]).collect();
        let (low, high) = interval(&spread);
        assert!((low - 0.98).abs() < 0.004 && (high - 1.02).abs() < 0.004, "{low} {high}");
        assert!(interval(&same[..1]).0.is_nan());
    }
}
