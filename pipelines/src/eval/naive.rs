//! The seasonal naive forecast: each step as a season before.

use super::{LEVELS, task::Quantiles};

/// The last season again and again, all levels alike, `[horizon, 9]`; the last value where the context is shorter than a
/// season. A missing value counts as the one observed before it (NaN before the first).
#[must_use]
pub fn seasonal_naive(context: &[f64], season: usize, horizon: usize) -> Quantiles {
    let season = if season == 0 || context.len() < season { 1 } else { season };
    let start = context.len().saturating_sub(season);
    let mut last = context[..start].iter().rev().copied().find(|value| !value.is_nan()).unwrap_or(f64::NAN);
    let cycle: Vec<f64> = (context[start..].iter())
        .map(|value| {
            last = if value.is_nan() { last } else { *value };
            last
        })
        .collect();
    let steps = cycle.iter().copied().chain(std::iter::repeat_n(f64::NAN, usize::from(cycle.is_empty()))).cycle();
    steps.take(horizon).flat_map(|value| [value; LEVELS.len()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_season_comes_again() {
        const NO: f64 = f64::NAN;
        let check = |context: &[f64], season, expected: &[f64]| {
            let found = seasonal_naive(context, season, expected.len());
            let found: Vec<String> = found.iter().step_by(LEVELS.len()).map(f64::to_string).collect();
            assert_eq!(found, expected.iter().map(f64::to_string).collect::<Vec<_>>(), "{context:?}, {season}");
        };
        check(&[9.0, 1.0, 2.0], 2, &[1.0, 2.0, 1.0]);
        check(&[9.0, 1.0, 2.0], 1, &[2.0, 2.0]);
        check(&[9.0, 1.0], 3, &[1.0, 1.0]);
        check(&[9.0, NO, 2.0, NO], 3, &[9.0, 2.0, 2.0, 9.0]);
        check(&[NO, NO, 2.0], 2, &[NO, 2.0]);
        check(&[], 2, &[NO]);
    }
}
