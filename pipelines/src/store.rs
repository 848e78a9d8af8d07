//! Sessions whose states outlive requests, devices and processes: the tiered state store.
//!
//! A session is a [`Key`] (owner and id) with one [`State`], bound to a model's digest and options. Appends are
//! numbered: the same number again gives the same reply and the state stays, a gap is refused.
//!
//! ```text
//!               append ──► model ──► live ──least recently used──► memory ──► disk (states, replies, raw history)
//!                  │                  ▲                              │          │  ▲
//!                  │                  └───────────── on use ─────────┴──────────┘  │
//!                  └──► log (input, number): one flush for many ──────restart──────┘
//! ```
//!
//! An append moves the state in memory at once; its record goes to the log, and its ticket ([`Durable`]) is done when the
//! disk has it. A thread of the store's own, the keeper, moves states down, and saves those whose records are old, so that the log's oldest
//! files can go. A restart loads what was saved and runs the rest of the log through the model: by the chunk law to the same
//! bits, the last reply of each session included.
//!
//! No call waits for the disk to flush but [`Store::checkpoint`], [`Store::drain`] and a ticket's wait; a call whose session lies on
//! the disk reads it; at a limit appends wait for the keeper. Nothing is asynchronous but the ticket, which is a future.
//!
//! A folder holds `LOCK`, `log/`, `states.redb` and `models/` (copies of the models' files that sessions need).

mod append;
mod codec;
mod disk;
mod durable;
mod error;
mod events;
mod index;
mod keeper;
mod kept;
mod key;
mod life;
mod log;
mod models;
mod options;
mod record;
mod recover;
mod session;
mod shared;
mod snapshot;
#[cfg(test)]
mod tests;
mod transfer;

use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    path::Path,
    sync::Arc,
    thread::JoinHandle,
};

use unspool_model::{Digest, State, series::Forecast};

pub(crate) use self::error::problem;
use self::{
    disk::Disk,
    index::Index,
    kept::Kept,
    log::{Log, Tail},
    shared::{Content, Folder, Shared},
};
pub use self::{
    durable::Durable,
    error::{Error, Limit, Result},
    key::{Key, Time},
    models::Models,
    options::StoreOptions,
    session::{Append, Applied, Info, Page, Spec, Stats, Tier, View},
    snapshot::Snapshot,
};

/// The store. All calls take `&self` and may come from any thread; those on one session follow one another.
pub struct Store {
    shared: Arc<Shared>,
    keeper: Option<JoinHandle<()>>,
}

impl Store {
    /// Opens the store of a folder, which is made if it is missing, and brings its sessions back; without a folder, an empty
    /// store that is gone with the process.
    ///
    /// # Errors
    /// [`Error::InUse`]; [`Error::Damaged`] for damage that no crash explains; [`Error::UnknownModel`] when the log's tail needs a
    /// model that nobody has; what the system refuses.
    pub fn open(dir: Option<&Path>, options: StoreOptions, models: Arc<dyn Models>) -> Result<Self> {
        let shared = match dir {
            None => {
                let state_bytes = options.state_bytes.min(options.live_bytes.saturating_add(options.memory_bytes));
                let options = StoreOptions { state_bytes, ..options };
                Shared::new(options, models, (Index::default(), None))
            }
            Some(dir) => open(dir, options, models)?,
        };
        let shared = Arc::new(shared);
        let keeper = Arc::clone(&shared);
        let keeper = std::thread::Builder::new().name("store-keeper".into()).spawn(move || keeper.run_keeper());
        let keeper = keeper.map_err(|source| Error::io(dir.unwrap_or(Path::new("thread")), &source))?;
        Ok(Self { shared, keeper: Some(keeper) })
    }

    /// Opens a session. It takes no memory for its state before its first event.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::Full`], [`Error::UnknownModel`], or the model refuses the options.
    pub fn open_session(&self, key: &Key, spec: &Spec, now: Time) -> Result<Durable> {
        self.shared.open_session(key, spec, now)
    }

    /// Takes in events of many sessions, each at most once: one call of the model. Sessions that another call is moving are
    /// waited for.
    ///
    /// Each append stands for itself: one that is refused moves nothing and disturbs no other. The results come in the
    /// batch's order.
    pub fn append(&self, batch: &[Append<'_>], now: Time) -> Vec<Result<Applied>> {
        self.shared.append(batch, now)
    }

    /// Takes back the parts of an append whose rest will not come.
    pub fn abandon(&self, key: &Key, now: Time) {
        self.shared.abandon(key, now);
    }

    /// A session and its state after the last complete append.
    ///
    /// # Errors
    /// [`Error::Unknown`], or what stands in the way of its state.
    pub fn read(&self, key: &Key, now: Time) -> Result<View> {
        let info = self.info(key, now)?;
        let (about, Content { state, .. }) = self.shared.peek_one(key, now)?;
        Ok(View { info: Info { number: about.number, position: about.position, used: now, ..info }, state })
    }

    /// What is known of a session; its state stays where it is, and its time to live goes on.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn info(&self, key: &Key, now: Time) -> Result<Info> {
        let index = self.shared.lock();
        let sid = index.find(key, now)?;
        index.get(sid).map(index::Session::info).ok_or_else(|| Error::Unknown(key.clone()))
    }

    /// Quantiles of the next `horizon` values of each session, as [`unspool_model::Model::forecast`] gives them; the sessions do not
    /// move. The results come in the order of the keys.
    pub fn forecast(&self, keys: &[&Key], horizon: usize, now: Time) -> Vec<Result<Forecast>> {
        let found: Vec<_> = keys.iter().map(|key| self.shared.peek_one(key, now).map(|(_, content)| content)).collect();
        let mut by_model: BTreeMap<Digest, Vec<&Content>> = BTreeMap::new();
        for content in found.iter().flatten() {
            by_model.entry(content.state.model()).or_default().push(content);
        }
        let mut given: BTreeMap<Digest, std::vec::IntoIter<Result<Forecast>>> = BTreeMap::new();
        for (digest, contents) in by_model {
            given.insert(digest, forecast(&contents, horizon).into_iter());
        }
        let mut next = |content: &Content| {
            let digest = content.state.model();
            given.get_mut(&digest).and_then(Iterator::next).unwrap_or(Err(Error::UnknownModel(digest)))
        };
        found.iter().map(|content| content.as_ref().map_err(Error::clone).and_then(&mut next)).collect()
    }

    /// Begins session `to` with the state, the number and the raw history of `from`; both go on by themselves.
    ///
    /// # Errors
    /// As [`Store::read`] and [`Store::open_session`].
    pub fn fork(&self, from: &Key, to: &Key, now: Time) -> Result<Durable> {
        self.shared.fork(from, to, now)
    }

    /// A session as bytes: what it was opened with, its number, last reply, state and raw history, with a checksum.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub fn snapshot(&self, key: &Key, now: Time) -> Result<Vec<u8>> {
        self.shared.snapshot(key, now)
    }

    /// Begins session `key` from a snapshot of this store or another. Its model must be here. A state of another
    /// route goes on, but no longer to the bits of an undisturbed run ([`State::route`] tells).
    ///
    /// # Errors
    /// [`Error::Snapshot`] for a state that is not of the session that the snapshot tells of; as [`Store::open_session`].
    pub fn restore(&self, key: &Key, snapshot: Snapshot, now: Time) -> Result<Durable> {
        self.shared.restore(key, snapshot, now)
    }

    /// Begins session `key` with a state that something else has brought so far, of the model and the options that `spec` names; its next
    /// append is its first one. Of what came before no raw history is kept.
    ///
    /// # Errors
    /// [`Error::Snapshot`] for a state of other options; as [`Store::open_session`].
    pub fn begin(&self, key: &Key, (spec, state): (&Spec, &State), now: Time) -> Result<Durable> {
        self.shared.adopt((key, spec), state, now)
    }

    /// Moves a session to another model: its raw history runs through that from the first event. Its number stays; a
    /// repetition of its last append gets an empty reply.
    ///
    /// # Errors
    /// [`Error::History`] where not all events are kept ([`StoreOptions::history_bytes`]); [`Error::Old`] when the session
    /// went on meanwhile.
    pub fn migrate(&self, key: &Key, to: &Spec, now: Time) -> Result<Durable> {
        self.shared.migrate(key, to, now)
    }

    /// Ends a session; its name is free at once.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn close(&self, key: &Key, now: Time) -> Result<Durable> {
        self.shared.close(key, now)
    }

    /// At most `limit` sessions of an owner, in the order of their ids, after the id `after`.
    #[must_use]
    pub fn list(&self, owner: &[u8], after: Option<&str>, limit: usize, now: Time) -> Page {
        self.shared.list(owner, after, limit, now)
    }

    /// How many sessions an owner has.
    #[must_use]
    pub fn count(&self, owner: &[u8]) -> u64 {
        self.shared.lock().count_of(owner)
    }

    /// Ends the sessions that have expired, and lets the keeper try again what the disk refused. Call it now and then.
    /// Returns how many ended.
    pub fn sweep(&self, now: Time) -> u64 {
        self.shared.sweep(now)
    }

    /// Saves all states that the log alone holds: a restart from here replays nothing. Waits for the disk.
    ///
    /// # Errors
    /// When the disk refuses; the log holds everything all the same.
    pub fn checkpoint(&self) -> Result<()> {
        self.shared.checkpoint()
    }

    /// The graceful stop: refuses new work with [`Error::Closing`], lets what is under way finish, and saves all.
    ///
    /// # Errors
    /// As [`Store::checkpoint`].
    pub fn drain(&self) -> Result<()> {
        self.shared.drain()
    }

    /// Why the store takes no more appends, if it does not: for a readiness check.
    ///
    /// # Errors
    /// The trouble.
    pub fn health(&self) -> Result<()> {
        if let Some(error) = self.shared.log().and_then(Log::failed) {
            return Err(error);
        }
        let index = self.shared.lock();
        let closing = index.closing.then_some(Error::Closing);
        index.keeper.trouble.clone().or(closing).map_or(Ok(()), Err)
    }

    /// Figures for metrics.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let log_bytes = self.shared.log().map_or(0, Log::file_bytes);
        Stats { log_bytes, ..self.shared.lock().stats() }
    }
}

/// Ends the keeper; the log writes what is queued.
impl Drop for Store {
    fn drop(&mut self) {
        self.shared.lock().keeper.stop = true;
        self.shared.wanted.notify_all();
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

/// Forecasts of sessions of one model; where it refuses them together, each alone.
fn forecast(contents: &[&Content], horizon: usize) -> Vec<Result<Forecast>> {
    let Some(Content { model, .. }) = contents.first() else { return vec![] };
    let states: Vec<&State> = contents.iter().map(|content| &*content.state).collect();
    match model.forecast(&states, horizon) {
        Ok(forecasts) => forecasts.into_iter().map(Ok).collect(),
        Err(error) => {
            let error = Error::from(error);
            states.iter().map(|_| Err(error.clone())).collect()
        }
    }
}

/// Opens a folder: the database, then the log's records after it.
fn open(dir: &Path, options: StoreOptions, models: Arc<dyn Models>) -> Result<Shared> {
    let (logs, copies) = (dir.join("log"), dir.join("models"));
    for dir in [dir, &logs, &copies] {
        fs::create_dir_all(dir).map_err(|source| Error::io(dir, &source))?;
    }
    let path = dir.join("LOCK");
    let lock = File::create(&path).map_err(|source| Error::io(&path, &source))?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => Error::InUse { path: dir.to_owned() },
        TryLockError::Error(source) => Error::io(&path, &source),
    })?;
    let disk = Disk::open(&dir.join("states.redb"))?;
    let tail = Tail::find(&logs, options.segment_bytes)?;
    let records = tail.records();
    let ended = recover::ended(&records)?;
    let index = recover::sessions(&disk, &ended)?;
    let used = recover::used_models(&index, &records, &ended)?;
    let kept = Kept::open(copies, |digest| used.contains(&digest))?;
    let folder = Folder { disk, log: Log::start(tail)?, kept, _lock: lock };
    let shared = Shared::new(options, models, (index, Some(folder)));
    shared.measure()?;
    shared.replay(&records, &ended)?;
    shared.lock().replaying = false;
    Ok(shared)
}
