//! Series of the training generator, from a seed that no training uses.

use std::sync::Arc;

use crate::{
    eval::{Result, Task, Window},
    train::data::{DataOptions, SeriesData, Windows},
};

/// The seed: training counts its own from 1.
const SEED: u64 = 0x7e57_5eed_0bad_cafe;
/// Values of a patch, and values that the generator adds after the last one: how its windows are measured.
const PATCH: usize = 16;
const BEYOND: usize = 64;
/// Windows of each length, and their lengths in patches.
const COUNT: usize = 200;
const PATCHES: [usize; 4] = [4, 8, 32, 128];
/// Steps to forecast.
const HORIZON: usize = 48;

/// A task for each length. The naive forecast repeats the last value: a generated series' season is not known.
///
/// # Errors
/// When the generator refuses its options.
pub(super) fn tasks() -> Result<Vec<Task>> {
    let task = |patches: usize| {
        let options = DataOptions { seed: SEED, real_share: 0.0, real: None, lengths: vec![(patches, 1.0)] };
        let windows = SeriesData::new(options, PATCH, BEYOND, COUNT * patches)?.batch(0, 1);
        let name = format!("generator, {} values at most", patches * PATCH);
        Ok(Task { name, horizon: HORIZON, season: 1, windows: known(&windows) })
    };
    PATCHES.into_iter().map(task).collect()
}

/// What is observed, from its first value to its last, and the values after it.
fn known(windows: &Windows) -> Vec<Window> {
    let each = (0..windows.count).filter_map(|number| {
        let at = number * windows.len..(number + 1) * windows.len;
        let observed = &windows.observed[at.clone()];
        let first = observed.iter().position(|seen| *seen)?;
        let split = observed.iter().rposition(|seen| *seen)? + 1;
        let (values, known) = (&windows.values[at.clone()], &windows.known[at]);
        let value = |i: usize| {
            let there = if i < split { observed[i] } else { known[i] };
            if there { f64::from(values[i]) } else { f64::NAN }
        };
        let series: Arc<[f64]> = (0..windows.len).map(value).collect();
        Window::new(&series, first, (split, HORIZON)).filter(|window| super::usable(window, 1))
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_windows_are_the_same_each_time_and_can_be_scored() {
        let (first, again) = (tasks().expect("generates"), tasks().expect("generates"));
        for ((task, again), patches) in first.iter().zip(&again).zip(PATCHES) {
            assert!(task.windows.len() > COUNT / 2, "{}: {} windows", task.name, task.windows.len());
            for (window, again) in task.windows.iter().zip(&again.windows) {
                let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(window.context()), bits(again.context()));
                let known = window.context();
                assert!(known.len() <= patches * PATCH && !known[0].is_nan() && !known[known.len() - 1].is_nan());
            }
        }
    }
}
