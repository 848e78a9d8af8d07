//! What the calls and the keeper's thread share, and how a call gets hold of states.

use std::{
    collections::HashMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use unspool_model::{Digest, Model, Options, Output, State};

use super::{
    Error, Key, Models, Result, StoreOptions, Time,
    codec::Reader,
    disk::Disk,
    durable::{Durable, Lsn},
    index::{Index, Slot},
    kept::Kept,
    key::Sid,
    log::Log,
    record::{About, Body},
};

pub(super) struct Shared {
    pub options: StoreOptions,
    pub models: Arc<dyn Models>,
    pub index: Mutex<Index>,
    /// A session is no longer busy, or there is more room.
    pub freed: Condvar,
    /// The keeper has something to do.
    pub wanted: Condvar,
    /// `None`: all is kept in memory.
    pub folder: Option<Folder>,
    /// Bytes of a state, for each model and options.
    sizes: Mutex<HashMap<(Digest, Options), u64>>,
}

/// What a store with a folder has.
pub(super) struct Folder {
    pub disk: Disk,
    pub log: Log,
    pub kept: Kept,
    /// Its lock: goes last.
    pub _lock: std::fs::File,
}

/// A session whose state a call has. It goes back when this is dropped, unless the call keeps it to move it.
pub(super) struct Taken<'a> {
    shared: &'a Shared,
    pub sid: Sid,
    pub about: About,
    /// After its last record.
    pub end: Lsn,
    /// `None`: kept.
    slot: Option<Slot>,
}

/// A session's content, ready for the model.
#[derive(Clone)]
pub(super) struct Content {
    pub model: Arc<Model>,
    pub state: Arc<State>,
    pub reply: Arc<Output>,
}

impl Taken<'_> {
    /// Keeps the session: whoever holds its state may move it, and settles it afterwards.
    pub(super) fn keep(mut self) -> (Sid, About) {
        self.slot = None;
        (self.sid, self.about.clone())
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let Some(slot) = self.slot.take() else { return };
        let mut index = self.shared.lock();
        self.shared.settle(&mut index, self.sid, slot);
    }
}

impl Shared {
    pub(super) fn new(
        options: StoreOptions,
        models: Arc<dyn Models>,
        (index, folder): (Index, Option<Folder>),
    ) -> Self {
        let (freed, wanted, sizes) = (Condvar::new(), Condvar::new(), Mutex::default());
        Self { options, models, index: Mutex::new(index), freed, wanted, folder, sizes }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wait<'a>(&self, index: MutexGuard<'a, Index>) -> MutexGuard<'a, Index> {
        self.freed.wait(index).unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn disk(&self) -> Option<&Disk> {
        self.folder.as_ref().map(|folder| &folder.disk)
    }

    pub(super) fn log(&self) -> Option<&Log> {
        self.folder.as_ref().map(|folder| &folder.log)
    }

    /// A ticket for all records before `end`.
    pub(super) fn ticket(&self, end: Lsn) -> Durable {
        self.log().map_or_else(|| Durable::new(end, None), |log| log.ticket(end))
    }

    /// The model of that digest, from the caller or from the copy kept here.
    pub(super) fn model(&self, digest: Digest) -> Result<Arc<Model>> {
        let kept = self.folder.as_ref().and_then(|folder| folder.kept.path(digest));
        self.models.model(digest, kept.as_deref())
    }

    /// Bytes of a state: the same for all of a model and options.
    pub(super) fn state_bytes(&self, model: &Model, options: &Options) -> Result<u64> {
        let at = (model.info().digest, options.clone());
        let mut sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = sizes.get(&at) {
            return Ok(*bytes);
        }
        let bytes = crate::state_bytes(model, options).map_err(|error| match error {
            crate::Error::Model(error) => Error::from(error),
            other => Error::Snapshot(other.to_string()),
        })? as u64;
        sizes.insert(at, bytes);
        Ok(bytes)
    }

    /// Takes sessions for a call that will move them, once no other call has them. All or none: so two calls never wait for each
    /// other.
    pub(super) fn take<T>(
        &self,
        keys: &[&Key],
        now: Time,
        mut each: impl FnMut(&mut Index, usize, Sid) -> Result<T>,
    ) -> Vec<Result<(Taken<'_>, T)>> {
        let mut index = self.lock();
        let sids = loop {
            let sids: Vec<_> = keys.iter().map(|key| index.find(key, now)).collect();
            let busy = |sid: &Sid| index.get(*sid).is_some_and(|session| session.busy);
            if !sids.iter().flatten().any(busy) {
                break sids;
            }
            index = self.wait(index);
        };
        let closing = index.closing;
        let take = |(i, sid): (usize, Result<Sid>)| {
            let sid = sid?;
            if closing {
                return Err(Error::Closing);
            }
            let session =
                index.get(sid).filter(|session| !session.busy).ok_or_else(|| Error::Twice(keys[i].clone()))?;
            if matches!(session.slot, Slot::Lost) {
                return Err(Error::Lost(keys[i].clone()));
            }
            let given = each(&mut index, i, sid)?;
            index.touch(sid, now);
            let Some(session) = index.get_mut(sid) else { return Err(Error::Unknown(keys[i].clone())) };
            session.busy = true;
            let (about, end, slot) = (session.about.clone(), session.end, session.slot.clone());
            index.busy += 1;
            index.place(sid, Slot::Taken);
            Ok((Taken { shared: self, sid, about, end, slot: Some(slot) }, given))
        };
        sids.into_iter().enumerate().map(take).collect()
    }

    /// A taken session's content; what is not in memory is read from the disk.
    pub(super) fn raise(&self, taken: &mut Taken<'_>) -> Result<Content> {
        let model = self.model(taken.about.spec.model)?;
        let row = match &taken.slot {
            Some(Slot::Live(state, reply)) => {
                return Ok(Content { model, state: Arc::clone(state), reply: Arc::clone(reply) });
            }
            Some(Slot::Fresh) => None,
            Some(Slot::Memory(row)) => Some(Arc::clone(row)),
            Some(Slot::Disk) => {
                let disk = self.disk().ok_or(Error::MemoryOnly)?;
                Some(disk.body(taken.sid)?.into())
            }
            Some(Slot::Taken | Slot::Lost) | None => return Err(Error::Lost(taken.about.key.clone())),
        };
        let body = row.map_or_else(|| Ok(Body::default()), |row| Body::read(&mut Reader(&row)));
        let body = body.map_err(|what| Error::Snapshot(format!("session {}: {what}", taken.about.key)))?;
        let state = match &body.state[..] {
            [] => model.open(&taken.about.spec.options)?,
            bytes => model.restore(bytes)?,
        };
        let content = Content { model, state: Arc::new(state), reply: Arc::new(body.reply) };
        if taken.slot.as_ref().is_some_and(|slot| !matches!(slot, Slot::Fresh)) {
            self.lock().stats.raised += 1;
        }
        taken.slot = Some(Slot::Live(Arc::clone(&content.state), Arc::clone(&content.reply)));
        Ok(content)
    }

    /// A session is free again, and its state stands in `slot`.
    pub(super) fn settle(&self, index: &mut Index, sid: Sid, slot: Slot) {
        index.place(sid, slot);
        if let Some(session) = index.get_mut(sid) {
            session.busy = false;
            index.busy -= 1;
        }
        self.freed.notify_all();
        self.news(index);
    }

    /// The keeper may have something to do.
    pub(super) fn news(&self, index: &mut Index) {
        index.keeper.news += 1;
        self.wanted.notify_one();
    }

    /// The content of sessions, which stay as they are.
    pub(super) fn peek(&self, keys: &[&Key], now: Time) -> Vec<Result<(About, Content)>> {
        let taken = self.take(keys, now, |_, _, _| Ok(()));
        let peek = |taken: Result<(Taken<'_>, ())>| {
            let (mut taken, ()) = taken?;
            let content = self.raise(&mut taken)?;
            Ok((taken.about.clone(), content))
        };
        taken.into_iter().map(peek).collect()
    }

    /// The content of one session.
    pub(super) fn peek_one(&self, key: &Key, now: Time) -> Result<(About, Content)> {
        self.peek(&[key], now).pop().unwrap_or_else(|| Err(Error::Unknown(key.clone())))
    }
}
