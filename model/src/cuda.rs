//! The encoder on an NVIDIA GPU: states in slots on the card, waves of rows through the layers.
//!
//! ```text
//!  lane 0: wave 0: layer 0 ─ layer 1 ─ layer 2 ─ ..
//!  lane 1: wave 1:      └──► layer 0 ─ layer 1 ─ ..      (a sequence that goes on waits, layer by layer)
//! ```
//!
//! A call is cut into waves. Each takes a lane with work memory of its own, so that several are on the card at
//! once: one layer of one wave does not fill it. Where a wave continues a sequence of an earlier one, each of its layers
//! waits for what that wave's same layer hands on: the convolution's window first, the states where it scans. By the chunk law none of this changes a bit.

mod alone;
mod dense;
mod lane;
mod layer;
mod mamba1;
mod mamba2;
mod outlet;
mod plan;
mod pool;

use std::{
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use unspool_kernels::cuda::{Embedding, Gpu, LayerStates, Norm, Run, Stack, Type};

pub use self::alone::ScanAlone;
pub(crate) use self::dense::{Dense, Lent};
pub(crate) use self::pool::Resident;
use self::{
    lane::{Lanes, Rows},
    layer::Layer,
    outlet::{Ask, Outlets},
    pool::Pool,
};
use crate::{
    Error, Result,
    config::{Config, NormKind},
    device::{Device, RunOptions, Weights},
    encoder::{BackboneState, Encoder, Packed, Place, PooledSpan, Route, check_head},
    weights::{self, Backbone},
};

/// Mamba-1 and Mamba-2 on an NVIDIA GPU.
pub struct CudaEncoder {
    config: Config,
    route: Route,
    note: Option<String>,
    net: Net,
    pool: Arc<Pool>,
    lanes: Mutex<Lanes>,
    outlets: Outlets,
}

/// The weights on the card.
struct Net {
    embedding: Option<Embedding>,
    layers: Vec<Layer>,
    norm_f: Norm,
    /// All layers as one, for single rows, where there are kernels for it.
    stack: Option<Stack>,
    /// Where each layer's states lie.
    states: Vec<LayerStates>,
    kind: Type,
    d: usize,
}

impl CudaEncoder {
    /// Takes a backbone to the card that `options.device` names.
    ///
    /// # Errors
    /// When a weight's size is not the configuration's, there is no such card, or its memory does not suffice.
    pub fn new(config: &Config, weights: &Backbone, options: &RunOptions) -> Result<Self> {
        weights.check(config)?;
        let ordinal = if let Device::Cuda(ordinal) = options.device { ordinal } else { 0 };
        let gpu = Gpu::open(ordinal)?;
        let (kind, name) = match options.weights {
            Weights::F32 => (Type::F32, "f32"),
            Weights::Bf16 => (Type::Bf16, "bf16"),
        };
        let mut net = Net::new(&gpu, config, weights, kind)?;
        let rows =
            Rows { tuned: net.layers.iter().all(Layer::is_tuned), tiled: net.layers.iter().any(Layer::is_tiled) };
        let capability = gpu.card().capability;
        let way = if rows.tuned { "" } else { "-general" };
        let route = Route(format!("cuda-sm{}{}-{name}{way}-2", capability.0, capability.1));
        let note = (!rows.tuned).then(|| {
            format!("no tuned kernels for this model's shape on a card of compute capability {capability}: the general ones compute")
        });
        let outlets = Outlets::new(&gpu);
        let mut lanes = Lanes::new(&gpu, config, &net, rows)?;
        let pool = Arc::new(Pool::new(Arc::clone(&gpu), config, options.pool_bytes)?);
        net.settle(&gpu, pool.layers(config.layers))?;
        net.stack.as_ref().map_or(Ok(()), |stack| lanes.stack(stack))?;
        Ok(Self { config: config.clone(), route, note, net, pool, lanes: Mutex::new(lanes), outlets })
    }

    /// States that fit on the card.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.pool.slots()
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses a state of another encoder.
    fn own<'a>(&self, state: &'a BackboneState) -> Result<&'a Resident> {
        let resident = state.resident().filter(|resident| resident.belongs(&self.pool));
        resident.ok_or_else(|| Error::Input("a state of another encoder: restore it from its bytes".into()))
    }

    /// Runs all sequences, as many at once as the pool has slots for. Who does not peek has the states for itself.
    fn run_all<'s>(
        &self,
        batch: &Packed<'_>,
        states: impl IntoIterator<Item = &'s BackboneState>,
        (peeks, ask): (bool, &mut Ask<'_>),
    ) -> Result<()> {
        let states = states.into_iter();
        let mut residents = Vec::with_capacity(states.size_hint().0);
        for state in states {
            residents.push(self.own(state)?);
        }
        let at_once = self.pool.slots();
        for (i, residents) in residents.chunks(at_once).enumerate() {
            self.run((batch, i * at_once), residents, (peeks, ask))?;
        }
        Ok(())
    }

    /// The hidden rows of the whole batch, `[taps][t, d]`.
    fn run_whole(
        &self,
        batch: &Packed<'_>,
        states: &[&BackboneState],
        (taps, peeks): (&[usize], bool),
    ) -> Result<Vec<Vec<f32>>> {
        let (d, t) = (self.config.d, batch.check_layout(&self.config, states.len(), taps)?);
        let mut outputs: Vec<Vec<f32>> = taps.iter().map(|_| vec![0.0; t * d]).collect();
        let mut take = |sequence: usize, range: Range<usize>, rows: &[&[f32]]| {
            let at = (batch.offsets[sequence] + range.start) * d;
            outputs.iter_mut().zip(rows).for_each(|(to, rows)| to[at..at + rows.len()].copy_from_slice(rows));
        };
        self.run_all(batch, states.iter().copied(), (peeks, &mut Ask::Rows(taps, &mut take)))?;
        Ok(outputs)
    }

    /// Runs as many sequences as the pool has slots for.
    fn run(
        &self,
        (batch, first): (&Packed<'_>, usize),
        residents: &[&Resident],
        (peeks, ask): (bool, &mut Ask<'_>),
    ) -> Result<()> {
        let mut lanes = self.lanes();
        let offsets = &batch.offsets[first..=first + residents.len()];
        let lengths: Vec<usize> = offsets.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mut pool = self.pool.enter()?;
        let waves = plan::plan(&lengths, (lanes.most(), lanes.alone()), self.net.steps_at_once());
        // Waves of single rows take their states one after the other, while the card works on those before; what is used in this
        // call leaves the card last, and there are slots for all of it. Elsewhere a sequence has rows in many waves.
        let mut taken: Vec<&Resident> = vec![];
        let mut slots = vec![0; lengths.len()];
        if !waves.iter().all(plan::Wave::is_steps) {
            let busy: Vec<usize> = (0..lengths.len()).filter(|i| lengths[*i] > 0).collect();
            taken.extend(busy.iter().map(|i| residents[*i]));
            busy.iter().zip(pool.take(&taken)?).for_each(|(i, slot)| slots[*i] = slot);
        }
        let lazily = taken.is_empty();
        let runs = &mut |wave: &plan::Wave| {
            if lazily {
                let from = taken.len();
                taken.extend(wave.parts.iter().map(|part| residents[part.sequence]));
                let slots = pool.take(&taken[from..])?.into_iter();
                return Ok(slots.map(|slot| Run { len: 1, slot }).collect());
            }
            let each = wave.parts.iter().map(|part| Run { len: part.rows.len(), slot: slots[part.sequence] });
            Ok(each.collect())
        };
        let call = &mut lane::Call { input: batch.input, first, starts: offsets, runs, peeks, ask };
        if let Err(error) = lanes.run(&self.net, &waves, call) {
            // Nobody knows how far they came.
            taken.iter().for_each(|resident| resident.lose(&error.to_string()));
            return Err(error);
        }
        Ok(())
    }
}

impl BackboneState {
    fn resident(&self) -> Option<&Resident> {
        match &self.0 {
            Place::Card(resident) => Some(resident),
            Place::Memory(_) => None,
        }
    }
}

impl Encoder for CudaEncoder {
    fn config(&self) -> &Config {
        &self.config
    }

    fn route(&self) -> &Route {
        &self.route
    }

    fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    fn fresh(&self) -> BackboneState {
        BackboneState(Place::Card(Resident::fresh(&self.pool)))
    }

    fn fork(&self, states: &[&BackboneState]) -> Result<Vec<BackboneState>> {
        let residents = states.iter().map(|state| self.own(state)).collect::<Result<Vec<_>>>()?;
        let forks = Resident::fork(&self.pool, &residents)?;
        Ok(forks.into_iter().map(|fork| BackboneState(Place::Card(fork))).collect())
    }

    fn encode(&self, batch: &Packed<'_>, states: &mut [&mut BackboneState], taps: &[usize]) -> Result<Vec<Vec<f32>>> {
        self.run_whole(batch, &states.iter().map(|state| &**state).collect::<Vec<_>>(), (taps, false))
    }

    fn encode_to(
        &self,
        batch: &Packed<'_>,
        states: &mut [&mut BackboneState],
        taps: &[usize],
        take: &mut dyn FnMut(usize, &[&[f32]]),
    ) -> Result<()> {
        batch.check_layout(&self.config, states.len(), taps)?;
        let mut take = |sequence: usize, _: Range<usize>, rows: &[&[f32]]| take(sequence, rows);
        self.run_all(batch, states.iter().map(|state| &**state), (false, &mut Ask::Rows(taps, &mut take)))
    }

    fn encode_pooled(
        &self,
        batch: &Packed<'_>,
        states: &mut [&mut BackboneState],
        tap: usize,
        spans: &mut [PooledSpan],
    ) -> Result<()> {
        batch.check_layout(&self.config, states.len(), &[tap])?;
        spans.iter().try_for_each(|span| span.check(batch.offsets, self.config.d))?;
        self.outlets.pool((spans, self.config.d), |spans| {
            self.run_all(batch, states.iter().map(|state| &**state), (false, &mut Ask::Pooled(tap, spans)))
        })
    }

    fn encode_through(
        &self,
        batch: &Packed<'_>,
        states: &mut [&mut BackboneState],
        head: &[[f64; 4]],
        take: &mut dyn FnMut(usize, &[[f64; 4]]),
    ) -> Result<()> {
        batch.check_layout(&self.config, states.len(), &[])?;
        check_head(head, &self.config)?;
        self.outlets.head(head, |head| {
            self.run_all(batch, states.iter().map(|state| &**state), (false, &mut Ask::Through(head, take)))
        })
    }

    fn peek(&self, batch: &Packed<'_>, states: &[&BackboneState], taps: &[usize]) -> Result<Vec<Vec<f32>>> {
        batch.check_single_rows()?;
        self.run_whole(batch, states, (taps, true))
    }

    fn export(&self, state: &BackboneState) -> Result<Vec<f32>> {
        let values = self.own(state)?.values()?;
        let mut published = Vec::with_capacity(self.config.state_len());
        let (window, layer) = (self.config.mixer.window_len(), self.config.mixer_len());
        let taps = self.config.mixer.k() - 1;
        for values in values.chunks_exact(values.len() / self.config.layers) {
            let channels = window.checked_div(taps).unwrap_or(0);
            published.extend((0..channels).flat_map(|c| (0..taps).map(move |j| values[j * channels + c])));
            published.extend_from_slice(&values[window..layer]);
        }
        Ok(published)
    }

    fn import(&self, values: &[f32]) -> Result<BackboneState> {
        let expected = self.config.state_len();
        if values.len() != expected {
            return Err(Error::Input(format!("{} values; this backbone's state has {expected}", values.len())));
        }
        let mut own = vec![0.0; self.pool.slot_values()];
        let (window, layer) = (self.config.mixer.window_len(), self.config.mixer_len());
        let taps = self.config.mixer.k() - 1;
        let each = own.len() / self.config.layers;
        for (own, values) in own.chunks_exact_mut(each).zip(values.chunks_exact(layer)) {
            let channels = window.checked_div(taps).unwrap_or(0);
            for (i, value) in values[..window].iter().enumerate() {
                own[i % taps * channels + i / taps] = *value;
            }
            own[window..layer].copy_from_slice(&values[window..]);
        }
        Ok(BackboneState(Place::Card(Resident::in_memory(&self.pool, own))))
    }
}

impl Config {
    /// Values of one layer's state.
    fn mixer_len(&self) -> usize {
        self.state_len() / self.layers
    }
}

impl Net {
    fn new(gpu: &Gpu, config: &Config, weights: &Backbone, kind: Type) -> Result<Self> {
        let norm = |norm: &weights::Norm| {
            let parts = (&norm.weight[..], norm.bias.as_deref());
            Norm::new(gpu, parts, config.norm_eps, config.norm == NormKind::Layer)
        };
        let mut layers: Vec<Layer> = Vec::with_capacity(config.layers);
        // From the last to the first: a layer may do the next one's norm.
        for layer in weights.layers.iter().rev() {
            let own = norm(&layer.norm)?;
            let layer = Layer::new((gpu, kind), config, (layer, own), layers.last_mut())?;
            layers.push(layer);
        }
        layers.reverse();
        let embedding = (!weights.embedding.is_empty())
            .then(|| Embedding::new(gpu, kind, &weights.embedding, config.d))
            .transpose()?;
        Ok(Self { embedding, layers, norm_f: norm(&weights.norm_f)?, stack: None, states: vec![], kind, d: config.d })
    }

    /// Is told where the states lie.
    fn settle(&mut self, gpu: &Gpu, states: Vec<LayerStates>) -> Result<()> {
        let layers = self.layers.iter().zip(&states).map(|(layer, states)| layer.of_stack(*states));
        if let Some(layers) = layers.collect::<Option<Vec<_>>>() {
            self.stack = Stack::new(gpu, &layers)?;
        }
        self.states = states;
        Ok(())
    }

    /// Single rows, any number of them, take all layers in one kernel.
    fn steps_at_once(&self) -> bool {
        self.stack.as_ref().is_some_and(Stack::takes_many)
    }
}

#[cfg(test)]
mod tests;
