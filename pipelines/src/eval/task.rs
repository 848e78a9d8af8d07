//! Windows of series that are forecast and scored together.

use std::sync::Arc;

use super::metric::{Score, Tally};

/// One forecast: what is known, and what came.
#[derive(Clone, Debug)]
pub struct Window {
    series: Arc<[f64]>,
    start: usize,
    split: usize,
    end: usize,
}

impl Window {
    /// The window of `series` whose values from `start` (0-based) are known and whose `horizon` values from `split` on are
    /// to be forecast; `None` where the series ends before, or nothing is known.
    #[must_use]
    pub fn new(series: &Arc<[f64]>, start: usize, (split, horizon): (usize, usize)) -> Option<Self> {
        let end = split.checked_add(horizon).filter(|end| *end <= series.len() && horizon > 0)?;
        (start < split).then(|| Self { series: Arc::clone(series), start, split, end })
    }

    /// Known values, oldest first; NaN where missing.
    #[must_use]
    pub fn context(&self) -> &[f64] {
        &self.series[self.start..self.split]
    }

    /// What came: one value a step; NaN where missing.
    #[must_use]
    pub fn target(&self) -> &[f64] {
        &self.series[self.split..self.end]
    }
}

/// Windows of one horizon and season.
#[derive(Clone, Debug)]
pub struct Task {
    /// What it is called.
    pub name: String,
    /// Steps to forecast.
    pub horizon: usize,
    /// Steps of a season, in MASE and in the seasonal naive forecast.
    pub season: usize,
    /// The windows.
    pub windows: Vec<Window>,
}

/// A forecast, `[horizon, levels]` at the nine deciles.
pub type Quantiles = Vec<f64>;

/// A task with the scores of a model's forecasts and of the seasonal naive ones.
#[derive(Clone, Debug)]
pub struct Scored {
    /// The task's name.
    pub name: String,
    /// Forecasts.
    pub forecasts: usize,
    /// Steps of each.
    pub horizon: usize,
    /// Steps of a season.
    pub season: usize,
    /// The seasonal naive forecast's.
    pub naive: Score,
    /// The model's.
    pub model: Score,
    /// Seconds that the model's forecasts took.
    pub seconds: f64,
}

impl Task {
    /// Scores forecasts, one a window.
    #[must_use]
    pub fn score(&self, forecasts: &[Quantiles]) -> Score {
        let mut tally = Tally::default();
        for (window, forecast) in self.windows.iter().zip(forecasts) {
            tally.push(window, self.season, forecast);
        }
        tally.score()
    }

    /// The score of the seasonal naive forecast.
    #[must_use]
    pub fn naive(&self) -> Score {
        let forecasts: Vec<Quantiles> = self
            .windows
            .iter()
            .map(|window| super::seasonal_naive(window.context(), self.season, self.horizon))
            .collect();
        self.score(&forecasts)
    }
}

impl Task {
    /// Scores a model's forecasts, one a window, beside the naive ones.
    #[must_use]
    pub fn scored(&self, forecasts: &[Quantiles], seconds: f64) -> Scored {
        Scored {
            name: self.name.clone(),
            forecasts: forecasts.len(),
            horizon: self.horizon,
            season: self.season,
            naive: self.naive(),
            model: self.score(forecasts),
            seconds,
        }
    }
}

impl Scored {
    /// The model's score as a share of the seasonal naive forecast's: below 1 is better.
    #[must_use]
    pub fn ratio(&self) -> Score {
        self.model.over(self.naive)
    }
}
