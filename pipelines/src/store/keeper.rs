//! Moving states down and saving them, in a thread of its own.
//!
//! It looks for work in this order, a batch at a time: live states beyond their budget, states in memory beyond theirs, states that a
//! restart would take long to bring up to date, states whose records hold up the log's oldest files, and whatever a checkpoint asks for. States that the database holds already just go; the others
//! are written first, many in one commit.

use std::sync::{Arc, PoisonError};

use unspool_model::Output;

use super::{
    Error, Result,
    disk::Row,
    durable::Lsn,
    events::History,
    index::{Index, Session, Slot},
    key::Sid,
    record::{About, Body},
    shared::{Folder, Shared},
};

/// Sessions in a batch, at most.
const MOST: usize = 512;
/// Bytes of states in a batch, about.
const MOST_BYTES: u64 = 64 << 20;

/// A state that is to be saved or moved down, as it was when it was looked at.
struct Picked {
    sid: Sid,
    about: About,
    version: u64,
    slot: Slot,
    history: History,
    history_from: u64,
    /// It goes down a tier afterwards.
    lower: bool,
}

/// One batch of work.
#[derive(Default)]
struct Batch {
    /// Live states that become bytes in memory.
    to_memory: Vec<Picked>,
    to_save: Vec<Picked>,
    ended: Vec<(Lsn, Sid)>,
    /// The record after those that the batch covers.
    next: Lsn,
    bytes: u64,
    /// States that went down at once.
    lowered: u64,
}

impl Batch {
    fn full(&self) -> bool {
        self.to_memory.len() + self.to_save.len() >= MOST || self.bytes >= MOST_BYTES
    }

    fn is_empty(&self) -> bool {
        self.to_memory.is_empty() && self.to_save.is_empty() && self.ended.is_empty() && self.lowered == 0
    }

    fn save(&mut self, sid: Sid, session: &Session, lower: bool) {
        if !self.full()
            && !session.busy
            && !matches!(session.slot, Slot::Lost)
            && self.to_save.iter().all(|picked| picked.sid != sid)
        {
            self.bytes += session.bytes;
            self.to_save.push(Picked::of(sid, session, lower));
        }
    }
}

impl Picked {
    fn of(sid: Sid, session: &Session, lower: bool) -> Self {
        let Session { about, version, slot, history, history_from, .. } = session;
        let (about, slot, history) = (about.clone(), slot.clone(), history.clone());
        Self { sid, about, version: *version, slot, history, history_from: *history_from, lower }
    }

    /// It is as it was when it was looked at.
    fn unchanged(&self, index: &Index) -> bool {
        let same = |session: &Session| !session.busy && session.version == self.version && session.parts.is_none();
        index.get(self.sid).is_some_and(same)
    }
}

impl Shared {
    /// The thread: until it is told to stop.
    pub(super) fn run_keeper(&self) {
        loop {
            let (seen, done) = self.keep();
            let mut index = self.lock();
            match done {
                Ok(true) => {}
                Ok(false) => index.keeper.idle_at = Some(seen),
                Err(error) => index.keeper.trouble = Some(error),
            }
            self.freed.notify_all();
            while !index.keeper.stop && (index.keeper.idle() || index.keeper.trouble.is_some()) {
                index = self.wanted.wait(index).unwrap_or_else(PoisonError::into_inner);
            }
            if index.keeper.stop {
                return;
            }
        }
    }

    /// One batch of work. Returns the count of news before it, and whether there was any work.
    pub(super) fn keep(&self) -> (u64, Result<bool>) {
        let mut index = self.lock();
        let seen = index.keeper.news;
        let batch = self.pick(&mut index);
        drop(index);
        let any = !batch.is_empty();
        let done = if any { self.carry_out(batch) } else { Ok(()) };
        (seen, done.map(|()| any))
    }

    /// Whether the log's oldest files wait for states to be saved.
    pub(super) fn log_is_due(&self, index: &Index) -> bool {
        let Some(Folder { log, .. }) = &self.folder else { return false };
        log.file_bytes() > self.options.log_bytes / 2 && index.needed_from().is_some_and(|lsn| lsn < log.last_file())
    }

    fn pick(&self, index: &mut Index) -> Batch {
        let mut batch = Batch { next: self.log().map_or(0, super::log::Log::next), ..Batch::default() };
        self.pick_live(index, &mut batch);
        let Some(folder) = &self.folder else { return batch };
        self.pick_memory(index, &mut batch);
        self.pick_replayed(index, &mut batch);
        let due = if self.log_is_due(index) { folder.log.last_file() } else { 0 };
        let until = index.keeper.checkpoint.max(due);
        for (lsn, sid) in index.unsaved() {
            if lsn >= until || batch.full() {
                break;
            }
            if let Some(session) = index.get(sid) {
                batch.save(sid, session, false);
            }
        }
        if !batch.to_save.is_empty() || index.ended.first().is_some_and(|(lsn, _)| *lsn < until) {
            batch.ended = index.ended.iter().copied().take(MOST).collect();
        }
        batch
    }

    /// Live states beyond their budget, and a little more, so that they go many at a time.
    fn pick_live(&self, index: &mut Index, batch: &mut Batch) {
        let budget = self.options.live_bytes;
        let Some(mut excess) = index.stats.live_bytes.checked_sub(budget).filter(|excess| *excess > 0) else { return };
        excess += budget / 8;
        let mut room = self.options.memory_bytes;
        if self.folder.is_none() {
            room = room.saturating_sub(index.stats.memory_bytes);
        }
        let (mut gone, mut freed) = (vec![], 0);
        for sid in index.live() {
            if freed >= excess || batch.full() {
                break;
            }
            let Some(session) = index.get(sid).filter(|session| session.parts.is_none()) else { continue };
            if room >= session.bytes {
                room -= session.bytes;
                batch.bytes += session.bytes;
                batch.to_memory.push(Picked::of(sid, session, true));
            } else if self.folder.is_none() {
                break;
            } else if session.saved == Some(session.version) {
                gone.push(sid);
            } else {
                batch.save(sid, session, true);
            }
            freed += session.bytes;
        }
        batch.drop_saved(index, gone);
    }

    /// States in memory beyond their budget.
    fn pick_memory(&self, index: &mut Index, batch: &mut Batch) {
        let budget = self.options.memory_bytes;
        let Some(mut excess) = index.stats.memory_bytes.checked_sub(budget).filter(|excess| *excess > 0) else {
            return;
        };
        excess += budget / 8;
        let (mut gone, mut freed) = (vec![], 0);
        for sid in index.memory() {
            if freed >= excess || batch.full() {
                break;
            }
            let Some(session) = index.get(sid) else { continue };
            if session.saved == Some(session.version) {
                gone.push(sid);
            } else {
                batch.save(sid, session, true);
            }
            freed += session.bytes;
        }
        batch.drop_saved(index, gone);
    }

    /// States that spare a restart the most, where it would have too much to run again, and a few more, so that they go many at a time.
    fn pick_replayed(&self, index: &Index, batch: &mut Batch) {
        let budget = self.options.replay_events;
        let Some(mut excess) = index.stats.replay_events.checked_sub(budget).filter(|excess| *excess > 0) else {
            return;
        };
        excess += budget / 2;
        let mut spared = 0;
        for sid in index.worth_saving() {
            if spared >= excess || batch.full() {
                break;
            }
            if let Some(session) = index.get(sid) {
                batch.save(sid, session, false);
                spared += session.replayed();
            }
        }
    }

    fn carry_out(&self, batch: Batch) -> Result<()> {
        for picked in &batch.to_memory {
            let row = self.row(picked)?;
            let mut index = self.lock();
            if picked.unchanged(&index) && index.get(picked.sid).is_some_and(|s| matches!(s.slot, Slot::Live(..))) {
                index.place(picked.sid, Slot::Memory(row));
                index.stats.lowered += 1;
            }
        }
        if let Some(folder) = &self.folder
            && !(batch.to_save.is_empty() && batch.ended.is_empty())
        {
            self.save(folder, &batch)?;
        }
        Ok(())
    }

    /// Writes a batch's states, and forgets the ended; then the log may go on without them.
    fn save(&self, folder: &Folder, batch: &Batch) -> Result<()> {
        let limit = self.options.history_bytes;
        let row = |picked: &Picked| -> Result<Row> {
            let (body, about) = (self.row(picked)?, picked.about.clone());
            let kept_events = limit / picked.history.first().map_or(1, |(_, events)| events.width());
            let history_kept = about.position.saturating_sub(kept_events);
            let (history, history_from) = (picked.history.clone(), picked.history_from);
            Ok(Row { sid: picked.sid, about, body, history, history_from, history_kept })
        };
        if !batch.ended.is_empty() {
            // A session is not forgotten before its end is in the log.
            folder.log.ticket(batch.next).wait()?;
        }
        let ended: Vec<_> = batch.ended.iter().map(|(_, sid)| *sid).collect();
        folder.disk.commit(batch.to_save.iter().map(row), &ended)?;
        let mut index = self.lock();
        for (lsn, sid) in &batch.ended {
            index.ended.remove(&(*lsn, *sid));
        }
        for picked in &batch.to_save {
            index.saved(picked.sid, (picked.version, picked.about.position), batch.next);
            if let Some(session) = index.get_mut(picked.sid) {
                session.history.retain(|(position, _)| *position >= picked.about.position);
            }
            let down = |session: &Session| matches!(session.slot, Slot::Live(..) | Slot::Memory(_));
            if picked.lower && picked.unchanged(&index) && index.get(picked.sid).is_some_and(down) {
                index.place(picked.sid, Slot::Disk);
                index.stats.lowered += 1;
            }
        }
        index.stats.saved += batch.to_save.len() as u64;
        // Records are pushed under this lock: none can slip in between.
        folder.log.release(index.needed_from().unwrap_or_else(|| folder.log.next()));
        let unused: Vec<_> = index.models.iter().filter(|(_, count)| **count == 0).map(|(digest, _)| *digest).collect();
        drop(index);
        folder.kept.prune(&unused, |digest| {
            let mut index = self.lock();
            let unused = index.models.get(&digest) == Some(&0);
            if unused {
                index.models.remove(&digest);
            }
            unused
        })
    }

    /// A picked state as a row of the table of states.
    fn row(&self, picked: &Picked) -> Result<Arc<[u8]>> {
        match &picked.slot {
            Slot::Fresh => Ok(Body::row(vec![], Output::default())),
            Slot::Memory(row) => Ok(Arc::clone(row)),
            Slot::Live(state, reply) => {
                let model = self.model(picked.about.spec.model)?;
                Ok(Body::row(model.save(state)?, Output::clone(reply)))
            }
            Slot::Disk | Slot::Taken | Slot::Lost => Err(Error::Lost(picked.about.key.clone())),
        }
    }

    /// Saves all that the log alone holds by now.
    pub(super) fn checkpoint(&self) -> Result<()> {
        let Some(Folder { log, .. }) = &self.folder else { return Ok(()) };
        let mut index = self.lock();
        let until = log.next();
        index.keeper.checkpoint = index.keeper.checkpoint.max(until);
        index.keeper.trouble = None;
        self.news(&mut index);
        while index.needed_from().is_some_and(|lsn| lsn < until) {
            if let Some(error) = &index.keeper.trouble {
                return Err(error.clone());
            }
            if index.keeper.idle() && index.busy == 0 {
                break; // what is left was lost, and is in the log
            }
            index = self.wait(index);
        }
        Ok(())
    }
}

impl Batch {
    /// States that the database holds already.
    fn drop_saved(&mut self, index: &mut Index, sids: Vec<Sid>) {
        self.lowered += sids.len() as u64;
        index.stats.lowered += sids.len() as u64;
        sids.into_iter().for_each(|sid| index.place(sid, Slot::Disk));
    }
}
