//! Tiny series models of both alignments, forecasting far beyond the head's reach, give what the prototype's
//! `reference.py` gives (see `tests/goldens/series-tiny/make.py`).

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::Value;
use unspool_model::{Events, Item, Model, Options, RunOptions, State};

/// The largest difference, relative to the largest value of a case.
const TOLERANCE: f64 = 1e-4;

fn dir(alignment: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/series-tiny")).join(alignment)
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap_or(f64::NAN)).collect()
}

/// Each case of a golden: its name, its series, and its quantiles `[horizon, levels]`.
fn cases(alignment: &str) -> Vec<(String, Vec<f64>, Vec<f64>)> {
    let text = std::fs::read_to_string(dir(alignment).join("golden.json")).unwrap();
    let golden: serde_json::Map<String, Value> = serde_json::from_str(&text).unwrap();
    let case = |(name, case): (String, Value)| {
        let quantiles = case["quantiles"].as_array().unwrap().iter().flat_map(numbers).collect();
        (name, numbers(&case["series"]), quantiles)
    };
    golden.into_iter().map(case).collect()
}

/// A state that `values` were appended to in pieces of `piece`.
fn fed(model: &Model, values: &[f64], piece: usize) -> State {
    let mut state = model.open(&Options::default()).unwrap();
    for values in values.chunks(piece) {
        model.append(&mut [Item { state: &mut state, events: Events::Values(values) }]).unwrap();
    }
    state
}

fn check(alignment: &str) {
    let model = Model::load(&dir(alignment), RunOptions::cpu()).unwrap();
    let cases = cases(alignment);
    let states: Vec<State> = cases.iter().map(|(_, series, _)| fed(&model, series, 7)).collect();
    let together = model.forecast(&states.iter().collect::<Vec<_>>(), 30).unwrap();
    for ((name, series, expected), found) in cases.iter().zip(together) {
        assert_eq!(found.values.len(), expected.len(), "{alignment} {name}");
        let scale = expected.iter().fold(0.0, |most: f64, v| most.max(v.abs()));
        for (i, (found, expected)) in found.values.iter().zip(expected).enumerate() {
            let (step, level) = (i / 9, i % 9);
            assert!(
                (found - expected).abs() <= TOLERANCE * scale,
                "{alignment} {name}, step {step}, level {level}: {found}, {expected} expected"
            );
        }
        let alone = model.forecast(&[&fed(&model, series, 1)], 30).unwrap().remove(0);
        assert_eq!(alone, found, "{alignment} {name}: neither cuts nor mates change a bit");
    }
}

#[test]
fn patches_that_end_with_the_series() {
    check("end");
}

#[test]
fn patches_that_start_with_the_series() {
    check("any");
}

/// A longer forecast begins with the shorter one, bit for bit: what is fed back comes after.
#[test]
fn a_longer_horizon_changes_nothing_before() {
    for alignment in ["any", "end"] {
        let model = Model::load(&dir(alignment), RunOptions::cpu()).unwrap();
        for (name, series, _) in cases(alignment) {
            let state = fed(&model, &series, 16);
            let long = model.forecast(&[&state], 29).unwrap().remove(0).values;
            for horizon in [0, 1, 7, 8, 9, 16] {
                let short = model.forecast(&[&state], horizon).unwrap().remove(0).values;
                assert_eq!(short, long[..horizon * 9], "{alignment} {name}, {horizon} steps");
            }
        }
    }
}

/// Bits of everything that a series gives while it arrives in pieces, saved and restored between them, and of its forecast.
fn all_bits(model: &Model, values: &[f64], pieces: &[usize]) -> (State, Vec<u64>) {
    let options = Options { layers: vec![0, 2], rows: true, pools: true, anomaly: true, ..Options::default() };
    let mut state = model.open(&options).unwrap();
    let (mut scores, mut rows, mut rest) = (vec![], [vec![], vec![]], values);
    for piece in pieces.iter().cycle() {
        let (piece, after) = rest.split_at((*piece).min(rest.len()));
        let output = model.append(&mut [Item { state: &mut state, events: Events::Values(piece) }]).unwrap().remove(0);
        scores.extend(output.scores.iter().map(|p| p.to_bits()));
        rows.iter_mut().zip(output.rows).for_each(|(all, new)| all.extend(new.iter().map(|v| u64::from(v.to_bits()))));
        state = model.restore(&model.save(&state).unwrap()).unwrap();
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    let forecast = model.forecast(&[&state], 20).unwrap().remove(0).values;
    let bits = [scores, rows.concat(), forecast.iter().map(|v| v.to_bits()).collect()].concat();
    (state, bits)
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![6 => -1e3..1e3f64, 1 => Just(f64::NAN), 1 => Just(0.0), 1 => prop::num::f64::ANY]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    #[test]
    fn any_cut_gives_the_same_bits(
        values in prop::collection::vec(value(), 0..60),
        pieces in prop::collection::vec(1usize..12, 1..6),
    ) {
        for alignment in ["any", "end"] {
            let model = Model::load(&dir(alignment), RunOptions::cpu()).unwrap();
            let whole = all_bits(&model, &values, &[60]);
            prop_assert_eq!(&all_bits(&model, &values, &pieces), &whole, "{} in {:?}", alignment, pieces);
            prop_assert_eq!(&all_bits(&model, &values, &[1]), &whole, "{} one by one", alignment);
        }
    }
}

/// Statistics scale exactly with powers of two, however large or small, and so does all that follows from them.
#[test]
fn a_series_in_another_unit_has_the_same_forecast_in_that_unit() {
    for alignment in ["any", "end"] {
        let model = Model::load(&dir(alignment), RunOptions::cpu()).unwrap();
        for (name, series, _) in cases(alignment).into_iter().filter(|(name, ..)| name != "one_value") {
            let forecast = |unit: f64| -> Vec<f64> {
                let scaled: Vec<f64> = series.iter().map(|v| v * unit).collect();
                let forecast = model.forecast(&[&fed(&model, &scaled, 5)], 20).unwrap().remove(0);
                forecast.values.iter().map(|v| v / unit).collect()
            };
            let plain = forecast(1.0);
            for power in [-900, -300, -12, 1, 20, 300, 900] {
                assert_eq!(forecast(2f64.powi(power)), plain, "{alignment} {name} times 2^{power}");
            }
        }
    }
}
