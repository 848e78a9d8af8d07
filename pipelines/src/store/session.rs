//! What callers give and get of a session.

use std::{sync::Arc, time::Duration};

use unspool_model::{Digest, Options, Output, State};

use super::{Durable, Key, Time};

/// What a session is opened with; fixed for its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The model.
    pub model: Digest,
    /// What the model shall give.
    pub options: Options,
    /// How long it lives without being used; `None`: until it is closed.
    pub ttl: Option<Duration>,
}

/// Where a session's state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// Ready for the model.
    Live,
    /// As bytes in memory.
    Memory,
    /// In the folder.
    Disk,
}

/// What is known of a session without touching its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Its name.
    pub key: Key,
    /// What it was opened with.
    pub spec: Spec,
    /// The last append's number; 0 before the first.
    pub number: u64,
    /// Events so far.
    pub position: u64,
    /// When it was opened here.
    pub created: Time,
    /// When it was last used. Reading counts, but only appends are remembered over a crash.
    pub used: Time,
    /// Where its state is.
    pub tier: Tier,
}

/// A session's content.
#[derive(Clone, Debug)]
pub struct View {
    /// What is known of it.
    pub info: Info,
    /// Its state after the last complete append: pools can be read off it. Let go of it soon: while it is held, the next append
    /// has to copy it. [`State::route`] differs from the model's route once it was restored on another.
    pub state: Arc<State>,
}

/// Events for a session.
///
/// A long append may be given in parts, so that it does not keep others waiting: `offset` grows, and only the `last` part
/// makes the append happen, all of it. Until then every other call sees the session as it was before, and
/// [`super::Store::abandon`] takes the parts back.
#[derive(Clone, Copy, Debug)]
pub struct Append<'a> {
    /// The session.
    pub key: &'a Key,
    /// The append's number: 1 for a session's first, then one more each.
    pub number: u64,
    /// Events of this append in the parts before; 0 begins it (again).
    pub offset: usize,
    /// This part's events; may be empty.
    pub events: unspool_model::Events<'a>,
    /// Nothing of this append follows.
    pub last: bool,
}

impl<'a> Append<'a> {
    /// A whole append.
    #[must_use]
    pub fn whole(key: &'a Key, number: u64, events: unspool_model::Events<'a>) -> Self {
        Self { key, number, offset: 0, events, last: true }
    }
}

/// What became of an [`Append`].
#[derive(Clone, Debug)]
pub struct Applied {
    /// The last complete append's number: this one's, if its last part came.
    pub number: u64,
    /// Events of the session, up to the last complete append.
    pub position: u64,
    /// What the model gave for the whole append; empty before its last part.
    pub output: Arc<Output>,
    /// The state after the last complete append, as in [`View::state`].
    pub state: Arc<State>,
    /// The append had been applied before: this is its reply again, and the state has not moved.
    pub repeated: bool,
    /// When the append is safe from a crash.
    pub durable: Durable,
}

/// A page of [`super::Store::list`].
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Sessions in the order of their ids.
    pub sessions: Vec<Info>,
    /// The id to go on after; `None`: there are no more.
    pub next: Option<Arc<str>>,
}

/// Figures of a store, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Sessions with a live state.
    pub live: u64,
    /// Sessions whose state is bytes in memory.
    pub memory: u64,
    /// Sessions whose state is in the folder only.
    pub disk: u64,
    /// Bytes of live states, with the replies kept.
    pub live_bytes: u64,
    /// Bytes of states kept as bytes in memory.
    pub memory_bytes: u64,
    /// Bytes of all sessions' states, wherever they are.
    pub state_bytes: u64,
    /// Sessions with appends that only the log holds.
    pub unsaved: u64,
    /// Bytes of the log's files.
    pub log_bytes: u64,
    /// Events that only the log holds: a restart would run them again.
    pub replay_events: u64,
    /// States moved up from memory or disk since the store was opened.
    pub raised: u64,
    /// States moved down since the store was opened.
    pub lowered: u64,
    /// States written to the folder since the store was opened.
    pub saved: u64,
}
