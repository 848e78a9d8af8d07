//! Many series through the model at once, in ragged packs; several workers each take a share.

use std::{sync::Arc, thread};

use unspool_model::{Item, Model, State};

use super::error::{Error, Result};
use crate::{Chunk, End, Events, Owner, Scheduler, Sequence, scheduler::Limits};

/// What is to be run of a series.
pub(super) struct Work {
    /// Its number.
    pub number: usize,
    /// The state before the values.
    pub state: State,
    /// NaN where missing.
    pub values: Vec<f64>,
    /// So many of them, the last ones, came in the unit at hand: the scores of those are still to be given.
    pub fresh: usize,
}

/// A series that has been run.
pub(super) struct Ran {
    /// Its number.
    pub number: usize,
    /// The state behind its values.
    pub state: State,
    /// The p-values of its fresh values, where the state was opened for them.
    pub scores: Vec<f64>,
}

/// Runs series in packs of so many events.
///
/// # Errors
/// When the model refuses.
pub(super) fn encode(model: &Model, works: Vec<Work>, pack_events: usize) -> Result<Vec<Ran>> {
    let mut scheduler = Scheduler::new(Limits { waiting_events: usize::MAX, ..Limits::job(pack_events) });
    let (mut states, mut ran) = (vec![], vec![]);
    for (at, Work { number, state, values, fresh }) in works.into_iter().enumerate() {
        ran.push((number, fresh, vec![]));
        states.push(Some(state));
        if !values.is_empty() {
            let events = Events::Values(values.into());
            let chunk = Chunk { sequence: Sequence(at as u64), owner: Owner::default(), events, end: End::Open };
            scheduler.push_all(vec![chunk])?;
        }
    }
    while !scheduler.is_empty() {
        let pack = scheduler.pack();
        let place = |chunk: &Chunk| usize::try_from(chunk.sequence.0).unwrap_or(usize::MAX);
        let mut packed: Vec<State> = pack.iter().filter_map(|chunk| states[place(chunk)].take()).collect();
        let mut items: Vec<Item<'_>> = packed
            .iter_mut()
            .zip(&pack)
            .map(|(state, chunk)| Item { state, events: chunk.events.as_model() })
            .collect();
        let outputs = model.append(&mut items)?;
        for ((state, chunk), output) in packed.into_iter().zip(&pack).zip(outputs) {
            states[place(chunk)] = Some(state);
            ran[place(chunk)].2.extend(output.scores);
        }
    }
    let ran = ran.into_iter().zip(states).filter_map(|((number, fresh, mut scores), state)| {
        let scores = scores.split_off(scores.len().saturating_sub(fresh));
        Some(Ran { number, state: state?, scores })
    });
    Ok(ran.collect())
}

/// Shares work among workers, one thread and one model each; their answers in the work's order.
///
/// # Errors
/// When a worker fails, the first one's error.
pub(super) fn shared<T: Send>(
    models: &[Arc<Model>],
    mut works: Vec<Work>,
    run: impl Fn(&Model, Vec<Work>) -> Result<Vec<T>> + Sync,
) -> Result<Vec<T>> {
    let [first, others @ ..] = models else { return Ok(vec![]) };
    if others.is_empty() || works.len() < 2 {
        return run(first, works);
    }
    let total: usize = works.iter().map(|work| work.values.len() + 1).sum();
    let share = total.div_ceil(models.len());
    let (mut cuts, mut taken) = (vec![], 0);
    for (at, work) in works.iter().enumerate() {
        taken += work.values.len() + 1;
        if taken >= share * (cuts.len() + 1) && cuts.len() < others.len() {
            cuts.push(at + 1);
        }
    }
    let mut shares: Vec<Vec<Work>> = cuts.into_iter().rev().map(|cut| works.split_off(cut)).collect();
    shares.push(works);
    shares.reverse();
    let run = &run;
    thread::scope(|scope| {
        let threads: Vec<_> =
            models.iter().zip(shares).map(|(model, share)| scope.spawn(move || run(model, share))).collect();
        let mut all = vec![];
        for thread in threads {
            all.extend(thread.join().map_err(|_| Error::Job(crate::Error::WorkerGone))??);
        }
        Ok(all)
    })
}
