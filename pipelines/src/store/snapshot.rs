//! A session as bytes.
//!
//! ```text
//! "UNSPSES1"  what the session is  its content  BLAKE3 of all before [32]
//! ```
//!
//! The checksum finds accidents: anyone can compute it. So what the bytes tell of is checked against itself, and with the model.

use std::time::Duration;

use unspool_model::Model;

use super::{
    Error, Result, Spec,
    codec::{Malformed, Reader, Writer},
    events::{History, Raw},
    record::{About, Body},
};

/// Begins a snapshot's bytes; the last character is the version.
const MAGIC: &[u8; 8] = b"UNSPSES1";
/// Bytes of the checksum at the end.
const CHECK: usize = 32;

/// A session that was read from bytes, and can begin in a store.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(super) about: About,
    pub(super) body: Body,
}

impl Snapshot {
    /// Reads what [`super::Store::snapshot`] wrote.
    ///
    /// # Errors
    /// [`Error::Snapshot`] for other bytes, or when what they say does not fit together.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let refuse = |problem: &str| Err(Error::Snapshot(problem.into()));
        let Some((magic, _)) = bytes.split_at_checked(MAGIC.len()) else { return refuse("they are too few") };
        if magic[..7] != MAGIC[..7] {
            return refuse("they do not begin as one");
        }
        if magic[7] != MAGIC[7] {
            return refuse("they are of another version of this program");
        }
        let Some((content, check)) = bytes.len().checked_sub(CHECK).and_then(|at| bytes.split_at_checked(at)) else {
            return refuse("they are too few");
        };
        if blake3::hash(content).as_bytes() != check {
            return refuse("the checksum does not fit: they were changed or cut");
        }
        let mut reader = Reader(content.get(MAGIC.len()..).unwrap_or_default());
        let mut read = || -> Result<_, Malformed> {
            let (about, body) = (About::read(&mut reader)?, Body::read(&mut reader)?);
            reader.end()?;
            let history = joined(body.history, about.position)?;
            Ok(Self { about, body: Body { history, ..body } })
        };
        read().map_err(|what| Error::Snapshot(what.to_string()))
    }

    /// What the session was opened with.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.about.spec
    }

    /// The same for a session that goes at most so long without being used.
    #[must_use]
    pub fn living_at_most(mut self, ttl: Duration) -> Self {
        let spec = &mut self.about.spec;
        spec.ttl = Some(spec.ttl.map_or(ttl, |own| own.min(ttl)));
        self
    }

    /// Refuses raw events that the session's model cannot have taken.
    pub(super) fn check_history(&self, model: &Model) -> Result<()> {
        self.body.history.iter().try_for_each(|(_, events)| Ok(model.check_events(events.as_model())?))
    }

    pub(super) fn write(about: &About, body: &Body) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.0.extend_from_slice(MAGIC);
        about.write(&mut writer);
        body.write(&mut writer);
        let check = blake3::hash(&writer.0);
        writer.0.extend_from_slice(check.as_bytes());
        writer.0
    }
}

/// A history in one piece, which may have come in any number: it has no gaps, and ends where the session is.
fn joined(history: History, end: u64) -> Result<History, Malformed> {
    let mut all: Option<(u64, Raw)> = None;
    for (position, events) in history {
        let Some((first, before)) = &mut all else {
            all = Some((position, events));
            continue;
        };
        if first.checked_add(before.len() as u64) != Some(position) {
            return Err(Malformed("raw events without gaps"));
        }
        before.push(events.as_model())?;
    }
    match all {
        Some((first, events)) if first.checked_add(events.len() as u64) != Some(end) => {
            Err(Malformed("raw events up to the session's position"))
        }
        Some((_, events)) if events.len() == 0 => Ok(vec![]),
        all => Ok(all.into_iter().collect()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use unspool_model::Options;

    use super::*;
    use crate::{
        store::{Key, Store, StoreOptions, Time, tests::open_with},
        testing::dna_model,
    };

    /// A snapshot whose raw events or number somebody made up, under a sound checksum: what becomes of it.
    fn check(change: impl FnOnce(&mut About, &mut Body), expected: Result<(), &str>) {
        let model = dna_model();
        let options = StoreOptions { history_bytes: 100, ..StoreOptions::default() };
        let store = open_with(None, options, &[Arc::clone(&model)]).unwrap();
        let (key, time) = (Key::new(b"tenant", "a"), Time(0));
        let spec = Spec { model: model.info().digest, options: Options::default(), ttl: None };
        let (mut state, events) = (model.open(&spec.options).unwrap(), unspool_model::Events::Bases(b"ACGT"));
        model.append(&mut [unspool_model::Item { state: &mut state, events }]).unwrap();
        let mut about = About { key: key.clone(), spec, number: 1, position: 4, created: time, used: time };
        let mut body = Body { state: model.save(&state).unwrap(), ..Body::default() };
        change(&mut about, &mut body);
        let restored =
            Snapshot::read(&Snapshot::write(&about, &body)).and_then(|snapshot| store.restore(&key, snapshot, time));
        match (restored, expected) {
            (Ok(_), Ok(())) => goes_on(&store, &key, about.number),
            (Err(error), Err(expected)) => {
                let error = error.to_string();
                assert!(error.contains(expected), "{error}");
            }
            (found, expected) => panic!("{found:?}, not {expected:?}"),
        }
    }

    /// What is restored can be copied, and takes an append if there is a number left for one.
    fn goes_on(store: &Store, key: &Key, number: u64) {
        let (copy, time) = (Key::new(b"tenant", "b"), Time(0));
        store.fork(key, &copy, time).unwrap();
        Snapshot::read(&store.snapshot(&copy, time).unwrap()).unwrap();
        let append = crate::store::Append::whole(key, number.wrapping_add(1), unspool_model::Events::Bases(b"A"));
        let applied = store.append(&[append], time).remove(0);
        assert_eq!(applied.is_ok(), number < u64::MAX, "{applied:?}");
    }

    #[test]
    fn made_up_sessions_are_checked() {
        let bases = |position, bases: &[u8]| (position, Raw::Bases(bases.into()));
        let history = |history: Vec<(u64, Raw)>, expected| check(|_, body| body.history = history, expected);
        history(vec![], Ok(()));
        history(vec![bases(0, b"ACGT")], Ok(()));
        history(vec![bases(1, b"C"), bases(2, b""), bases(2, b"GT")], Ok(()));
        history(vec![bases(4, b"")], Ok(()));
        let position = "raw events up to the session's position expected";
        for wrong in [bases(0, b"ACG"), bases(0, b"ACGTA"), bases(u64::MAX, b"ACGT"), bases(0, b"")] {
            history(vec![wrong], Err(position));
        }
        let gaps = "raw events without gaps expected";
        history(vec![bases(0, b"AC"), bases(3, b"T")], Err(gaps));
        history(vec![bases(0, b"ACG"), bases(2, b"GT")], Err(gaps));
        history(vec![bases(u64::MAX, b"A"), bases(0, b"ACGT")], Err(gaps));
        history(vec![bases(0, b"AC"), (2, Raw::Tokens(vec![1, 2]))], Err("events of one kind expected"));
        history(vec![(0, Raw::Values(vec![1.0; 4]))], Err("takes bases, not values"));
        history(vec![bases(0, b"AC!T")], Err("!"));
        check(|about, _| about.number = u64::MAX, Ok(()));
        check(|about, _| about.position = 5, Err("its state is not that of the session"));
        check(|about, _| about.spec.options.pools = true, Err("its state is not that of the session"));
    }

    proptest! {
        // The long form: UNSPOOL_ANY_BYTES_CASES=100000.
        #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

        /// Any bytes under a sound checksum are refused, or are a session that is saved as the same bytes again, and goes on.
        #[test]
        fn changed_contents_are_refused_or_go_on(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            cut in any::<prop::sample::Index>(),
            cuts in any::<bool>(),
        ) {
            let (model, time) = (dna_model(), Time(0));
            let options = StoreOptions { history_bytes: 100, ..StoreOptions::default() };
            let store = open_with(None, options, &[Arc::clone(&model)]).unwrap();
            let options = Options { layers: vec![1], pools: true, ..Options::default() };
            let spec = Spec { model: model.info().digest, options, ttl: None };
            let key = |id: &str| Key::new(b"tenant", id);
            store.open_session(&key("seed"), &spec, time).unwrap();
            let seed = store.snapshot(&key("seed"), time).unwrap();
            let mut content = seed[MAGIC.len()..seed.len() - CHECK].to_vec();
            for (at, byte) in changes {
                let at = at.index(content.len());
                content[at] = byte;
            }
            if cuts {
                content.truncate(cut.index(content.len()));
            }
            let mut bytes = [MAGIC, &content[..]].concat();
            bytes.extend_from_slice(blake3::hash(&bytes).as_bytes());
            let restore = |bytes: &[u8]| store.restore(&key("a"), Snapshot::read(bytes)?, time);
            if restore(&bytes).is_ok() && let Ok(saved) = store.snapshot(&key("a"), time) {
                store.close(&key("a"), time).unwrap();
                prop_assert!(restore(&saved).is_ok());
                prop_assert_eq!(store.snapshot(&key("a"), time).unwrap(), saved);
                goes_on(&store, &key("a"), store.info(&key("a"), time).unwrap().number);
            }
        }
    }

    fn cases() -> u32 {
        std::env::var("UNSPOOL_ANY_BYTES_CASES").map_or(96, |text| text.parse().unwrap())
    }

    #[test]
    fn a_shorter_life_may_be_given() {
        let about = |ttl| {
            let spec = Spec { model: unspool_model::Digest::of([]), options: Options::default(), ttl };
            let (created, used) = (Time(0), Time(0));
            About { key: Key::new(b"", "a"), spec, number: 0, position: 0, created, used }
        };
        let [short, long] = [5, 9].map(Duration::from_secs);
        for (own, most, expected) in [(None, short, short), (Some(short), long, short), (Some(long), short, short)] {
            let snapshot = Snapshot { about: about(own), body: Body::default() };
            assert_eq!(snapshot.living_at_most(most).spec().ttl, Some(expected));
        }
    }
}
