use super::*;

#[test]
fn blocks_end_where_the_series_does() {
    const NO: f64 = f64::NAN;
    let check = |values: &[f64], every, expected: &[f64]| {
        let text = |values: &[f64]| format!("{values:?}");
        assert_eq!(text(&aggregate(&values.into(), every)), text(expected), "{values:?} by {every}");
    };
    check(&[9.0, 1.0, 2.0, 3.0, 4.0], 2, &[3.0, 7.0]);
    check(&[1.0, 2.0, 3.0], 1, &[1.0, 2.0, 3.0]);
    // half of a block is enough, and counts for all of it
    check(&[1.0, NO, 3.0, 5.0], 2, &[2.0, 8.0]);
    check(&[1.0, NO, NO, 5.0, NO, NO], 3, &[NO, NO]);
    check(&[1.0], 2, &[]);
}

#[test]
fn windows_are_the_latest_that_can_be_scored() {
    let family = Family { origins: 2, ..families::LOAD };
    let rate = Rate { name: "steps", every: 1, season: 1, horizon: 3 };
    let mut values: Vec<f64> = (0..40).map(f64::from).collect();
    values[37..].fill(f64::NAN);
    let series: [Arc<[f64]>; 1] = [values.into()];
    let check = |cut, expected: &[(f64, usize)]| {
        let found = windows(&family, &rate, &series, cut);
        let found: Vec<(f64, usize)> = found.iter().map(|w| (w.target()[0], w.context().len())).collect();
        assert_eq!(found, expected, "{cut:?}");
    };
    check(None, &[(34.0, 34), (31.0, 31)]);
    check(Some(20), &[(34.0, 20), (31.0, 20)]);
    check(Some(33), &[(34.0, 33)]);
}

/// All of it, where the series are: beside the repository.
#[test]
fn views_of_the_real_series() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/timeseries/extra");
    if !dir.is_dir() {
        return eprintln!("skipped: {} is not there", dir.display());
    }
    let views = views(&dir).expect("reads");
    let find = |name: &str| views.iter().find(|view| view.task.name == name).unwrap_or_else(|| panic!("{name}"));
    for (name, kind, windows) in [
        ("nngc1_yearly", Kind::ShortOrLow, 33),
        ("pbs_scripts_monthly", Kind::Whole, 133),
        ("aus_retail_monthly, yearly, last 20", Kind::ShortOrLow, 60),
        ("gefcom2012_load_hourly", Kind::Whole, 16),
        ("nottem, quarterly", Kind::ShortOrLow, 6),
    ] {
        let view = find(name);
        assert_eq!((view.kind, view.task.windows.len()), (kind, windows), "{name}");
    }
    for view in &views {
        let naive = view.task.naive();
        assert!(naive.mase > 0.0 && naive.wql > 0.0 && naive.wql.is_finite(), "{}: {naive:?}", view.task.name);
        let cut = view.task.name.rsplit("last ").next().and_then(|cut| cut.parse::<usize>().ok());
        let fits = |window: &Window| cut.is_none_or(|cut| window.context().len() == cut);
        assert!(view.task.windows.iter().all(fits), "{}", view.task.name);
    }
}
