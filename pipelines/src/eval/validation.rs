//! What models, recipes and checkpoints are chosen by: real series that were never trained on ([`held_out`]), whole, cut
//! short, and aggregated to lower frequencies.
//!
//! Each way of looking at a file's series is a [`View`] with a score of its own, so that a file of many series does not
//! outweigh the others in the geometric means.

mod families;
mod generated;

use std::{path::Path, sync::Arc};

use self::families::{FAMILIES, Family, Rate};
use super::{
    Result, Score, Scored, Task, Window, metric,
    read::{self, Named},
    seasonal_naive,
};
use crate::train::split::held_out;

/// Histories are cut to so many values.
const CUTS: [usize; 4] = [20, 30, 40, 60];
/// The least known values that anything is forecast from.
const LEAST_CONTEXT: usize = 8;
/// A view of fewer windows says too little.
const LEAST_WINDOWS: usize = 4;

/// Windows are left out whose naive forecast errs by more than so many seasonal differences: their history says nothing of
/// what came, and one of them would drown the rest of its view.
const LARGEST_NAIVE_ERROR: f64 = 20.0;

/// What a view stands for in the means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Series as they are, all of their history known.
    Whole,
    /// Series of the training generator, from a seed that no training uses.
    Generated,
    /// Histories of 20 to 60 values, or yearly and quarterly values, or values aggregated to a lower frequency.
    ShortOrLow,
}

/// A way of looking at a file's held-out series.
#[derive(Clone, Debug)]
pub struct View {
    /// What it stands for.
    pub kind: Kind,
    /// Its windows.
    pub task: Task,
}

/// Reads the folder of training series and makes all views of those that are held out, and of generated ones.
///
/// # Errors
/// When a file is missing, or does not hold what it should.
pub fn views(dir: &Path) -> Result<Vec<View>> {
    let mut views = vec![];
    for family in &FAMILIES {
        let series = held_out_series(dir, family)?;
        for (number, rate) in family.rates.iter().enumerate() {
            let slower: Vec<Arc<[f64]>> = series.iter().map(|(_, values)| aggregate(values, rate.every)).collect();
            let low = number > 0 || family.low;
            views.extend(whole(family, rate, &slower, low));
            views.extend(CUTS.iter().filter_map(|cut| short(family, rate, &slower, *cut)));
        }
    }
    views.extend(generated::tasks()?.into_iter().map(|task| View { kind: Kind::Generated, task }));
    Ok(views)
}

/// How many views of these kinds there are, and the geometric means of their ratios to the seasonal naive forecast.
#[must_use]
pub fn mean_ratio(scored: &[(Kind, Scored)], kinds: &[Kind]) -> (usize, Score) {
    let of = scored.iter().filter(|(kind, _)| kinds.contains(kind));
    let ratios: Vec<Score> = of.map(|(_, view)| view.ratio()).collect();
    (ratios.len(), Score::mean(&ratios))
}

/// The held-out series of all files, with the files' names.
pub(super) fn held_out_files(dir: &Path) -> Result<Vec<(String, Vec<Named>)>> {
    let file = |family: &Family| Ok((name(family, &family.rates[0], None), held_out_series(dir, family)?));
    FAMILIES.iter().map(file).collect()
}

/// The held-out series of a family's file.
pub(super) fn held_out_series(dir: &Path, family: &Family) -> Result<Vec<Named>> {
    let path = read::file(dir, family.file)?;
    let series = read::series(&path, family.columns)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let first = family.index;
    Ok(series.into_iter().enumerate().filter(|(i, _)| held_out(&name, first + i)).map(|(_, series)| series).collect())
}

/// The family of long series.
pub(super) fn long_family() -> &'static Family {
    &families::LOAD
}

/// Sums of so many values each, in blocks that end where the series does. A block lacks values: their mean stands for
/// those that are missing if at least half are there.
fn aggregate(values: &Arc<[f64]>, every: usize) -> Arc<[f64]> {
    if every == 1 {
        return Arc::clone(values);
    }
    let block = |block: &[f64]| {
        let (sum, count) =
            (block.iter().filter(|v| !v.is_nan())).fold((0.0, 0), |(sum, n), value| (sum + value, n + 1));
        if 2 * count >= every { sum / f64::from(count as u32) * every as f64 } else { f64::NAN }
    };
    values[values.len() % every..].chunks_exact(every).map(block).collect()
}

fn whole(family: &Family, rate: &Rate, series: &[Arc<[f64]>], low: bool) -> Option<View> {
    let kind = if low { Kind::ShortOrLow } else { Kind::Whole };
    view(kind, name(family, rate, None), (rate.season, rate.horizon), windows(family, rate, series, None))
}

/// `None` where histories are not longer than the cut, or too few.
fn short(family: &Family, rate: &Rate, series: &[Arc<[f64]>], cut: usize) -> Option<View> {
    let season = if cut > rate.season { rate.season } else { 1 };
    let windows = windows(family, &Rate { season, ..*rate }, series, Some(cut));
    view(Kind::ShortOrLow, name(family, rate, Some(cut)), (season, rate.horizon), windows)
}

fn view(kind: Kind, name: String, (season, horizon): (usize, usize), windows: Vec<Window>) -> Option<View> {
    (windows.len() >= LEAST_WINDOWS).then_some(View { kind, task: Task { name, horizon, season, windows } })
}

/// Windows that do not overlap in what they forecast, the latest first, as many of each series as the family says.
fn windows(family: &Family, rate: &Rate, series: &[Arc<[f64]>], cut: Option<usize>) -> Vec<Window> {
    let of = |series: &Arc<[f64]>| {
        let splits = (1..).map_while(|back| series.len().checked_sub(back * rate.horizon));
        let each = splits.filter_map(|split| {
            let start = cut.map_or(Some(0), |cut| split.checked_sub(cut + 1).map(|before| before + 1))?;
            Window::new(series, start, (split, rate.horizon)).filter(|window| usable(window, rate.season))
        });
        each.take(family.origins).collect::<Vec<_>>()
    };
    series.iter().flat_map(of).collect()
}

/// Whether a forecast of the window, and the naive one, can be scored.
fn usable(window: &Window, season: usize) -> bool {
    let naive = seasonal_naive(window.context(), season, window.target().len());
    let mut tally = metric::Tally::default();
    tally.push(window, season, &naive);
    let Score { mase, wql } = tally.score();
    window.context().iter().filter(|value| !value.is_nan()).count() >= LEAST_CONTEXT
        && mase <= LARGEST_NAIVE_ERROR
        && wql.is_finite()
}

fn name(family: &Family, rate: &Rate, cut: Option<usize>) -> String {
    let file = family.file.rsplit('/').next().unwrap_or_default();
    let file = file.split('.').next().unwrap_or_default();
    let rate = if rate.every > 1 { format!(", {}", rate.name) } else { String::new() };
    let cut = cut.map_or(String::new(), |cut| format!(", last {cut}"));
    format!("{file}{rate}{cut}")
}

#[cfg(test)]
mod tests;
