//! The threads that share a kernel's tasks.

use rayon::prelude::*;

/// A fixed team of threads. How tasks fall to threads changes no bit: tasks write disjoint outputs.
pub struct Team {
    pool: Option<rayon::ThreadPool>,
    threads: usize,
}

impl Team {
    /// A team of `threads` threads (0: one for each core).
    ///
    /// # Errors
    /// When the system refuses to start them.
    pub fn new(threads: usize) -> std::io::Result<Self> {
        let threads = if threads > 0 { threads } else { std::thread::available_parallelism().map_or(1, usize::from) };
        let build = || {
            let builder = rayon::ThreadPoolBuilder::new().num_threads(threads);
            builder.thread_name(|i| format!("encoder-{i}")).build().map_err(std::io::Error::other)
        };
        Ok(Self { pool: (threads > 1).then(build).transpose()?, threads })
    }

    /// The number of threads.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Runs work inside the team, so that the kernels in it hand tasks over without waking anybody up.
    pub fn install<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.pool {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }

    /// Runs `task(0..tasks)`, shared among the threads if `worth` says that it pays.
    pub(crate) fn run(&self, tasks: usize, worth: bool, task: impl Fn(usize) + Sync + Send) {
        match &self.pool {
            Some(pool) if worth && tasks > 1 => {
                pool.install(|| (0..tasks).into_par_iter().with_max_len(1).for_each(task));
            }
            _ => (0..tasks).for_each(task),
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
