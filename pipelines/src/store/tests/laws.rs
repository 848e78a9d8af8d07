//! Random calls beside a plain model of the store, under random budgets.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::*;

/// What is done; sessions are chosen among a few names.
#[derive(Clone, Debug)]
enum Op {
    Open(u8, Option<u64>),
    Append(u8, Vec<u8>),
    /// The appends of several sessions in one batch; one of them may be refused.
    Batch(Vec<(u8, Vec<u8>)>),
    Parts(u8, Vec<Vec<u8>>),
    /// Parts that are never completed.
    Begin(u8, Vec<u8>),
    Repeat(u8),
    Fork(u8, u8),
    Move(u8, u8),
    Migrate(u8),
    Close(u8),
    Read(u8),
    Pass(u64),
    Checkpoint,
    Reopen,
    Drain,
}

/// A session as it should be.
#[derive(Clone, Debug)]
struct Plain {
    appends: Vec<Vec<u8>>,
    /// Its reply, where that is not the model's for the last append.
    emptied: bool,
    ttl: Option<u64>,
    used: u64,
}

/// The store under test, and what it should hold.
struct Both {
    model: Arc<Model>,
    dir: Option<tempfile::TempDir>,
    options: StoreOptions,
    store: Option<Store>,
    plain: BTreeMap<u8, Plain>,
    now: u64,
}

fn name(id: u8) -> Key {
    Key::new(&[id % 2], &format!("session {id}"))
}

impl Both {
    fn new(options: StoreOptions, in_folder: bool) -> Self {
        let dir = in_folder.then(|| tempfile::tempdir().expect("a folder"));
        let mut both = Self { model: dna_model(), dir, options, store: None, plain: BTreeMap::new(), now: 1000 };
        both.store = Some(both.open());
        both
    }

    fn open(&self) -> Store {
        let dir = self.dir.as_ref().map(tempfile::TempDir::path);
        open_with(dir, self.options, &[Arc::clone(&self.model)]).expect("opens")
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("open")
    }

    fn spec(&self, ttl: Option<u64>) -> Spec {
        Spec { ttl: ttl.map(Duration::from_millis), ..embedding(&self.model) }
    }

    fn now(&self) -> Time {
        Time(self.now)
    }

    /// What a session's state and last reply should be.
    fn expected(&self, plain: &Plain) -> (State, Output) {
        let appends: Vec<&[u8]> = plain.appends.iter().map(|bases| &bases[..]).collect();
        let (state, reply) = alone(&self.model, &self.spec(None), &appends);
        (state, if plain.emptied { Output::default() } else { reply })
    }

    /// The session, used now, if it is alive.
    fn used(&mut self, id: u8) -> Option<&mut Plain> {
        let now = self.now;
        let plain = self.plain.get_mut(&id).filter(|plain| plain.ttl.is_none_or(|ttl| plain.used + ttl > now))?;
        plain.used = now;
        Some(plain)
    }

    fn free(&self, id: u8) -> bool {
        self.plain.get(&id).is_none_or(|plain| plain.ttl.is_some_and(|ttl| plain.used + ttl <= self.now))
    }

    fn check(&self, id: u8, applied: &Applied, repeated: bool) {
        let plain = &self.plain[&id];
        let (state, reply) = self.expected(plain);
        assert_eq!((applied.number, applied.position), (plain.appends.len() as u64, state.position()));
        assert_eq!((&*applied.state, applied.repeated), (&state, repeated));
        assert_eq!(*applied.output, reply);
    }

    fn run(&mut self, op: Op) {
        self.now += 1;
        match op {
            Op::Open(id, ttl) => {
                let opened = self.store().open_session(&name(id), &self.spec(ttl), self.now());
                assert_eq!(opened.is_ok(), self.free(id));
                if opened.is_ok() {
                    self.plain.insert(id, Plain { appends: vec![], emptied: false, ttl, used: self.now });
                }
            }
            Op::Append(id, bases) => self.batch(vec![(id, bases)]),
            Op::Batch(appends) => self.batch(appends),
            Op::Parts(id, parts) => self.parts(id, &parts),
            Op::Begin(id, bases) => {
                let number = self.used(id).map_or(1, |plain| plain.appends.len() as u64 + 1);
                let key = name(id);
                let append = Append { last: false, ..Append::whole(&key, number, Events::Bases(&bases)) };
                let begun = self.store().append(&[append], self.now()).remove(0);
                assert_eq!(begun.is_ok(), self.plain.contains_key(&id) && !self.free(id));
            }
            Op::Repeat(id) => self.repeat(id),
            Op::Fork(from, to) => {
                self.copy(from, to, |both| both.store().fork(&name(from), &name(to), both.now()).map(|_| ()))
            }
            Op::Move(from, to) => self.copy(from, to, |both| {
                let bytes = both.store().snapshot(&name(from), both.now())?;
                both.store().restore(&name(to), Snapshot::read(&bytes)?, both.now()).map(|_| ())
            }),
            Op::Migrate(id) => self.migrate(id),
            Op::Close(id) => {
                let closed = self.store().close(&name(id), self.now());
                assert_eq!(closed.is_ok(), self.plain.contains_key(&id) && !self.free(id));
                if closed.is_ok() {
                    self.plain.remove(&id);
                }
            }
            Op::Read(id) => {
                let expected = self.used(id).cloned();
                let found = self.store().read(&name(id), self.now());
                assert_eq!(found.is_ok(), expected.is_some());
                if let (Ok(found), Some(plain)) = (found, expected) {
                    assert_eq!(*found.state, self.expected(&plain).0);
                    assert_eq!(found.info.number, plain.appends.len() as u64);
                }
            }
            Op::Pass(time) => {
                self.now += time;
                self.store().sweep(self.now());
                let now = self.now;
                self.plain.retain(|_, plain| plain.ttl.is_none_or(|ttl| plain.used + ttl > now));
            }
            Op::Checkpoint => {
                self.store().checkpoint().expect("saves");
                assert_eq!(self.store().stats().unsaved, 0);
            }
            Op::Reopen => self.reopen(false),
            Op::Drain => self.reopen(true),
        }
        self.listed();
    }

    fn reopen(&mut self, drain: bool) {
        if self.dir.is_none() {
            return;
        }
        // Reading is not remembered over a restart: so that both clocks agree, all that expire are used.
        let ids: Vec<u8> = self.plain.keys().copied().collect();
        ids.into_iter().for_each(|id| self.batch(vec![(id, b"A".into())]));
        if drain {
            self.store().drain().expect("saves");
            assert!(matches!(self.store().close(&name(0), self.now()), Err(Error::Closing)));
        }
        self.store = None;
        self.store = Some(self.open());
    }

    fn batch(&mut self, appends: Vec<(u8, Vec<u8>)>) {
        let keys: Vec<Key> = appends.iter().map(|(id, _)| name(*id)).collect();
        let mut seen = std::collections::HashSet::new();
        let mut expected = vec![];
        for (id, bases) in &appends {
            let good = dna::tokens(bases).is_ok();
            let twice = !seen.insert(*id);
            let alive = !twice && self.used(*id).is_some();
            if alive && good {
                let plain = self.plain.get_mut(id).expect("alive");
                plain.appends.push(bases.clone());
                plain.emptied = false;
            }
            expected.push((*id, alive && good));
        }
        let number =
            |id: &u8, good: bool| self.plain.get(id).map_or(1, |plain| plain.appends.len() as u64 + u64::from(!good));
        let batch: Vec<_> = (appends.iter().zip(&keys).zip(&expected))
            .map(|(((id, bases), key), (_, good))| Append::whole(key, number(id, *good), Events::Bases(bases)))
            .collect();
        let applied = self.store().append(&batch, self.now());
        for ((id, good), applied) in expected.into_iter().zip(applied) {
            assert_eq!(applied.is_ok(), good, "{id}: {applied:?}");
            if let Ok(applied) = applied {
                self.check(id, &applied, false);
            }
        }
    }

    fn parts(&mut self, id: u8, parts: &[Vec<u8>]) {
        let number = self.used(id).map_or(1, |plain| plain.appends.len() as u64 + 1);
        let alive = self.used(id).is_some();
        let mut offset = 0;
        for (i, events) in parts.iter().enumerate() {
            let last = i + 1 == parts.len();
            let append = Append { key: &name(id), number, offset, events: Events::Bases(events), last };
            let applied = self.store().append(&[append], self.now()).remove(0);
            assert_eq!(applied.is_ok(), alive);
            let Ok(applied) = applied else { return };
            offset += events.len();
            if last {
                let plain = self.plain.get_mut(&id).expect("alive");
                plain.appends.push(parts.concat());
                plain.emptied = false;
            } else {
                assert_eq!((applied.number, &*applied.output), (number - 1, &Output::default()));
                assert_eq!(*applied.state, self.expected(&self.plain[&id]).0);
                continue;
            }
            self.check(id, &applied, false);
        }
    }

    fn repeat(&mut self, id: u8) {
        if self.free(id) {
            return;
        }
        let (number, now) = (self.plain[&id].appends.len() as u64, self.now());
        let append =
            |number| self.store().append(&[Append::whole(&name(id), number, Events::Bases(b"A"))], now).remove(0);
        if number > 0 {
            self.check(id, &append(number).expect("again"), true);
        }
        // What is refused is no use of the session.
        assert!(matches!(append(number + 2), Err(Error::Gap { expected, .. }) if expected == number + 1));
        if number > 1 {
            assert!(matches!(append(number - 1), Err(Error::Old { last, .. }) if last == number));
        }
        if number > 0 {
            self.used(id);
        }
    }

    fn copy(&mut self, from: u8, to: u8, copy: impl Fn(&Self) -> Result<()>) {
        let source = self.used(from).cloned();
        let free = self.free(to);
        let done = copy(self);
        assert_eq!(done.is_ok(), source.is_some() && free, "{done:?}");
        if let (Ok(()), Some(source)) = (done, source) {
            self.plain.insert(to, Plain { used: self.now, ..source });
        }
    }

    fn migrate(&mut self, id: u8) {
        let Some(plain) = self.used(id).cloned() else { return };
        let spec = self.spec(plain.ttl);
        match self.store().migrate(&name(id), &spec, self.now()) {
            Ok(_) => {
                let plain = self.plain.get_mut(&id).expect("alive");
                plain.emptied = true;
            }
            Err(Error::History { position, missing, .. }) => {
                let events: usize = plain.appends.iter().map(Vec::len).sum();
                assert_eq!(position, events as u64);
                assert!(missing > 0 && events as u64 > self.options.history_bytes);
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Each owner sees its own sessions, all of them, in order.
    fn listed(&self) {
        for owner in [0, 1] {
            let mut found = vec![];
            let mut after: Option<Arc<str>> = None;
            loop {
                let page = self.store().list(&[owner], after.as_deref(), 2, self.now());
                assert!(page.sessions.len() <= 2);
                found.extend(page.sessions.iter().map(|info| (info.key.clone(), info.number)));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            let alive = self.plain.iter().filter(|(id, _)| **id % 2 == owner && !self.free(**id));
            let mut expected: Vec<_> = alive.map(|(id, plain)| (name(*id), plain.appends.len() as u64)).collect();
            expected.sort();
            assert_eq!(found, expected);
        }
    }
}

fn bases() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(&b"ACGTNacgt"[..]), 0..50)
}

/// Some of them none.
fn perhaps_bases() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![9 => bases(), 1 => Just(b"AC\xffG".to_vec())]
}

fn op() -> impl Strategy<Value = Op> {
    let id = || 0..7u8;
    prop_oneof![
        4 => (id(), prop::option::of(50..300u64)).prop_map(|(id, ttl)| Op::Open(id, ttl)),
        8 => (id(), perhaps_bases()).prop_map(|(id, bases)| Op::Append(id, bases)),
        6 => prop::collection::vec((id(), perhaps_bases()), 0..7).prop_map(Op::Batch),
        3 => (id(), prop::collection::vec(bases(), 1..4)).prop_map(|(id, parts)| Op::Parts(id, parts)),
        1 => (id(), bases()).prop_map(|(id, bases)| Op::Begin(id, bases)),
        2 => id().prop_map(Op::Repeat),
        2 => (id(), id()).prop_map(|(from, to)| Op::Fork(from, to)),
        2 => (id(), id()).prop_map(|(from, to)| Op::Move(from, to)),
        1 => id().prop_map(Op::Migrate),
        1 => id().prop_map(Op::Close),
        2 => id().prop_map(Op::Read),
        1 => (1..200u64).prop_map(Op::Pass),
        1 => Just(Op::Checkpoint),
        2 => Just(Op::Reopen),
        1 => Just(Op::Drain),
    ]
}

fn options() -> impl Strategy<Value = StoreOptions> {
    let budgets =
        (prop::sample::select(vec![0, 5000, 20_000, 1 << 30]), prop::sample::select(vec![0, 10_000, 1 << 30]));
    let log = (prop::sample::select(vec![1, 2000, 1 << 30]), prop::sample::select(vec![1, 300, 1 << 20]));
    let more = (prop::sample::select(vec![0, 40, 1 << 20]), prop::sample::select(vec![0, 10, 1 << 16]));
    (budgets, log, more).prop_map(|(budgets, log, (history_bytes, replay_events))| StoreOptions {
        live_bytes: budgets.0,
        memory_bytes: budgets.1,
        log_bytes: log.0,
        segment_bytes: log.1,
        history_bytes,
        replay_events,
        ..StoreOptions::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// In a folder, whatever the budgets: the same replies and states, to the bit.
    #[test]
    fn in_a_folder(options in options(), ops in prop::collection::vec(op(), 1..60)) {
        let mut both = Both::new(options, true);
        ops.into_iter().for_each(|op| both.run(op));
    }

    /// In memory.
    #[test]
    fn in_memory(memory_bytes in prop::sample::select(vec![0, 1 << 30]), ops in prop::collection::vec(op(), 1..60)) {
        let options = StoreOptions { live_bytes: (1 << 30) - memory_bytes, memory_bytes, history_bytes: 40, ..StoreOptions::default() };
        let mut both = Both::new(options, false);
        ops.into_iter().for_each(|op| both.run(op));
    }
}
