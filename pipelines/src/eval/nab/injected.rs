//! Held-out series with anomalies put in, in NAB's form: what detection is chosen by.

use std::path::Path;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::File;
use crate::eval::{Result, validation};

/// Always the same anomalies.
const SEED: u64 = 0x0dd5;
/// Values of a file, at least and at most: a series is cut into pieces.
const LEAST: usize = 700;
const MOST: usize = 4000;

/// Pieces of held-out series, each with one or two anomalies in it: a spike, some odd values, another level, a value that
/// stands still, noise, or less of everything; from one to five deviations of the piece. Windows are a tenth of a file together,
/// around where an anomaly begins, as NAB has them.
///
/// # Errors
/// When a file of the folder of training series is missing, or does not hold what it should.
pub fn injected(dir: &Path) -> Result<Vec<File>> {
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut files = vec![];
    for (name, series) in validation::held_out_files(dir)? {
        for (id, values) in series {
            for (number, piece) in values.chunks(MOST).enumerate().filter(|(_, piece)| piece.len() >= LEAST) {
                let known = piece.iter().filter(|value| !value.is_nan()).count();
                if 10 * known >= 8 * piece.len() {
                    let name = format!("{name}/{id}/{number}");
                    files.push(file(name, piece.to_vec(), &mut random));
                }
            }
        }
    }
    Ok(files)
}

fn file(name: String, mut values: Vec<f64>, random: &mut ChaCha8Rng) -> File {
    let (mean, deviation) = moments(&values);
    let len = values.len();
    let count = random.random_range(1..=2);
    let mut windows = vec![];
    for number in 0..count {
        let at = len * (25 + 35 * number) / 100 + random.random_range(0..len / 5);
        put(&mut values[at..], (mean, deviation), len, random);
        let half = len / 20 / count;
        windows.push((at - half, (at + half).min(len - 1)));
    }
    File { name, values, windows }
}

/// Puts an anomaly at the beginning of `values`, the rest of a file of `len` values.
fn put(values: &mut [f64], (mean, deviation): (f64, f64), len: usize, random: &mut ChaCha8Rng) {
    let sign = if random.random() { 1.0 } else { -1.0 };
    let size = deviation * random.random_range(1.0..5.0);
    let lasts = random.random_range(5..5 + len * 3 / 100);
    let first = values[0];
    let mut change = |count: usize, value: &mut dyn FnMut(f64) -> f64| {
        values.iter_mut().take(count).for_each(|old| *old = value(*old));
    };
    match random.random_range(0..6) {
        0 => change(1, &mut |old| old + sign * size),
        1 => change(3, &mut |old| old + 0.8 * sign * size),
        2 => change(6 * lasts, &mut |old| old + 0.4 * sign * size),
        3 => change(lasts, &mut |_| first),
        4 => change(lasts, &mut |old| old + random.random_range(-0.6..0.6) * size),
        _ => change(lasts, &mut |old| mean + 0.3 * (old - mean)),
    }
}

/// Mean and deviation of the values that are there.
fn moments(values: &[f64]) -> (f64, f64) {
    let known: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    let mean = known.iter().sum::<f64>() / known.len() as f64;
    let variance = known.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / known.len() as f64;
    (mean, variance.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_windows_around_what_was_changed() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for case in 0..200 {
            let values: Vec<f64> = (0..1000).map(|i| (f64::from(i) / 7.0).sin()).collect();
            let file = file("made".into(), values.clone(), &mut random);
            let changed = |i: usize| values[i] != file.values[i];
            let inside = |i: usize| file.windows.iter().any(|(from, to)| (*from..=*to).contains(&i));
            assert!((0..1000).any(|i| changed(i) && inside(i)), "case {case}");
            assert!(!(0..file.windows[0].0).any(changed), "case {case}");
            assert!(file.windows.is_sorted() && file.windows[0].0 >= file.probation(), "case {case}");
        }
    }
}
