//! Appends to sessions: through the store, one after the other for each session.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{Active, Lane};
use crate::{
    Chunk, End, Sequence,
    engine::{Appended, Error, Result, Subject},
    store::{self, Append, Applied, Key, Time},
};

/// Who waits for whom: the first of a session's appends is worked on, the others follow.
#[derive(Default)]
pub(super) struct Sessions(HashMap<Key, (Sequence, VecDeque<Sequence>)>);

impl Sessions {
    /// Joins the session's queue; true: it is its turn.
    pub(super) fn join(&mut self, key: &Key, sequence: Sequence) -> bool {
        match self.0.entry(key.clone()) {
            Entry::Vacant(entry) => {
                entry.insert((sequence, VecDeque::new()));
                true
            }
            Entry::Occupied(mut entry) => {
                entry.get_mut().1.push_back(sequence);
                false
            }
        }
    }

    /// Leaves the queue; whose turn it is now, if that has changed.
    pub(super) fn leave(&mut self, key: &Key, sequence: Sequence) -> Option<Sequence> {
        let (first, others) = self.0.get_mut(key)?;
        if *first != sequence {
            others.retain(|other| *other != sequence);
            return None;
        }
        match others.pop_front() {
            Some(next) => *first = next,
            None => return self.0.remove(key).and(None),
        }
        Some(*first)
    }
}

impl Lane {
    pub(super) fn is_append(&self, chunk: &Chunk) -> bool {
        let active = self.active.get(&chunk.sequence);
        active.is_some_and(|active| matches!(active.task.subject, Subject::Session { .. }))
    }

    /// Gives the store the parts of a pack that are its sessions'.
    pub(super) fn append(&mut self, pack: &[Chunk]) {
        if pack.is_empty() {
            return;
        }
        let mut batch = Vec::with_capacity(pack.len());
        for chunk in pack {
            if let Some(append) = self.active.get(&chunk.sequence).and_then(|active| active.part(chunk)) {
                batch.push(append);
            }
        }
        // A fault is every part's: the store itself knows which sessions it has to bring back from the log.
        let results = catch_unwind(AssertUnwindSafe(|| self.store.append(&batch, now())));
        let results: Vec<Result<Applied>> = match results {
            Ok(results) => results.into_iter().map(|result| result.map_err(store_error)).collect(),
            Err(_) => pack.iter().map(|_| Err(Error::Fault)).collect(),
        };
        for (chunk, result) in pack.iter().zip(results) {
            match (result, self.active.get_mut(&chunk.sequence)) {
                (Ok(applied), Some(active)) => {
                    active.given += chunk.events.len();
                    let repeated = applied.repeated;
                    if repeated || chunk.end == End::Complete {
                        active.applied(applied);
                    }
                    if repeated && chunk.end != End::Complete {
                        self.chunks.retain(|rest| rest.sequence != chunk.sequence);
                        self.encoded(chunk.sequence);
                    }
                }
                (Err(error), _) => {
                    self.abandon(chunk.sequence);
                    self.refuse(chunk.sequence, error);
                }
                (Ok(_), None) => (),
            }
        }
    }

    /// The parts of an append that will not be completed are taken back.
    pub(super) fn abandon(&self, sequence: Sequence) {
        let Some(active) = self.active.get(&sequence) else { return };
        if let (Subject::Session { key, .. }, 1.., None) = (&active.task.subject, active.given, &active.appended) {
            self.store.abandon(key, now());
        }
    }
}

impl Active {
    fn part<'a>(&'a self, chunk: &'a Chunk) -> Option<Append<'a>> {
        let Subject::Session { key, number, .. } = &self.task.subject else { return None };
        let (number, offset, last) = (*number, self.given, chunk.end == End::Complete);
        Some(Append { key, number, offset, events: chunk.events.as_model(), last })
    }

    fn applied(&mut self, applied: Applied) {
        let Applied { position, output, state, repeated, durable, .. } = applied;
        let route_changed = *state.route() != self.task.model.info().route;
        (self.output, self.state) = (output, Some(state));
        self.appended = Some(Appended { position, repeated, route_changed, durable });
    }
}

fn store_error(error: store::Error) -> Error {
    match error {
        store::Error::Model(error) => Error::Model(Arc::clone(&error)),
        error => Error::Store(error),
    }
}

/// Now, as the store counts it.
fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
