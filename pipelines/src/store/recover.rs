//! Opening a store: the sessions that the database holds, and the log's records after them.
//!
//! By the chunk law a session's records give the same state and, for the last one, the same reply, however they are cut: all but
//! the last append of a session run together, the last one alone, and its reply is kept.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use unspool_model::{Digest, Item, Model, Output, State};

use super::{
    Error, Result, Time,
    codec::Malformed,
    disk::Disk,
    durable::Lsn,
    events::{Raw, byte_len},
    index::{Index, Session, Slot},
    key::Sid,
    log::{Found, Records},
    record::{Begin, Body, Record},
    shared::Shared,
};

/// Bytes of events that are read before they run. States are saved between two windows, so that a restart that is itself broken off
/// has not run for nothing.
const WINDOW_BYTES: u64 = 8 << 20;
/// Events of all sessions that run at once: what a call of the model takes of memory beside the states grows with them.
const AT_ONCE: usize = 1 << 15;
/// Sessions that run at once.
const TOGETHER: usize = 128;

/// Sessions that the log says have ended, and the highest number that it knows.
pub(super) struct Ended {
    sids: HashMap<Sid, Lsn>,
    next_sid: u64,
}

/// Finds out which sessions the log ends.
pub(super) fn ended(records: &Records) -> Result<Ended> {
    let mut ended = Ended { sids: HashMap::new(), next_sid: 0 };
    records.each(|found| {
        let record = read(&found)?;
        ended.next_sid = ended.next_sid.max(record.sid().0 + 1);
        match record {
            Record::End(sid) => ended.sids.insert(sid, found.lsn),
            Record::Begin(_, begin) => begin.replaces.and_then(|sid| ended.sids.insert(sid, found.lsn)),
            Record::Append { .. } => None,
        };
        Ok(())
    })?;
    Ok(ended)
}

/// The sessions of the database, while the log is being replayed.
pub(super) fn sessions(disk: &Disk, ended: &Ended) -> Result<Index> {
    let mut index = Index::default();
    (index.next_sid, index.replaying) = (ended.next_sid, true);
    for (sid, about) in disk.sessions()? {
        match ended.sids.get(&sid) {
            Some(lsn) => {
                index.next_sid = index.next_sid.max(sid.0 + 1);
                index.ended.insert((*lsn, sid));
            }
            None => {
                let mut session = Session::new(about, (Slot::Disk, 0));
                session.saved = Some(session.version);
                index.insert(sid, session);
            }
        }
    }
    Ok(index)
}

impl Shared {
    /// Sets the sizes of the states of the database's sessions, as their models and options say.
    ///
    /// # Errors
    /// When a model's files are kept but cannot be loaded. A model that nobody has is none: its sessions wait.
    pub(super) fn measure(&self) -> Result<()> {
        let mut index = self.lock();
        let mut specs = HashMap::new();
        for session in index.all() {
            specs.entry((session.about.spec.model, session.about.spec.options.clone())).or_insert(0);
        }
        for ((digest, options), bytes) in &mut specs {
            *bytes = match self.model(*digest) {
                Ok(model) => self.state_bytes(&model, options)?,
                Err(Error::UnknownModel(_)) => 0,
                Err(error) => return Err(error),
            };
        }
        index.measure(|spec| specs.get(&(spec.model, spec.options.clone())).copied().unwrap_or(0));
        Ok(())
    }

    /// Runs the log's records that the database lacks.
    ///
    /// # Errors
    /// When the log does not fit the database, or a model is missing.
    pub(super) fn replay(&self, records: &Records, ended: &Ended) -> Result<()> {
        let mut window = Window::default();
        records.each(|found| {
            let record = read(&found)?;
            if ended.sids.contains_key(&record.sid()) {
                return Ok(());
            }
            match record {
                Record::Begin(sid, begin) => self.begin_again(sid, *begin, found.lsn),
                Record::Append { sid, number, at, events } => {
                    let known = window.last(sid).or_else(|| self.lock().get(sid).map(|session| session.about.number));
                    // A session that is not known has ended, and the record of its end is gone already.
                    let Some(last) = known.filter(|last| *last < number) else { return Ok(()) };
                    if number != last + 1 {
                        let what = format!("append {number} of session number {} follows {last}", sid.0);
                        let problem = format!("{what}: the log and the database are not of one store");
                        return Err(Error::Damaged { path: found.path.into(), offset: found.offset, problem });
                    }
                    window.push(sid, Pending { number, at, lsn: found.lsn, events });
                    if window.bytes > WINDOW_BYTES { self.run_window(std::mem::take(&mut window)) } else { Ok(()) }
                }
                Record::End(_) => Ok(()),
            }
        })?;
        self.run_window(window)
    }

    /// A session of the log; where the database has it already, that is newer.
    fn begin_again(&self, sid: Sid, begin: Begin, lsn: Lsn) -> Result<()> {
        let Begin { about, body, .. } = begin;
        if self.lock().get(sid).is_some() {
            return Ok(());
        }
        let bytes = self.state_bytes(&*self.model(about.spec.model)?, &about.spec.options)?;
        let (history, slot) = match body {
            None => (vec![], Slot::Fresh),
            Some(Body { state, reply, history }) => (history, Slot::Memory(Body::row(state, reply))),
        };
        let mut session = Session::new(about, (slot, bytes));
        (session.unsaved_from, session.end) = (Some(lsn), lsn + 1);
        for (position, events) in history {
            session.remember(position, events, self.options.history_bytes);
        }
        self.lock().insert(sid, session);
        Ok(())
    }

    fn run_window(&self, window: Window) -> Result<()> {
        let mut by_model: BTreeMap<Digest, Vec<(Sid, Vec<Pending>)>> = BTreeMap::new();
        for (sid, pending) in window.pending {
            let model = self.lock().get(sid).map(|session| session.about.spec.model);
            by_model.entry(model.ok_or(Error::Closing)?).or_default().push((sid, pending));
        }
        for mut sessions in by_model.into_values() {
            while !sessions.is_empty() {
                let rest = sessions.split_off(sessions.len().min(TOGETHER));
                self.run_together(std::mem::replace(&mut sessions, rest))?;
                // So that what was replayed never takes more memory than the budgets say.
                while self.keep().1? {}
            }
        }
        Ok(())
    }

    /// Runs the appends of sessions of one model.
    fn run_together(&self, sessions: Vec<(Sid, Vec<Pending>)>) -> Result<()> {
        let keys: Vec<_> = {
            let index = self.lock();
            sessions.iter().filter_map(|(sid, _)| index.get(*sid).map(|s| s.about.key.clone())).collect()
        };
        let mut runs = vec![];
        for ((sid, pending), key) in sessions.into_iter().zip(&keys) {
            let taken = self.take(&[key], Time::default(), |_, _, _| Ok(())).pop();
            let (mut taken, ()) = taken.unwrap_or_else(|| Err(Error::Unknown(key.clone())))?;
            debug_assert_eq!(taken.sid, sid);
            let content = self.raise(&mut taken)?;
            let state = State::clone(&content.state);
            let (sid, _) = taken.keep();
            runs.push(Run { sid, pending, model: content.model, state, reply: Output::default() });
        }
        run(&mut runs)?;
        let mut index = self.lock();
        for Run { sid, pending, state, reply, .. } in runs {
            let position = state.position();
            let mut used = Time::default();
            for Pending { number, at, lsn, events } in pending {
                index.logged(sid, lsn);
                let Some(session) = index.get_mut(sid) else { continue };
                used = used.max(at);
                let (first, len) = (session.about.position, events.len() as u64);
                session.remember(first, events, self.options.history_bytes);
                index.moved(sid, number, first + len);
            }
            debug_assert_eq!(index.get(sid).map(|session| session.about.position), Some(position));
            index.touch(sid, used);
            self.settle(&mut index, sid, Slot::Live(Arc::new(state), Arc::new(reply)));
        }
        Ok(())
    }
}

/// An append of the log.
struct Pending {
    number: u64,
    at: Time,
    lsn: Lsn,
    events: Raw,
}

/// Appends that were read and did not run yet, by session.
#[derive(Default)]
struct Window {
    pending: BTreeMap<Sid, Vec<Pending>>,
    bytes: u64,
}

impl Window {
    fn push(&mut self, sid: Sid, pending: Pending) {
        self.bytes += byte_len(pending.events.as_model()) + size_of::<Pending>() as u64;
        self.pending.entry(sid).or_default().push(pending);
    }

    /// The last append of a session.
    fn last(&self, sid: Sid) -> Option<u64> {
        self.pending.get(&sid)?.last().map(|pending| pending.number)
    }
}

/// A session whose appends run again.
struct Run {
    sid: Sid,
    pending: Vec<Pending>,
    model: Arc<Model>,
    state: State,
    reply: Output,
}

/// Runs all appends of sessions of one model.
fn run(runs: &mut [Run]) -> Result<()> {
    let Some(model) = runs.first().map(|run| Arc::clone(&run.model)) else { return Ok(()) };
    // All but the last append of each, joined.
    let mut before: Vec<Option<Raw>> = vec![];
    for run in &*runs {
        let (_, earlier) = run.pending.split_last().ok_or(Error::Closing)?;
        let mut joined: Option<Raw> = None;
        for Pending { events, .. } in earlier {
            match &mut joined {
                None => joined = Some(events.clone()),
                Some(joined) => joined.push(events.as_model()).map_err(|what| Error::Snapshot(what.to_string()))?,
            }
        }
        before.push(joined);
    }
    let longest = before.iter().flatten().map(Raw::len).max().unwrap_or(0);
    let piece = AT_ONCE / runs.len().clamp(1, TOGETHER);
    for from in (0..longest).step_by(piece) {
        let items = runs.iter_mut().zip(&before).filter_map(|(run, before)| {
            let before = before.as_ref().filter(|before| before.len() > from)?;
            Some(Item { state: &mut run.state, events: before.slice(from, piece) })
        });
        model.append(&mut items.collect::<Vec<_>>())?;
    }
    let mut items = vec![];
    for run in &mut *runs {
        let last = run.pending.last().ok_or(Error::Closing)?;
        items.push(Item { state: &mut run.state, events: last.events.as_model() });
    }
    let replies = model.append(&mut items)?;
    runs.iter_mut().zip(replies).for_each(|(run, reply)| run.reply = reply);
    Ok(())
}

/// A record as it was written, or where it is damaged.
fn read(found: &Found<'_>) -> Result<Record> {
    Record::read(found.record).map_err(|Malformed(what)| {
        let problem = format!("a record is not what was written: {what} expected");
        Error::Damaged { path: found.path.into(), offset: found.offset, problem }
    })
}

/// Models that sessions of the database or the log need.
pub(super) fn used_models(index: &Index, records: &Records, ended: &Ended) -> Result<HashSet<Digest>> {
    let mut used: HashSet<Digest> = index.models.keys().copied().collect();
    records.each(|found| {
        if let Record::Begin(sid, begin) = read(&found)?
            && !ended.sids.contains_key(&sid)
        {
            used.insert(begin.about.spec.model);
        }
        Ok(())
    })?;
    Ok(used)
}
