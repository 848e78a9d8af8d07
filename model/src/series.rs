//! The front end and the head of a series model: values to patches, patches to features, hidden rows to quantiles.
//!
//! Source: the prototype whose `reference.py` says what the shipped weights mean. A series starts at the first patch that
//! holds a value; NaN is a missing value, and so is an infinity.
//!
//! What a head predicts after each patch depends on the model's `alignment`:
//! - `end`: the O values after the patch. A forecast needs a history that ends where a patch ends, and so re-encodes the
//!   last `context_limit` raw values, filled up at the front, which the state keeps.
//! - `any`: P + O values from the patch's first on. A partly filled patch goes into a fork of the state, and what it
//!   leaves unobserved is the first part of the forecast: the cost is the same at any point of an endless series. Every
//!   `context_limit / 2` values a second state begins beside the first and later takes its place: so a forecast looks back
//!   on the last half to whole of `context_limit` values, as models were trained to.
//!
//! Beyond the head's reach the median is fed back into the fork.

mod anomaly;
mod dense;
mod features;
mod forecast;
mod scaling;
mod sinh;
mod state;
mod training;

use std::{path::Path, sync::Arc};

use serde_json::Value;
use unspool_kernels::cpu::Team;

pub(crate) use self::dense::Home;
#[cfg(feature = "cuda")]
pub(crate) use self::dense::{DenseWeights, Rows as DenseRows};
use self::{
    dense::{Dense, Rows},
    scaling::Scale,
};
pub(crate) use self::{
    forecast::Backbone,
    state::Patches,
    training::{TrainingPatch, TrainingPatches},
};
pub use self::{
    forecast::{Forecast, Unforecastable},
    state::SeriesState,
};
use crate::{Error, Result, checkpoint::Tensors, state::Options};

/// Where a head's outputs begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alignment {
    /// After the patch.
    End,
    /// At the patch's first value.
    Any,
}

/// What a series model's configuration says beside its backbone.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesShape {
    /// Values in a patch, P.
    pub patch: usize,
    /// Values predicted beyond a patch, O.
    pub horizon: usize,
    /// Levels of the quantiles, growing.
    pub levels: Vec<f64>,
    /// Where the head's outputs begin.
    pub alignment: Alignment,
    /// Raw values that a forecast looks back on, at most.
    pub context: usize,
    /// What the slopes of the distribution's tails are multiplied by, so that p-values beyond the outer quantiles are what
    /// they say: found on validation data.
    pub tail: f64,
}

impl SeriesShape {
    /// Values that are told of a patch.
    #[must_use]
    pub fn features(&self) -> usize {
        features::count(self.patch)
    }

    /// Outputs of the head after each patch.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.reach() * self.levels.len()
    }

    /// Values that the head predicts after each patch.
    pub(crate) fn reach(&self) -> usize {
        self.horizon + if self.alignment == Alignment::Any { self.patch } else { 0 }
    }

    /// Patches after which a state begins anew beside the old one (`any`): see [`SeriesState`].
    pub(crate) fn span(&self) -> Option<u64> {
        (self.alignment == Alignment::Any).then(|| (self.context / 2 / self.patch).max(1) as u64)
    }

    /// Checks the sizes of a shape that was not read from a file.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn check(&self) -> std::result::Result<(), String> {
        for (name, size) in [("a patch", self.patch), ("a horizon", self.horizon)] {
            if !(1..=MOST as usize).contains(&size) {
                return Err(format!("{name} of {size} values: 1 to {MOST} are allowed"));
            }
        }
        if !are_levels(&self.levels) {
            return Err(format!("quantiles {:?}: {LEVELS}", self.levels));
        }
        Ok(())
    }

    /// Reads the keys `patch_len`, `horizon`, `quantiles`, `alignment`, `context_limit` and `p_value_tail` (1 if it is missing).
    ///
    /// # Errors
    /// Names the key that is missing or wrong.
    pub fn parse(raw: &Value, file: &Path) -> Result<Self> {
        let wrong = |key: &str, expected: &str| {
            let problem = format!("'{key}': {expected} expected, found {}", raw.get(key).unwrap_or(&Value::Null));
            Error::Config { path: file.into(), problem }
        };
        let whole = |key: &str, most: u64| {
            let value = raw.get(key).and_then(Value::as_u64).filter(|v| (1..=most).contains(v));
            value.map(|v| v as usize).ok_or_else(|| wrong(key, &format!("a whole number from 1 to {most}")))
        };
        let levels: Option<Vec<f64>> =
            raw.get("quantiles").and_then(Value::as_array).and_then(|all| all.iter().map(Value::as_f64).collect());
        let levels = levels.filter(|levels| are_levels(levels)).ok_or_else(|| wrong("quantiles", LEVELS))?;
        let alignment = match raw.get("alignment").and_then(Value::as_str) {
            Some("end") => Alignment::End,
            Some("any") => Alignment::Any,
            _ => return Err(wrong("alignment", "\"end\" or \"any\"")),
        };
        if raw.get("beyond_horizon").is_some_and(|v| v != "median") {
            return Err(wrong("beyond_horizon", "\"median\""));
        }
        let (patch, horizon) = (whole("patch_len", MOST)?, whole("horizon", MOST)?);
        if alignment == Alignment::End && !horizon.is_multiple_of(patch) {
            return Err(wrong("horizon", "a multiple of patch_len"));
        }
        let tail = raw.get("p_value_tail").map_or(Some(1.0), Value::as_f64).filter(|tail| (0.01..=10.0).contains(tail));
        let tail = tail.ok_or_else(|| wrong("p_value_tail", "a number from 0.01 to 10"))?;
        Ok(Self { patch, horizon, levels, alignment, context: whole("context_limit", 1 << 20)?, tail })
    }
}

/// The longest patch and horizon.
const MOST: u64 = 4096;
const LEVELS: &str = "an odd number of growing levels between 0 and 1, the median in the middle";

fn are_levels(l: &[f64]) -> bool {
    l.len() >= 3 && l.len() % 2 == 1 && l.is_sorted_by(|a, b| a < b) && l[0] > 0.0 && l[l.len() - 1] < 1.0
}

/// The front end and the head.
pub(crate) struct FrontEnd {
    pub(crate) shape: SeriesShape,
    d: usize,
    embed: Dense,
    head: Dense,
    pub(crate) team: Arc<Team>,
}

impl FrontEnd {
    /// Takes the tensors `embed.*` and `head.*` of a backbone of width `d`.
    pub(crate) fn take(shape: SeriesShape, d: usize, tensors: &mut Tensors, home: Home) -> Result<Self> {
        let features = features::count(shape.patch);
        let embed = Dense::take(tensors, "embed", (features, 2 * d, d), &home)?;
        let head = Dense::take(tensors, "head", (d, 2 * d, shape.reach() * shape.levels.len()), &home)?;
        Ok(Self { shape, d, embed, head, team: home.2 })
    }

    /// The state of a series before its first value.
    pub(crate) fn fresh(&self) -> SeriesState {
        SeriesState::new(&self.shape)
    }

    /// A series opened like this runs the encoder as its values come (else only its forecasts do).
    pub(crate) fn runs_encoder(&self, options: &Options) -> bool {
        self.shape.alignment == Alignment::Any || options.anomaly || !options.layers.is_empty()
    }

    /// Embedded rows `[l, d]` of each series' features `[l, 3 P + 4]`.
    ///
    /// # Errors
    /// When a card fails.
    pub(crate) fn embed(&self, features: &[&[f32]]) -> Result<Embedded> {
        let width = self.shape.features();
        let lens = features.iter().map(|features| features.len() / width * self.d).collect();
        Ok(Embedded { rows: self.embed.forward(&features.concat())?, lens })
    }

    /// What the head says after each hidden row, `[l, d]` → `[l][reach, levels]`; quantiles may cross.
    ///
    /// # Errors
    /// When a card fails.
    pub(crate) fn predict(&self, hidden: &[f32], scales: Vec<Scale>) -> Result<Predictions> {
        Ok(Predictions { outputs: self.head.forward(hidden)?, scales, width: self.shape.outputs() })
    }
}

/// Embedded rows of several series, one after the other.
pub(crate) struct Embedded {
    rows: Rows,
    /// Values of each series' rows.
    lens: Vec<usize>,
}

impl Embedded {
    /// All rows.
    pub(crate) fn values(&self) -> &[f32] {
        &self.rows
    }

    /// Rows of width `d` before each series and after the last.
    pub(crate) fn offsets(&self, d: usize) -> Vec<usize> {
        let ends = self.lens.iter().scan(0, |end, len| {
            *end += len / d;
            Some(*end)
        });
        std::iter::once(0).chain(ends).collect()
    }

    /// Each series' rows, `[l, d]`.
    pub(crate) fn each(&self) -> impl Iterator<Item = &[f32]> {
        self.lens.iter().scan(0, |from, len| {
            *from += len;
            Some(&self.rows[*from - len..*from])
        })
    }
}

/// What the head said after several patches.
pub(crate) struct Predictions {
    /// `[.., reach, levels]`, in head units.
    outputs: Rows,
    scales: Vec<Scale>,
    /// reach times levels
    width: usize,
}

impl Predictions {
    /// After one of them.
    pub(crate) fn get(&self, at: usize) -> Option<Said<'_>> {
        let scale = *self.scales.get(at)?;
        Some(Said { scale, outputs: &self.outputs[at * self.width..(at + 1) * self.width] })
    }
}

/// A view of what the head said after a patch: see [`Prediction`].
#[derive(Clone, Copy)]
pub(crate) struct Said<'a> {
    scale: Scale,
    outputs: &'a [f32],
}

impl<'a> Said<'a> {
    /// For longer.
    pub(crate) fn keep(self) -> Prediction {
        Prediction { scale: self.scale, outputs: self.outputs.to_vec() }
    }

    /// The quantiles forecast for one value, in head units.
    fn step(self, at: usize, levels: usize) -> Option<&'a [f32]> {
        self.outputs.get(at * levels..(at + 1) * levels)
    }
}

/// What the head said after a patch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Prediction {
    /// What its outputs are measured in.
    pub scale: Scale,
    /// `[reach, levels]`, in head units.
    pub outputs: Vec<f32>,
}

impl Prediction {
    /// A view.
    pub(crate) fn said(&self) -> Said<'_> {
        Said { scale: self.scale, outputs: &self.outputs }
    }
}
