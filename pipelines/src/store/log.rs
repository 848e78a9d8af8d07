//! The log of what happened: appended by one thread, many records with one flush.

mod segment;
#[cfg(test)]
mod tests;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
};

use self::segment::{HEADER, Seal, Segment};
use super::{
    Durable, Error, Result,
    durable::{Lsn, Watermark},
};

/// Bytes of records that wait for the disk, at most: more appends wait until there are fewer.
const MOST_QUEUED_BYTES: u64 = 64 << 20;
/// Bytes of one frame, about.
const FRAME_BYTES: u64 = 8 << 20;

/// The log: records go into a queue at once, a thread writes them to the files of a folder.
pub(super) struct Log {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    queue: Mutex<Queue>,
    /// There is something to write, to remove, or to stop for.
    work: Condvar,
    /// There is room in the queue.
    room: Condvar,
    mark: Arc<Watermark>,
}

#[derive(Default)]
struct Queue {
    records: Vec<Vec<u8>>,
    bytes: u64,
    /// The next record's number.
    next: Lsn,
    /// Records before it are needed no more.
    released: Lsn,
    /// Bytes of all files.
    file_bytes: u64,
    /// The first record of the last file.
    last_file: Lsn,
    /// A write that failed is to be tried again.
    retry: bool,
    stop: bool,
}

/// A record as it was read: its number, bytes, file and place in it.
pub(super) struct Found<'a> {
    pub lsn: Lsn,
    pub record: &'a [u8],
    pub path: &'a Path,
    /// Of the frame that holds it.
    pub offset: u64,
}

/// Where the log ends.
pub(super) struct Tail {
    files: Files,
    next: Lsn,
}

impl Tail {
    /// Reads a folder's log and cuts off what was not written whole.
    ///
    /// # Errors
    /// [`Error::Damaged`] with file and offset for damage that is not of a crash.
    pub(super) fn find(dir: &Path, segment_bytes: u64) -> Result<Self> {
        let all = segment::list(dir)?;
        let (mut files, mut next, mut open) = (vec![], all.first().map_or(0, |(_, first)| *first), None);
        for (i, (path, first)) in all.iter().enumerate() {
            let last = i + 1 == all.len();
            let Some(segment) = Segment::read(path.clone(), *first)? else {
                if !last {
                    let problem = "the file is shorter than its header".into();
                    return Err(Error::Damaged { path: path.clone(), offset: 0, problem });
                }
                fs::remove_file(path).map_err(|source| Error::io(path, &source))?;
                break;
            };
            if *first != next {
                return Err(
                    segment.damaged(0, &format!("records {next} to {} are missing: a file was removed", first - 1))
                );
            }
            let (end, sound) = segment.each(|_, _, _| Ok(()))?;
            if sound < segment.len() && !last {
                return Err(segment.damaged(sound, "the file is cut"));
            }
            next = end;
            files.push((path.clone(), *first, sound));
            open = Some((path.clone(), segment.seal(), sound));
        }
        let files = Files { dir: dir.to_owned(), files, segment_bytes, open: None };
        let open = open.map(|(path, seal, sound)| reopen(&path, sound).map(|file| (file, seal))).transpose()?;
        Ok(Self { files: Files { open, ..files }, next })
    }

    /// What the log holds now.
    pub(super) fn records(&self) -> Records {
        Records(self.files.files.iter().map(|(path, first, _)| (path.clone(), *first)).collect())
    }
}

/// The records that were there when the log was opened.
pub(super) struct Records(Vec<(PathBuf, Lsn)>);

impl Records {
    /// Calls `take` with every record, in order.
    ///
    /// # Errors
    /// What `take` says.
    pub(super) fn each(&self, mut take: impl FnMut(Found<'_>) -> Result<()>) -> Result<()> {
        for (path, first) in &self.0 {
            let Some(segment) = Segment::read(path.clone(), *first)? else { continue };
            segment.each(|lsn, record, offset| take(Found { lsn, record, path, offset }))?;
        }
        Ok(())
    }
}

/// Opens the last file for more frames, without what was not written whole.
fn reopen(path: &Path, sound: u64) -> Result<File> {
    let open = || {
        let mut file = OpenOptions::new().write(true).open(path)?;
        if file.metadata()?.len() > sound {
            file.set_len(sound)?;
            file.sync_all()?;
        }
        file.seek(SeekFrom::Start(sound))?;
        Ok(file)
    };
    open().map_err(|source: io::Error| Error::io(path, &source))
}

impl Log {
    /// Goes on where the log ends.
    ///
    /// # Errors
    /// When no thread or file can be had.
    pub(super) fn start(tail: Tail) -> Result<Self> {
        let Tail { mut files, next } = tail;
        if files.open.is_none() {
            files.rotate(next).map_err(|source| Error::io(&files.dir, &source))?;
        }
        let queue = Queue { next, file_bytes: files.bytes(), last_file: files.last(), ..Queue::default() };
        let shared = Arc::new(Shared {
            queue: Mutex::new(queue),
            work: Condvar::new(),
            room: Condvar::new(),
            mark: Arc::default(),
        });
        shared.mark.raise(next);
        let (thread, dir) = (Arc::clone(&shared), files.dir.clone());
        let thread = std::thread::Builder::new().name("store-log".into()).spawn(move || thread.run(files, next));
        let thread = thread.map_err(|source| Error::io(&dir, &source))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Queues records; returns the number of the first.
    pub(super) fn push(&self, records: Vec<Vec<u8>>) -> Lsn {
        let mut queue = self.shared.lock();
        let first = queue.next;
        queue.next += records.len() as u64;
        queue.bytes += records.iter().map(|record| record.len() as u64).sum::<u64>();
        queue.records.extend(records);
        self.shared.work.notify_one();
        first
    }

    /// A ticket for all records before `end`.
    pub(super) fn ticket(&self, end: Lsn) -> Durable {
        Durable::new(end, Some(Arc::clone(&self.shared.mark)))
    }

    /// A ticket for all records queued so far.
    pub(super) fn flushed(&self) -> Durable {
        self.ticket(self.next())
    }

    /// The next record's number.
    pub(super) fn next(&self) -> Lsn {
        self.shared.lock().next
    }

    /// Waits until there is room in the queue.
    ///
    /// # Errors
    /// [`Error::Log`] while the disk takes nothing; it is tried again then.
    pub(super) fn admit(&self) -> Result<()> {
        let mut queue = self.shared.lock();
        loop {
            if let Some(error) = self.shared.mark.failed() {
                self.shared.retry(&mut queue);
                return Err(error);
            }
            if queue.bytes <= MOST_QUEUED_BYTES {
                return Ok(());
            }
            queue = self.shared.room.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Records before `lsn` are needed no more: files of such alone are removed.
    pub(super) fn release(&self, lsn: Lsn) {
        let mut queue = self.shared.lock();
        if lsn > queue.released {
            queue.released = lsn;
            self.shared.work.notify_one();
        }
    }

    /// Why the log cannot be written, if it cannot.
    pub(super) fn failed(&self) -> Option<Error> {
        self.shared.mark.failed()
    }

    /// Tries a write again that failed.
    pub(super) fn retry(&self) {
        if self.failed().is_some() {
            self.shared.retry(&mut self.shared.lock());
        }
    }

    /// The first record of the last file: only files before it can be removed.
    pub(super) fn last_file(&self) -> Lsn {
        self.shared.lock().last_file
    }

    /// Bytes of all files.
    pub(super) fn file_bytes(&self) -> u64 {
        self.shared.lock().file_bytes
    }
}

/// Writes what is queued, and ends the thread.
impl Drop for Log {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.work.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn retry(&self, queue: &mut Queue) {
        queue.retry = true;
        self.work.notify_one();
    }

    /// The thread: until it is stopped and nothing is left to write, or what is left cannot be written.
    fn run(&self, mut files: Files, mut written: Lsn) {
        let mut released = 0;
        loop {
            let mut queue = self.lock();
            while queue.records.is_empty() && !queue.stop && queue.released == released {
                queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            if queue.records.is_empty() && queue.stop {
                return;
            }
            let records = queue.next_frame();
            released = queue.released;
            drop(queue);
            if !records.is_empty() && !self.write(&mut files, &mut written, records) {
                return;
            }
            files.remove_before(released);
            let mut queue = self.lock();
            (queue.file_bytes, queue.last_file) = (files.bytes(), files.last());
        }
    }

    /// Writes one frame, however often it takes; false: it cannot be, and the log is at its end.
    fn write(&self, files: &mut Files, written: &mut Lsn, records: Vec<Vec<u8>>) -> bool {
        while let Err((source, again)) = files.write(*written, &records) {
            self.mark.fail(segment::failure(files.path(), &source));
            self.room.notify_all();
            let mut queue = self.lock();
            while !(queue.stop || again && queue.retry) {
                queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            if queue.stop {
                return false;
            }
            queue.retry = false;
        }
        *written += records.len() as u64;
        self.mark.raise(*written);
        let mut queue = self.lock();
        queue.bytes -= records.iter().map(|record| record.len() as u64).sum::<u64>();
        self.room.notify_all();
        true
    }
}

impl Queue {
    /// The records of the next frame: all that wait, up to a frame's size.
    fn next_frame(&mut self) -> Vec<Vec<u8>> {
        let mut bytes = 0;
        let mut count = 0;
        while let Some(record) = self.records.get(count)
            && (count == 0 || bytes + record.len() as u64 <= FRAME_BYTES)
        {
            bytes += record.len() as u64;
            count += 1;
        }
        self.records.drain(..count).collect()
    }
}

/// The log's files, oldest first.
struct Files {
    dir: PathBuf,
    /// Path, first record, bytes.
    files: Vec<(PathBuf, Lsn, u64)>,
    segment_bytes: u64,
    /// The last one, open for frames.
    open: Option<(File, Seal)>,
}

impl Files {
    fn bytes(&self) -> u64 {
        self.files.iter().map(|(_, _, bytes)| bytes).sum()
    }

    fn last(&self) -> Lsn {
        self.files.last().map_or(0, |(_, first, _)| *first)
    }

    fn path(&self) -> &Path {
        self.files.last().map_or(&self.dir, |(path, _, _)| path)
    }

    /// Begins a new file, whose first record will be `first`.
    fn rotate(&mut self, first: Lsn) -> io::Result<()> {
        let open = segment::create(&self.dir, first)?;
        self.files.push((self.dir.join(segment::name(first)), first, HEADER as u64));
        self.open = Some(open);
        Ok(())
    }

    /// Writes a frame and flushes it to the disk. A failure says whether it may be tried again: after a flush that failed nobody
    /// knows what the disk holds.
    fn write(&mut self, first: Lsn, records: &[Vec<u8>]) -> Result<(), (io::Error, bool)> {
        if self.files.last().is_some_and(|(_, begin, bytes)| *bytes >= self.segment_bytes && *begin < first) {
            self.rotate(first).map_err(|source| (source, true))?;
        }
        let gone = || (io::Error::other("the log has no file"), false);
        let (Some((file, seal)), Some((_, _, bytes))) = (&mut self.open, self.files.last_mut()) else {
            return Err(gone());
        };
        let frame = segment::frame(seal, first, records);
        if let Err(source) = file.write_all(&frame) {
            let back = file.set_len(*bytes).and_then(|()| file.seek(SeekFrom::Start(*bytes)));
            return Err((source, back.is_ok()));
        }
        file.sync_data().map_err(|source| (source, false))?;
        *bytes += frame.len() as u64;
        Ok(())
    }

    /// Removes the files that hold only records before `released`, oldest first; one that cannot be removed is tried again later.
    fn remove_before(&mut self, released: Lsn) {
        while let [(path, _, _), (_, next, _), ..] = &self.files[..]
            && *next <= released
            && fs::remove_file(path).is_ok()
        {
            self.files.remove(0);
        }
    }
}
