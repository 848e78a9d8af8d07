//! Snapshots being written, by a thread of their own: the stream goes on meanwhile.

use std::{
    collections::BTreeMap,
    sync::mpsc::{Receiver, Sender, channel},
    thread::{self, JoinHandle},
};

use super::{
    error::{Error, Result},
    snapshot::{Manifest, Snapshots},
    states::{Saving, Written},
};

/// A snapshot to be written.
pub(super) struct Task {
    pub partition: i32,
    pub saving: Saving,
    /// What it is, but for the segments' names.
    pub manifest: Manifest,
    pub snapshots: Snapshots,
}

impl Task {
    fn write(self) -> Result<Written> {
        let Self { partition, saving, manifest, snapshots } = self;
        let written = saving.write()?;
        snapshots.write(partition, &Manifest { segments: written.names.clone(), ..manifest })?;
        Ok(written)
    }
}

/// A snapshot that is whole.
pub(super) struct Done {
    pub partition: i32,
    /// The position that it is of.
    pub next: i64,
    pub written: Written,
}

/// The thread, and what it was given.
#[derive(Default)]
pub(super) struct Saver {
    thread: Option<Thread>,
    /// The position of each partition's snapshot under way.
    under_way: BTreeMap<i32, i64>,
}

struct Thread {
    tasks: Sender<Task>,
    done: Receiver<(i32, Result<Written>)>,
    handle: JoinHandle<()>,
}

impl Saver {
    /// Has a snapshot written; of each partition one at a time.
    ///
    /// # Errors
    /// When the thread is gone.
    pub(super) fn begin(&mut self, task: Task) -> Result<()> {
        let thread = match &mut self.thread {
            Some(thread) => thread,
            none => none.insert(Thread::start()?),
        };
        self.under_way.insert(task.partition, task.manifest.next);
        thread.tasks.send(task).map_err(|_| gone())
    }

    /// Whether any is being written.
    pub(super) fn is_busy(&self) -> bool {
        !self.under_way.is_empty()
    }

    /// The next one that has become whole; with `wait` it is waited for. `None`: there is none.
    ///
    /// # Errors
    /// When the disk refused.
    pub(super) fn next(&mut self, wait: bool) -> Result<Option<Done>> {
        let Some(thread) = self.thread.as_ref().filter(|_| self.is_busy()) else { return Ok(None) };
        let (partition, written) = match (wait, thread.done.try_recv()) {
            (_, Ok(done)) => done,
            (true, Err(_)) => thread.done.recv().map_err(|_| gone())?,
            (false, Err(std::sync::mpsc::TryRecvError::Empty)) => return Ok(None),
            (false, Err(std::sync::mpsc::TryRecvError::Disconnected)) => return Err(gone()),
        };
        let next = self.under_way.remove(&partition).unwrap_or_default();
        Ok(Some(Done { partition, next, written: written? }))
    }
}

fn gone() -> Error {
    Error::Settings("the thread that writes snapshots has stopped".into())
}

impl Thread {
    fn start() -> Result<Self> {
        let ((tasks, theirs), (ours, done)) = (channel::<Task>(), channel());
        let work = move || {
            while let Ok(task) = theirs.recv() {
                let partition = task.partition;
                if ours.send((partition, task.write())).is_err() {
                    break;
                }
            }
        };
        let handle = thread::Builder::new().name("snapshots".into()).spawn(work);
        let handle = handle.map_err(|source| Error::Settings(format!("no thread for snapshots: {source}")))?;
        Ok(Self { tasks, done, handle })
    }
}

impl Drop for Saver {
    /// What is being written becomes whole: it is of a committed position, whatever has happened since.
    fn drop(&mut self) {
        if let Some(Thread { tasks, done, handle }) = self.thread.take() {
            drop((tasks, done));
            let _ = handle.join();
        }
    }
}
