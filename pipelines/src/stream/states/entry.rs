//! What is kept of one series, and its bytes.

use std::path::Path;

use serde::{Deserialize, Serialize};
use unspool_model::{Model, State};

use super::pack::{pack, unpack};
use crate::stream::error::{Error, Result};

/// Bytes of the checksum over what stands beside the state (the state has its own).
const SEAL: usize = 8;

/// One series.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its state.
    pub state: State,
    /// What the job keeps beside it.
    pub beside: Beside,
}

/// What a job keeps of a series beside its state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beside {
    /// Time of the last event.
    pub last: Option<i64>,
    /// Events so far, without missing ones that a grid filled in.
    pub count: u64,
    /// The interval of the last output.
    pub interval: Option<i64>,
}

/// Bytes that are no entry.
#[derive(Debug)]
pub(super) enum BadEntry {
    Damaged(String),
    Model(unspool_model::Error),
}

impl BadEntry {
    pub(super) fn at(self, path: &Path) -> Error {
        match self {
            Self::Damaged(problem) => Error::damaged(path, problem),
            Self::Model(error) => Error::Model(error),
        }
    }
}

impl Entry {
    /// A series before its first event.
    #[must_use]
    pub fn new(state: State) -> Self {
        Self { state, beside: Beside::default() }
    }

    pub(super) fn write(&self, model: &Model) -> Result<Vec<u8>> {
        let beside = postcard::to_stdvec(&self.beside).map_err(|e| Error::Settings(e.to_string()))?;
        let state = pack(&model.save(&self.state)?).map_err(|e| Error::Settings(e.to_string()))?;
        let mut bytes = Vec::with_capacity(SEAL + 1 + beside.len() + state.len());
        bytes.extend_from_slice(&blake3::hash(&beside).as_bytes()[..SEAL]);
        bytes.push(u8::try_from(beside.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(&beside);
        bytes.extend_from_slice(&state);
        Ok(bytes)
    }

    pub(super) fn read(model: &Model, bytes: &[u8]) -> std::result::Result<Self, BadEntry> {
        let damaged = || BadEntry::Damaged("a series' state does not match its checksum".into());
        let (seal, rest) = bytes.split_at_checked(SEAL).ok_or_else(damaged)?;
        let (len, rest) = rest.split_first().ok_or_else(damaged)?;
        let (beside, state) = rest.split_at_checked(usize::from(*len)).ok_or_else(damaged)?;
        if &blake3::hash(beside).as_bytes()[..SEAL] != seal {
            return Err(damaged());
        }
        let beside = postcard::from_bytes(beside).map_err(|_| damaged())?;
        let state = unpack(state).map_err(|e| BadEntry::Damaged(format!("a series' state: {e}")))?;
        Ok(Self { state: model.restore(&state).map_err(BadEntry::Model)?, beside })
    }
}
