//! The encoder alone, in this process: what the service is compared with.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use unspool_model::{Front, Item, Model, Options, Pool, State};
use unspool_proto::v1::InputKind;

use super::{BenchServeArgs, HORIZON, draw};
use crate::{
    args::DeviceArgs,
    error::{Error, Result},
    serve::{Config, Registry, ServeArgs},
};

/// A model, and states that the same events go to as to the server's sessions.
pub(super) struct Local {
    model: Arc<Model>,
    states: Vec<State>,
    position: u64,
}

impl Local {
    /// Loads the model as the server does, and opens `sequences` states.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub(super) fn load(args: &BenchServeArgs, sequences: u32) -> Result<Self> {
        let DeviceArgs { device, weights } = args.device;
        let (device, weights, model) = (Some(device), Some(weights), vec![args.model.clone()]);
        let config = Config::new(ServeArgs { device, weights, model, threads: args.threads, ..ServeArgs::default() })?;
        let model = Registry::load(&config)?.all().pop().ok_or(Error::Fault)?;
        let states = (0..sequences).map(|_| Ok(model.open(&Options::default())?)).collect::<Result<_>>()?;
        Ok(Self { model, states, position: 0 })
    }

    /// What the model takes.
    pub(super) fn kind(&self) -> InputKind {
        match self.model.info().front {
            Front::Series => InputKind::Series,
            Front::Dna => InputKind::Dna,
            Front::Tokens => InputKind::Tokens,
        }
    }

    /// One event for each sequence, in one call of the model; and forecasts, if they are wanted. How long it took.
    ///
    /// # Errors
    /// What the model refuses.
    pub(super) fn round(&mut self, ahead: bool) -> Result<Duration> {
        let kind = self.kind();
        let seeds = 0..self.states.len() as u64;
        let drawn: Vec<_> = seeds.map(|seed| draw::events(kind, seed, (self.position, 1))).collect();
        let begun = Instant::now();
        let states = self.states.iter_mut().zip(&drawn);
        let mut items: Vec<_> = states.map(|(state, drawn)| Item { state, events: drawn.as_model() }).collect();
        self.model.append(&mut items)?;
        if ahead {
            let states: Vec<&State> = self.states.iter().collect();
            self.model.forecast(&states, HORIZON as usize)?;
        }
        self.position += 1;
        Ok(begun.elapsed())
    }

    /// The plain loop: each sequence by itself, its mean vector of the last layer. How long it took.
    ///
    /// # Errors
    /// What the model refuses.
    pub(super) fn embed(&self, sequences: &[draw::Drawn]) -> Result<Duration> {
        let begun = Instant::now();
        let layer = self.model.info().config.layers;
        let options = Options { layers: vec![layer], pools: true, ..Options::default() };
        for sequence in sequences {
            let mut state = self.model.open(&options)?;
            self.model.append(&mut [Item { state: &mut state, events: sequence.as_model() }])?;
            std::hint::black_box(state.pooled(layer, Pool::Mean));
        }
        Ok(begun.elapsed())
    }
}
