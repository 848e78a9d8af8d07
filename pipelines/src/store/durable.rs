//! Tickets for what the log will hold.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use super::{Error, Result};

/// A place in the log: records are numbered from 0.
pub(super) type Lsn = u64;

/// A ticket: done when the log holds what it stands for, on the disk.
///
/// It can be awaited, or waited for by a thread. It fails with [`Error::Log`] when the log could not be written; what it stands
/// for has happened in memory all the same, and may still become durable later: the same append again gives a new ticket.
#[derive(Debug)]
pub struct Durable {
    /// The first record that need not be there.
    end: Lsn,
    /// `None`: the store has no log.
    mark: Option<Arc<Watermark>>,
    /// Registered to be woken.
    waiting: Option<u64>,
}

impl Durable {
    pub(super) fn new(end: Lsn, mark: Option<Arc<Watermark>>) -> Self {
        Self { end, mark, waiting: None }
    }

    /// Blocks this thread until the log holds it.
    ///
    /// # Errors
    /// [`Error::Log`] when the log could not be written, [`Error::MemoryOnly`] when there is none.
    pub fn wait(&self) -> Result<()> {
        let mark = self.mark.as_ref().ok_or(Error::MemoryOnly)?;
        let mut inner = mark.lock();
        loop {
            if let Some(done) = inner.of(self.end) {
                return done;
            }
            inner = mark.moved.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether the log holds it by now.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.mark.as_ref().is_some_and(|mark| mark.lock().durable >= self.end)
    }
}

impl Future for Durable {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(mark) = self.mark.clone() else { return Poll::Ready(Err(Error::MemoryOnly)) };
        let mut inner = mark.lock();
        if let Some(done) = inner.of(self.end) {
            return Poll::Ready(done);
        }
        let ticket = *self.waiting.get_or_insert_with(|| {
            inner.tickets += 1;
            inner.tickets
        });
        inner.wakers.insert((self.end, ticket), context.waker().clone());
        Poll::Pending
    }
}

impl Clone for Durable {
    fn clone(&self) -> Self {
        Self { end: self.end, mark: self.mark.clone(), waiting: None }
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        if let (Some(mark), Some(ticket)) = (&self.mark, self.waiting) {
            mark.lock().wakers.remove(&(self.end, ticket));
        }
    }
}

/// How far the log is on the disk, and who waits for more of it.
#[derive(Debug, Default)]
pub(super) struct Watermark {
    inner: Mutex<Inner>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    /// All records before it are on the disk.
    durable: Lsn,
    /// Why no more of them are.
    failed: Option<Error>,
    wakers: BTreeMap<(Lsn, u64), Waker>,
    tickets: u64,
}

impl Inner {
    fn of(&self, end: Lsn) -> Option<Result<()>> {
        if self.durable >= end { Some(Ok(())) } else { self.failed.clone().map(Err) }
    }
}

impl Watermark {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All records before `durable` are on the disk.
    pub(super) fn raise(&self, durable: Lsn) {
        let mut inner = self.lock();
        inner.durable = durable;
        inner.failed = None;
        let later = inner.wakers.split_off(&(durable + 1, 0));
        let woken = std::mem::replace(&mut inner.wakers, later);
        drop(inner);
        self.wake(woken);
    }

    /// The log cannot be written.
    pub(super) fn fail(&self, error: Error) {
        let mut inner = self.lock();
        inner.failed = Some(error);
        let woken = std::mem::take(&mut inner.wakers);
        drop(inner);
        self.wake(woken);
    }

    /// Why the log cannot be written, if it cannot.
    pub(super) fn failed(&self) -> Option<Error> {
        self.lock().failed.clone()
    }

    fn wake(&self, wakers: BTreeMap<(Lsn, u64), Waker>) {
        self.moved.notify_all();
        wakers.into_values().for_each(Waker::wake);
    }
}
