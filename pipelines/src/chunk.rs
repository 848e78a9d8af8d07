//! The unit of work: consecutive events of one sequence.

use arrow::buffer::{Buffer, ScalarBuffer};
use serde::{Deserialize, Serialize};

/// A sequence within a job: numbered in the order in which sequences begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Sequence(pub u64);

/// Whose work a chunk is: the scheduler shares its packs among owners, and reads nothing else into it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(pub u64);

/// How a chunk ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// More of the sequence follows.
    Open,
    /// The sequence is complete.
    Complete,
    /// What follows cannot be used: the sequence is given up after these events.
    Broken,
}

/// Events in shared memory: cutting copies nothing.
#[derive(Clone, Debug)]
pub enum Events {
    /// Bases as ASCII letters.
    Bases(Buffer),
    /// Values of a series; NaN: missing.
    Values(ScalarBuffer<f64>),
    /// Token ids of a published language model.
    Tokens(ScalarBuffer<u32>),
}

impl Events {
    /// The number of events.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Bases(bases) => bases.len(),
            Self::Values(values) => values.len(),
            Self::Tokens(tokens) => tokens.len(),
        }
    }

    /// Whether there is no event.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The events `start..start + len`.
    fn slice(&self, start: usize, len: usize) -> Self {
        match self {
            Self::Bases(bases) => Self::Bases(bases.slice_with_length(start, len)),
            Self::Values(values) => Self::Values(values.slice(start, len)),
            Self::Tokens(tokens) => Self::Tokens(tokens.slice(start, len)),
        }
    }

    /// As the model takes them.
    #[must_use]
    pub fn as_model(&self) -> unspool_model::Events<'_> {
        match self {
            Self::Bases(bases) => unspool_model::Events::Bases(bases),
            Self::Values(values) => unspool_model::Events::Values(values),
            Self::Tokens(tokens) => unspool_model::Events::Tokens(tokens),
        }
    }
}

/// Consecutive events of one sequence.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The sequence.
    pub sequence: Sequence,
    /// Whose work it is.
    pub owner: Owner,
    /// The events.
    pub events: Events,
    /// How it ends.
    pub end: End,
}

impl Chunk {
    /// Cuts after `len` events: the first part, and the rest if there is one.
    #[must_use]
    pub fn cut(self, len: usize) -> (Self, Option<Self>) {
        let total = self.events.len();
        if total <= len {
            return (self, None);
        }
        let first = Self { events: self.events.slice(0, len), end: End::Open, ..self };
        let rest = Self { events: self.events.slice(len, total - len), ..self };
        (first, Some(rest))
    }
}
