use super::*;
use crate::{Events, Options, RunOptions};

#[test]
fn forecasts_are_those_of_the_reference() {
    check(&Model::series_1(RunOptions::cpu()).unwrap(), "series-1");
    check(&Model::series(RunOptions::cpu()).unwrap(), "series-2");
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
