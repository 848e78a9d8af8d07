//! Forecasts: from a fork of the state, batched over many series.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{
    Alignment, Embedded, FrontEnd, Prediction, Predictions, Said, SeriesState, scaling::Scale, state::Patches,
};
use crate::{Result, encoder::BackboneState};

/// Quantiles of the next values of one series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// Levels of the quantiles, growing.
    pub levels: Vec<f64>,
    /// `[horizon, levels]`, growing with the level; NaN where nothing could be said.
    pub values: Vec<f64>,
    /// Why nothing could be said.
    pub reason: Option<Unforecastable>,
}

/// Why a series has no forecast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Unforecastable {
    /// It holds no value.
    #[error("the series holds no value")]
    NoValue,
}

/// One series on its way: a fork that medians are fed into.
struct Fork<'a> {
    /// The series' own, as the backbone's state is, until something is fed in.
    series: Cow<'a, SeriesState>,
    backbone: Cow<'a, BackboneState>,
    /// `[steps so far, levels]`
    values: Vec<f64>,
}

/// A backbone, as forecasts use it.
pub(crate) trait Backbone {
    /// Runs embedded rows `[l, d]` of each sequence through it; gives the last hidden row of each, `[b, d]` (zeros for a
    /// sequence without rows).
    fn run(&self, rows: &Embedded, states: Vec<&mut BackboneState>) -> Result<Vec<f32>>;

    /// The hidden row after the one embedded row, or none, of each sequence: `[t, d]`. The states do not move.
    fn peek(&self, rows: &Embedded, states: &[&BackboneState]) -> Result<Vec<f32>>;

    /// The state of a sequence before its first row.
    fn fresh(&self) -> BackboneState;

    /// A fork of each state.
    fn fork(&self, states: &[&BackboneState]) -> Result<Vec<BackboneState>>;
}

impl FrontEnd {
    /// Forecasts `horizon` values of each series. The series' own states do not move.
    pub(crate) fn forecast(
        &self,
        series: &[(&SeriesState, Option<&BackboneState>)],
        horizon: usize,
        backbone: &dyn Backbone,
    ) -> Result<Vec<Forecast>> {
        let mut forks: Vec<Fork<'_>> =
            series.iter().map(|(state, own)| self.fork(state, *own, &|| backbone.fresh())).collect();
        if self.shape.alignment == Alignment::End {
            let windows: Vec<Vec<f64>> = series.iter().map(|(state, _)| self.window(state)).collect();
            self.feed(&mut forks, &windows, backbone)?;
        }
        let len = horizon * self.shape.levels.len();
        while forks.iter().any(|fork| fork.lacks(len)) {
            let medians = self.extend(&mut forks, len, backbone)?;
            if forks.iter().any(|fork| fork.lacks(len)) {
                self.feed(&mut forks, &medians, backbone)?;
            }
        }
        Ok(forks.into_iter().map(|fork| self.finish(fork, len)).collect())
    }

    fn fork<'a>(
        &self,
        state: &'a SeriesState,
        backbone: Option<&'a BackboneState>,
        fresh: &dyn Fn() -> BackboneState,
    ) -> Fork<'a> {
        match (self.shape.alignment, backbone) {
            (Alignment::Any, Some(backbone)) => {
                Fork { series: Cow::Borrowed(state), backbone: Cow::Borrowed(backbone), values: vec![] }
            }
            _ => Fork { series: Cow::Owned(self.fresh()), backbone: Cow::Owned(fresh()), values: vec![] },
        }
    }

    /// The last raw values, filled up at the front with missing ones so that they end where a patch ends.
    fn window(&self, state: &SeriesState) -> Vec<f64> {
        let recent: Vec<f64> = state.recent().collect();
        let fill = recent.len().next_multiple_of(self.shape.patch) - recent.len();
        std::iter::repeat_n(f64::NAN, fill).chain(recent).collect()
    }

    /// Feeds values into forks, and keeps what the head says after each fork's last complete patch.
    fn feed(&self, forks: &mut [Fork<'_>], values: &[Vec<f64>], backbone: &dyn Backbone) -> Result<()> {
        let borrowed: Vec<&BackboneState> = (forks.iter())
            .filter_map(|fork| if let Cow::Borrowed(own) = &fork.backbone { Some(*own) } else { None })
            .collect();
        let mut owned = backbone.fork(&borrowed)?.into_iter();
        for fork in forks.iter_mut() {
            if matches!(fork.backbone, Cow::Borrowed(_)) {
                owned.next().into_iter().for_each(|own| fork.backbone = Cow::Owned(own));
            }
            if let Cow::Borrowed(state) = &fork.series {
                fork.series = Cow::Owned(state.fork());
            }
        }
        let completed = self.team.map(forks.iter_mut().zip(values), |(fork, values)| {
            let mut patches = Patches::default();
            let series = fork.series.to_mut();
            for value in values {
                series.push(*value, &mut patches);
            }
            patches
        });
        let states = forks.iter_mut().map(|fork| fork.backbone.to_mut()).collect();
        let predictions = self.run(&completed, states, backbone)?;
        for (i, (fork, _)) in (forks.iter_mut().zip(&completed)).filter(|(_, patches)| patches.any()).enumerate() {
            predictions.get(i).into_iter().for_each(|said| fork.series.to_mut().predicted(said.keep()));
        }
        Ok(())
    }

    /// What the head says after the last of each series' patches, of those that have any.
    fn run(
        &self,
        patches: &[Patches],
        states: Vec<&mut BackboneState>,
        backbone: &dyn Backbone,
    ) -> Result<Predictions> {
        let mut hidden = backbone.run(&self.embed_patches(patches)?, states)?;
        let scales = last_scales(patches);
        if scales.len() < patches.len() {
            let rows = patches.iter().zip(hidden.chunks_exact(self.d)).filter(|(patches, _)| patches.any());
            hidden = rows.flat_map(|(_, row)| row).copied().collect();
        }
        self.predict(&hidden, scales)
    }

    fn embed_patches(&self, patches: &[Patches]) -> Result<Embedded> {
        self.embed(&patches.iter().map(|patches| &patches.features[..]).collect::<Vec<_>>())
    }

    /// Adds to each fork's values what the head says next, as far as it reaches and up to `len` of them; where that does not
    /// suffice, gives the medians. The states do not move.
    fn extend(&self, forks: &mut [Fork<'_>], len: usize, backbone: &dyn Backbone) -> Result<Vec<Vec<f64>>> {
        let partial: Vec<&Fork<'_>> = forks.iter().filter(|fork| fork.within()).collect();
        let states: Vec<&BackboneState> = partial.iter().map(|fork| fork.backbone.as_ref()).collect();
        let patches = self.team.map(partial, |fork| {
            let mut completed = Patches::default();
            fork.series.fork().complete(&mut completed);
            completed
        });
        let hidden = backbone.peek(&self.embed_patches(&patches)?, &states)?;
        let predictions = self.predict(&hidden, last_scales(&patches))?;
        let (mut patches, mut said) = (patches.iter(), 0);
        let each: Vec<_> = (forks.iter_mut())
            .map(|fork| {
                let spoken = fork.within() && patches.next().is_some_and(Patches::any);
                said += usize::from(spoken);
                (fork, if spoken { predictions.get(said - 1) } else { None })
            })
            .collect();
        let levels = self.shape.levels.len();
        Ok(self.team.map(each, |(fork, partial)| {
            if !fork.lacks(len) {
                return vec![];
            }
            let mut next = self.ahead(fork, partial, (len - fork.values.len()) / levels);
            // What is fed back is the head's own, wherever quantiles cross: only then are they sorted.
            let suffices = fork.values.len() + next.len() >= len;
            let medians = next.iter().skip(levels / 2).step_by(levels).copied().filter(|_| !suffices).collect();
            next.chunks_exact_mut(levels).for_each(|step| step.sort_by(f64::total_cmp));
            if fork.values.is_empty() {
                fork.values = next
            } else {
                fork.values.extend(next)
            }
            medians
        }))
    }

    /// At most `steps` values after the last one observed, `[.., levels]`, from what the head said of the partly filled patch, or else
    /// after the last complete one.
    fn ahead(&self, fork: &Fork<'_>, partial: Option<Said<'_>>, steps: usize) -> Vec<f64> {
        let levels = self.shape.levels.len();
        let pending = fork.series.pending.len();
        let (prediction, first) = match (partial, self.shape.alignment) {
            (Some(partial), _) => (Some(partial), pending),
            (None, Alignment::Any) => (fork.series.prediction.as_ref().map(Prediction::said), self.shape.patch),
            (None, Alignment::End) => (fork.series.prediction.as_ref().map(Prediction::said), 0),
        };
        let outputs =
            prediction.map(|p| (&p.outputs[first * levels..(first + self.shape.horizon.min(steps)) * levels], p.scale));
        outputs.map_or_else(Vec::new, |(outputs, scale)| outputs.iter().map(|q| scale.value(*q)).collect())
    }

    fn finish(&self, fork: Fork<'_>, len: usize) -> Forecast {
        let Fork { series, mut values, .. } = fork;
        let reason = (!series.scaling.observed() && series.pending.iter().all(|v| v.is_nan()))
            .then_some(Unforecastable::NoValue);
        values.resize(len, f64::NAN);
        Forecast { levels: self.shape.levels.clone(), values, reason }
    }
}

/// The scale of the last of each series' patches, of those that have any.
fn last_scales(patches: &[Patches]) -> Vec<Scale> {
    patches.iter().filter_map(|patches| patches.scales.last().copied()).collect()
}

impl Fork<'_> {
    /// It stands within a patch.
    fn within(&self) -> bool {
        !self.series.pending.is_empty()
    }

    /// More values are wanted and can be had.
    fn lacks(&self, len: usize) -> bool {
        self.values.len() < len && (self.series.scaling.observed() || self.series.pending.iter().any(|v| !v.is_nan()))
    }
}
