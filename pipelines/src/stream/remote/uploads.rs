//! Snapshots on their way to the store, put by a thread of its own: a slow store does not hold up the stream, and of each
//! partition only the newest snapshot waits.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::File,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use super::Remote;
use crate::stream::{
    error::{Error, Result},
    states::SegmentName,
};

/// A snapshot to be put.
pub(in crate::stream) struct Upload {
    pub partition: i32,
    /// The manifest's name.
    pub name: String,
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// All segments that it names.
    pub segments: Vec<SegmentName>,
    /// Those that the store may lack: open, so that they may lose their names meanwhile.
    pub files: BTreeMap<String, File>,
}

/// The snapshots on their way.
#[derive(Debug)]
pub(in crate::stream) struct Uploads(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: BTreeMap<i32, Upload>,
    /// One is being put.
    busy: bool,
    /// Objects that are known to be in the store.
    there: HashMap<i32, BTreeSet<String>>,
    /// Snapshots put.
    done: u64,
    /// Why nothing is put any more.
    failed: Option<Error>,
    closed: bool,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("waiting", &self.waiting.len()).field("done", &self.done).finish_non_exhaustive()
    }
}

impl Uploads {
    /// Nothing waits yet.
    pub(in crate::stream) fn to(remote: Arc<Remote>) -> Self {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        thread::spawn(move || theirs.work(&remote));
        Self(shared)
    }

    /// Whether an object is known to be in the store.
    pub(in crate::stream) fn has(&self, partition: i32, name: &str) -> bool {
        self.0.lock().there.get(&partition).is_some_and(|there| there.contains(name))
    }

    /// Has a snapshot put; one of that partition that waits is left out for it.
    pub(in crate::stream) fn put(&self, upload: Upload) {
        self.0.lock().waiting.insert(upload.partition, upload);
        self.0.changed.notify_all();
    }

    /// Snapshots put so far.
    ///
    /// # Errors
    /// When the store takes no more.
    pub(in crate::stream) fn done(&self) -> Result<u64> {
        let mut queue = self.0.lock();
        queue.failed.take().map_or(Ok(queue.done), Err)
    }

    /// Waits until nothing waits any more, at most so long; whether that is so.
    ///
    /// # Errors
    /// When the store takes no more.
    pub(in crate::stream) fn flush(&self, most: Duration) -> Result<bool> {
        let (until, mut queue) = (Instant::now() + most, self.0.lock());
        while queue.failed.is_none() && (queue.busy || !queue.waiting.is_empty()) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            queue = self.0.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        queue.failed.take().map_or(Ok(true), Err)
    }
}

impl Drop for Uploads {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, remote: &Remote) {
        while let Some(upload) = self.next() {
            let done = remote.upload(&upload);
            let mut queue = self.lock();
            queue.busy = false;
            match done {
                Ok(there) => {
                    queue.there.insert(upload.partition, there);
                    queue.done += 1;
                }
                Err(error) => {
                    queue.failed = Some(error);
                    queue.closed = true;
                }
            }
            self.changed.notify_all();
        }
    }

    /// The next one, when there is one; `None`: no more come.
    fn next(&self) -> Option<Upload> {
        let mut queue = self.lock();
        loop {
            if queue.closed {
                return None;
            }
            if let Some((_, upload)) = queue.waiting.pop_first() {
                queue.busy = true;
                return Some(upload);
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
