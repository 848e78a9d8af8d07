//! What goes in, and what an undisturbed model makes of it in one call.

use std::{fs, path::Path, sync::Arc};

use unspool_model::{Events, Item, Model, Options, RunOptions};

use crate::worker::device;

/// New York's taxis: each series of each way goes through them from another half hour on.
pub(super) struct Truth {
    history: Vec<f64>,
    model: Arc<Model>,
}

/// The scores of a series' first values, as bits, and the state behind them.
pub(super) struct Expected {
    pub scores: Vec<u64>,
    pub state: Vec<u8>,
}

impl Truth {
    pub(super) fn new() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/nyc_taxi.csv");
        let text = fs::read_to_string(path).unwrap();
        let history = text.lines().skip(1).map(|line| line.split_once(',').unwrap().1.parse().unwrap()).collect();
        let options = RunOptions { device: device().parse().unwrap(), ..RunOptions::cpu() };
        Self { history, model: Arc::new(Model::series(options).unwrap()) }
    }

    /// A value of a series.
    pub(super) fn value(&self, series: usize, time: usize) -> f64 {
        self.history[(time + series * 97) % self.history.len()] + series as f64
    }

    pub(super) fn expected(&self, series: usize, len: usize) -> Expected {
        let values: Vec<f64> = (0..len).map(|time| self.value(series, time)).collect();
        let mut state = self.model.open(&Options { anomaly: true, ..Options::default() }).unwrap();
        let mut scores = vec![];
        // By the chunk law the cuts are no matter.
        for values in values.chunks(1 << 16) {
            let output = self.model.append(&mut [Item { state: &mut state, events: Events::Values(values) }]).unwrap();
            scores.extend(output[0].scores.iter().map(|score| bits(*score)));
        }
        Expected { scores, state: self.model.save(&state).unwrap() }
    }

    pub(super) fn model(&self) -> &Arc<Model> {
        &self.model
    }
}

/// NaN is NaN, whatever its bits.
pub(super) fn bits(score: f64) -> u64 {
    if score.is_nan() { f64::NAN.to_bits() } else { score.to_bits() }
}

/// The first place where what a series was given is not what it should be.
pub(super) fn assert_same(way: &str, series: usize, (found, expected): (&[u64], &[u64])) {
    let differ = found.iter().zip(expected).position(|(a, b)| a != b);
    assert!(
        differ.is_none() && found.len() == expected.len(),
        "{way}, series {series}: {} scores, {} expected; the first that differs: {differ:?}",
        found.len(),
        expected.len()
    );
}
