//! The bounded way in: callers put tasks, the engine's thread takes them all at once.

use std::{
    collections::HashMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{Done, EngineOptions, Error, Load, Result, Task, Ticket};
use crate::Owner;

/// Nobody is told to wait longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Nobody is told to come back sooner.
const SHORTEST_WAIT: Duration = Duration::from_millis(5);

/// A task on its way.
pub(super) struct Queued {
    pub(super) task: Task,
    pub(super) reply: oneshot::Sender<Result<Done>>,
    pub(super) arrived: Instant,
    pub(super) size: Size,
}

/// What a task, or all of an owner's, take of the limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) tasks: usize,
    pub(super) tokens: usize,
}

/// What the thread found.
pub(super) struct Arrived {
    pub(super) tasks: Vec<Queued>,
    /// Some task's ticket was dropped since.
    pub(super) abandoned: bool,
    /// No more will come.
    pub(super) closed: bool,
}

pub(super) struct Inbox {
    options: EngineOptions,
    inner: Mutex<Inner>,
    came: Condvar,
}

#[derive(Default)]
struct Inner {
    new: Vec<Queued>,
    /// Tasks that have room and are about to come.
    coming: usize,
    /// All that wait or are being worked on.
    all: Size,
    owners: HashMap<Owner, Size>,
    abandoned: bool,
    closed: bool,
    /// The thread has ended.
    ended: bool,
    /// Tokens a second, lately.
    rate: f64,
}

impl Inbox {
    pub(super) fn new(options: EngineOptions) -> Self {
        Self { options, inner: Mutex::default(), came: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes tasks in, all or none.
    pub(super) fn put(self: &Arc<Self>, tasks: &mut Vec<Task>) -> Result<Vec<Ticket>> {
        let arrived = Instant::now();
        let sizes: Vec<Size> = tasks.iter().map(|task| Size { tasks: 1, tokens: task.tokens() }).collect();
        self.reserve(tasks.iter().map(|task| task.owner).zip(sizes.iter().copied()))?;
        // Their room is kept: nothing is made for tasks that are refused, and nothing while the lock is held.
        let (mut queued, mut tickets) = (Vec::with_capacity(tasks.len()), Vec::with_capacity(tasks.len()));
        for (task, size) in tasks.drain(..).zip(sizes) {
            let (reply, receiver) = oneshot::channel();
            tickets.push(Ticket::new(receiver, Arc::clone(self)));
            queued.push(Queued { task, reply, arrived, size });
        }
        let mut inner = self.lock();
        inner.coming -= queued.len();
        // Where the thread broke off meanwhile, the tickets say so.
        if !inner.ended {
            inner.new.extend(queued);
        }
        drop(inner);
        self.came.notify_one();
        Ok(tickets)
    }

    /// Keeps room for tasks.
    fn reserve(&self, tasks: impl Iterator<Item = (Owner, Size)>) -> Result<()> {
        let share = |limit: usize| limit.saturating_mul(self.options.owner_percent.clamp(1, 100)) / 100;
        let limit = Size { tasks: self.options.waiting_tasks, tokens: self.options.waiting_tokens };
        let owner_limit = Size { tasks: share(limit.tasks), tokens: share(limit.tokens) };
        let (mut all, mut owners) = (Size::default(), HashMap::<Owner, Size>::new());
        for (owner, size) in tasks {
            owners.entry(owner).or_default().add(size);
            all.add(size);
        }
        let mut inner = self.lock();
        if inner.closed {
            return Err(Error::Closing);
        }
        for (owner, size) in &owners {
            inner.admits(inner.owners.get(owner).copied().unwrap_or_default(), *size, owner_limit)?;
        }
        inner.admits(inner.all, all, limit)?;
        inner.all.add(all);
        for (owner, size) in owners {
            inner.owners.entry(owner).or_default().add(size);
        }
        inner.coming += all.tasks;
        Ok(())
    }

    /// What came since the last call; waits for something if `idle`.
    pub(super) fn take(&self, idle: bool) -> Arrived {
        let mut inner = self.lock();
        while idle && inner.new.is_empty() && !inner.no_more() {
            inner = self.came.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        let tasks = std::mem::take(&mut inner.new);
        Arrived { tasks, abandoned: std::mem::take(&mut inner.abandoned), closed: inner.no_more() }
    }

    /// A task has left: it was done, refused or dropped.
    pub(super) fn left(&self, owner: Owner, size: Size) {
        let mut inner = self.lock();
        inner.all.take(size);
        if let Some(of_owner) = inner.owners.get_mut(&owner) {
            of_owner.take(size);
            if *of_owner == Size::default() {
                inner.owners.remove(&owner);
            }
        }
    }

    /// A step took this long for so many tokens: advice to come back rests on it.
    pub(super) fn stepped(&self, tokens: usize, took: Duration) {
        let now = tokens as f64 / took.as_secs_f64().max(1e-6);
        let mut inner = self.lock();
        inner.rate = if inner.rate > 0.0 { 0.9 * inner.rate + 0.1 * now } else { now };
    }

    pub(super) fn abandoned(&self) {
        self.lock().abandoned = true;
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.came.notify_all();
    }

    /// The thread ends: what still waits is let go.
    pub(super) fn ended(&self) {
        let mut inner = self.lock();
        (inner.closed, inner.ended) = (true, true);
        inner.new.clear();
    }

    pub(super) fn load(&self) -> Load {
        let inner = self.lock();
        Load { tasks: inner.all.tasks, tokens: inner.all.tokens, alive: !inner.ended }
    }
}

impl Inner {
    /// It is closed, and nothing is on its way in.
    fn no_more(&self) -> bool {
        self.closed && self.coming == 0
    }

    /// Refuses `more` beside what is `there` where both together are above the limit.
    fn admits(&self, there: Size, more: Size, limit: Size) -> Result<()> {
        if more.tokens > limit.tokens || more.tasks > limit.tasks {
            return Err(Error::TooLarge { tokens: more.tokens, limit: limit.tokens });
        }
        if there.tokens + more.tokens <= limit.tokens && there.tasks + more.tasks <= limit.tasks {
            return Ok(());
        }
        // Half of what waits should be gone by then.
        let seconds = there.tokens as f64 / self.rate.max(1.0) / 2.0;
        let wait = Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_WAIT);
        Err(Error::Full { waiting: there.tokens, retry_after: wait.clamp(SHORTEST_WAIT, LONGEST_WAIT) })
    }
}

impl Size {
    fn plus(self, other: Self) -> Self {
        Self { tasks: self.tasks + other.tasks, tokens: self.tokens + other.tokens }
    }

    fn add(&mut self, other: Self) {
        *self = self.plus(other);
    }

    fn take(&mut self, other: Self) {
        self.tasks = self.tasks.saturating_sub(other.tasks);
        self.tokens = self.tokens.saturating_sub(other.tokens);
    }
}
