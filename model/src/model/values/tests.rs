use super::*;
use crate::{Events, Options, RunOptions};

#[test]
fn forecasts_are_those_of_the_reference() {
    check(&Model::series_1(RunOptions::cpu()).unwrap(), "series-1");
    check(&Model::series(RunOptions::cpu()).unwrap(), "series-3");
}

fn check(model: &Model, goldens: &str) {
    let dir = format!("{}/tests/goldens/{goldens}", env!("CARGO_MANIFEST_DIR"));
    for case in ["constant", "counts", "gaps", "huge", "season_trend", "short"] {
        let text = std::fs::read_to_string(format!("{dir}/{case}.json")).unwrap();
        let golden: serde_json::Value = serde_json::from_str(&text).unwrap();
        let numbers = |v: &serde_json::Value| -> Vec<f64> {
            v.as_array().unwrap().iter().map(|v| v.as_f64().unwrap_or(f64::NAN)).collect()
        };
        let series = numbers(&golden["series"]);
        let expected: Vec<f64> = golden["quantiles"].as_array().unwrap().iter().flat_map(numbers).collect();
        let mut state = model.open(&Options::default()).unwrap();
        model.append(&mut [Item { state: &mut state, events: Events::Values(&series) }]).unwrap();
        let found = model.forecast_by_network(&[&state], 24).unwrap().remove(0).values;
        let scale = expected.iter().fold(0.0, |max: f64, v| max.max(v.abs()));
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() <= 1e-4 * scale, "{case}: {found}, {expected} expected");
        }
    }
}

/// A small model of `any` whose forecasts look back on 8 patches at most: a span has 4.
fn short_sighted() -> (tempfile::TempDir, Model) {
    let from = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/series-tiny/any");
    let dir = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(format!("{from}/config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
    config["context_limit"] = (8 * config["patch_len"].as_u64().unwrap()).into();
    std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    std::fs::copy(format!("{from}/model.safetensors"), dir.path().join("model.safetensors")).unwrap();
    let model = Model::load(dir.path(), RunOptions::cpu()).unwrap();
    (dir, model)
}

fn series(len: usize) -> Vec<f64> {
    let value = |i: usize| 3.0 + (i as f64 / 5.0).sin() + (i * i % 11) as f64 * 0.1;
    (0..len).map(|i| if i % 13 == 4 { f64::NAN } else { value(i) }).collect()
}

fn fed(model: &Model, values: &[f64]) -> State {
    let mut state = model.open(&Options { anomaly: true, layers: vec![1], pools: true, ..Options::default() }).unwrap();
    model.append(&mut [Item { state: &mut state, events: Events::Values(values) }]).unwrap();
    state
}

/// A state is what the patches since one of the last two spans' beginnings make of it, and no cut changes that.
#[test]
fn long_series_begin_anew_at_the_same_places_whatever_the_cuts() {
    let (_dir, model) = short_sighted();
    let patch = model.series_shape().unwrap().patch;
    let (span, all) = (4 * patch, series(23 * patch + 3));
    for len in [span - 1, span, span + 1, 2 * span, 2 * span + 5, 5 * span + patch, all.len()] {
        let (values, whole) = (&all[..len], fed(&model, &all[..len]));
        let begins = (len / span).saturating_sub(1) * span;
        let forecast = |state: &State| model.forecast(&[state], 20).unwrap().remove(0).values;
        if len % patch > 0 {
            assert_eq!(forecast(&whole), forecast(&fed(&model, &values[begins..])), "of {len} values, from {begins}");
        }
        let bytes = model.save(&whole).unwrap();
        assert_eq!(bytes.len(), model.save(&fed(&model, &[])).unwrap().len(), "a state has one size");
        for cut in [1, patch, span - 1, span, 2 * span - patch + 1] {
            let mut state = fed(&model, &[]);
            for values in values.chunks(cut) {
                state = model.restore(&model.save(&state).unwrap()).unwrap();
                model.append(&mut [Item { state: &mut state, events: Events::Values(values) }]).unwrap();
            }
            assert!(state == whole && model.save(&state).unwrap() == bytes, "{len} values in pieces of {cut}");
        }
    }
}

/// A pair that saw nothing but missing values takes nobody's place.
#[test]
fn a_long_gap_loses_no_forecast() {
    let (_dir, model) = short_sighted();
    let patch = model.series_shape().unwrap().patch;
    let values = [series(6 * patch), vec![f64::NAN; 30 * patch]].concat();
    let forecast = model.forecast(&[&fed(&model, &values)], 5).unwrap().remove(0);
    assert!(forecast.reason.is_none() && forecast.values.iter().all(|value| value.is_finite()));
}
