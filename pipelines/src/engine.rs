//! Continuous batching: one thread owns the computation, and callers from anywhere hand it sequences.
//!
//! ```text
//! callers ──Task──► Inbox (bounded) ──► one Lane a model: Scheduler ──packs──► model, store
//!    ▲                                      │
//!    └───────────────── Ticket ◄── Done ────┘
//! ```
//!
//! Between two packs whoever arrived joins in: nobody waits for a batch to fill or to end. Long sequences are cut, owners
//! take turns, and what nobody waits for any more leaves the queue. By the batch law none of this changes a bit.

mod error;
mod inbox;
mod lane;
mod run;
mod task;
#[cfg(test)]
mod tests;

use std::{sync::Arc, thread::JoinHandle, time::Duration};

pub use self::{
    error::{Error, Result},
    task::{Appended, Done, Subject, Task, Ticket, Timings},
};
use self::{inbox::Inbox, run::Run};
use crate::store::Store;

/// How much an engine takes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineOptions {
    /// Tokens (bases, token ids, or patches of values) that go through a model at once, at most.
    pub pack_tokens: usize,
    /// The same of a model on a GPU, which fewer leave idle.
    pub gpu_pack_tokens: usize,
    /// Long sequences are cut to no fewer tokens than an n-th of a pack, so that short ones get in between.
    pub pack_slices: usize,
    /// Long sequences that are worked on side by side: each holds a state.
    pub open_sequences: usize,
    /// Tokens that may wait.
    pub waiting_tokens: usize,
    /// Tasks that may wait.
    pub waiting_tasks: usize,
    /// The share of these that one owner may take, in percent.
    pub owner_percent: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            pack_tokens: 512,
            gpu_pack_tokens: 16_384,
            pack_slices: 8,
            open_sequences: 64,
            waiting_tokens: 1 << 20,
            waiting_tasks: 1 << 16,
            owner_percent: 100,
        }
    }
}

/// What one step of the engine did.
#[derive(Clone, Copy, Debug)]
pub struct Stepped {
    /// Sequences that took part.
    pub sequences: usize,
    /// Events taken in.
    pub events: usize,
    /// The share of the budget that was used, 0 to 1.
    pub fill: f64,
    /// Forecasts made.
    pub forecasts: usize,
    /// How long it took.
    pub took: Duration,
}

/// How an engine stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Tasks that wait or are being worked on.
    pub tasks: usize,
    /// Their tokens.
    pub tokens: usize,
    /// The thread runs.
    pub alive: bool,
}

/// Is told of every step, on the engine's thread: it must not block.
pub type Observer = Box<dyn Fn(&Stepped) + Send>;

/// The thread that computes, and the way to it.
pub struct Engine {
    inbox: Arc<Inbox>,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    /// Starts the thread. Appends go to sessions of `store`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(options: EngineOptions, store: Arc<Store>, observer: Observer) -> std::io::Result<Self> {
        let inbox = Arc::new(Inbox::new(options));
        let run = Run::new(options, (Arc::clone(&inbox), store), observer);
        let thread = std::thread::Builder::new().name("unspool-engine".into()).spawn(move || run.run())?;
        Ok(Self { inbox, thread: Some(thread) })
    }

    /// Queues tasks, all or none; each ticket is done when its task is.
    ///
    /// # Errors
    /// [`Error::Full`] when they do not fit, [`Error::Model`] when a model does not take a task's events,
    /// [`Error::Closing`] after [`Engine::close`].
    pub fn submit(&self, mut tasks: Vec<Task>) -> Result<Vec<Ticket>> {
        self.offer(&mut tasks)
    }

    /// As [`Engine::submit`]; what is refused stays in `tasks`, for another try.
    ///
    /// # Errors
    /// As [`Engine::submit`].
    pub fn offer(&self, tasks: &mut Vec<Task>) -> Result<Vec<Ticket>> {
        tasks.iter().try_for_each(Task::check)?;
        self.inbox.put(tasks)
    }

    /// How it stands.
    #[must_use]
    pub fn load(&self) -> Load {
        self.inbox.load()
    }

    /// Takes nothing more; what waits is worked off, then the thread ends.
    pub fn close(&self) {
        self.inbox.close();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
        if let Some(thread) = self.thread.take() {
            // A fault of the thread was told to whoever waited for it.
            let _ = thread.join();
        }
    }
}
