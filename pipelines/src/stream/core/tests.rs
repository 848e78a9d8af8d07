//! Any cut, any snapshot, any budget of memory: the same outputs and rejects, bit for bit.

use std::{path::Path, sync::Arc};

use arrow::compute::concat_batches;
use proptest::prelude::*;
use unspool_ingest::{
    kafka::{Content as Fields, Decoder, Fields as Where, Format, Record, TimeFrom, TimeUnit},
    schema,
};

use super::*;
use crate::{
    stream::{
        emit::{Every, Give, Pooling},
        time::{Aggregate, Grid, Order},
    },
    testing::{dna_model, series_model},
};

/// A record of a test: partition, series, time, what it brings.
#[derive(Clone, Debug)]
struct Event {
    partition: i32,
    series: u8,
    time: i64,
    /// 0: a tombstone; 1: missing.
    value: u8,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    prop::collection::vec((0..2i32, 0..3u8, 0..5i64, 0..30u8), 1..120).prop_map(|all| {
        let mut newest = 0;
        let each = all.into_iter().map(|(partition, series, ahead, value)| {
            newest += ahead / 2;
            Event { partition, series, time: newest - ahead, value }
        });
        each.collect()
    })
}

/// The rows of events, whose offsets are their places, with gaps.
fn rows(events: &[Event], from: usize, bases: bool) -> RecordBatch {
    let content = if bases { Fields::Sequence("v".into()) } else { Fields::Values(vec!["v".into()]) };
    let time = TimeFrom::Header("t".into());
    let fields = Where { id: "key".parse().unwrap(), time, time_unit: TimeUnit::Step, content };
    let mut decoder = Decoder::new(&Format::Json, fields).unwrap();
    let batches = events.iter().enumerate().map(|(i, event)| {
        let (key, time) = (format!("s{}", event.series), event.time.to_string());
        let payload = match (event.value, bases) {
            (0, _) => None,
            (1, false) => Some(r#"{"v":null}"#.to_owned()),
            (value, false) => Some(format!(r#"{{"v":{}}}"#, f64::from(value).sin() * 100.0)),
            (1, true) => Some(r#"{"v":"ACGX"}"#.to_owned()),
            (value, true) => Some(format!(r#"{{"v":"{}"}}"#, &"ACGTTGCAAACCGGTT"[..1 + usize::from(value) % 15])),
        };
        decoder.decode(&[Record {
            partition: event.partition,
            offset: 2 * (from + i) as i64,
            timestamp_ms: Some(event.time),
            key: Some(key.as_bytes()),
            payload: payload.as_deref().map(str::as_bytes),
            headers: vec![("t", time.as_bytes())],
        }])
    });
    let batches: Vec<_> = batches.map(|decoded| decoded.rows).collect();
    concat_batches(&schema::events(), &batches).unwrap()
}

struct Test {
    model: Arc<Model>,
    options: CoreOptions,
    bases: bool,
}

impl Test {
    fn core(&self, dir: &Path) -> (Core, Snapshots) {
        let snapshots = Snapshots::new(dir.to_owned(), "{}".into());
        let mut core = Core::new(Arc::clone(&self.model), &self.options).unwrap();
        for partition in 0..2 {
            core.begin((partition, 0, 0), &snapshots, None).unwrap();
        }
        (core, snapshots)
    }

    /// All at once.
    fn whole(&self, events: &[Event]) -> Processed {
        let dir = tempfile::tempdir().unwrap();
        self.core(dir.path()).0.process(&rows(events, 0, self.bases), &[(0, i64::MAX), (1, i64::MAX)]).unwrap()
    }

    /// In pieces; after each one a snapshot, or a crash that the next run recovers from.
    fn pieces(&self, events: &[Event], cuts: &[(usize, Save, bool)]) -> Processed {
        let dir = tempfile::tempdir().unwrap();
        let (mut core, snapshots) = self.core(dir.path());
        for partition in 0..2 {
            core.snapshot(partition, &snapshots).unwrap();
        }
        let (mut all, mut from) = (Processed::default(), 0);
        for (len, save, crash) in cuts.iter().copied().chain([(events.len(), Save::No, false)]) {
            let to = (from + len).min(events.len());
            let nexts = [(0, 2 * to as i64), (1, 2 * to as i64)];
            let given = core.process(&rows(&events[from..to], from, self.bases), &nexts).unwrap();
            all.outputs.extend(given.outputs);
            all.rejects.extend(given.rejects);
            from = to;
            match save {
                Save::No => (),
                Save::Begun => core.begin_snapshot(i32::from(crash), &snapshots).unwrap(),
                Save::Whole => core.snapshot(i32::from(crash), &snapshots).unwrap(),
            }
            if crash {
                // what it did after the snapshots is lost, but was committed up to `to`
                core = Core::new(Arc::clone(&self.model), &self.options).unwrap();
                for partition in 0..2 {
                    let newest = snapshots.newest(partition, 2 * to as i64).unwrap();
                    assert!(newest.is_some());
                    core.begin((partition, 0, 2 * to as i64), &snapshots, newest).unwrap();
                }
                // each partition reads from its own snapshot on
                let again = core.process(&rows(&events[..to], 0, self.bases), &nexts).unwrap();
                assert!(again.outputs.is_empty() && again.rejects.is_empty(), "a replay gives nothing");
            }
        }
        all
    }

    fn check(&self, events: &[Event], cuts: &[(usize, Save, bool)]) {
        let (whole, pieces) = (self.whole(events), self.pieces(events, cuts));
        // partitions follow one another in any way; each keeps its own order
        for partition in 0..2 {
            let of = |given: &Processed| {
                given.outputs.iter().filter(|o| o.partition == partition).cloned().collect::<Vec<_>>()
            };
            assert_eq!(of(&pieces), of(&whole));
            let of = |given: &Processed| {
                let mut all: Vec<_> = given.rejects.iter().filter(|r| r.partition == partition).cloned().collect();
                all.sort_by_key(|reject| reject.offset);
                all
            };
            assert_eq!(of(&pieces), of(&whole));
        }
    }
}

/// What happens after a piece.
#[derive(Clone, Copy, Debug)]
enum Save {
    No,
    /// The next piece comes while the snapshot is being written.
    Begun,
    Whole,
}

fn cuts() -> impl Strategy<Value = Vec<(usize, Save, bool)>> {
    let save = prop_oneof![Just(Save::No), Just(Save::Begun), Just(Save::Whole)];
    prop::collection::vec((0usize..40, save, prop::bool::weighted(0.3)), 0..8)
}

fn time() -> impl Strategy<Value = TimeOptions> {
    let order =
        prop_oneof![Just(Order::Offset), (0u64..6).prop_map(|lateness| Order::Time { lateness, most_waiting: 9 })];
    let grid = prop::option::weighted(0.3, Just(Grid { step: 2, aggregate: Aggregate::Mean, most_missing: 5 }));
    (order, grid).prop_map(|(order, grid)| TimeOptions { order, grid })
}

fn every() -> impl Strategy<Value = Every> {
    prop_oneof![(1u64..4).prop_map(Every::Events), (1u64..9).prop_map(Every::Interval)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn scores(events in events(), cuts in cuts(), time in time(), every in every(), little in any::<bool>()) {
        let options = CoreOptions { time, emit: Emit { give: Give::Scores, every }, states_bytes: if little { 0 } else { 1 << 30 } };
        Test { model: series_model(), options, bases: false }.check(&events, &cuts);
    }

    #[test]
    fn forecasts(events in events(), cuts in cuts(), time in time(), every in (3u64..9).prop_map(Every::Events)) {
        let options = CoreOptions { time, emit: Emit { give: Give::Forecast { horizon: 3 }, every }, states_bytes: 0 };
        let model = Arc::new(Model::series(unspool_model::RunOptions::cpu()).unwrap());
        Test { model, options, bases: false }.check(&events, &cuts);
    }

    #[test]
    fn embeddings_of_bases(events in events(), cuts in cuts(), every in every(), restart in any::<bool>(), little in any::<bool>()) {
        let give = Give::Embedding { layer: None, pool: Pooling::Mean, restart };
        let time = TimeOptions { order: Order::Offset, grid: None };
        let options = CoreOptions { time, emit: Emit { give, every }, states_bytes: if little { 0 } else { 1 << 30 } };
        Test { model: dna_model(), options, bases: true }.check(&events, &cuts);
    }
}

#[test]
fn a_tombstone_begins_a_series_anew() {
    let event = |time, value| Event { partition: 0, series: 0, time, value };
    let history: Vec<_> = (0..40).map(|time| event(time, 2 + (time % 7) as u8)).collect();
    let again: Vec<_> = [history.clone(), vec![event(0, 0)], history.clone()].concat();
    let time = TimeOptions::default();
    let options =
        CoreOptions { time, emit: Emit { give: Give::Scores, every: Every::Events(1) }, states_bytes: 1 << 20 };
    let test = Test { model: series_model(), options, bases: false };
    let bits = |given: &[Output]| given.iter().map(|o| (o.time, format!("{:?}", o.content))).collect::<Vec<_>>();
    let (once, twice) = (test.whole(&history), test.whole(&again));
    assert_eq!(once.outputs.len(), 40);
    assert_eq!(bits(&twice.outputs[..40]), bits(&once.outputs));
    assert_eq!(bits(&twice.outputs[40..]), bits(&once.outputs));
}
