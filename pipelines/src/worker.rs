//! Owns the model and the states of the open sequences; runs packs.

use std::{collections::HashMap, sync::Arc};

use unspool_model::{Item, Model, Options, Output, PooledSpan, State};

use crate::{Chunk, End, Error, Result, Sequence};

/// A chunk's result.
pub struct Encoded {
    /// The sequence.
    pub sequence: Sequence,
    /// How the chunk ended.
    pub end: End,
    /// Events of the sequence so far.
    pub position: u64,
    /// What the model gave for it.
    pub output: Output,
    /// The state, when the sequence has ended; else the worker keeps it.
    pub state: Option<State>,
}

/// The model, and the states of the sequences that are open.
pub struct Worker {
    model: Arc<Model>,
    options: Options,
    open: HashMap<Sequence, State>,
    max_open: usize,
}

impl Worker {
    /// A worker that holds at most `max_open` states.
    #[must_use]
    pub fn new(model: Arc<Model>, options: Options, max_open: usize) -> Self {
        Self { model, options, open: HashMap::new(), max_open: max_open.max(1) }
    }

    /// Encodes a pack: each sequence at most once. Returns the results in the pack's order.
    ///
    /// # Errors
    /// When more sequences are open than the worker may hold, or the model refuses.
    pub fn encode(&mut self, pack: &[Chunk]) -> Result<Vec<Encoded>> {
        self.run(pack, |model, items| model.append(items))
    }

    /// As [`Worker::encode`]: the hidden rows of `layer` go into the pools of `spans`, a list a chunk, by the chunk's events.
    ///
    /// # Errors
    /// As there.
    pub fn encode_pooled(
        &mut self,
        pack: &[Chunk],
        layer: usize,
        spans: &mut [Vec<PooledSpan>],
    ) -> Result<Vec<Encoded>> {
        self.run(pack, |model, items| {
            model.append_pooled(items, layer, spans)?;
            Ok(items.iter().map(|_| Output::default()).collect())
        })
    }

    fn run(
        &mut self,
        pack: &[Chunk],
        append: impl FnOnce(&Model, &mut [Item<'_>]) -> unspool_model::Result<Vec<Output>>,
    ) -> Result<Vec<Encoded>> {
        let mut states = Vec::with_capacity(pack.len());
        for chunk in pack {
            states.push(self.take_or_open(chunk.sequence, states.len())?);
        }
        let mut items: Vec<Item<'_>> =
            states.iter_mut().zip(pack).map(|(state, chunk)| Item { state, events: chunk.events.as_model() }).collect();
        let outputs = append(&self.model, &mut items)?;
        let mut results = Vec::with_capacity(pack.len());
        for ((chunk, state), output) in pack.iter().zip(states).zip(outputs) {
            let Chunk { sequence, end, .. } = *chunk;
            let position = state.position();
            let state = if end == End::Open {
                self.open.insert(sequence, state);
                None
            } else {
                Some(state)
            };
            results.push(Encoded { sequence, end, position, output, state });
        }
        Ok(results)
    }

    /// Takes an open sequence's state out: the sequence has ended.
    pub fn take(&mut self, sequence: Sequence) -> Option<State> {
        self.open.remove(&sequence)
    }

    /// The state of an open sequence.
    #[must_use]
    pub fn get(&self, sequence: Sequence) -> Option<&State> {
        self.open.get(&sequence)
    }

    /// Opens a sequence that goes on from a state, which must have been opened for the worker's options.
    ///
    /// # Errors
    /// When more sequences are open than the worker may hold.
    pub fn put(&mut self, sequence: Sequence, state: State) -> Result<()> {
        if self.open.len() >= self.max_open && !self.open.contains_key(&sequence) {
            let state_bytes = state_bytes(&self.model, &self.options)?;
            return Err(Error::TooManySequences { limit: self.max_open, state_bytes });
        }
        self.open.insert(sequence, state);
        Ok(())
    }

    /// The state of `sequence`, while `taken` others are out of the table.
    fn take_or_open(&mut self, sequence: Sequence, taken: usize) -> Result<State> {
        if let Some(state) = self.open.remove(&sequence) {
            return Ok(state);
        }
        if self.open.len() + taken >= self.max_open {
            let state_bytes = state_bytes(&self.model, &self.options)?;
            return Err(Error::TooManySequences { limit: self.max_open, state_bytes });
        }
        Ok(self.model.open(&self.options)?)
    }
}

/// Bytes of a state as it is saved: the same for every sequence of a model and options, and about what it takes in memory.
///
/// # Errors
/// When the model refuses the options.
pub fn state_bytes(model: &Model, options: &Options) -> Result<usize> {
    Ok(model.save(&model.open(options)?)?.len())
}
