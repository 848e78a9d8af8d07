//! The threads that share a kernel's tasks, for work that is over in microseconds.
//!
//! One token of a small model is dozens of phases of a few microseconds. A pool whose threads sleep in between pays more for
//! waking them than the phase takes. Here helpers look out for [`SPIN`] after the last phase before they sleep; and they
//! claim tasks one by one, so that a helper whose core is busy with something else delays nobody.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, Mutex, OnceLock, TryLockError,
        atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering::*, fence},
    },
    thread::{self, JoinHandle, Thread},
    time::{Duration, Instant},
};

/// How long a helper looks out for the next phase before it sleeps.
const SPIN: Duration = Duration::from_micros(100);

type Task<'a> = &'a (dyn Fn(usize) + Sync + 'a);

/// A fixed team of threads. How tasks fall to threads changes no bit: tasks write disjoint outputs.
///
/// Where several threads use one team at once, one has its help and the others work alone. Dropping it ends its threads.
pub struct Team {
    board: Arc<Board>,
    helpers: Vec<JoinHandle<()>>,
    /// The number of the last phase; who holds the lock has the helpers.
    phase: Mutex<u32>,
}

/// Where phases of work are posted.
#[derive(Default)]
struct Board {
    /// Number of the phase << 32 | tasks not yet claimed. Numbers only grow, so a claim by compare-and-swap that succeeds
    /// proves that `task` and `count`, read before it, belong to this phase.
    ticket: AtomicU64,
    /// Points to a `Task` on the stack of the thread that posted the phase and waits for its end.
    task: AtomicPtr<()>,
    count: AtomicUsize,
    done: AtomicUsize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    stop: AtomicBool,
    sleepers: OnceLock<Vec<Sleeper>>,
}

/// A helper that may be asleep.
struct Sleeper {
    asleep: Arc<AtomicBool>,
    thread: Thread,
}

impl Team {
    /// A team of `threads` threads (0: one for each core), the calling one included.
    ///
    /// # Errors
    /// When the system refuses to start them.
    pub fn new(threads: usize) -> std::io::Result<Self> {
        let threads = if threads > 0 { threads } else { thread::available_parallelism().map_or(1, usize::from) };
        let mut team = Self { board: Arc::default(), helpers: vec![], phase: Mutex::new(0) };
        let mut sleepers = vec![];
        for i in 1..threads {
            let (board, asleep) = (team.board.clone(), Arc::new(AtomicBool::new(false)));
            let flag = asleep.clone();
            let helper = thread::Builder::new().name(format!("encoder-{i}")).spawn(move || help(&board, &flag))?;
            sleepers.push(Sleeper { asleep, thread: helper.thread().clone() });
            team.helpers.push(helper);
        }
        let _ = team.board.sleepers.set(sleepers); // it was not set before
        Ok(team)
    }

    /// The number of threads.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.helpers.len() + 1
    }

    /// Runs `task(0..tasks)`, shared among the threads if `worth` says that it pays, and returns when all are done.
    ///
    /// # Panics
    /// As the tasks do.
    pub(crate) fn run(&self, tasks: usize, worth: bool, task: impl Fn(usize) + Sync) {
        if worth && tasks > 1 && !self.helpers.is_empty() && u32::try_from(tasks).is_ok() {
            let phase = match self.phase.try_lock() {
                Ok(phase) => Some(phase),
                Err(TryLockError::Poisoned(phase)) => Some(phase.into_inner()), // a task panicked; the board is in order
                Err(TryLockError::WouldBlock) => None,
            };
            if let Some(mut phase) = phase {
                return self.post(&mut phase, tasks, &task);
            }
        }
        (0..tasks).for_each(task);
    }

    /// Runs `task` on every item, shared among the threads: for safe code, where an item holds what its task writes.
    ///
    /// # Panics
    /// As the tasks do.
    pub fn each<I: Send>(&self, items: Vec<I>, task: impl Fn(I) + Sync) {
        let items: Vec<Mutex<Option<I>>> = items.into_iter().map(|item| Mutex::new(Some(item))).collect();
        self.run(items.len(), true, |i| {
            if let Some(item) = items[i].lock().ok().and_then(|mut item| item.take()) {
                task(item);
            }
        });
    }

    /// What `task` makes of each item, in their order; the threads share the items in runs.
    ///
    /// # Panics
    /// As the tasks do.
    pub fn map<I: Send, R: Send>(&self, items: impl IntoIterator<Item = I>, task: impl Fn(I) -> R + Sync) -> Vec<R> {
        let mut each: Vec<(Option<I>, Option<R>)> = items.into_iter().map(|item| (Some(item), None)).collect();
        let run = each.len().div_ceil(4 * self.threads()).max(1);
        self.each(each.chunks_mut(run).collect(), |run: &mut [(Option<I>, Option<R>)]| {
            run.iter_mut().for_each(|(item, made)| *made = item.take().map(&task));
        });
        each.into_iter().filter_map(|(_, made)| made).collect()
    }

    fn post(&self, phase: &mut u32, tasks: usize, task: Task<'_>) {
        let board = &*self.board;
        *phase = phase.wrapping_add(1);
        board.done.store(0, Relaxed);
        board.task.store((&raw const task).cast_mut().cast(), Relaxed);
        board.count.store(tasks, Relaxed);
        board.ticket.store((u64::from(*phase) << 32) | tasks as u64, SeqCst);
        fence(SeqCst); // with the one in `sleep`: either the helper sees the ticket, or we see it asleep
        board.wake();
        while board.claim() {}
        let mut looks = 0u32;
        while board.done.load(Acquire) < tasks {
            looks += 1;
            if looks.is_multiple_of(1024) { thread::yield_now() } else { std::hint::spin_loop() }
        }
        let panic = board.panic.lock().ok().and_then(|mut panic| panic.take());
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.board.stop.store(true, SeqCst);
        for helper in self.helpers.drain(..) {
            helper.thread().unpark();
            // A helper catches the panics of its tasks, so there is nothing to hear of.
            let _ = helper.join();
        }
    }
}

impl Board {
    /// Claims a task and does it; false when none is left.
    fn claim(&self) -> bool {
        let ticket = self.ticket.load(Acquire);
        let left = (ticket & u64::from(u32::MAX)) as usize;
        if left == 0 {
            return false;
        }
        let (task, count) = (self.task.load(Relaxed), self.count.load(Relaxed));
        if self.ticket.compare_exchange(ticket, ticket - 1, AcqRel, Relaxed).is_err() {
            return true;
        }
        // SAFETY: the claim succeeded, so task and count are this phase's, and who posted it keeps the task alive until
        // this one is counted as done.
        let task = unsafe { *task.cast::<Task<'_>>() };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| task(count - left)))
            && let Ok(mut first) = self.panic.lock()
        {
            first.get_or_insert(panic);
        }
        self.done.fetch_add(1, Release);
        true
    }

    /// Wakes two helpers; each wakes two more. Waking costs microseconds: one thread that woke all would work late.
    fn wake(&self) {
        let sleepers = self.sleepers.get().map_or(&[][..], |sleepers| sleepers);
        let asleep = sleepers.iter().filter(|s| s.asleep.load(Relaxed) && s.asleep.swap(false, Relaxed));
        asleep.take(2).for_each(|sleeper| sleeper.thread.unpark());
    }

    /// Sleeps until there is work or the end.
    fn sleep(&self, asleep: &AtomicBool) {
        loop {
            asleep.store(true, Relaxed);
            fence(SeqCst);
            if self.ticket.load(Acquire) & u64::from(u32::MAX) > 0 || self.stop.load(Acquire) {
                break;
            }
            thread::park();
        }
        asleep.store(false, Relaxed);
        self.wake();
    }
}

/// A helper's life.
fn help(board: &Board, asleep: &AtomicBool) {
    let mut idle: Option<Instant> = None;
    while !board.stop.load(Acquire) {
        if board.claim() {
            idle = None;
            continue;
        }
        for _ in 0..32 {
            std::hint::spin_loop();
        }
        if idle.get_or_insert_with(Instant::now).elapsed() > SPIN {
            board.sleep(asleep);
            idle = None;
        }
    }
}

/// A pointer that tasks write disjoint parts behind.
#[derive(Clone, Copy)]
pub(crate) struct Shared(pub *mut f32);

// SAFETY: every use says which part a task writes, and that the parts are disjoint.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

impl Shared {
    /// The pointer (by method, so that closures capture the wrapper).
    pub(crate) fn get(self) -> *mut f32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    /// Every task runs exactly once, however many threads post at once.
    #[test]
    fn every_task_runs_once() {
        for threads in [1, 2, 5] {
            let team = Team::new(threads).unwrap();
            let post = || {
                for tasks in (0..40).chain([1000]) {
                    let runs: Vec<AtomicU32> = (0..tasks).map(|_| AtomicU32::new(0)).collect();
                    team.run(tasks, true, |i| {
                        runs[i].fetch_add(1, Relaxed);
                    });
                    assert!(runs.iter().all(|runs| runs.load(Relaxed) == 1), "{tasks} tasks, {threads} threads");
                }
            };
            thread::scope(|scope| (0..3).for_each(|_| drop(scope.spawn(post))));
        }
    }

    #[test]
    fn every_item_is_worked_on() {
        let team = Team::new(3).unwrap();
        let mut values = vec![0; 1000];
        team.each(values.chunks_mut(7).enumerate().collect(), |(i, part)| part.fill(i + 1));
        assert!(values.iter().enumerate().all(|(i, &value)| value == i / 7 + 1));
    }

    #[test]
    fn a_panic_comes_back_and_the_team_goes_on() {
        let team = Team::new(3).unwrap();
        for _ in 0..20 {
            let run = || team.run(50, true, |i| assert!(i != 13, "task 13"));
            let panic = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
            assert_eq!(panic.downcast_ref::<&str>(), Some(&"task 13"));
        }
        let sum = AtomicUsize::new(0);
        team.run(10, true, |i| {
            sum.fetch_add(i, Relaxed);
        });
        assert_eq!(sum.into_inner(), 45);
    }
}
