//! All that is remembered of one sequence, as a value: it can be cloned (a fork), compared, saved and restored.

pub(crate) mod bytes;

use serde::{Deserialize, Serialize};

use crate::{Digest, Pool, Pooled, encoder::BackboneState, encoder::Route, series::SeriesState};

/// What a sequence is opened for. Fixed for its life, since it decides what the state holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Options {
    /// Layers whose hidden rows are wanted, as in [`crate::encoder::Encoder::encode`]: `i` is the residual stream after
    /// i layers, the number of layers is the last one after the final norm. Empty: no embeddings.
    pub layers: Vec<usize>,
    /// Give back every hidden row of `layers` as it comes.
    pub rows: bool,
    /// Pool the hidden rows of `layers` as they come.
    pub pools: bool,
    /// Series: score each value that arrives.
    pub anomaly: bool,
    /// DNA: tell the information of each base that arrives.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")] // as states were saved before it was there
    pub bits: bool,
}

/// The state of one sequence: its size is fixed by the model and the [`Options`], whatever the sequence's length.
///
/// | part | what | for |
/// |---|---|---|
/// | backbone | f32: for each layer the convolution's window and h | all but `end`-aligned series opened for forecasts alone; `any`-aligned series have two |
/// | pools | f64 sums in time order, f32 last and max, count | each of `layers`, if `pools` |
/// | prediction | f64: ln p of the four bases that may come next | `bits` |
/// | series | f64: causal statistics, the pending patch, last values, the last complete patch's quantiles | series |
/// | position | events so far | all |
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    pub(crate) model: Digest,
    pub(crate) route: Route,
    pub(crate) options: Options,
    pub(crate) position: u64,
    pub(crate) backbone: Option<BackboneState>,
    /// A series' young one: see [`SeriesState`].
    pub(crate) young: Option<BackboneState>,
    pub(crate) pools: Vec<Pooled>,
    /// ln p of each of [`crate::dna::BASES`] to come next, with [`Options::bits`].
    pub(crate) predicted: Option<[f64; 4]>,
    pub(crate) series: Option<SeriesState>,
}

impl State {
    /// Events consumed so far: bases, tokens or values.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The model that it is a state of.
    #[must_use]
    pub fn model(&self) -> Digest {
        self.model
    }

    /// Where its numbers were computed: after a restore elsewhere it still names the place where it was saved.
    #[must_use]
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// What it was opened for.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// One pool of the rows so far of `layer` (one of [`Options::layers`]), `[d]`.
    ///
    /// `None` before the first row, for a layer that was not asked for, or without [`Options::pools`].
    #[must_use]
    pub fn pooled(&self, layer: usize, pool: Pool) -> Option<Vec<f32>> {
        let at = self.options.layers.iter().position(|l| *l == layer)?;
        self.pools.get(at)?.get(pool)
    }

    /// Begins the pools again (a new window); the sequence goes on.
    pub fn restart_pools(&mut self) {
        for pooled in &mut self.pools {
            *pooled = Pooled::new(pooled.last.len());
        }
    }
}
