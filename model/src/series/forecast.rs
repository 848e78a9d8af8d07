//! Forecasts: from a fork of the state, batched over many series.

use std::borrow::Cow;

use super::{Alignment, FrontEnd, Prediction, SeriesState, state::Patches};
use crate::{Result, encoder::BackboneState};

/// Quantiles of the next values of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// Levels of the quantiles, growing.
    pub levels: Vec<f64>,
    /// `[horizon, levels]`, growing with the level; NaN where nothing could be said.
    pub values: Vec<f64>,
    /// Why nothing could be said.
    pub reason: Option<Unforecastable>,
}

/// Why a series has no forecast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unforecastable {
    /// It holds no value.
    #[error("the series holds no value")]
    NoValue,
}

/// One series on its way: a fork that medians are fed into.
struct Fork<'a> {
    series: SeriesState,
    /// The series' own until something is fed in: a backbone's state is large, and on a card a call to copy.
    backbone: Cow<'a, BackboneState>,
    /// `[steps so far, levels]`
    values: Vec<f64>,
}

/// Runs embedded rows `[l, d]` of each sequence through the backbone; gives the last hidden row of each, `[b, d]` (zeros
/// for a sequence without rows).
pub(crate) type Run<'a> = dyn Fn(Vec<Vec<f32>>, Vec<&mut BackboneState>) -> Result<Vec<f32>> + 'a;

impl FrontEnd {
    /// Forecasts `horizon` values of each series. The series' own states do not move.
    pub(crate) fn forecast(
        &self,
        series: &[(&SeriesState, Option<&BackboneState>)],
        horizon: usize,
        (run, fresh): (&Run<'_>, &dyn Fn() -> BackboneState),
    ) -> Result<Vec<Forecast>> {
        let mut forks: Vec<Fork<'_>> =
            series.iter().map(|(state, backbone)| self.fork(state, *backbone, fresh)).collect();
        if self.shape.alignment == Alignment::End {
            let windows: Vec<Vec<f64>> = series.iter().map(|(state, _)| self.window(state)).collect();
            self.feed(&mut forks, &windows, run)?;
        }
        let levels = self.shape.levels.len();
        while forks.iter().any(|fork| fork.lacks(horizon * levels)) {
            let next = self.next(&forks, run)?;
            let mut medians = vec![vec![]; forks.len()];
            for ((fork, next), medians) in forks.iter_mut().zip(next).zip(&mut medians) {
                if fork.lacks(horizon * levels) {
                    medians.extend(next.iter().skip(levels / 2).step_by(levels));
                    fork.values.extend(next);
                }
            }
            if forks.iter().any(|fork| fork.lacks(horizon * levels)) {
                self.feed(&mut forks, &medians, run)?;
            }
        }
        Ok(forks.into_iter().map(|fork| self.finish(fork, horizon)).collect())
    }

    fn fork<'a>(
        &self,
        state: &SeriesState,
        backbone: Option<&'a BackboneState>,
        fresh: &dyn Fn() -> BackboneState,
    ) -> Fork<'a> {
        match (self.shape.alignment, backbone) {
            (Alignment::Any, Some(backbone)) => {
                Fork { series: state.fork(), backbone: Cow::Borrowed(backbone), values: vec![] }
            }
            _ => Fork { series: self.fresh(), backbone: Cow::Owned(fresh()), values: vec![] },
        }
    }

    /// The last raw values, filled up at the front with missing ones so that they end where a patch ends.
    fn window(&self, state: &SeriesState) -> Vec<f64> {
        let recent: Vec<f64> = state.recent().collect();
        let fill = recent.len().next_multiple_of(self.shape.patch) - recent.len();
        std::iter::repeat_n(f64::NAN, fill).chain(recent).collect()
    }

    /// Feeds values into forks, and keeps what the head says after each fork's last complete patch.
    fn feed(&self, forks: &mut [Fork<'_>], values: &[Vec<f64>], run: &Run<'_>) -> Result<()> {
        let mut completed = vec![];
        for (fork, values) in forks.iter_mut().zip(values) {
            let mut patches = Patches::default();
            for value in values {
                fork.series.push(*value, &mut patches);
            }
            completed.push(patches);
        }
        let states = forks.iter_mut().map(|fork| fork.backbone.to_mut()).collect();
        let predictions = self.run(&completed, states, run)?;
        for (fork, prediction) in forks.iter_mut().zip(predictions) {
            fork.series.prediction = prediction.or(fork.series.prediction.take());
        }
        Ok(())
    }

    /// What the head says after the last of each series' patches, where there are any.
    fn run(
        &self,
        patches: &[Patches],
        states: Vec<&mut BackboneState>,
        run: &Run<'_>,
    ) -> Result<Vec<Option<Prediction>>> {
        let rows = patches.iter().map(|patches| self.embed(&patches.features)).collect();
        let hidden = run(rows, states)?;
        let d = hidden.len() / patches.len().max(1);
        let each = patches.iter().enumerate().map(|(i, patches)| {
            let scale = patches.scales.last()?;
            self.predict(&hidden[i * d..(i + 1) * d], &[*scale]).pop()
        });
        Ok(each.collect())
    }

    /// The next values of each fork as far as the head reaches, `[steps, levels]`; the forks do not move.
    fn next(&self, forks: &[Fork<'_>], run: &Run<'_>) -> Result<Vec<Vec<f64>>> {
        // Only forks that stand within a patch are forked again.
        let within = |fork: &&Fork<'_>| !fork.series.pending.is_empty();
        let mut partial: Vec<(SeriesState, BackboneState)> =
            forks.iter().filter(within).map(|fork| (fork.series.clone(), fork.backbone.as_ref().clone())).collect();
        let mut patches = vec![];
        for (series, _) in &mut partial {
            let mut completed = Patches::default();
            series.complete(&mut completed);
            patches.push(completed);
        }
        let states = partial.iter_mut().map(|(_, backbone)| backbone).collect();
        let mut predictions = self.run(&patches, states, run)?.into_iter();
        let each = forks.iter().map(|fork| {
            let partial = if within(&fork) { predictions.next().flatten() } else { None };
            self.ahead(fork, partial.as_ref())
        });
        Ok(each.collect())
    }

    /// The values after the last one observed, `[O, levels]`, from what the head said of the partly filled patch, or else
    /// after the last complete one.
    fn ahead(&self, fork: &Fork<'_>, partial: Option<&Prediction>) -> Vec<f64> {
        let levels = self.shape.levels.len();
        let pending = fork.series.pending.len();
        let (prediction, first) = match (partial, self.shape.alignment) {
            (Some(partial), _) => (Some(partial), pending),
            (None, Alignment::Any) => (fork.series.prediction.as_ref(), self.shape.patch),
            (None, Alignment::End) => (fork.series.prediction.as_ref(), 0),
        };
        let outputs = prediction.map(|p| (&p.outputs[first * levels..(first + self.shape.horizon) * levels], p.scale));
        outputs.map_or_else(Vec::new, |(outputs, scale)| outputs.iter().map(|q| scale.value(*q)).collect())
    }

    fn finish(&self, fork: Fork<'_>, horizon: usize) -> Forecast {
        let Fork { series, mut values, .. } = fork;
        let len = horizon * self.shape.levels.len();
        let reason = (!series.scaling.observed() && series.pending.iter().all(|v| v.is_nan()))
            .then_some(Unforecastable::NoValue);
        values.resize(len, f64::NAN);
        // Only now: the median that was fed back is the head's own, wherever quantiles cross.
        values.chunks_exact_mut(self.shape.levels.len()).for_each(|step| step.sort_by(f64::total_cmp));
        Forecast { levels: self.shape.levels.clone(), values, reason }
    }
}

impl Fork<'_> {
    /// More values are wanted and can be had.
    fn lacks(&self, len: usize) -> bool {
        self.values.len() < len && (self.series.scaling.observed() || self.series.pending.iter().any(|v| !v.is_nan()))
    }
}
