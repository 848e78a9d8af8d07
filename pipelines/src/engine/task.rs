//! What callers hand to the engine, and get back.

use std::{
    num::NonZeroUsize,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;
use unspool_model::{
    Model, Options, Output, State,
    series::{Alignment, Forecast},
};

use super::{Error, Result, inbox::Inbox};
use crate::{
    Events, Owner,
    store::{Durable, Key},
};

/// A forecast counts as this many tokens at least: it copies two backbone states, however short the series.
const FORECAST_TOKENS: usize = 16;

/// One sequence's work.
#[derive(Clone)]
pub struct Task {
    /// Whose it is: owners share the engine fairly.
    pub owner: Owner,
    /// The model.
    pub model: Arc<Model>,
    /// What the events belong to.
    pub subject: Subject,
    /// What arrives; may be empty.
    pub events: Events,
    /// Values to forecast from after the events.
    pub horizon: Option<NonZeroUsize>,
    /// After this, a task that has not begun leaves the queue.
    pub deadline: Option<Instant>,
}

/// What a task's events belong to.
#[derive(Clone)]
pub enum Subject {
    /// A sequence of its own, opened for the task.
    Fresh(Options),
    /// A copy of a state; the state itself does not move.
    Fork(Arc<State>),
    /// A session of the engine's store. Appends to one session are taken in the order in which they came.
    Session {
        /// Its name.
        key: Key,
        /// The append's number.
        number: u64,
        /// Give the state back too. While it is held, the session's next append has to copy it.
        state: bool,
    },
}

/// What a task gave.
#[derive(Debug)]
pub struct Done {
    /// The state after the events; of a session where it was asked for.
    pub state: Option<Arc<State>>,
    /// What the events gave.
    pub output: Arc<Output>,
    /// If asked for.
    pub forecast: Option<Forecast>,
    /// Of a session.
    pub appended: Option<Appended>,
    /// How long it took.
    pub timings: Timings,
}

/// What became of an append.
#[derive(Clone, Debug)]
pub struct Appended {
    /// Events of the session up to this append.
    pub position: u64,
    /// It had been applied before: this is what it gave then.
    pub repeated: bool,
    /// Its state was restored from another route than the model's.
    pub route_changed: bool,
    /// When it is safe from a crash.
    pub durable: Durable,
}

/// How long a task took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// From its arrival to its first step.
    pub queue: Duration,
    /// Steps that it took part in.
    pub compute: Duration,
}

impl Task {
    /// Refuses what the model would refuse: then a pack cannot fail for one of its members.
    pub(super) fn check(&self) -> Result<()> {
        self.model.check_events(self.events.as_model())?;
        if self.horizon.is_some() && self.model.series_shape().is_none() {
            let problem = format!("{} is no series model: it gives no forecasts", self.model.info().name);
            return Err(unspool_model::Error::Input(problem).into());
        }
        match &self.subject {
            Subject::Fresh(options) => self.model.open(options).map(|_| ()).map_err(Error::from),
            Subject::Fork(_) | Subject::Session { .. } => Ok(()),
        }
    }

    /// Tokens that it puts through the model, its forecast included.
    pub(super) fn tokens(&self) -> usize {
        let row_events = self.model.series_shape().map_or(1, |shape| shape.patch);
        let forecast = if self.horizon.is_some() { FORECAST_TOKENS } else { 0 };
        self.events.len().div_ceil(row_events).max(1) + forecast
    }

    /// Tokens that its forecast puts through the model, from a state at `position`.
    pub(super) fn forecast_tokens(&self, position: u64) -> usize {
        let (Some(horizon), Some(shape)) = (self.horizon, self.model.series_shape()) else { return 0 };
        let context = usize::try_from(position).unwrap_or(usize::MAX).min(shape.context);
        let looked_back = if shape.alignment == Alignment::End { context.div_ceil(shape.patch) } else { 1 };
        (looked_back + horizon.get().saturating_sub(shape.horizon).div_ceil(shape.patch)).max(FORECAST_TOKENS)
    }
}

/// A task's future result. Dropped before, the task leaves the queue if it has not begun.
pub struct Ticket {
    receiver: oneshot::Receiver<Result<Done>>,
    inbox: Arc<Inbox>,
    answered: bool,
}

impl Ticket {
    pub(super) fn new(receiver: oneshot::Receiver<Result<Done>>, inbox: Arc<Inbox>) -> Self {
        Self { receiver, inbox, answered: false }
    }
}

impl Future for Ticket {
    type Output = Result<Done>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = Pin::new(&mut self.receiver).poll(context);
        // A sender that is gone without an answer: the thread broke off.
        polled.map(|answer| {
            self.answered = true;
            answer.unwrap_or(Err(Error::Fault))
        })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.answered {
            self.receiver.close();
            self.inbox.abandoned();
        }
    }
}
