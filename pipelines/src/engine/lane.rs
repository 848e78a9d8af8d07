//! One model's work: what waits for it, and the step that does some of it.

mod sessions;

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;
use unspool_model::{Digest, Item, Model, Output, State, device::Device, series::Forecast};

use self::sessions::Sessions;
use super::{
    Appended, Done, EngineOptions, Error, Result, Stepped, Subject, Task, Timings,
    inbox::{Inbox, Queued, Size},
};
use crate::{
    Chunk, End, Owner, Sequence,
    scheduler::{Limits, Piece, Scheduler},
    store::Store,
};

/// What waits for one model.
pub(super) struct Lane {
    model: Arc<Model>,
    /// Events of a token: 1, or a patch.
    row_events: usize,
    pack_tokens: usize,
    inbox: Arc<Inbox>,
    store: Arc<Store>,
    sessions: Sessions,
    chunks: Scheduler<Chunk>,
    forecasts: Scheduler<Ahead>,
    active: HashMap<Sequence, Active>,
    next: u64,
}

/// A task that waits or is being worked on.
struct Active {
    task: Task,
    reply: oneshot::Sender<Result<Done>>,
    arrived: Instant,
    size: Size,
    /// When its first step began.
    begun: Option<Instant>,
    compute: Duration,
    state: Option<Arc<State>>,
    output: Arc<Output>,
    /// Of a session: events that the store has, and what became of them.
    given: usize,
    appended: Option<Appended>,
}

/// A forecast that waits.
struct Ahead {
    owner: Owner,
    sequence: Sequence,
    tokens: usize,
}

impl Piece for Ahead {
    fn owner(&self) -> Owner {
        self.owner
    }

    fn sequence(&self) -> Sequence {
        self.sequence
    }

    fn events(&self) -> usize {
        self.tokens
    }

    fn cut(self, _len: usize) -> (Self, Option<Self>) {
        (self, None)
    }
}

impl Lane {
    pub(super) fn new(model: &Arc<Model>, options: EngineOptions, (inbox, store): (&Arc<Inbox>, &Arc<Store>)) -> Self {
        let row_events = model.series_shape().map_or(1, |shape| shape.patch);
        let pack_tokens = match model.info().device {
            Device::Cuda(_) => options.gpu_pack_tokens,
            _ => options.pack_tokens,
        };
        let slice_tokens = pack_tokens.div_ceil(options.pack_slices.max(1));
        // The inbox has the limits of what waits.
        let limits = |row_events: usize| Limits {
            pack_pieces: usize::MAX,
            pack_events: pack_tokens.saturating_mul(row_events),
            waiting_events: usize::MAX,
            slice_events: slice_tokens.saturating_mul(row_events),
            open_sequences: options.open_sequences,
        };
        Self {
            model: Arc::clone(model),
            row_events,
            pack_tokens: pack_tokens.max(1),
            inbox: Arc::clone(inbox),
            store: Arc::clone(store),
            sessions: Sessions::default(),
            chunks: Scheduler::new(limits(row_events)),
            forecasts: Scheduler::new(limits(1)),
            active: HashMap::new(),
            next: 0,
        }
    }

    pub(super) fn digest(&self) -> Digest {
        self.model.info().digest
    }

    pub(super) fn is_empty(&self) -> bool {
        self.active.is_empty()
    }

    /// Takes a task in.
    pub(super) fn push(&mut self, queued: Queued) {
        let Queued { task, reply, arrived, size } = queued;
        let sequence = Sequence(self.next);
        self.next += 1;
        let enters = match &task.subject {
            Subject::Session { key, .. } => self.sessions.join(key, sequence),
            _ => true,
        };
        let active = Active {
            task,
            reply,
            arrived,
            size,
            begun: None,
            compute: Duration::ZERO,
            state: None,
            output: Arc::default(),
            given: 0,
            appended: None,
        };
        self.active.insert(sequence, active);
        if enters {
            self.enter(sequence);
        }
    }

    /// Its events wait for a step from now on.
    fn enter(&mut self, sequence: Sequence) {
        let Some(active) = self.active.get(&sequence) else { return };
        let (owner, events) = (active.task.owner, active.task.events.clone());
        // Never full: the inbox counts what waits.
        let _ = self.chunks.push(Chunk { sequence, owner, events, end: End::Complete });
    }

    /// Lets go of tasks that nobody waits for: whose ticket is gone, or whose deadline has passed before they began.
    pub(super) fn sweep(&mut self, now: Instant) {
        let gone = self.active.iter().filter_map(|(sequence, active)| active.gone(now).map(|why| (*sequence, why)));
        let gone: HashMap<Sequence, Error> = gone.collect();
        if gone.is_empty() {
            return;
        }
        self.chunks.retain(|chunk| !gone.contains_key(&chunk.sequence));
        self.forecasts.retain(|ahead| !gone.contains_key(&ahead.sequence));
        gone.keys().for_each(|sequence| self.abandon(*sequence));
        for (sequence, why) in gone {
            self.finish(sequence, Err(why));
        }
    }

    /// Does a bounded piece of the work; also gives its tokens.
    pub(super) fn step(&mut self) -> (Stepped, usize) {
        let begin = Instant::now();
        let pack = self.chunks.pack();
        let events: usize = pack.iter().map(|chunk| chunk.events.len()).sum();
        let mut tokens = events.div_ceil(self.row_events).max(pack.len().div_ceil(self.row_events));
        let fill = tokens as f64 / self.pack_tokens as f64;
        let mut sequences: Vec<Sequence> = pack.iter().map(|chunk| chunk.sequence).collect();
        self.begin(&sequences, begin);
        let (appends, own): (Vec<Chunk>, Vec<Chunk>) = pack.iter().cloned().partition(|chunk| self.is_append(chunk));
        self.encode(&own);
        self.append(&appends);
        let ahead = self.forecasts.pack();
        tokens += ahead.iter().map(|ahead| ahead.tokens).sum::<usize>();
        let forecasts: Vec<Sequence> = ahead.iter().map(|ahead| ahead.sequence).collect();
        let made = self.forecast(&forecasts);
        sequences.extend(&forecasts);
        sequences.sort_unstable();
        sequences.dedup();
        let took = begin.elapsed();
        for sequence in &sequences {
            if let Some(active) = self.active.get_mut(sequence) {
                active.compute += took;
            }
        }
        for chunk in pack.iter().filter(|chunk| chunk.end == End::Complete) {
            self.encoded(chunk.sequence);
        }
        for (sequence, forecast) in made {
            self.finish(sequence, forecast.map(Some));
        }
        (Stepped { sequences: sequences.len(), events, fill, forecasts: forecasts.len(), took }, tokens)
    }

    /// These take part in their first step, or in a later one.
    fn begin(&mut self, sequences: &[Sequence], now: Instant) {
        for sequence in sequences {
            if let Some(active) = self.active.get_mut(sequence) {
                active.begun.get_or_insert(now);
            }
        }
    }

    /// Runs a pack of chunks. Whatever fails fails for all of them: what the model refuses was sorted out before.
    fn encode(&mut self, pack: &[Chunk]) {
        let (mut states, mut busy) = (Vec::with_capacity(pack.len()), Vec::with_capacity(pack.len()));
        for chunk in pack {
            match self.active.get_mut(&chunk.sequence).map(|active| active.take_state(&self.model)) {
                Some(Ok(state)) if chunk.events.is_empty() => self.stand(chunk.sequence, state),
                Some(Ok(state)) => {
                    states.push(state);
                    busy.push(chunk);
                }
                Some(Err(error)) => return self.fail(pack, &error),
                None => return self.fail(pack, &Error::Fault),
            }
        }
        let mut items: Vec<Item<'_>> = (states.iter_mut().zip(&busy))
            .map(|(state, chunk)| Item { state: Arc::make_mut(state), events: chunk.events.as_model() })
            .collect();
        match guarded(|| self.model.append(&mut items)) {
            Ok(outputs) => {
                for ((chunk, state), output) in busy.into_iter().zip(states).zip(outputs) {
                    if let Some(active) = self.active.get_mut(&chunk.sequence) {
                        active.state = Some(state);
                        active.extend(output);
                    }
                }
            }
            Err(error) => self.fail(pack, &error),
        }
    }

    /// Without events a state stays as it is: nothing is copied.
    fn stand(&mut self, sequence: Sequence, state: Arc<State>) {
        if let Some(active) = self.active.get_mut(&sequence) {
            active.state = Some(state);
        }
    }

    fn fail(&mut self, pack: &[Chunk], error: &Error) {
        let failed: Vec<Sequence> = pack.iter().map(|chunk| chunk.sequence).collect();
        failed.into_iter().for_each(|sequence| self.refuse(sequence, error.clone()));
    }

    /// A task fails in the midst of its events: none of the rest is taken in.
    fn refuse(&mut self, sequence: Sequence, error: Error) {
        self.chunks.retain(|chunk| chunk.sequence != sequence);
        self.finish(sequence, Err(error));
    }

    /// All of a task's events are in: it is done, or its forecast is next.
    fn encoded(&mut self, sequence: Sequence) {
        let Some(active) = self.active.get(&sequence) else { return };
        if active.task.horizon.is_none() {
            return self.finish(sequence, Ok(None));
        }
        let position = active.state.as_ref().map_or(0, |state| state.position());
        let ahead = Ahead { owner: active.task.owner, sequence, tokens: active.task.forecast_tokens(position) };
        // Never full, as above.
        let _ = self.forecasts.push(ahead);
    }

    /// Makes forecasts: those of one horizon together.
    fn forecast(&self, sequences: &[Sequence]) -> Vec<(Sequence, Result<Forecast>)> {
        let mut horizons: BTreeMap<NonZeroUsize, Vec<(Sequence, &State)>> = BTreeMap::new();
        for sequence in sequences {
            let active = self.active.get(sequence);
            let wanted = active.and_then(|active| Some((active.task.horizon?, active.state.as_deref()?)));
            if let Some((horizon, state)) = wanted {
                horizons.entry(horizon).or_default().push((*sequence, state));
            }
        }
        let each = horizons.into_iter().flat_map(|(horizon, group)| {
            let (sequences, states): (Vec<Sequence>, Vec<&State>) = group.into_iter().unzip();
            let forecasts: Vec<Result<Forecast>> = match guarded(|| self.model.forecast(&states, horizon.get())) {
                Ok(forecasts) => forecasts.into_iter().map(Ok).collect(),
                Err(error) => sequences.iter().map(|_| Err(error.clone())).collect(),
            };
            sequences.into_iter().zip(forecasts)
        });
        each.collect()
    }

    /// Answers, and forgets the task.
    fn finish(&mut self, sequence: Sequence, result: Result<Option<Forecast>>) {
        let Some(active) = self.active.remove(&sequence) else { return };
        let Active { task, reply, arrived, size, begun, compute, state, output, appended, .. } = active;
        let queue = begun.map_or_else(|| arrived.elapsed(), |begun| begun.duration_since(arrived));
        let done = result.and_then(|forecast| {
            let state = state.ok_or(Error::Fault)?;
            // Else it is let go of before the session's next append begins.
            let wanted = !matches!(task.subject, Subject::Session { state: false, .. });
            Ok(Done { state: wanted.then_some(state), output, forecast, appended, timings: Timings { queue, compute } })
        });
        self.inbox.left(task.owner, size);
        // Nobody may wait for it any more.
        let _ = reply.send(done);
        if let Subject::Session { key, .. } = &task.subject
            && let Some(next) = self.sessions.leave(key, sequence)
        {
            self.enter(next);
        }
    }
}

impl Active {
    /// Why it need not go on.
    fn gone(&self, now: Instant) -> Option<Error> {
        let expired = self.begun.is_none() && self.task.deadline.is_some_and(|deadline| deadline <= now);
        // A reply that nobody waits for goes nowhere, whatever it says.
        (expired || self.reply.is_closed()).then_some(Error::Expired)
    }

    /// Its state before the next chunk.
    fn take_state(&mut self, model: &Model) -> Result<Arc<State>> {
        match (self.state.take(), &self.task.subject) {
            (Some(state), _) => Ok(state),
            (None, Subject::Fresh(options)) => Ok(Arc::new(model.open(options)?)),
            (None, Subject::Fork(state)) => Ok(Arc::clone(state)),
            // Its state is the store's.
            (None, Subject::Session { .. }) => Err(Error::Fault),
        }
    }

    /// Adds what a chunk gave.
    fn extend(&mut self, output: Output) {
        let all = Arc::make_mut(&mut self.output);
        if all.rows.is_empty() {
            all.rows = output.rows;
        } else {
            all.rows.iter_mut().zip(output.rows).for_each(|(all, more)| all.extend(more));
        }
        all.scores.extend(output.scores);
    }
}

/// Runs a computation; a panic in it is an error like others, and the engine goes on.
fn guarded<T>(compute: impl FnOnce() -> unspool_model::Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(compute)) {
        Ok(result) => result.map_err(Error::from),
        Err(_) => Err(Error::Fault),
    }
}
