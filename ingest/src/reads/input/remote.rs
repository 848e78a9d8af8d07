//! A file in an object store or behind HTTP: of it only what is asked for is fetched, and more at a time where it is read on.

use std::{
    collections::BTreeMap,
    io::{self, Read, Seek, SeekFrom},
    panic,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use object_store::{ObjectMeta, path::Path as Key};
use tokio::runtime::Handle;

use crate::objects::{Objects, StoreError, StoreSettings, is_url, parse};

/// Bytes fetched at once: the least, and the most, which reading on comes to.
const FETCHED: (u64, u64) = (64 << 10, 8 << 20);

/// What a store said, as an error of reading.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

/// Whether an error of reading is a store's, not of what was read.
pub(super) fn is_refusal(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Refused>())
}

/// A file that is elsewhere.
pub(super) struct Remote {
    objects: Arc<Objects>,
    meta: ObjectMeta,
    at: u64,
    /// What was fetched last, and where it stands.
    piece: Vec<u8>,
    piece_start: u64,
    /// Bytes to fetch if reading goes on where it ends.
    ahead: u64,
}

/// The URL that a path is.
pub(super) fn url(path: &Path) -> Option<&str> {
    path.to_str().filter(|text| is_url(text))
}

impl Remote {
    /// Asks what is there.
    pub(super) fn open(url: &str) -> io::Result<Self> {
        let (objects, key) = store(url)?;
        let meta = apart(|| objects.head(&key)).map_err(refused)?;
        let meta = meta.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no such object"))?;
        Ok(Self { objects, meta, at: 0, piece: vec![], piece_start: 0, ahead: FETCHED.0 })
    }

    /// Bytes of the file.
    pub(super) fn size(&self) -> u64 {
        self.meta.size
    }

    fn fetch(&mut self) -> io::Result<()> {
        let goes_on = !self.piece.is_empty() && self.at == self.piece_start + self.piece.len() as u64;
        self.ahead = if goes_on { (2 * self.ahead).min(FETCHED.1) } else { FETCHED.0 };
        let range = self.at..self.size().min(self.at + self.ahead);
        self.piece = apart(|| self.objects.part(&self.meta, range.clone())).map_err(refused)?;
        self.piece_start = self.at;
        if self.piece.len() as u64 == range.end - range.start {
            return Ok(());
        }
        let problem = format!("fetching: {} bytes came for bytes {range:?}", self.piece.len());
        Err(io::Error::other(Refused(problem)))
    }

    /// What was fetched from here on.
    fn fetched(&self) -> &[u8] {
        let from = self.at.checked_sub(self.piece_start).and_then(|from| usize::try_from(from).ok());
        from.and_then(|from| self.piece.get(from..)).unwrap_or_default()
    }
}

impl Read for Remote {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.size() || buffer.is_empty() {
            return Ok(0);
        }
        if self.fetched().is_empty() {
            self.fetch()?;
        }
        let n = self.fetched().read(buffer)?;
        self.at += n as u64;
        Ok(n)
    }
}

impl Seek for Remote {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(to) => Some(to),
            SeekFrom::End(by) => self.size().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = to.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

/// A small file whole; `None` where there is none.
pub(super) fn read_whole(url: &str) -> io::Result<Option<Vec<u8>>> {
    let (objects, key) = store(url)?;
    let read = apart(|| objects.read(&key)).map_err(refused)?;
    Ok(read.map(|(bytes, _)| bytes))
}

/// The store of a URL, opened once in a process: an index comes over the connection of its file. Settings are the environment's.
fn store(url: &str) -> io::Result<(Arc<Objects>, Key)> {
    static OPEN: Mutex<BTreeMap<String, Arc<Objects>>> = Mutex::new(BTreeMap::new());
    let settings = StoreSettings::default();
    let (store, key) = parse(url, &settings).map_err(refused)?;
    // What stands before the key: the host, and the bucket where that is a part of the path.
    let root = url.strip_suffix(key.as_ref()).unwrap_or(url).trim_end_matches('/');
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = open.get(root) {
        return Ok((Arc::clone(known), key));
    }
    let new = Arc::new(Objects::over(store, root.to_owned(), settings.timeout).map_err(refused)?);
    open.insert(root.to_owned(), Arc::clone(&new));
    Ok((new, key))
}

fn refused(error: StoreError) -> io::Error {
    io::Error::other(Refused(error.problem))
}

/// Runs what waits for an answer: on a thread of its own where a runtime's must not wait.
fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    if Handle::try_current().is_err() {
        return work();
    }
    thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(|panicked| panic::resume_unwind(panicked))
}
