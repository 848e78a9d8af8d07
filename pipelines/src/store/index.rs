//! What the store knows of its sessions: bookkeeping in memory, under one lock that is never held over disk or model.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
    sync::Arc,
};

use unspool_model::{Digest, Output, State};

use super::{
    Error, Info, Key, Limit, Result, Spec, Stats, StoreOptions, Tier, Time,
    durable::Lsn,
    events::{History, Raw, byte_len},
    key::Sid,
    record::{About, output_bytes},
};

/// Events for each MiB of a state from which on it is worth being saved: a KiB is written for each event, then.
const WORTH_SAVING: u64 = 1024;

/// A session.
pub(super) struct Session {
    /// What it is, as of the last complete append.
    pub about: About,
    pub slot: Slot,
    /// A call has its state, and will bring it back.
    pub busy: bool,
    /// Bytes of its state.
    pub bytes: u64,
    /// Changes so far.
    pub version: u64,
    /// The change that the database holds.
    pub saved: Option<u64>,
    /// The first record that the database lacks.
    pub unsaved_from: Option<Lsn>,
    /// After its last record.
    pub end: Lsn,
    /// Events from this position on are run again by a restart.
    replayed_from: u64,
    /// An append of which not all parts have come.
    pub parts: Option<Box<Parts>>,
    /// Raw events that the database lacks, with their positions.
    pub history: History,
    /// Raw events before this position are kept no more.
    pub history_from: u64,
    /// When it was last used, in the order of uses.
    tick: u64,
}

/// Where a session's state and its last reply are.
#[derive(Clone)]
pub(super) enum Slot {
    /// It has not taken in anything yet.
    Fresh,
    Live(Arc<State>, Arc<Output>),
    /// As a row of the table of states.
    Memory(Arc<[u8]>),
    Disk,
    /// With whom the session is busy.
    Taken,
    /// A computation broke off.
    Lost,
}

/// The parts of an append so far.
pub(super) struct Parts {
    pub number: u64,
    pub state: State,
    pub output: Output,
    pub events: Raw,
}

/// All sessions.
#[derive(Default)]
pub(super) struct Index {
    by_key: BTreeMap<Key, Sid>,
    sessions: HashMap<Sid, Session>,
    owners: HashMap<Arc<[u8]>, u64>,
    /// Sessions of each model, those that are about to be opened included.
    pub models: HashMap<Digest, u64>,
    /// By first record that the database lacks.
    unsaved: BTreeSet<(Lsn, Sid)>,
    /// By what saving them spares a restart, at least [`WORTH_SAVING`].
    worth_saving: BTreeSet<(u64, Sid)>,
    /// Sessions that ended, by their last record, while the database may still have them.
    pub ended: BTreeSet<(Lsn, Sid)>,
    expiry: BTreeSet<(Time, Sid)>,
    /// Sessions in these tiers, the longest unused first.
    live: BTreeSet<(u64, Sid)>,
    memory: BTreeSet<(u64, Sid)>,
    pub stats: Stats,
    pub next_sid: u64,
    ticks: u64,
    /// Sessions that are busy.
    pub busy: u64,
    /// No new work is taken.
    pub closing: bool,
    /// The log's records are being replayed: all are needed.
    pub replaying: bool,
    /// What the keeper is told.
    pub keeper: Keeper,
}

/// What the keeper is told, and what it tells.
#[derive(Default)]
pub(super) struct Keeper {
    /// Counts what it may have to look at.
    pub news: u64,
    /// It found nothing to do at this count.
    pub idle_at: Option<u64>,
    /// All records before this one shall be needed no more.
    pub checkpoint: Lsn,
    /// Why it cannot work; taken back to let it try again.
    pub trouble: Option<Error>,
    pub stop: bool,
}

impl Keeper {
    /// It has nothing to do.
    pub(super) fn idle(&self) -> bool {
        self.idle_at == Some(self.news)
    }
}

impl Session {
    pub(super) fn new(about: About, (slot, bytes): (Slot, u64)) -> Self {
        let (history_from, replayed_from) = (0, about.position);
        let (busy, version, saved, unsaved_from, end) = (false, 0, None, None, 0);
        let (parts, history, tick) = (None, vec![], 0);
        Self {
            about,
            slot,
            busy,
            bytes,
            version,
            saved,
            unsaved_from,
            end,
            replayed_from,
            parts,
            history,
            history_from,
            tick,
        }
    }

    /// Events that a restart would run again.
    pub(super) fn replayed(&self) -> u64 {
        self.about.position - self.replayed_from
    }

    /// How many of them there are for each MiB of its state.
    fn worth_saving(&self) -> u64 {
        (self.replayed() << 20) / self.bytes.max(1)
    }

    /// The moment from which it is gone, if it goes unused.
    fn expires(&self) -> Option<Time> {
        self.about.spec.ttl.map(|ttl| self.about.used.after(ttl))
    }

    pub(super) fn expired(&self, now: Time) -> bool {
        self.expires().is_some_and(|at| at <= now)
    }

    /// Keeps raw events that begin at `position`, within a limit.
    pub(super) fn remember(&mut self, position: u64, events: Raw, limit: u64) {
        if limit == 0 || events.len() == 0 {
            return;
        }
        self.history.push((position, events));
        let bytes = |(_, events): &(u64, Raw)| byte_len(events.as_model());
        let mut total: u64 = self.history.iter().map(bytes).sum();
        while total > limit
            && let Some(first) = self.history.first()
        {
            total -= bytes(first);
            self.history_from = first.0 + first.1.len() as u64;
            self.history.remove(0);
        }
    }

    fn tier(&self) -> Tier {
        match &self.slot {
            Slot::Live(..) | Slot::Taken => Tier::Live,
            Slot::Memory(_) | Slot::Fresh | Slot::Lost => Tier::Memory,
            Slot::Disk => Tier::Disk,
        }
    }

    pub(super) fn info(&self) -> Info {
        let About { key, spec, number, position, created, used } = self.about.clone();
        Info { key, spec, number, position, created, used, tier: self.tier() }
    }
}

impl Slot {
    /// Bytes that it takes among the live ones, or in memory.
    fn bytes(&self, state_bytes: u64) -> u64 {
        match self {
            Self::Live(_, reply) => state_bytes + output_bytes(reply),
            Self::Memory(row) => row.len() as u64,
            _ => 0,
        }
    }
}

impl Index {
    /// The session of that name, if it is there and alive.
    pub(super) fn find(&self, key: &Key, now: Time) -> Result<Sid> {
        let sid = self.by_key.get(key).copied().filter(|sid| !self.sessions.get(sid).is_none_or(|s| s.expired(now)));
        sid.ok_or_else(|| Error::Unknown(key.clone()))
    }

    /// The session of that name, if it has expired and was not swept yet.
    pub(super) fn expired_under(&self, key: &Key, now: Time) -> Option<Sid> {
        let sid = self.by_key.get(key)?;
        self.sessions.get(sid).filter(|session| session.expired(now) && !session.busy).map(|_| *sid)
    }

    pub(super) fn get(&self, sid: Sid) -> Option<&Session> {
        self.sessions.get(&sid)
    }

    pub(super) fn get_mut(&mut self, sid: Sid) -> Option<&mut Session> {
        self.sessions.get_mut(&sid)
    }

    /// Whether a session of `bytes` may be opened, in the place of `replaced` if there is one.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::Full`], [`Error::Closing`].
    pub(super) fn admit(&self, key: &Key, bytes: u64, replaced: Option<Sid>, options: &StoreOptions) -> Result<()> {
        let full = |what, limit| Err(Error::Full { what, limit });
        if self.closing {
            return Err(Error::Closing);
        }
        if self.by_key.get(key).copied() != replaced {
            return Err(Error::Exists(key.clone()));
        }
        let old = replaced.and_then(|sid| self.sessions.get(&sid));
        let count = |all: u64| all - u64::from(old.is_some());
        if count(self.sessions.len() as u64) >= options.sessions {
            return full(Limit::Sessions, options.sessions);
        }
        if count(self.owners.get(&key.owner).copied().unwrap_or(0)) >= options.sessions_per_owner {
            return full(Limit::SessionsPerOwner, options.sessions_per_owner);
        }
        if self.stats.state_bytes - old.map_or(0, |old| old.bytes) + bytes > options.state_bytes {
            return full(Limit::StateBytes, options.state_bytes);
        }
        Ok(())
    }

    pub(super) fn insert(&mut self, sid: Sid, mut session: Session) {
        let slot = std::mem::replace(&mut session.slot, Slot::Fresh);
        self.by_key.insert(session.about.key.clone(), sid);
        *self.owners.entry(Arc::clone(&session.about.key.owner)).or_default() += 1;
        *self.models.entry(session.about.spec.model).or_default() += 1;
        self.expiry.extend(session.expires().map(|at| (at, sid)));
        self.unsaved.extend(session.unsaved_from.map(|lsn| (lsn, sid)));
        self.stats.state_bytes += session.bytes;
        self.next_sid = self.next_sid.max(sid.0 + 1);
        self.sessions.insert(sid, session);
        self.place(sid, slot);
    }

    /// Forgets a session; its rows are removed from the database once the log is past `end`.
    pub(super) fn remove(&mut self, sid: Sid, end: Option<Lsn>) {
        self.place(sid, Slot::Fresh);
        let Some(session) = self.sessions.remove(&sid) else { return };
        self.by_key.remove(&session.about.key);
        if let Some(count) = self.owners.get_mut(&session.about.key.owner) {
            *count -= 1;
            if *count == 0 {
                self.owners.remove(&session.about.key.owner);
            }
        }
        self.models.entry(session.about.spec.model).and_modify(|count| *count -= 1);
        if let Some(at) = session.expires() {
            self.expiry.remove(&(at, sid));
        }
        if let Some(lsn) = session.unsaved_from {
            self.unsaved.remove(&(lsn, sid));
        }
        self.worth_saving.remove(&(session.worth_saving(), sid));
        self.stats.replay_events -= session.replayed();
        self.stats.state_bytes -= session.bytes;
        // What the log says of it is needed until the database has forgotten it.
        self.ended.extend(end.map(|end| (session.unsaved_from.unwrap_or(end), sid)));
    }

    /// Puts a state somewhere else.
    pub(super) fn place(&mut self, sid: Sid, slot: Slot) {
        let Some(session) = self.sessions.get_mut(&sid) else { return };
        let old = std::mem::replace(&mut session.slot, slot);
        let at = (session.tick, sid);
        match &old {
            Slot::Live(..) => self.live.remove(&at),
            Slot::Memory(_) => self.memory.remove(&at),
            _ => false,
        };
        match old {
            Slot::Live(..) => self.stats.live_bytes -= old.bytes(session.bytes),
            Slot::Disk => self.stats.disk -= 1,
            _ => self.stats.memory_bytes -= old.bytes(session.bytes),
        }
        match session.slot {
            Slot::Live(..) => self.stats.live_bytes += session.slot.bytes(session.bytes),
            Slot::Disk => self.stats.disk += 1,
            _ => self.stats.memory_bytes += session.slot.bytes(session.bytes),
        }
        match &session.slot {
            Slot::Live(..) => self.live.insert(at),
            Slot::Memory(_) => self.memory.insert(at),
            _ => false,
        };
    }

    /// A session was used.
    pub(super) fn touch(&mut self, sid: Sid, now: Time) {
        let Some(session) = self.sessions.get_mut(&sid) else { return };
        self.ticks += 1;
        let old = (session.tick, sid);
        session.tick = self.ticks;
        for tier in [&mut self.live, &mut self.memory] {
            if tier.remove(&old) {
                tier.insert((self.ticks, sid));
            }
        }
        if let Some(at) = session.expires() {
            self.expiry.remove(&(at, sid));
        }
        session.about.used = session.about.used.max(now);
        self.expiry.extend(session.expires().map(|at| (at, sid)));
    }

    /// The log got a record of a session: number `lsn`.
    pub(super) fn logged(&mut self, sid: Sid, lsn: Lsn) {
        let Some(session) = self.sessions.get_mut(&sid) else { return };
        session.end = lsn + 1;
        if session.unsaved_from.is_none() {
            session.unsaved_from = Some(lsn);
            self.unsaved.insert((lsn, sid));
        }
    }

    /// A session took in events: it is at append `number` and event `position` now.
    pub(super) fn moved(&mut self, sid: Sid, number: u64, position: u64) {
        self.count(sid, |session| {
            session.version += 1;
            (session.about.number, session.about.position) = (number, position);
        });
    }

    /// Changes what a restart would run again of a session.
    fn count(&mut self, sid: Sid, change: impl FnOnce(&mut Session)) {
        let Some(session) = self.sessions.get_mut(&sid) else { return };
        self.stats.replay_events -= session.replayed();
        self.worth_saving.remove(&(session.worth_saving(), sid));
        change(session);
        self.stats.replay_events += session.replayed();
        if session.worth_saving() >= WORTH_SAVING {
            self.worth_saving.insert((session.worth_saving(), sid));
        }
    }

    /// The database holds change `version` of a session, up to event `position`, and all of its records before `next`.
    pub(super) fn saved(&mut self, sid: Sid, (version, position): (u64, u64), next: Lsn) {
        self.count(sid, |session| session.replayed_from = position);
        let Some(session) = self.sessions.get_mut(&sid) else { return };
        session.saved = Some(version);
        if let Some(lsn) = session.unsaved_from.take() {
            self.unsaved.remove(&(lsn, sid));
        }
        if session.version != version {
            session.unsaved_from = Some(next);
            self.unsaved.insert((next, sid));
        }
    }

    /// The first record that is still needed.
    pub(super) fn needed_from(&self) -> Option<Lsn> {
        let first = |set: &BTreeSet<(Lsn, Sid)>| set.first().map(|(lsn, _)| *lsn);
        let all = self.replaying.then_some(0);
        first(&self.unsaved).into_iter().chain(first(&self.ended)).chain(all).min()
    }

    /// All sessions.
    pub(super) fn all(&self) -> impl Iterator<Item = &Session> {
        self.sessions.values()
    }

    /// Sets the bytes of each session's state.
    pub(super) fn measure(&mut self, bytes: impl Fn(&Spec) -> u64) {
        for session in self.sessions.values_mut() {
            self.stats.state_bytes -= session.bytes;
            session.bytes = bytes(&session.about.spec);
            self.stats.state_bytes += session.bytes;
        }
    }

    /// Sessions that the database lacks something of, the oldest first.
    pub(super) fn unsaved(&self) -> impl Iterator<Item = (Lsn, Sid)> + '_ {
        self.unsaved.iter().copied()
    }

    /// Sessions that a restart runs events of again, enough for them to be worth being saved, the most for its bytes first.
    pub(super) fn worth_saving(&self) -> impl Iterator<Item = Sid> + '_ {
        self.worth_saving.iter().rev().map(|(_, sid)| *sid)
    }

    /// Live sessions, the longest unused first.
    pub(super) fn live(&self) -> impl Iterator<Item = Sid> + '_ {
        self.live.iter().map(|(_, sid)| *sid)
    }

    /// Sessions in memory, the longest unused first.
    pub(super) fn memory(&self) -> impl Iterator<Item = Sid> + '_ {
        self.memory.iter().map(|(_, sid)| *sid)
    }

    /// Sessions that have expired.
    pub(super) fn expired(&self, now: Time) -> Vec<Sid> {
        self.expiry.iter().take_while(|(at, _)| *at <= now).map(|(_, sid)| *sid).collect()
    }

    /// How many sessions an owner has.
    pub(super) fn count_of(&self, owner: &[u8]) -> u64 {
        self.owners.get(owner).copied().unwrap_or(0)
    }

    /// An owner's sessions, in the order of their ids, after `after`.
    pub(super) fn of_owner<'a>(&'a self, owner: &[u8], after: Option<&str>) -> impl Iterator<Item = &'a Session> {
        let from = Key::new(owner, after.unwrap_or_default());
        let from = if after.is_some() { Bound::Excluded(from) } else { Bound::Included(from) };
        let keys = self.by_key.range((from, Bound::Unbounded));
        let owner: Arc<[u8]> = owner.into();
        keys.take_while(move |(key, _)| key.owner == owner).filter_map(|(_, sid)| self.sessions.get(sid))
    }

    /// The figures as they are.
    pub(super) fn stats(&self) -> Stats {
        let (live, memory) = (self.live.len() as u64, self.memory.len() as u64);
        Stats { live, memory, unsaved: self.unsaved.len() as u64, ..self.stats }
    }
}
