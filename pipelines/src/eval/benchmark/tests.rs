use super::*;

/// The sets, where they are: beside the repository.
fn data() -> Option<std::path::PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/timeseries/benchmark");
    let dir = std::env::var_os("UNSPOOL_BENCHMARK_DATA").map_or(dir, Into::into);
    if dir.is_dir() {
        return Some(dir);
    }
    eprintln!("skipped: {} is not there (UNSPOOL_BENCHMARK_DATA names another folder)", dir.display());
    None
}

/// As computed when the sets were gathered; published results (Chronos, and GIFT-Eval for US births) agree to four digits or 1e-4.
#[test]
fn the_seasonal_naive_forecast_scores_as_published() {
    let Some(dir) = data() else { return };
    let expected = [
        (14, 24, "0.9316 0.1221"),
        (8, 30, "1.7402 0.0130"),
        (111, 56, "1.2917 0.4246"),
        (767, 12, "0.9205 0.0726"),
        (1428, 18, "1.1461 0.1485"),
        (366, 24, "1.6309 0.1042"),
        (266, 30, "46.9124 0.1331"),
        (414, 48, "1.1932 0.0483"),
        (359, 13, "2.7773 0.0634"),
        (20, 30, "1.8648 0.1188"),
    ];
    for (number, (windows, horizon, scores)) in expected.into_iter().enumerate() {
        let task = set(&dir, number).expect("reads");
        assert_eq!((task.windows.len(), task.horizon), (windows, horizon), "{}", task.name);
        let Score { mase, wql } = task.naive();
        assert_eq!(format!("{mase:.4} {wql:.4}"), scores, "{}", task.name);
    }
}

#[test]
fn missing_values_of_a_history_stay_missing() {
    let Some(dir) = data() else { return };
    let task = set(&dir, 2).expect("reads");
    assert!(task.windows.iter().any(|window| window.context().iter().any(|value| value.is_nan())));
}

#[test]
fn a_missing_file_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let error = set(dir.path(), 0).expect_err("nothing is there").to_string();
    assert!(error.contains("ETTh1.csv: not there: name the folder"), "{error}");
}
