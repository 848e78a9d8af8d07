//! Whatever happens to states while they are being saved: what was saved is what they were when that began.

use std::collections::BTreeMap as Map;

use proptest::prelude::*;
use unspool_model::{Events, Item};

use super::*;
use crate::testing::dna_model;

const SERIES: usize = 6;

/// What happens.
#[derive(Clone, Debug)]
enum Act {
    /// A series takes in these bases.
    Moves(usize, &'static str),
    /// A series ends.
    Ends(usize),
    /// All are to be saved from here; nothing is written yet.
    Begins,
    /// What was begun is written.
    Writes,
    /// What was begun never becomes whole; another process goes on from the last that did.
    Crashes,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let series = 0..SERIES;
    let act = prop_oneof![
        8 => (series.clone(), prop::sample::select(&["A", "CG", "TTGA"][..])).prop_map(|(n, bases)| Act::Moves(n, bases)),
        2 => series.prop_map(Act::Ends),
        2 => Just(Act::Begins),
        2 => Just(Act::Writes),
        1 => Just(Act::Crashes),
    ];
    prop::collection::vec(act, 1..80)
}

/// States, what they must be, and what was saved of them.
struct World {
    model: Arc<Model>,
    dir: tempfile::TempDir,
    budget: usize,
    states: States,
    expected: Map<usize, Entry>,
    begun: Option<(Saving, Map<usize, Entry>)>,
    /// The last that became whole.
    whole: (Vec<SegmentName>, Map<usize, Entry>),
    position: i64,
}

fn name(series: usize) -> Arc<str> {
    format!("series-{series}").into()
}

impl World {
    fn new(budget: usize) -> Self {
        let (model, dir) = (dna_model(), tempfile::tempdir().unwrap());
        let states = opened(&model, (dir.path(), &[]), budget);
        Self { model, dir, budget, states, expected: Map::new(), begun: None, whole: Default::default(), position: 0 }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Moves(series, bases) => {
                let mut entry = self.states.take(0, &name(series)).unwrap();
                let known = self.expected.remove(&series);
                assert_eq!(entry.beside.count, known.as_ref().map_or(0, |entry| entry.beside.count));
                assert!(known.is_none_or(|known| known == entry), "{series}");
                let mut items = [Item { state: &mut entry.state, events: Events::Bases(bases.as_bytes()) }];
                self.model.append(&mut items).unwrap();
                entry.beside.count += bases.len() as u64;
                self.expected.insert(series, entry.clone());
                self.states.put(0, &name(series), entry).unwrap();
            }
            Act::Ends(series) => {
                self.states.end(0, &name(series));
                self.expected.remove(&series);
            }
            Act::Begins => {
                self.position += 1;
                let saving = self.states.begin_save(0, self.position);
                assert_eq!(saving.is_none(), self.begun.is_some(), "one at a time");
                self.begun = saving.map(|saving| (saving, self.expected.clone())).or(self.begun.take());
            }
            Act::Writes => {
                let Some((saving, expected)) = self.begun.take() else { return };
                let written = saving.write().unwrap();
                self.whole = (written.names.clone(), expected);
                self.states.end_save(0, written);
                self.check();
            }
            Act::Crashes => {
                self.begun = None;
                let (names, expected) = self.whole.clone();
                self.states = opened(&self.model, (self.dir.path(), &names), self.budget);
                self.expected = expected;
            }
        }
    }

    /// What was saved last is what it was of.
    fn check(&self) {
        let (names, expected) = &self.whole;
        let mut saved = opened(&self.model, (self.dir.path(), names), usize::MAX);
        assert_eq!(saved.stats().series, expected.len() as u64);
        for (series, entry) in expected {
            assert_eq!(&saved.take(0, &name(*series)).unwrap(), entry, "{series}");
        }
    }
}

fn opened(model: &Arc<Model>, (dir, names): (&Path, &[SegmentName]), budget: usize) -> States {
    let mut states = States::new(Arc::clone(model), Options::default(), budget).unwrap();
    states.begin(0, dir, names).unwrap();
    states
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn what_is_saved_is_what_was(acts in acts(), little in any::<bool>()) {
        let mut world = World::new(if little { 0 } else { 1 << 20 });
        acts.into_iter().for_each(|act| world.act(act));
        world.act(Act::Begins);
        world.act(Act::Writes);
        for series in 0..SERIES {
            world.act(Act::Moves(series, "A"));
        }
    }
}

#[test]
fn what_a_snapshot_holds_counts_as_memory() {
    let mut world = World::new(1 << 20);
    let state = world.model.save(&world.model.open(&Options::default()).unwrap()).unwrap().len();
    world.states = opened(&world.model, (world.dir.path(), &[]), 4 * state);
    (0..4).for_each(|series| world.act(Act::Moves(series, "A")));
    world.act(Act::Begins);
    assert_eq!(world.states.stats(), StatesStats { series: 4, live: 4, ..StatesStats::default() });
    // it moves on as a copy, and others make room for what is held
    world.act(Act::Moves(0, "A"));
    let stats = world.states.stats();
    assert_eq!((stats.copied, stats.live, stats.spilled), (1, 2, 2));
    world.act(Act::Writes);
    (0..4).for_each(|series| world.act(Act::Moves(series, "A")));
    assert_eq!(world.states.stats().live, 4);
}
