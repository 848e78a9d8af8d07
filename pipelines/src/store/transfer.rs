//! Forks, snapshots and moves to another model.

use std::sync::Arc;

use unspool_model::{Item, Output, State};

use super::{
    Durable, Error, Key, Result, Snapshot, Spec, Time,
    events::History,
    life::{Beginning, live},
    record::{About, Body},
    shared::{Content, Shared},
};

/// Events that go through a model at once when a history is replayed.
const REPLAYED: usize = 1 << 15;

impl Shared {
    pub(super) fn fork(&self, from: &Key, to: &Key, now: Time) -> Result<Durable> {
        let (mut about, content, history) = self.whole(from, now)?;
        about = About { key: to.clone(), created: now, used: now, ..about };
        let body = self.body(&content, history)?;
        self.start(Beginning { about, body: Some(body), slot: live(&content), replaces: None }, now)
    }

    pub(super) fn snapshot(&self, key: &Key, now: Time) -> Result<Vec<u8>> {
        let (about, content, history) = self.whole(key, now)?;
        Ok(Snapshot::write(&about, &self.body_of(&content, history)?))
    }

    pub(super) fn restore(&self, key: &Key, snapshot: Snapshot, now: Time) -> Result<Durable> {
        snapshot.check_history(&*self.model(snapshot.spec().model)?)?;
        self.begin_with((key, snapshot.about), snapshot.body, now)
    }

    pub(super) fn adopt(&self, (key, spec): (&Key, &Spec), state: &State, now: Time) -> Result<Durable> {
        let model = self.model(spec.model)?;
        let position = state.position();
        let about = About { key: key.clone(), spec: spec.clone(), number: 0, position, created: now, used: now };
        self.begin_with((key, about), Body { state: model.save(state)?, ..Body::default() }, now)
    }

    /// Begins a session with what another one, or a job, came to.
    fn begin_with(&self, (key, about): (&Key, About), body: Body, now: Time) -> Result<Durable> {
        let model = self.model(about.spec.model)?;
        let about = About { key: key.clone(), created: now, used: now, ..about };
        let state = match &body.state[..] {
            [] => model.open(&about.spec.options)?,
            state => model.restore(state)?,
        };
        if *state.options() != about.spec.options || state.position() != about.position {
            return Err(Error::Snapshot("its state is not that of the session it tells of".into()));
        }
        let content = Content { model, state: Arc::new(state), reply: Arc::new(body.reply.clone()) };
        self.start(Beginning { about, body: Some(body), slot: live(&content), replaces: None }, now)
    }

    /// Runs the session's raw events through another model; its number and name stay. The reply of its last append is no longer kept: a
    /// repeated append gets an empty one.
    pub(super) fn migrate(&self, key: &Key, to: &Spec, now: Time) -> Result<Durable> {
        let (about, _, history) = self.whole(key, now)?;
        let missing = history.first().map_or(about.position, |(first, _)| *first);
        if missing > 0 {
            return Err(Error::History { key: key.clone(), position: about.position, missing });
        }
        let model = self.model(to.model)?;
        let mut state = model.open(&to.options)?;
        for (_, events) in &history {
            for from in (0..events.len()).step_by(REPLAYED) {
                let events = events.slice(from, REPLAYED);
                model.append(&mut [Item { state: &mut state, events }])?;
            }
        }
        let content = Content { model, state: Arc::new(state), reply: Arc::new(Output::default()) };
        let expected = about.number;
        let about = About { spec: to.clone(), used: now, ..about };
        let body = self.body(&content, history)?;
        self.start(Beginning { about, body: Some(body), slot: live(&content), replaces: Some(expected) }, now)
    }

    /// A session with its content and raw events.
    fn whole(&self, key: &Key, now: Time) -> Result<(About, Content, History)> {
        loop {
            let (about, content) = self.peek_one(key, now)?;
            let history = self.history(key, now)?;
            let end = history.last().map_or(about.position, |(first, events)| first + events.len() as u64);
            if end == about.position {
                return Ok((about, content, history));
            }
            // It went on in between: again.
        }
    }

    /// A session's raw events: those in the database, and those that are not there yet.
    fn history(&self, key: &Key, now: Time) -> Result<History> {
        if self.options.history_bytes == 0 {
            return Ok(vec![]);
        }
        let index = self.lock();
        let sid = index.find(key, now)?;
        let Some(session) = index.get(sid) else { return Err(Error::Unknown(key.clone())) };
        let (recent, from, position) = (session.history.clone(), session.history_from, session.about.position);
        drop(index);
        // Read second: what was saved in between stands in both.
        let before = recent.first().map_or(position, |(first, _)| *first);
        let mut saved = self.disk().map_or_else(|| Ok(vec![]), |disk| disk.history(sid))?;
        saved.retain(|(first, _)| *first >= from && *first < before);
        saved.extend(recent);
        Ok(saved)
    }

    /// A session's content for the log; none where there is no log.
    fn body(&self, content: &Content, history: History) -> Result<Body> {
        if self.folder.is_some() {
            return self.body_of(content, history);
        }
        Ok(Body { history, ..Body::default() })
    }

    fn body_of(&self, content: &Content, history: History) -> Result<Body> {
        let state = content.model.save(&content.state)?;
        Ok(Body { state, reply: Output::clone(&content.reply), history })
    }
}
