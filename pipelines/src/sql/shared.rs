//! What all functions of a session share: the model, loaded when it is first needed, and what could not be used.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use unspool_ingest::Reject;
use unspool_model::{Model, Options};

use crate::{Pooling, Result, state_bytes};

/// Memory for states of series that are worked on together, in bytes.
const STATES_BYTES: usize = 256 << 20;
/// Rows of series that are worked on together, at most, unless one series has more.
pub(super) const GROUP_ROWS: usize = 1 << 20;

/// Loads a model; called once, when a query first needs it.
pub type Load = dyn Fn() -> Result<Arc<Model>> + Send + Sync;

/// How functions work.
#[derive(Clone, Copy, Debug)]
pub struct Functions {
    /// Of `embed`: the layer; `None`: the last one, after the final norm.
    pub layer: Option<usize>,
    /// Of `embed`: how a series' rows become one (the mean, the last or the greatest).
    pub pooling: Pooling,
    /// Tokens a pack, at most; `None`: what suits the model's device.
    pub pack_tokens: Option<usize>,
}

impl Default for Functions {
    /// The mean over the last layer.
    fn default() -> Self {
        Self { layer: None, pooling: Pooling::Mean, pack_tokens: None }
    }
}

/// What could not be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unused {
    /// Rows and sequences.
    pub count: u64,
    /// The first of them.
    pub first: Option<Reject>,
}

/// What all functions of a session share.
pub(super) struct Shared {
    load: Box<Load>,
    model: Mutex<Option<Arc<Model>>>,
    /// Held while the model computes: it takes all threads, or the card, by itself.
    turn: Mutex<()>,
    unused: Mutex<Unused>,
    pub(super) functions: Functions,
}

impl Shared {
    pub(super) fn new(load: Box<Load>, functions: Functions) -> Self {
        Self { load, model: Mutex::default(), turn: Mutex::default(), unused: Mutex::default(), functions }
    }

    /// The model.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub(super) fn model(&self) -> Result<Arc<Model>> {
        let mut model = lock(&self.model);
        if let Some(model) = &*model {
            return Ok(Arc::clone(model));
        }
        Ok(Arc::clone(model.insert((self.load)()?)))
    }

    /// The model, if a query needed it.
    pub(super) fn loaded(&self) -> Option<Arc<Model>> {
        lock(&self.model).clone()
    }

    /// Which model runs, and where, if a query needed it.
    pub(super) fn place(&self) -> Option<String> {
        let model = self.loaded()?;
        let info = model.info();
        Some(format!("model {} ({}) on {}, {}", info.name, &info.digest.to_string()[..12], info.device, info.route))
    }

    /// Waits until nobody else computes.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        lock(&self.turn)
    }

    /// Tokens a pack.
    pub(super) fn pack_tokens(&self, model: &Model) -> usize {
        let suitable = if let unspool_model::Device::Cuda(_) = model.info().device { 131_072 } else { 2048 };
        self.functions.pack_tokens.unwrap_or(suitable)
    }

    /// Counts what could not be used.
    pub(super) fn reject(&self, rejects: impl IntoIterator<Item = Reject>) {
        let mut unused = lock(&self.unused);
        for reject in rejects {
            unused.count += 1;
            unused.first.get_or_insert(reject);
        }
    }

    /// What could not be used so far.
    pub(super) fn unused(&self) -> Unused {
        lock(&self.unused).clone()
    }
}

/// Series that are worked on together, at most.
///
/// # Errors
/// When the model refuses the options.
pub(super) fn most_series(model: &Model, options: &Options) -> Result<usize> {
    Ok((STATES_BYTES / state_bytes(model, options)?.max(1)).max(1))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

/// The same session: the functions of one are equal where their names are.
impl PartialEq for Shared {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Shared {}

impl Hash for Shared {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::ptr::hash(self, state);
    }
}
