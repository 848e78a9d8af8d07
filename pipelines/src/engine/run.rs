//! The engine's loop: take in what arrived, let the next model do a step.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{EngineOptions, Observer, inbox::Inbox, lane::Lane};
use crate::store::Store;

/// Deadlines are looked at this often.
const SWEEP: Duration = Duration::from_millis(10);

/// What the thread owns.
pub(super) struct Run {
    options: EngineOptions,
    inbox: Arc<Inbox>,
    store: Arc<Store>,
    observer: Observer,
    /// Models with work, in turn.
    lanes: VecDeque<Lane>,
    swept: Instant,
}

/// Tells callers when the thread ends, by whatever way.
struct Ending<'a>(&'a Inbox);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.ended();
    }
}

impl Run {
    pub(super) fn new(options: EngineOptions, (inbox, store): (Arc<Inbox>, Arc<Store>), observer: Observer) -> Self {
        Self { options, inbox, store, observer, lanes: VecDeque::new(), swept: Instant::now() }
    }

    /// Until the inbox is closed and all is done.
    pub(super) fn run(mut self) {
        let inbox = Arc::clone(&self.inbox);
        let _ending = Ending(&inbox);
        loop {
            let arrived = inbox.take(self.lanes.is_empty());
            let idle = arrived.tasks.is_empty() && self.lanes.is_empty();
            if arrived.closed && idle {
                return;
            }
            for queued in arrived.tasks {
                let digest = queued.task.model.info().digest;
                match self.lanes.iter_mut().find(|lane| lane.digest() == digest) {
                    Some(lane) => lane.push(queued),
                    None => {
                        let mut lane = Lane::new(&queued.task.model, self.options, (&self.inbox, &self.store));
                        lane.push(queued);
                        self.lanes.push_back(lane);
                    }
                }
            }
            self.sweep(arrived.abandoned);
            self.step();
        }
    }

    /// Lets go of what nobody waits for any more.
    fn sweep(&mut self, abandoned: bool) {
        let now = Instant::now();
        if abandoned || now.duration_since(self.swept) >= SWEEP {
            self.swept = now;
            self.lanes.iter_mut().for_each(|lane| lane.sweep(now));
        }
    }

    /// The next model with work does a step.
    fn step(&mut self) {
        let Some(mut lane) = self.lanes.pop_front() else { return };
        let (stepped, tokens) = lane.step();
        if tokens > 0 {
            self.inbox.stepped(tokens, stepped.took);
            (self.observer)(&stepped);
        }
        if !lane.is_empty() {
            self.lanes.push_back(lane);
        }
    }
}
