use super::*;

/// A file of so many rows, with windows.
fn made(rows: usize, windows: &[(usize, usize)]) -> File {
    File { name: "made".into(), values: vec![0.0; rows], windows: windows.to_vec() }
}

/// Scores that are 1 at these rows.
fn at(rows: usize, found: &[usize]) -> Vec<f64> {
    let mut scores = vec![0.0; rows];
    found.iter().for_each(|row| scores[*row] = 1.0);
    scores
}

fn check(files: &[File], scores: &[Vec<f64>], expected: [f64; 3]) {
    for (profile, expected) in PROFILES.iter().zip(expected) {
        let found = score(files, scores, profile);
        assert!((found.normalized - expected).abs() < 1e-9, "{}: {found:?}, {expected} expected", profile.name);
    }
}

#[test]
fn nothing_is_worth_0_and_all_at_their_first_row_100() {
    let files = [made(100, &[(20, 29), (60, 69)]), made(1000, &[(500, 599)]), made(50, &[])];
    let null: Vec<Vec<f64>> = files.iter().map(|file| vec![0.5; file.values.len()]).collect();
    check(&files, &null, [0.0; 3]);
    check(&files, &[at(100, &[20, 60]), at(1000, &[500]), at(50, &[])], [100.0; 3]);
    // More detections within a window change nothing; what stands out in the probation neither.
    check(&files, &[at(100, &[3, 20, 25, 60]), at(1000, &[0, 500, 599]), at(50, &[6])], [100.0; 3]);
}

#[test]
fn detections_are_worth_what_their_place_says() {
    let sigmoid = |place: f64| 2.0 / (1.0 + (5.0 * place).exp()) - 1.0;
    let file = [made(200, &[(100, 109)])];
    // One of the profile's points for a window: missed -m, found w; (w + m) / (1 + m).
    let share = |worth: f64| [1.0, 1.0, 2.0].map(|missed| 100.0 * (worth + missed) / (1.0 + missed));
    // Half way through, and at the last row.
    check(&file, &[at(200, &[105])], share(sigmoid(-0.5) / sigmoid(-1.0)));
    check(&file, &[at(200, &[109])], share(sigmoid(-0.1) / sigmoid(-1.0)));
    // A false alarm far before costs all of its price, one just after little.
    let with = |worth: f64| {
        let of = |false_alarm: f64, missed: f64| 100.0 * (1.0 + false_alarm * worth + missed) / (1.0 + missed);
        [of(0.11, 1.0), of(0.22, 1.0), of(0.11, 2.0)]
    };
    check(&file, &[at(200, &[50, 100])], with(-1.0));
    check(&file, &[at(200, &[100, 111])], with(sigmoid(2.0 / 9.0)));
    check(&file, &[at(200, &[100, 150])], with(-1.0));
}

#[test]
fn the_threshold_is_the_corpus_best() {
    let files = [made(100, &[(50, 59)]), made(100, &[(50, 59)])];
    let (mut one, mut two) = (vec![0.0; 100], vec![0.0; 100]);
    (one[50], two[50], two[80], two[90]) = (0.9, 0.7, 0.5, 0.95);
    let found = score(&files, &[one, two], &PROFILES[0]);
    // 0.7 finds both windows at the price of the false alarm at 0.95; 0.5 would add another.
    assert_eq!((found.threshold, found.found, found.false_alarms), (0.7, (2, 2), 1));
    assert!(found.normalized > 97.0 && found.normalized < 98.0, "{found:?}");
    let nothing = score(&files, &[at(100, &[20, 80]), at(100, &[30, 90])], &PROFILES[1]);
    assert_eq!((nothing.threshold, nothing.normalized, nothing.found), (f64::INFINITY, 0.0, (0, 2)));
}

#[test]
fn windows_within_the_probation_do_not_count() {
    let files = [made(100, &[(5, 9), (50, 59)])];
    assert_eq!(files[0].probation(), 15);
    // As NAB has it, the perfect score counts all windows: one of two found is not 100.
    check(&files, &[at(100, &[50])], [2.0 / 3.0, 2.0 / 3.0, 0.75].map(|share| 100.0 * share));
}

#[test]
fn the_real_corpus() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/timeseries/anomaly/NAB");
    if !dir.is_dir() {
        return eprintln!("skipped: {} is not there", dir.display());
    }
    let files = corpus(&dir).expect("reads");
    let count = |of: fn(&File) -> usize| files.iter().map(of).sum::<usize>();
    assert_eq!((files.len(), count(|file| file.values.len()), count(|file| file.windows.len())), (58, 365_558, 116));
    let perfect: Vec<Vec<f64>> = (files.iter())
        .map(|file| at(file.values.len(), &file.windows.iter().map(|window| window.0).collect::<Vec<_>>()))
        .collect();
    check(&files, &perfect, [100.0; 3]);
}
