//! The series model in the library, the whole way: against the prototype's reference, under the laws, and on real sets.

use std::path::PathBuf;

use proptest::prelude::*;
use unspool_model::{Events, Item, Model, Options, Pool, RunOptions, State, series::Unforecastable};

fn model() -> Model {
    Model::series_1(RunOptions::cpu()).unwrap()
}

fn append(model: &Model, state: &mut State, values: &[f64]) -> (Vec<u64>, Vec<u32>) {
    let output = model.append(&mut [Item { state, events: Events::Values(values) }]).unwrap().remove(0);
    let scores = output.scores.iter().map(|p| p.to_bits()).collect();
    (scores, output.rows.concat().iter().map(|v| v.to_bits()).collect())
}

fn forecast(model: &Model, values: &[f64], horizon: usize) -> Vec<f64> {
    let mut state = model.open(&Options::default()).unwrap();
    append(model, &mut state, values);
    model.forecast(&[&state], horizon).unwrap().remove(0).values
}

/// Everything that can be asked of a series.
fn everything(model: &Model) -> Options {
    Options {
        layers: vec![3, model.info().config.layers],
        rows: true,
        pools: true,
        anomaly: true,
        ..Options::default()
    }
}

/// Appends values in pieces; every other piece begins with a restored state.
fn in_pieces(model: &Model, values: &[f64], pieces: &[usize]) -> (State, (Vec<u64>, Vec<u32>)) {
    let mut state = model.open(&everything(model)).unwrap();
    let (mut scores, mut rows, mut rest) = (vec![], vec![vec![]; 2], values);
    for (i, piece) in pieces.iter().cycle().enumerate() {
        if rest.is_empty() {
            break;
        }
        let (chunk, after) = rest.split_at((*piece).min(rest.len()));
        rest = after;
        if i % 2 == 1 {
            let restored = model.restore(&model.save(&state).unwrap()).unwrap();
            assert_eq!(restored, state);
            state = restored;
        }
        let output = model.append(&mut [Item { state: &mut state, events: Events::Values(chunk) }]).unwrap().remove(0);
        scores.extend(output.scores.iter().map(|p| p.to_bits()));
        rows.iter_mut().zip(output.rows).for_each(|(rows, new)| rows.extend(new.iter().map(|v| v.to_bits())));
    }
    (state, (scores, rows.concat()))
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![8 => -1e3..1e3f64, 1 => Just(f64::NAN), 1 => Just(0.0), 1 => prop::num::f64::ANY]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    #[test]
    fn any_cut_and_any_mates_give_the_same_bits(
        values in prop::collection::vec(value(), 0..200),
        mate in prop::collection::vec(value(), 0..100),
        pieces in prop::collection::vec(1usize..40, 1..6),
    ) {
        let model = model();
        let (whole, expected) = in_pieces(&model, &values, &[1 << 20]);
        for pieces in [&pieces[..], &[1]] {
            let (state, found) = in_pieces(&model, &values, pieces);
            prop_assert_eq!(&state, &whole);
            prop_assert_eq!(&found, &expected);
        }
        let (mut a, mut b) = (model.open(&everything(&model)).unwrap(), model.open(&Options::default()).unwrap());
        let mut items = [
            Item { state: &mut b, events: Events::Values(&mate) },
            Item { state: &mut a, events: Events::Values(&values) },
        ];
        let output = model.append(&mut items).unwrap().remove(1);
        prop_assert_eq!(&a, &whole);
        prop_assert_eq!(output.scores.iter().map(|p| p.to_bits()).collect::<Vec<_>>(), expected.0);
        let bits = |states: &[&State], i: usize| -> Vec<u64> {
            model.forecast(states, 70).unwrap()[i].values.iter().map(|v| v.to_bits()).collect()
        };
        prop_assert_eq!(bits(&[&b, &a], 1), bits(&[&whole], 0));
        prop_assert_eq!(&a, &whole, "a forecast moves nothing");
    }
}

#[test]
fn odd_series_get_sane_answers() {
    for model in [model(), Model::series(RunOptions::cpu()).unwrap()] {
        sane_answers(&model);
    }
}

fn sane_answers(model: &Model) {
    let sane = |name: &str, values: &[f64], low: f64, high: f64| {
        let quantiles = forecast(model, values, 100);
        assert_eq!(quantiles.len(), 900, "{name}");
        let (least, most) = quantiles.iter().fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
        assert!(low <= least && most <= high && !quantiles.iter().any(|v| v.is_nan()), "{name}: {least} to {most}");
        assert!(quantiles.chunks(9).all(|step| step.is_sorted()), "{name}");
    };
    let wave = |size: f64| (0..120).map(|t| size * (f64::from(t) / 7.0).sin()).collect::<Vec<_>>();
    sane("constant", &[4.0; 50], 4.0, 4.0);
    sane("zeros", &[0.0; 50], 0.0, 0.0);
    sane("constant with gaps", &[4.0, f64::NAN, 4.0].repeat(20), 4.0, 4.0);
    sane("one value", &[5.0], -5.0, 25.0);
    sane("huge", &wave(1e300), -1e301, 1e301);
    sane("tiny", &wave(1e-300), -1e-298, 1e-298);
    sane("infinite", &[1.0, f64::INFINITY, 2.0, f64::NEG_INFINITY, 1.5], -100.0, 100.0);
    sane("zeros, then huge", &[vec![0.0; 20], wave(1e300)].concat(), -1e303, 1e303);
    sane("ordinary, then huge", &[1.0, 2.0, 1e308, 2.0, 1.0, -1e308], -f64::MAX, f64::MAX);
    sane("long gaps", &[vec![f64::NAN; 100], vec![3.0; 5], vec![f64::NAN; 300]].concat(), 0.0, 100.0);
    for nothing in [&[][..], &[f64::NAN; 40]] {
        let mut state = model.open(&everything(model)).unwrap();
        append(model, &mut state, nothing);
        let forecast = model.forecast(&[&state], 3).unwrap().remove(0);
        assert_eq!((forecast.values.len(), forecast.reason), (27, Some(Unforecastable::NoValue)));
        assert!(forecast.values.iter().all(|v| v.is_nan()));
        assert_eq!(state.pooled(3, Pool::Mean), None);
    }
}

#[test]
fn forecasting_moves_no_state() {
    for model in [model(), Model::series(RunOptions::cpu()).unwrap()] {
        let values: Vec<f64> = (0..70).map(|t| f64::from(t % 9) + 0.1 * f64::from(t)).collect();
        for fed in [0, 1, 15, 16, 17, 70] {
            let mut state = model.open(&everything(&model)).unwrap();
            append(&model, &mut state, &values[..fed]);
            let before = state.clone();
            let first = model.forecast(&[&state], 100).unwrap().remove(0).values;
            assert_eq!((state.position(), &state), (fed as u64, &before));
            let again = model.forecast(&[&state], 100).unwrap().remove(0).values;
            let bits = |values: Vec<f64>| values.into_iter().map(f64::to_bits).collect::<Vec<_>>();
            assert_eq!(bits(first), bits(again), "{fed}");
        }
    }
}

#[test]
fn an_outlier_is_scored_low_and_the_first_values_not_at_all() {
    let model = model();
    let mut state = model.open(&Options { anomaly: true, ..Options::default() }).unwrap();
    let mut values: Vec<f64> = (0..400).map(|t| 10.0 + 3.0 * (f64::from(t) * 0.5).sin()).collect();
    values[390] = 40.0;
    let output = model.append(&mut [Item { state: &mut state, events: Events::Values(&values) }]).unwrap().remove(0);
    assert!(output.scores[..16].iter().all(|p| p.is_nan()), "nothing was forecast yet");
    assert!(output.scores[16..].iter().all(|p| *p > 0.0 && *p <= 1.0));
    assert!(output.scores[390] < 1e-3, "{}", output.scores[390]);
    let usual = output.scores[300..390].iter().sum::<f64>() / 90.0;
    assert!(usual > 0.2, "{usual}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let model = model();
    let check = |error: unspool_model::Error, expected: &str| assert_eq!(error.to_string(), expected);
    let open = |layers: &[usize]| model.open(&Options { layers: layers.to_vec(), ..Options::default() }).unwrap_err();
    check(open(&[9]), "layer 9 is greater than the number of layers (series-1 has layers 0 to 8)");
    check(open(&[1, 1]), "layer 1 is named twice (series-1 has layers 0 to 8)");
    let mut state = model.open(&Options::default()).unwrap();
    let mut append = |events| model.append(&mut [Item { state: &mut state, events }]).unwrap_err();
    check(append(Events::Bases(b"ACGT")), "series-1 takes values of a series, not bases");
    check(append(Events::Tokens(&[1])), "series-1 takes values of a series, not token ids");
    let bytes = model.save(&state).unwrap();
    check(model.restore(&bytes[..30]).unwrap_err(), &format!("state: {} bytes where {} were written", 30, bytes.len()));
}

/// MASE and WQL of a set of the forecasting benchmark, as ratios to the seasonal naive forecast's published ones.
fn score(file: &str, horizon: usize, season: usize, naive: (f64, f64)) -> Option<(f64, f64)> {
    let root = std::env::var("UNSPOOL_DATA")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data").to_owned());
    let path = PathBuf::from(root).join("timeseries/benchmark").join(file);
    let Ok(bytes) = std::fs::read(&path) else {
        eprintln!("skipped: {} is not here", path.display());
        return None;
    };
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().filter(|l| !l.is_empty() && !l.starts_with(['#', '@']));
    let numbers = |line: &str| -> Vec<f64> {
        line.rsplit(':').next().unwrap().split(',').map(|v| v.trim().parse().unwrap_or(f64::NAN)).collect()
    };
    let series: Vec<Vec<f64>> = lines.map(numbers).collect();
    let model = model();
    let mut states: Vec<State> = series.iter().map(|_| model.open(&Options::default()).unwrap()).collect();
    let mut items: Vec<Item<'_>> = (states.iter_mut().zip(&series))
        .map(|(state, s)| Item { state, events: Events::Values(&s[..s.len() - horizon]) })
        .collect();
    model.append(&mut items).unwrap();
    let forecasts = model.forecast(&states.iter().collect::<Vec<_>>(), horizon).unwrap();
    let (mut errors, mut losses, mut size) = (vec![], 0.0, 0.0);
    for (s, forecast) in series.iter().zip(&forecasts) {
        let (context, future) = s.split_at(s.len() - horizon);
        let steps: Vec<f64> = (season..context.len()).map(|t| (context[t] - context[t - season]).abs()).collect();
        let known: Vec<f64> = steps.iter().copied().filter(|v| !v.is_nan()).collect();
        let naive = known.iter().sum::<f64>() / known.len() as f64;
        for (y, q) in future.iter().zip(forecast.values.chunks(9)).filter(|(y, _)| !y.is_nan()) {
            if naive > 0.0 {
                errors.push((y - q[4]).abs() / naive);
            }
            let loss = |(q, level): (&f64, &f64)| ((y - q) * level).max((y - q) * (level - 1.0));
            losses += q.iter().zip(&forecast.levels).map(loss).sum::<f64>();
            size += y.abs();
        }
    }
    let mase = errors.iter().sum::<f64>() / errors.len() as f64;
    Some((mase / naive.0, 2.0 * losses / 9.0 / size / naive.1))
}

#[test]
fn two_benchmark_sets_score_as_the_model_card_says() {
    for (file, horizon, season, naive, expected) in [
        ("hospital.tsf", 12, 12, (0.9205, 0.0726), (0.815, 0.692)),
        ("tourism_monthly.tsf", 24, 12, (1.6309, 0.1042), (0.868, 0.791)),
    ] {
        let Some((mase, wql)) = score(file, horizon, season, naive) else { continue };
        let near = |a: f64, b: f64| (a - b).abs() < 0.0015;
        assert!(near(mase, expected.0) && near(wql, expected.1), "{file}: MASE {mase:.4}, WQL {wql:.4}");
    }
}
