//! Laws of the batches.

use std::{fs, path::Path};

use proptest::prelude::*;

use super::*;

fn options(seed: u64, lengths: &[(usize, f64)]) -> DataOptions {
    DataOptions { seed, lengths: lengths.into(), ..DataOptions::default() }
}

/// What a series of the folder of real ones is at a time: strange enough to be told apart.
fn real_value(series: usize, t: usize) -> f64 {
    let t = t as f64;
    (t * (0.1 + 0.013 * series as f64)).sin() + 0.7 * (t * t * 0.001 * (1.0 + series as f64)).sin()
}

/// A folder of ten real series of 300 values.
fn folder(dir: &Path) {
    let line = |i: usize| {
        let values: Vec<String> = (0..300).map(|t| real_value(i, t).to_string()).collect();
        format!("s{i}:{}\n", values.join(","))
    };
    let lines: String = (0..10).map(line).collect();
    fs::write(dir.join("a.tsf"), format!("@attribute series_name string\n@frequency daily\n@data\n{lines}")).unwrap();
}

/// The correlation of two stretches.
fn correlation(a: &[f32], b: &[f32]) -> f32 {
    let ((ma, da), (mb, db)) = (vector::moments(a), vector::moments(b));
    let products: f32 = a.iter().zip(b).map(|(a, b)| (a - ma) * (b - mb)).sum();
    products / (a.len() as f32 * da * db + 1e-9)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn windows_keep_their_laws(seed: u64, step: u64, patch in 1_usize..20, horizon in 0_usize..70, patches in 1_usize..30) {
        let data = SeriesData::new(options(seed, &[(patches, 1.0)]), patch, horizon, 4 * patches).unwrap();
        let windows = data.batch(step, 1);
        prop_assert_eq!((windows.count, windows.patches, windows.len), (4, patches, patches * patch + horizon));
        let all = windows.count * windows.len;
        prop_assert_eq!([windows.values.len(), windows.observed.len(), windows.known.len()], [all; 3]);
        prop_assert!(windows.values.iter().all(|v| v.is_finite()));
        for i in 0..all {
            prop_assert!(!windows.observed[i] || (windows.known[i] && i % windows.len < patches * patch));
            prop_assert!(windows.known[i] || windows.values[i] == 0.0);
        }
        prop_assert!(windows == data.batch(step, 3));
        prop_assert!(windows.values != data.batch(step.wrapping_add(1), 1).values);
    }
}

#[test]
fn seeds_and_steps_have_windows_of_their_own() {
    let data = |seed| SeriesData::new(options(seed, &[(4, 1.0), (2, 1.0)]), 8, 4, 3000).unwrap();
    let one = data(5).batch(9, 1);
    assert!(one.values.len() > 3 * TAKEN, "threads have something to share");
    for threads in [0, 2, 3, 100] {
        assert!(one == data(5).batch(9, threads), "{threads} threads");
    }
    assert!(one.values != data(6).batch(9, 1).values);
    let lengths: Vec<usize> = (0..20).map(|step| data(5).batch(step, 1).patches).collect();
    assert!(lengths.contains(&4) && lengths.contains(&2), "{lengths:?}");
}

#[test]
fn lengths_occur_in_their_shares() {
    let data = SeriesData::new(DataOptions::default(), 16, 64, 1024).unwrap();
    let drawn: Vec<usize> = (0..10_000).map(|step| data.patches(step)).collect();
    for (patches, share) in DataOptions::default().lengths {
        let got = drawn.iter().filter(|&&n| n == patches).count() as f64 / 10_000.0;
        assert!((got - share).abs() < 0.02, "{patches}: {got}");
    }
}

#[test]
fn held_out_series_never_appear() {
    let dir = tempfile::tempdir().unwrap();
    folder(dir.path());
    let real = DataOptions { real_share: 1.0, real: Some(dir.path().into()), ..options(3, &[(4, 1.0)]) };
    let data = SeriesData::new(real, 16, 16, 4 * 150).unwrap();
    let windows = data.batch(0, 2);
    let mut found = [0; 10];
    for (values, known) in windows.values.chunks(80).zip(windows.known.chunks(80)) {
        if known.iter().filter(|known| **known).count() < 60 {
            continue;
        }
        let from = known.iter().position(|known| *known).unwrap();
        for (series, found) in found.iter_mut().enumerate() {
            let whole: Vec<f32> = (0..300).map(|t| real_value(series, t) as f32).collect();
            let best =
                whole.windows(80 - from).map(|piece| correlation(piece, &values[from..]).abs()).fold(0.0, f32::max);
            *found += usize::from(best > 0.97);
        }
    }
    for (series, n) in found.iter().enumerate() {
        assert_eq!(*n == 0, [4, 9].contains(&series), "series {series}: {n} of {found:?}");
    }
}

#[test]
fn shares_of_real_windows() {
    let dir = tempfile::tempdir().unwrap();
    folder(dir.path());
    let share = |real_share, real: Option<&Path>| {
        let options = DataOptions { real_share, real: real.map(Into::into), ..options(3, &[(2, 1.0)]) };
        SeriesData::new(options, 16, 16, 100).unwrap().real.is_some()
    };
    assert!(share(0.5, Some(dir.path())));
    assert!(!share(0.0, Some(dir.path())));
    assert!(!share(0.5, None));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let check = |options: DataOptions, expected: &[&str]| {
        let error = SeriesData::new(options, 16, 64, 100).err().expect("refused").to_string();
        assert!(expected.iter().all(|part| error.contains(part)), "{error}");
    };
    check(options(1, &[]), &["lengths", "share above 0"]);
    check(options(1, &[(0, 1.0)]), &["lengths", "from 1 to 65536"]);
    check(options(1, &[(1 << 40, 1.0)]), &["lengths", "from 1 to 65536"]);
    check(options(1, &[(4, f64::NAN)]), &["lengths", "NaN"]);
    check(options(1, &[(4, 0.0)]), &["lengths"]);
    check(DataOptions { real_share: 1.5, ..DataOptions::default() }, &["real_share", "1.5", "0 to 1"]);
    check(
        DataOptions { real: Some("/nowhere".into()), ..DataOptions::default() },
        &["/nowhere", "No such file", "real"],
    );
    let empty = tempfile::tempdir().unwrap();
    check(DataOptions { real: Some(empty.path().into()), ..DataOptions::default() }, &["no series to train on"]);
    assert!(SeriesData::new(DataOptions::default(), 0, 64, 100).is_err());
    assert!(SeriesData::new(DataOptions::default(), 16, 64, 0).is_err());
}

#[test]
fn options_are_read_from_a_table() {
    let read = |json: serde_json::Value| serde_json::from_value::<DataOptions>(json);
    assert_eq!(read(serde_json::json!({})).unwrap(), DataOptions::default());
    let some = read(serde_json::json!({"seed": 7, "lengths": [[4, 0.5], [8, 0.5]], "real": "extra"})).unwrap();
    assert_eq!(some, DataOptions { real: Some("extra".into()), ..options(7, &[(4, 0.5), (8, 0.5)]) });
    assert!(read(serde_json::json!({"sede": 7})).unwrap_err().to_string().contains("sede"));
}
