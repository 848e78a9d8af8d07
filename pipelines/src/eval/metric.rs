//! MASE and weighted quantile loss, as the Chronos and GIFT-Eval benchmarks compute them.

use super::Window;

/// Levels of the quantiles that are scored.
pub const LEVELS: [f64; 9] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

/// How good forecasts are; less is better.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Mean absolute scaled error of the median: errors in units of the context's mean absolute seasonal difference, over
    /// all windows and steps; windows whose seasonal difference is 0 or not known are left out.
    pub mase: f64,
    /// Weighted quantile loss: the mean over the nine deciles of 2 × (sum of quantile losses) / (sum of magnitudes).
    pub wql: f64,
}

impl Score {
    /// This score as a share of another's.
    #[must_use]
    pub fn over(self, other: Self) -> Self {
        Self { mase: self.mase / other.mase, wql: self.wql / other.wql }
    }

    /// The geometric mean of scores.
    #[must_use]
    pub fn mean(scores: &[Self]) -> Self {
        let mean = |of: fn(&Self) -> f64| geometric_mean(scores.iter().map(of));
        Self { mase: mean(|score| score.mase), wql: mean(|score| score.wql) }
    }
}

/// Sums over windows.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    scaled_errors: f64,
    steps: u64,
    losses: [f64; LEVELS.len()],
    magnitude: f64,
}

impl Tally {
    /// Takes in a forecast, `[horizon, 9]`.
    pub(super) fn push(&mut self, window: &Window, season: usize, quantiles: &[f64]) {
        let unit = seasonal_difference(window.context(), season);
        for (value, step) in window.target().iter().zip(quantiles.chunks_exact(LEVELS.len())) {
            if value.is_nan() {
                continue;
            }
            if unit > 0.0 {
                self.scaled_errors += (value - step[LEVELS.len() / 2]).abs() / unit;
                self.steps += 1;
            }
            for ((loss, level), quantile) in self.losses.iter_mut().zip(LEVELS).zip(step) {
                let error = value - quantile;
                *loss += (level * error).max((level - 1.0) * error);
            }
            self.magnitude += value.abs();
        }
    }

    /// The scores so far; NaN where nothing was taken in.
    pub(super) fn score(&self) -> Score {
        let loss: f64 = self.losses.iter().sum::<f64>() / LEVELS.len() as f64;
        Score { mase: self.scaled_errors / self.steps as f64, wql: 2.0 * loss / self.magnitude }
    }
}

/// The mean absolute difference of values a season apart; missing values are left out. NaN where there is none.
pub(super) fn seasonal_difference(context: &[f64], season: usize) -> f64 {
    let later = context.get(season..).unwrap_or_default();
    let differences = later.iter().zip(context).map(|(later, earlier)| (later - earlier).abs());
    let (sum, count) = differences.filter(|d| !d.is_nan()).fold((0.0, 0_u64), |(sum, count), d| (sum + d, count + 1));
    sum / count as f64
}

/// The geometric mean of positive numbers; NaN for none.
#[must_use]
pub fn geometric_mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (sum, count) = values.into_iter().fold((0.0, 0_u64), |(sum, count), value| (sum + value.ln(), count + 1));
    (sum / count as f64).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_of_forecasts_made_by_hand() {
        let series = [1.0, 3.0, f64::NAN, 5.0, 10.0, f64::NAN, 20.0].into();
        let window = Window::new(&series, 0, (4, 3)).expect("a window");
        // Season 2: only 3 -> 5 is known; season 1: only 1 -> 3.
        assert_eq!(seasonal_difference(window.context(), 2), 2.0);
        assert!(seasonal_difference(window.context(), 4).is_nan());
        let check = |quantiles: [f64; 3], expected: Score| {
            let mut tally = Tally::default();
            tally.push(&window, 2, &quantiles.map(|q| [q; 9]).concat());
            let Score { mase, wql } = tally.score();
            assert!((mase - expected.mase).abs() < 1e-12 && (wql - expected.wql).abs() < 1e-12, "{mase} {wql}");
        };
        check([10.0, 99.0, 20.0], Score { mase: 0.0, wql: 0.0 });
        // One level for all nine: the loss is half the error on average, and so the WQL is the error's share.
        check([13.0, 99.0, 20.0], Score { mase: 0.75, wql: 0.1 });
        check([10.0, 99.0, 5.0], Score { mase: 3.75, wql: 0.5 });
    }

    #[test]
    fn a_series_that_stands_still_has_no_unit() {
        let series = [4.0, 4.0, 4.0, 5.0].into();
        let mut tally = Tally::default();
        tally.push(&Window::new(&series, 0, (3, 1)).expect("a window"), 1, &[4.0; 9]);
        assert!(tally.score().mase.is_nan());
        assert_eq!(tally.score().wql, 0.2);
    }

    #[test]
    fn the_geometric_mean() {
        assert!((geometric_mean([0.5, 2.0, 8.0]) - 2.0).abs() < 1e-12);
        assert!(geometric_mean([]).is_nan());
    }
}
