//! Whether a model's p-values are what they say: of values that came as forecast, a hundredth has p < 0.01.

use std::path::Path;

use unspool_model::Model;

use super::{Result, nab, predict, validation};

/// Bounds of p whose shares are counted.
pub const BOUNDS: [f64; 6] = [0.001, 0.01, 0.05, 0.1, 0.2, 0.5];

/// The shares of p-values below [`BOUNDS`] in a file's held-out series.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// The file.
    pub name: String,
    /// P-values.
    pub count: usize,
    /// One share a bound; equal to the bound where the model is right.
    pub shares: [f64; BOUNDS.len()],
}

/// Counts the p-values of all held-out series of the folder of training series, each fed to a session from its start; last
/// comes the mean over the files. Also gives the `p_value_tail` with which that mean's shares in the tails would be nearest to
/// their bounds.
///
/// # Errors
/// When a file is missing, or the model is not for series, or refuses.
pub fn calibration(model: &Model, dir: &Path) -> Result<(Vec<Calibration>, f64)> {
    predict::check(model)?;
    let (mut files, mut all) = (vec![], vec![]);
    for (name, series) in validation::held_out_files(dir)? {
        let values: Vec<&[f64]> = series.iter().map(|(_, values)| &values[..]).collect();
        let mut p_values = nab::p_values(model, &values)?.concat();
        p_values.retain(|p| !p.is_nan());
        files.push(shares(&name, &p_values));
        all.push(p_values);
    }
    let mean = |i: usize| files.iter().map(|file| file.shares[i]).sum::<f64>() / files.len() as f64;
    let count = files.iter().map(|file| file.count).sum();
    files.push(Calibration { name: "mean over the files".into(), count, shares: std::array::from_fn(mean) });
    let (outer, tail) = model.series_shape().map_or((0.2, 1.0), |shape| (2.0 * shape.levels[0], shape.tail));
    Ok((files, tail * fit(&all, outer)))
}

/// What the tails' slopes are to be multiplied by: shares below the bounds of the tails, means over the files, are to be
/// nearest to these, in ratios. A p-value below `outer` is in a tail, and would be `outer (p / outer)^factor`.
fn fit(files: &[Vec<f64>], outer: f64) -> f64 {
    let distance = |factor: f64| -> f64 {
        let bounds = BOUNDS.iter().filter(|bound| **bound < outer);
        let each = bounds.map(|bound| {
            let below = outer * (bound / outer).powf(1.0 / factor);
            let share = |file: &Vec<f64>| file.iter().filter(|p| **p < below).count() as f64 / file.len() as f64;
            let share = files.iter().map(share).sum::<f64>() / files.len() as f64;
            (share.max(1e-6) / bound).ln().powi(2)
        });
        each.sum()
    };
    let factors = (20..=300).map(|hundredths| f64::from(hundredths) / 100.0).map(|factor| (factor, distance(factor)));
    factors.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(1.0, |(factor, _)| factor)
}

fn shares(name: &str, p_values: &[f64]) -> Calibration {
    let known: Vec<f64> = p_values.iter().copied().filter(|p| !p.is_nan()).collect();
    let share = |bound| known.iter().filter(|p| **p < bound).count() as f64 / known.len() as f64;
    Calibration { name: name.into(), count: known.len(), shares: BOUNDS.map(share) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_known_p_values() {
        let p_values: Vec<f64> = (0..1000).map(|i| f64::from(i) / 1000.0).chain([f64::NAN; 7]).collect();
        let found = shares("x", &p_values);
        assert_eq!(found, Calibration { name: "x".into(), count: 1000, shares: BOUNDS });
    }

    #[test]
    fn the_fit_finds_what_the_tails_were_bent_by() {
        let right = (1..20_000).map(|i| f64::from(i) / 20_000.0);
        let bent = |by: f64| right.clone().map(|p| if p < 0.2 { 0.2 * (p / 0.2).powf(by) } else { p }).collect();
        for by in [0.5, 1.0, 1.6] {
            assert!((fit(&[bent(by)], 0.2) - 1.0 / by).abs() < 0.02, "bent by {by}");
        }
    }
}
