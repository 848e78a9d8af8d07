//! The lowest tier: an embedded database of sessions, states and raw histories.
//!
//! | table | key | row |
//! |---|---|---|
//! | sessions | session | what it is, and the number of the append that its state follows |
//! | states | session | the last reply and the state |
//! | history | session, position | raw events from that position on |
//!
//! redb was chosen of the well-kept embedded databases: one file of copy-on-write trees, so that a state of hundreds of kilobytes is written
//! once and not again by compaction, as in trees of merged logs (fjall); a commit is one flush, which many states share; safe code, where
//! LMDB's (heed) opening is unsafe. A row takes a power of two of pages: up to twice its bytes.
//!
//! Each commit says which pages are free, too, and is written in two phases: so a file that was not closed is opened as fast as one that
//! was. Without that redb reads all of it after a kill, which took four minutes for 3,000 states of 0.94 MB.

use std::{
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
};

use redb::{Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use super::{
    Error, Result,
    codec::{Malformed, Reader, Writer},
    error,
    events::{History, Raw},
    key::Sid,
    record::{About, Body},
};

const SESSIONS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("sessions");
const STATES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("states");
const HISTORY: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("history");

/// Bytes of the database's own cache, pages to be written included: states pass through it once, so a large one would not help.
const CACHE_BYTES: usize = 16 << 20;

/// Opens the file, and makes it where there is none.
type Opener = dyn Fn() -> Result<Database, DatabaseError> + Send + Sync;

/// The database.
pub(super) struct Disk {
    path: PathBuf,
    opener: Box<Opener>,
    /// `None`: it is to be opened anew. A database that the system has once refused something answers nothing more.
    database: RwLock<Option<Database>>,
}

/// A session to be written.
pub(super) struct Row {
    pub sid: Sid,
    pub about: About,
    /// The reply and the state, as [`Body`] writes them.
    pub body: std::sync::Arc<[u8]>,
    /// Raw events that are not in the database yet.
    pub history: History,
    /// Raw events before this position are kept no more.
    pub history_from: u64,
    /// Of those before this position, rows that lie before it as a whole may go.
    pub history_kept: u64,
}

impl Disk {
    /// Opens the database, and makes it where there is none.
    ///
    /// # Errors
    /// When the system refuses, or the file is damaged or none of ours.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = path.to_owned();
        Self::open_by(path, Box::new(move || builder(&file).create(&file)))
    }

    fn open_by(path: &Path, opener: Box<Opener>) -> Result<Self> {
        let disk = Self { path: path.to_owned(), opener, database: RwLock::new(None) };
        disk.write(|_| Ok(()))?;
        Ok(disk)
    }

    /// Writes sessions, and removes others, in one commit. A row is asked for when the one before is written: they need not be in memory
    /// together.
    ///
    /// # Errors
    /// When the system refuses, or a row cannot be had: then nothing is written.
    pub(super) fn commit(&self, rows: impl Iterator<Item = Result<Row>>, ended: &[Sid]) -> Result<()> {
        self.write(|tables| {
            for row in rows {
                tables.put(&row?).map_err(|source| failure(&self.path, source))?;
            }
            ended.iter().try_for_each(|sid| tables.remove(*sid)).map_err(|source| failure(&self.path, source))
        })
    }

    /// Every session, without its state.
    pub(super) fn sessions(&self) -> Result<Vec<(Sid, About)>> {
        let about = |(sid, row): (Sid, &[u8])| {
            About::read(&mut Reader(row)).map(|about| (sid, about)).map_err(|what| self.malformed(sid, what))
        };
        self.read(|read| {
            let table = read.open_table(SESSIONS)?;
            let rows = table.iter()?.map(|row| row.map(|(sid, row)| about((Sid(sid.value()), row.value()))));
            Ok(rows.collect::<Result<Result<Vec<_>>, _>>()?)
        })?
    }

    /// A session's reply and state, as [`Body`] writes them.
    pub(super) fn body(&self, sid: Sid) -> Result<Vec<u8>> {
        let row = self.read(|read| Ok(read.open_table(STATES)?.get(sid.0)?.map(|row| row.value().to_vec())))?;
        row.ok_or_else(|| self.malformed(sid, Malformed("a state")))
    }

    /// A session's raw events, oldest first.
    pub(super) fn history(&self, sid: Sid) -> Result<History> {
        let rows = self.read(|read| {
            let table = read.open_table(HISTORY)?;
            let rows = table.range((sid.0, 0)..=(sid.0, u64::MAX))?;
            let rows = rows.map(|row| row.map(|(key, row)| (key.value().1, row.value().to_vec())));
            Ok(rows.collect::<Result<Vec<_>, _>>()?)
        })?;
        let read = |(position, row): (u64, Vec<u8>)| {
            Raw::read(&mut Reader(&row)).map(|events| (position, events)).map_err(|e| self.malformed(sid, e))
        };
        rows.into_iter().map(read).collect()
    }

    /// A row that is not what was written.
    pub(super) fn malformed(&self, sid: Sid, what: Malformed) -> Error {
        let problem = format!("the row of session number {} is damaged: {what}", sid.0);
        Error::Io { path: self.path.clone(), problem }
    }

    fn read<T>(&self, work: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error>) -> Result<T> {
        self.with(|database| {
            let begun = database.begin_read().map_err(redb::Error::from);
            begun.and_then(|read| work(&read)).map_err(|source| failure(&self.path, source))
        })
    }

    fn write(&self, work: impl FnOnce(&mut Tables<'_>) -> Result<()>) -> Result<()> {
        let failed = |source: redb::Error| failure(&self.path, source);
        let begin = |database: &Database| -> Result<_, redb::Error> {
            let mut write = database.begin_write()?;
            write.set_durability(Durability::Immediate)?;
            write.set_quick_repair(true);
            Ok(write)
        };
        self.with(|database| {
            let write = begin(database).map_err(failed)?;
            let mut tables = Tables::open(&write).map_err(failed)?;
            work(&mut tables)?;
            drop(tables);
            write.commit().map_err(|source| failed(source.into()))
        })
    }

    /// Works with the database. Where the system refuses something it is let go, and the next work opens it anew, as after a crash: so what
    /// was mended needs no restart.
    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T>) -> Result<T> {
        loop {
            let held = self.database.read().unwrap_or_else(PoisonError::into_inner);
            let Some(database) = &*held else {
                drop(held);
                self.open_anew()?;
                continue;
            };
            let done = work(database);
            drop(held);
            if matches!(&done, Err(Error::Io { path, .. }) if *path == self.path) {
                *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
            }
            return done;
        }
    }

    fn open_anew(&self) -> Result<()> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if database.is_none() {
            *database = Some((self.opener)().map_err(|source| failure(&self.path, source.into()))?);
        }
        Ok(())
    }
}

/// How a file is opened.
fn builder(path: &Path) -> redb::Builder {
    let (mut builder, path) = (Database::builder(), path.to_owned());
    builder.set_cache_size(CACHE_BYTES).set_repair_callback(move |repair| {
        let (path, percent) = (path.display(), repair.progress() * 100.0);
        tracing::warn!(%path, percent, "an earlier version did not close this file: all of it is being read, once");
    });
    builder
}

/// The tables, open for a change.
struct Tables<'a> {
    sessions: redb::Table<'a, u64, &'static [u8]>,
    states: redb::Table<'a, u64, &'static [u8]>,
    history: redb::Table<'a, (u64, u64), &'static [u8]>,
}

impl<'a> Tables<'a> {
    fn open(write: &'a redb::WriteTransaction) -> Result<Self, redb::Error> {
        let (sessions, states) = (write.open_table(SESSIONS)?, write.open_table(STATES)?);
        Ok(Self { sessions, states, history: write.open_table(HISTORY)? })
    }

    fn put(&mut self, row: &Row) -> Result<(), redb::Error> {
        let Row { sid, about, body, history, history_from, history_kept } = row;
        let mut writer = Writer::default();
        about.write(&mut writer);
        self.sessions.insert(sid.0, &writer.0[..])?;
        self.states.insert(sid.0, &body[..])?;
        for (position, events) in history {
            let mut writer = Writer::default();
            Raw::write(events.as_model(), &mut writer);
            self.history.insert((sid.0, *position), &writer.0[..])?;
        }
        // The last row that begins at or before what is kept holds some of it.
        let straddling = self.history.range((sid.0, 0)..=(sid.0, *history_kept))?.next_back().transpose()?;
        let from = straddling.map_or(0, |(key, _)| key.value().1).max(*history_from);
        Ok(self.history.retain_in((sid.0, 0)..(sid.0, from), |_, _| false)?)
    }

    fn remove(&mut self, sid: Sid) -> Result<(), redb::Error> {
        self.sessions.remove(sid.0)?;
        self.states.remove(sid.0)?;
        Ok(self.history.retain_in((sid.0, 0)..=(sid.0, u64::MAX), |_, _| false)?)
    }
}

impl Body {
    /// As a row of the table of states.
    pub(super) fn row(state: Vec<u8>, reply: unspool_model::Output) -> std::sync::Arc<[u8]> {
        let mut writer = Writer::default();
        Self { state, reply, history: vec![] }.write(&mut writer);
        writer.0.into()
    }
}

/// What the database said.
fn failure(path: &Path, source: redb::Error) -> Error {
    let problem = match source {
        redb::Error::Io(source) => error::problem(&source),
        redb::Error::DatabaseAlreadyOpen => return Error::InUse { path: path.to_owned() },
        redb::Error::PreviousIo => "another call failed here: try again".into(),
        other => other.to_string(),
    };
    Error::Io { path: path.to_owned(), problem }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io,
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering::SeqCst},
        },
    };

    use redb::{StorageBackend, backends::FileBackend};
    use unspool_model::{Digest, Options, Output};

    use super::*;
    use crate::store::{Key, Spec, Time};

    /// A file on a disk that may be full.
    #[derive(Debug)]
    struct Small(FileBackend, Arc<AtomicBool>);

    impl Small {
        fn room(&self) -> Result<(), io::Error> {
            match self.1.load(SeqCst) {
                false => Ok(()),
                true => Err(io::ErrorKind::StorageFull.into()),
            }
        }
    }

    impl StorageBackend for Small {
        fn len(&self) -> Result<u64, io::Error> {
            self.0.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
            self.0.read(offset, out)
        }

        fn set_len(&self, len: u64) -> Result<(), io::Error> {
            self.room().and_then(|()| self.0.set_len(len))
        }

        fn sync_data(&self) -> Result<(), io::Error> {
            self.0.sync_data()
        }

        fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
            // What lies on the disk already can be written over.
            let inside = offset + data.len() as u64 <= self.0.len()? && data.len() <= 4096;
            if inside { self.0.write(offset, data) } else { self.room().and_then(|()| self.0.write(offset, data)) }
        }
    }

    fn row(sid: u64, byte: u8) -> Row {
        let key = Key { owner: b"o"[..].into(), id: format!("{sid}").into() };
        let spec = Spec { model: Digest::of([]), options: Options::default(), ttl: None };
        let about = About { key, spec, number: 1, position: 2, created: Time(3), used: Time(4) };
        let body = Body::row(vec![byte; 300_000], Output::default());
        Row { sid: Sid(sid), about, body, history: vec![], history_from: 0, history_kept: 0 }
    }

    /// While the disk is full commits are refused and reads are answered; with room again commits go on by themselves.
    #[test]
    fn a_full_disk_is_got_over_without_a_restart() {
        let dir = tempfile::tempdir().expect("a folder");
        let (path, full) = (dir.path().join("states.redb"), Arc::new(AtomicBool::new(false)));
        let (file, told) = (path.clone(), Arc::clone(&full));
        let opener = move || {
            let file = File::options().read(true).write(true).create(true).truncate(false).open(&file)?;
            Database::builder().create_with_backend(Small(FileBackend::new(file)?, Arc::clone(&told)))
        };
        let disk = Disk::open_by(&path, Box::new(opener)).expect("opens");
        disk.commit([Ok(row(1, 1))].into_iter(), &[]).expect("there is room");
        for _ in 0..3 {
            full.store(true, SeqCst);
            let error = disk.commit((2..40).map(|sid| Ok(row(sid, 2))), &[]).expect_err("it is full").to_string();
            assert!(error.ends_with("the disk is full: free some space"), "{error}");
            assert_eq!(disk.body(Sid(1)).expect("reads go on"), *row(1, 1).body);
            assert_eq!(disk.sessions().expect("reads go on").len(), 1);
        }
        full.store(false, SeqCst);
        disk.commit((2..40).map(|sid| Ok(row(sid, 3))), &[]).expect("there is room again");
        assert_eq!(disk.sessions().expect("sessions").len(), 39);
        assert_eq!(disk.body(Sid(39)).expect("a state"), *row(39, 3).body);
    }

    /// A row that cannot be had breaks a commit off, and nothing of it is there.
    #[test]
    fn a_commit_is_all_or_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        let disk = Disk::open(&dir.path().join("states.redb")).expect("opens");
        let rows = [Ok(row(1, 1)), Err(Error::MemoryOnly)];
        assert!(matches!(disk.commit(rows.into_iter(), &[]), Err(Error::MemoryOnly)));
        assert_eq!(disk.sessions().expect("sessions").len(), 0);
    }
}
