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
/// comes the mean over the files.
///
/// # Errors
/// When a file is missing, or the model is not for series, or refuses.
pub fn calibration(model: &Model, dir: &Path) -> Result<Vec<Calibration>> {
    predict::check(model)?;
    let mut files = vec![];
    for (name, series) in validation::held_out_files(dir)? {
        let values: Vec<&[f64]> = series.iter().map(|(_, values)| &values[..]).collect();
        files.push(shares(&name, &nab::p_values(model, &values)?.concat()));
    }
    let mean = |i: usize| files.iter().map(|file| file.shares[i]).sum::<f64>() / files.len() as f64;
    let count = files.iter().map(|file| file.count).sum();
    files.push(Calibration { name: "mean over the files".into(), count, shares: std::array::from_fn(mean) });
    Ok(files)
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
}
