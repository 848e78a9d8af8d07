//! Taking in a batch of appends.

use std::{collections::BTreeMap, sync::Arc};

use unspool_model::{Digest, Events, Item, Model, Output, State};

use super::{
    Append, Applied, Error, Limit, Result, Time,
    events::{Raw, byte_len},
    index::{Index, Parts, Slot},
    key::Sid,
    record::{About, Record},
    shared::{Shared, Taken},
};

/// What is to be done for an append.
enum Plan {
    /// It was applied before.
    Repeat,
    /// It goes on with these parts, or begins.
    Run(Option<Box<Parts>>),
}

/// What becomes of an append at its beginning.
enum Begun<'a> {
    /// It was applied before.
    Done(Applied),
    /// The model has to run.
    Work(Box<Work<'a>>),
}

/// An append on its way through the model.
struct Work<'a> {
    append: &'a Append<'a>,
    sid: Sid,
    about: About,
    model: Arc<Model>,
    /// The state that is moved.
    state: State,
    /// The session's state, where a copy of it is moved.
    committed: Option<Arc<State>>,
    reply: Arc<Output>,
    /// Of the parts before.
    output: Output,
    /// The events of all parts, this one's included, where there are several.
    joined: Option<Raw>,
    /// What the model gave for this part.
    given: Result<Output>,
}

/// Sessions in the midst of a computation. Those still here when it breaks off are lost: nobody knows how far they moved.
struct Guard<'a, 'b> {
    shared: &'a Shared,
    work: Vec<Option<Box<Work<'b>>>>,
}

impl Drop for Guard<'_, '_> {
    fn drop(&mut self) {
        let lost: Vec<_> = self.work.drain(..).flatten().map(|work| work.sid).collect();
        if !lost.is_empty() {
            let mut index = self.shared.lock();
            lost.into_iter().for_each(|sid| self.shared.settle(&mut index, sid, Slot::Lost));
        }
    }
}

impl Shared {
    pub(super) fn append(&self, batch: &[Append<'_>], now: Time) -> Vec<Result<Applied>> {
        if let Err(error) = self.admit() {
            return batch.iter().map(|_| Err(error.clone())).collect();
        }
        let keys: Vec<_> = batch.iter().map(|append| append.key).collect();
        let limit = self.options.append_bytes;
        let taken = self.take(&keys, now, |index, i, sid| plan(index, sid, &batch[i], limit));
        let mut early: Vec<Option<Result<Applied>>> = vec![];
        let mut guard = Guard { shared: self, work: vec![] };
        for (append, taken) in batch.iter().zip(taken) {
            let (work, result) = match taken.and_then(|(taken, plan)| self.begin(append, taken, plan)) {
                Ok(Begun::Work(work)) => (Some(work), None),
                Ok(Begun::Done(applied)) => (None, Some(Ok(applied))),
                Err(error) => (None, Some(Err(error))),
            };
            guard.work.push(work);
            early.push(result);
        }
        run(&mut guard.work);
        let done = self.finish(std::mem::take(&mut guard.work), now);
        early.into_iter().zip(done).map(|(early, done)| early.or(done).unwrap_or(Err(Error::Closing))).collect()
    }

    /// Brings a session's state up; a repeated append is answered at once.
    fn begin<'a>(&self, append: &'a Append<'a>, mut taken: Taken<'_>, plan: Plan) -> Result<Begun<'a>> {
        let content = self.raise(&mut taken)?;
        let Plan::Run(parts) = plan else {
            let About { number, position, .. } = taken.about;
            let (output, state, durable) = (content.reply, content.state, self.ticket(taken.end));
            return Ok(Begun::Done(Applied { number, position, output, state, repeated: true, durable }));
        };
        let (sid, about) = taken.keep();
        let (model, reply) = (content.model, content.reply);
        let given = Ok(Output::default());
        let (state, committed, output, joined) = match parts {
            Some(parts) => {
                let Parts { state, output, mut events, .. } = *parts;
                // A model takes one kind of events only: it refuses what does not fit here.
                let _ = events.push(append.events);
                (state, Some(content.state), output, Some(events))
            }
            None if append.last => (Arc::unwrap_or_clone(content.state), None, Output::default(), None),
            None => {
                let state = State::clone(&content.state);
                (state, Some(content.state), Output::default(), Some(Raw::of(append.events)))
            }
        };
        let work = Work { append, sid, about, model, state, committed, reply, output, joined, given };
        Ok(Begun::Work(Box::new(work)))
    }

    /// Makes complete appends happen: the log's records, and the sessions moved on. Nothing here waits for the disk.
    fn finish(&self, work: Vec<Option<Box<Work<'_>>>>, now: Time) -> Vec<Option<Result<Applied>>> {
        // Records are built before the lock is taken.
        let mut records: Vec<Option<Vec<u8>>> = vec![];
        for work in &work {
            let complete = work.as_ref().filter(|work| self.folder.is_some() && work.completes());
            records.push(complete.map(|work| Record::append(work.sid, (work.append.number, now), work.events())));
        }
        let logged: Vec<bool> = records.iter().map(Option::is_some).collect();
        let mut index = self.lock();
        let mut lsn = self.log().map_or(0, |log| log.push(records.into_iter().flatten().collect()));
        let mut results = vec![];
        for (work, logged) in work.into_iter().zip(logged) {
            if let (Some(work), true) = (&work, logged) {
                index.logged(work.sid, lsn);
                lsn += 1;
            }
            results.push(work.map(|work| self.apply(&mut index, *work)));
        }
        results
    }

    /// Puts what the model made of a session in its place.
    fn apply(&self, index: &mut Index, work: Work<'_>) -> Result<Applied> {
        let Work { append, sid, about, state, committed, reply, mut output, joined, given, .. } = work;
        match given {
            Ok(given) => join(&mut output, given),
            Err(error) => {
                // The model has not moved it.
                let state = committed.unwrap_or_else(|| Arc::new(state));
                self.settle(index, sid, Slot::Live(state, reply));
                return Err(error);
            }
        }
        let Some(session) = index.get_mut(sid) else { return Err(Error::Unknown(about.key)) };
        let durable = self.ticket(session.end);
        let repeated = false;
        if !append.last {
            let committed = committed.unwrap_or_else(|| Arc::new(state.clone()));
            let events = joined.unwrap_or_else(|| Raw::of(append.events));
            session.parts = Some(Box::new(Parts { number: append.number, state, output, events }));
            self.settle(index, sid, Slot::Live(Arc::clone(&committed), reply));
            let About { number, position, .. } = about;
            return Ok(Applied { number, position, output: Arc::default(), state: committed, repeated, durable });
        }
        let (state, output, number) = (Arc::new(state), Arc::new(output), append.number);
        if self.options.history_bytes > 0 {
            let events = joined.unwrap_or_else(|| Raw::of(append.events));
            session.remember(about.position, events, self.options.history_bytes);
        }
        let position = state.position();
        index.moved(sid, number, position);
        self.settle(index, sid, Slot::Live(Arc::clone(&state), Arc::clone(&output)));
        Ok(Applied { number, position, output, state, repeated, durable })
    }
}

impl Work<'_> {
    /// The whole append has come, and the model took it.
    fn completes(&self) -> bool {
        self.append.last && self.given.is_ok()
    }

    /// All of the append's events.
    fn events(&self) -> Events<'_> {
        self.joined.as_ref().map_or(self.append.events, Raw::as_model)
    }
}

/// Checks an append against its session, and takes the parts that it goes on with.
fn plan(index: &mut Index, sid: Sid, append: &Append<'_>, limit: u64) -> Result<Plan> {
    let key = || append.key.clone();
    let Some(session) = index.get_mut(sid) else { return Err(Error::Unknown(key())) };
    let (last, found) = (session.about.number, append.number);
    if found == last && last > 0 {
        return Ok(Plan::Repeat);
    }
    if found < last {
        return Err(Error::Old { key: key(), last, found });
    }
    // A session that was restored may be at any number.
    let expected = last.saturating_add(1);
    if found != expected {
        return Err(Error::Gap { key: key(), expected, found });
    }
    let parts = session.parts.take().filter(|parts| append.offset > 0 && parts.number == found);
    let expected = parts.as_ref().map_or(0, |parts| parts.events.len());
    if append.offset != expected {
        session.parts = parts;
        return Err(Error::Part { key: key(), number: found, expected, found: append.offset });
    }
    let before = parts.as_ref().map_or(0, |parts| byte_len(parts.events.as_model()));
    if before + byte_len(append.events) > limit {
        return Err(Error::Full { what: Limit::AppendBytes, limit });
    }
    Ok(Plan::Run(parts))
}

/// Runs each model over its appends.
fn run(work: &mut [Option<Box<Work<'_>>>]) {
    let mut by_model: BTreeMap<Digest, Vec<&mut Work<'_>>> = BTreeMap::new();
    for work in work.iter_mut().flatten() {
        by_model.entry(work.model.info().digest).or_default().push(work);
    }
    for mut group in by_model.into_values() {
        let Some(first) = group.first() else { continue };
        let model = Arc::clone(&first.model);
        let given = run_together(&model, &mut group);
        for (work, given) in group.into_iter().zip(given) {
            work.given = given;
        }
    }
}

/// One call of the model; where it refuses a batch, each append alone, so that one refusal is no other's.
fn run_together(model: &Model, group: &mut [&mut Work<'_>]) -> Vec<Result<Output>> {
    let mut items: Vec<_> =
        group.iter_mut().map(|work| Item { state: &mut work.state, events: work.append.events }).collect();
    match model.append(&mut items) {
        Ok(outputs) => outputs.into_iter().map(Ok).collect(),
        Err(error) if items.len() == 1 => vec![Err(error.into())],
        Err(_) => {
            let alone =
                |item| model.append(std::slice::from_mut(item)).map(|mut outputs| outputs.pop().unwrap_or_default());
            items.iter_mut().map(|item| alone(item).map_err(Error::from)).collect()
        }
    }
}

/// Puts what came later behind what came before.
fn join(output: &mut Output, more: Output) {
    if output.rows.is_empty() {
        output.rows = more.rows;
    } else {
        output.rows.iter_mut().zip(more.rows).for_each(|(rows, more)| rows.extend(more));
    }
    output.scores.extend(more.scores);
}
