//! NAB, the Numenta Anomaly Benchmark: 58 files of values as they arrived, with windows around what people called anomalies.
//!
//! A detector gives each value a score; [`score()`] does with them what NAB's own optimiser and scorer do. Source: github
//! numenta/NAB, `nab/sweeper.py`, `optimizer.py`, `runner.py`, `config/profiles.json`.

mod detect;
mod injected;
mod score;
mod surprise;

use std::{collections::BTreeMap, fs, path::Path};

use chrono::NaiveDateTime;

use super::{Error, Result, read};

pub(super) use self::detect::p_values;
pub use self::{
    detect::detect,
    injected::injected,
    score::{PROFILES, Profile, Scores, score},
};

/// Results of NAB's scoreboard (numenta/NAB, README, 2024-12-03): standard, low false positives, low false negatives.
pub const PUBLISHED: [(&str, [f64; 3]); 14] = [
    ("ARTime", [74.9, 65.1, 80.4]),
    ("Numenta HTM (worse of its range)", [69.7, 61.7, 74.2]),
    ("CAD OSE", [69.9, 67.0, 73.2]),
    ("earthgecko Skyline", [58.2, 46.2, 63.9]),
    ("KNN CAD", [58.0, 43.4, 64.8]),
    ("Relative Entropy", [54.6, 47.6, 58.8]),
    ("Random Cut Forest", [51.7, 38.4, 59.7]),
    ("Twitter ADVec", [47.1, 33.6, 53.5]),
    ("Windowed Gaussian", [39.6, 20.9, 47.4]),
    ("Etsy Skyline", [35.7, 27.1, 44.5]),
    ("Bayesian Changepoint", [17.7, 3.2, 32.2]),
    ("EXPoSE", [16.4, 3.2, 26.9]),
    ("Random", [11.0, 1.2, 19.5]),
    ("Null", [0.0, 0.0, 0.0]),
];

/// A file of the corpus.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    /// Its folder and name.
    pub name: String,
    /// The values, in the order of their rows.
    pub values: Vec<f64>,
    /// Rows of the windows, 0-based, first and last (closed), in time order.
    pub windows: Vec<(usize, usize)>,
}

impl File {
    /// Rows at the start that no detector is scored on: 15 %, of the first 5,000 at most.
    #[must_use]
    pub(crate) fn probation(&self) -> usize {
        self.values.len().min(5000) * 15 / 100
    }
}

/// Reads the corpus: the files that `labels/combined_windows.json` names, in the order of their names.
///
/// # Errors
/// When a file is missing, or does not hold what it should.
pub fn corpus(dir: &Path) -> Result<Vec<File>> {
    let path = read::file(dir, "labels/combined_windows.json")?;
    let fail = |problem: String| Error::Unexpected { path: path.clone(), problem };
    let text = fs::read_to_string(&path).map_err(|error| fail(error.to_string()))?;
    let labels: BTreeMap<String, Vec<(String, String)>> =
        serde_json::from_str(&text).map_err(|error| fail(format!("it holds no windows: {error}")))?;
    labels.into_iter().map(|(name, windows)| file(dir, name, &windows)).collect()
}

fn file(dir: &Path, name: String, windows: &[(String, String)]) -> Result<File> {
    // Beside `labels/`, or in `data/` as in NAB's own repository.
    let path = read::file(dir, &name).or_else(|missing| read::file(&dir.join("data"), &name).map_err(|_| missing))?;
    let fail = |problem: String| Error::Unexpected { path: path.clone(), problem };
    let text = fs::read_to_string(&path).map_err(|error| fail(error.to_string()))?;
    let (mut times, mut values) = (vec![], vec![]);
    for (line, row) in text.lines().enumerate().skip(1) {
        let cells = row.split_once(',').and_then(|(time, value)| Some((moment(time)?, value.trim().parse().ok()?)));
        let (time, value): (NaiveDateTime, f64) =
            cells.ok_or_else(|| fail(format!("line {}: it is no time and value: '{row}'", line + 1)))?;
        times.push(time);
        values.push(value);
    }
    let row = |time: &str| {
        let found = moment(time).and_then(|time| times.iter().position(|other| *other == time));
        found.ok_or_else(|| fail(format!("it has no row at {time}, where a window begins or ends")))
    };
    let mut rows = windows.iter().map(|(from, to)| Ok((row(from)?, row(to)?))).collect::<Result<Vec<_>>>()?;
    rows.sort_unstable();
    Ok(File { name, values, windows: rows })
}

fn moment(text: &str) -> Option<NaiveDateTime> {
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").ok()
}

#[cfg(test)]
mod tests;
