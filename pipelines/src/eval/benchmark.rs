//! The ten sets of the forecasting benchmark, and what is told of them together.
//!
//! One window a series: the last `horizon` values are forecast from all before them. US births have twenty windows that do
//! not overlap, as in GIFT-Eval.

use std::{path::Path, sync::Arc};

use unspool_ingest::tables;

use super::{
    Error, Result, Scored, Task, Window,
    metric::Score,
    read::{self, Named},
};

/// Windows of the only series of US births.
const BIRTHS_WINDOWS: usize = 20;

/// A set: its name, its files, steps of a season, and the horizon where its files do not state one.
struct Set(&'static str, &'static [&'static str], usize, Option<usize>);

const SETS: [Set; 10] = [
    Set("ETTh", &["ETTh1.csv", "ETTh2.csv"], 24, Some(24)),
    Set("exchange_rate", &["exchange_rate.txt.gz"], 5, Some(30)),
    Set("nn5_daily", &["nn5_daily.tsf"], 1, None),
    Set("hospital", &["hospital.tsf"], 12, None),
    Set("m3_monthly", &["m3_monthly.tsf"], 12, None),
    Set("tourism_monthly", &["tourism_monthly.tsf"], 12, None),
    Set("covid_deaths", &["covid_deaths.tsf"], 1, None),
    Set("m4_hourly", &["m4_hourly.tsf.gz"], 24, None),
    Set("m4_weekly", &["m4_weekly.tsf.gz"], 1, None),
    Set("us_births", &["us_births.tsf"], 1, None),
];

/// The sets that published results of the Chronos models share with these.
pub const SEVEN: [&str; 7] =
    ["ETTh", "exchange_rate", "nn5_daily", "hospital", "m3_monthly", "tourism_monthly", "covid_deaths"];

/// The sets that GIFT-Eval shares with these.
pub const FIVE: [&str; 5] = ["m4_hourly", "m4_weekly", "us_births", "hospital", "covid_deaths"];

/// The names of the ten sets, in their order.
#[must_use]
pub fn names() -> [&'static str; 10] {
    SETS.map(|set| set.0)
}

/// Reads one of the ten sets, by its place in [`names`] (a greater number is the last set).
///
/// # Errors
/// When a file is missing, or does not hold what it should.
pub fn set(dir: &Path, number: usize) -> Result<Task> {
    let Set(name, files, season, horizon) = &SETS[number.min(SETS.len() - 1)];
    let (mut series, mut stated): (Vec<Named>, Option<usize>) = (vec![], *horizon);
    for file in *files {
        let path = read::file(dir, file)?;
        if file.ends_with(".txt.gz") {
            series.extend(read::columns(&path)?);
        } else if file.ends_with(".csv") {
            series.extend(read::series(&path, Some((None, "*")))?);
        } else {
            series.extend(read::series(&path, None)?);
            stated = tables::tsf_header(&path)?.horizon.and_then(|horizon| usize::try_from(horizon).ok());
        }
    }
    let unexpected = |problem: String| Error::Unexpected { path: dir.join(files[0]), problem };
    let horizon = stated.ok_or_else(|| unexpected("it states no @horizon".into()))?;
    let each = if *name == "us_births" { BIRTHS_WINDOWS } else { 1 };
    let mut windows = vec![];
    for (id, values) in &series {
        for before in 0..each {
            let window = last(values, horizon, before)
                .ok_or_else(|| unexpected(format!("series '{id}' has {} values: too few", values.len())))?;
            windows.push(window);
        }
    }
    Ok(Task { name: (*name).into(), horizon, season: *season, windows })
}

/// The window that ends `before` horizons before the series does.
fn last(values: &Arc<[f64]>, horizon: usize, before: usize) -> Option<Window> {
    let split = values.len().checked_sub(horizon * (before + 1))?;
    Window::new(values, 0, (split, horizon))
}

/// The geometric means of the ratios to the seasonal naive forecast over those of `sets` that are there.
#[must_use]
pub fn mean_ratio(scored: &[Scored], sets: &[&str]) -> Score {
    let ratios: Vec<Score> = scored.iter().filter(|s| sets.contains(&&*s.name)).map(Scored::ratio).collect();
    Score::mean(&ratios)
}

#[cfg(test)]
mod tests;
