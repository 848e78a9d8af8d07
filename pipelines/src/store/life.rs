//! Sessions begin and end.

use std::sync::{Arc, MutexGuard};

use unspool_model::Digest;

use super::{
    Durable, Error, Key, Page, Result, Spec, Time,
    index::{Index, Session, Slot},
    key::Sid,
    record::{About, Body, Record},
    shared::Shared,
};

/// Sessions that a sweep ends before it lets calls in.
const SWEPT: usize = 1024;

/// A session that is about to begin.
pub(super) struct Beginning {
    pub about: About,
    /// What the log shall say of its content; `None`: it has none.
    pub body: Option<Body>,
    pub slot: Slot,
    /// It takes the place of the session of its name, if that is still at this append.
    pub replaces: Option<u64>,
}

impl Shared {
    pub(super) fn open_session(&self, key: &Key, spec: &Spec, now: Time) -> Result<Durable> {
        let about = About { key: key.clone(), spec: spec.clone(), number: 0, position: 0, created: now, used: now };
        self.start(Beginning { about, body: None, slot: Slot::Fresh, replaces: None }, now)
    }

    /// Begins a session: anew, as a fork, or from a snapshot.
    pub(super) fn start(&self, beginning: Beginning, now: Time) -> Result<Durable> {
        let digest = beginning.about.spec.model;
        let bytes = self.state_bytes(&*self.model(digest)?, &beginning.about.spec.options)?;
        self.admit()?;
        // From here on its model counts as used, so that the copy is not removed while it is made.
        *self.lock().models.entry(digest).or_default() += 1;
        let begun = self.keep_model(digest).and_then(|()| self.insert(beginning, bytes, now));
        self.lock().models.entry(digest).and_modify(|count| *count -= 1);
        begun
    }

    fn insert(&self, beginning: Beginning, bytes: u64, now: Time) -> Result<Durable> {
        let Beginning { about, body, slot, replaces } = beginning;
        let mut session = Session::new(about, (slot, bytes));
        for (position, events) in body.iter().flat_map(|body| &body.history) {
            session.remember(*position, events.clone(), self.options.history_bytes);
        }
        let key = session.about.key.clone();
        let mut index = self.lock();
        let replaced = match replaces {
            None => index.expired_under(&key, now),
            Some(number) => {
                let (free, replaced) = self.unmoved(index, (&key, number), now)?;
                index = free;
                Some(replaced)
            }
        };
        index.admit(&key, bytes, replaced, &self.options)?;
        let sid = Sid(index.next_sid);
        let mut ended = None;
        if let Some(log) = self.log() {
            // One record tells of both: a crash never leaves neither.
            let lsn = log.push(vec![Record::begin(sid, (&session.about, replaced), body.as_ref())]);
            (session.unsaved_from, session.end, ended) = (Some(lsn), lsn + 1, Some(lsn));
        }
        if let Some(replaced) = replaced {
            index.remove(replaced, ended);
        }
        let end = session.end;
        index.insert(sid, session);
        index.touch(sid, now);
        self.news(&mut index);
        Ok(self.ticket(end))
    }

    /// A session that is still at append `number`, once it is free.
    fn unmoved<'a>(
        &'a self,
        mut index: MutexGuard<'a, Index>,
        (key, number): (&Key, u64),
        now: Time,
    ) -> Result<(MutexGuard<'a, Index>, Sid)> {
        loop {
            let sid = index.find(key, now)?;
            let Some(session) = index.get(sid) else { return Err(Error::Unknown(key.clone())) };
            if session.about.number != number {
                return Err(Error::Old { key: key.clone(), last: session.about.number, found: number });
            }
            if !session.busy {
                return Ok((index, sid));
            }
            index = self.wait(index);
        }
    }

    /// Keeps a copy of the model's files, if it has any.
    fn keep_model(&self, digest: Digest) -> Result<()> {
        match (&self.folder, self.models.files(digest)) {
            (Some(folder), Some(files)) => folder.kept.keep(digest, &files),
            _ => Ok(()),
        }
    }

    /// A session ends: returns a ticket.
    pub(super) fn end(&self, index: &mut Index, sid: Sid) -> Durable {
        let lsn = self.log().map(|log| log.push(vec![Record::end(sid)]));
        index.remove(sid, lsn);
        self.news(index);
        self.ticket(lsn.map_or(0, |lsn| lsn + 1))
    }

    pub(super) fn close(&self, key: &Key, now: Time) -> Result<Durable> {
        let mut index = self.lock();
        loop {
            if index.closing {
                return Err(Error::Closing);
            }
            let sid = index.find(key, now)?;
            if index.get(sid).is_some_and(|session| !session.busy) {
                return Ok(self.end(&mut index, sid));
            }
            index = self.wait(index);
        }
    }

    pub(super) fn abandon(&self, key: &Key, now: Time) {
        let mut index = self.lock();
        while let Ok(sid) = index.find(key, now)
            && let Some(session) = index.get_mut(sid)
        {
            if !session.busy {
                session.parts = None;
                return self.news(&mut index);
            }
            index = self.wait(index);
        }
    }

    /// Ends what has expired; what is in use is left to the next time.
    pub(super) fn sweep(&self, now: Time) -> u64 {
        let mut ended = 0;
        let expired = self.lock().expired(now);
        // Calls come in between.
        for sids in expired.chunks(SWEPT) {
            let mut index = self.lock();
            for sid in sids {
                // It may have been used meanwhile.
                let over = |session: &Session| !session.busy && session.expired(now);
                if !index.closing && index.get(*sid).is_some_and(over) {
                    drop(self.end(&mut index, *sid));
                    ended += 1;
                }
            }
        }
        // What the disk refused once is tried again, whether or not anybody calls.
        if let Some(log) = self.log() {
            log.retry();
        }
        let mut index = self.lock();
        index.keeper.trouble = None;
        self.news(&mut index);
        ended
    }

    pub(super) fn list(&self, owner: &[u8], after: Option<&str>, limit: usize, now: Time) -> Page {
        let index = self.lock();
        let mut sessions = index.of_owner(owner, after).filter(|session| !session.expired(now)).map(Session::info);
        let page: Vec<_> = sessions.by_ref().take(limit).collect();
        let more = sessions.next().is_some();
        let next = page.last().filter(|_| more).map(|info| Arc::clone(&info.key.id));
        Page { sessions: page, next }
    }

    /// Waits until there is room for more work.
    ///
    /// # Errors
    /// When the store is closing, or the disk takes nothing and memory is used up.
    pub(super) fn admit(&self) -> Result<()> {
        if let Some(log) = self.log() {
            log.admit()?;
        }
        let most = self.options.live_bytes.saturating_add(self.options.live_bytes / 4);
        let mut index = self.lock();
        loop {
            if index.closing {
                return Err(Error::Closing);
            }
            let log_full = self.log().is_some_and(|log| log.file_bytes() / 2 > self.options.log_bytes);
            if index.stats.live_bytes <= most && !(log_full && self.log_is_due(&index)) {
                return Ok(());
            }
            if let Some(error) = &index.keeper.trouble {
                return Err(error.clone());
            }
            if index.keeper.idle() {
                return Ok(());
            }
            index = self.wait(index);
        }
    }

    /// Refuses new work, waits for what is under way, and saves all.
    pub(super) fn drain(&self) -> Result<()> {
        let mut index = self.lock();
        index.closing = true;
        while index.busy > 0 {
            index = self.wait(index);
        }
        drop(index);
        self.checkpoint()?;
        self.log().map_or(Ok(()), |log| log.flushed().wait())
    }
}

/// A session's content as callers see it.
pub(super) fn live(content: &super::shared::Content) -> Slot {
    Slot::Live(Arc::clone(&content.state), Arc::clone(&content.reply))
}
