//! The shapes of seasons: one cycle, in points or in steps.

use std::f32::consts::TAU;

use crate::train::data::{
    draws::Draws,
    vector::{moments, standardise},
};

/// Most harmonics of a smooth shape.
const HARMONICS: usize = 8;

/// A random cycle of deviation 1, for a period in steps; whether it may be interpolated.
pub(super) fn shape(d: &mut Draws, cycle: &mut [f32], period: f32) -> bool {
    let kind = d.unit();
    let smooth = if kind < 0.5 {
        harmonics(d, cycle, period);
        true
    } else if kind < 0.63 {
        knots(d, cycle);
        true
    } else if kind < 0.71 {
        bumps(d, cycle);
        true
    } else if kind < 0.88 {
        levels(d, cycle, period);
        false
    } else {
        let (height, duty) = (d.log_uniform(0.5, 2.0), d.uniform(0.05, 0.6));
        let saw = kind > 0.95;
        let step = 1.0 / cycle.len() as f32;
        for (i, v) in cycle.iter_mut().enumerate() {
            let phase = i as f32 * step;
            *v = if saw { phase } else { height * f32::from(u8::from(phase < duty)) };
        }
        false
    };
    standardise(cycle);
    smooth
}

/// Harmonics whose sizes fall by a power, as far as the steps show them.
fn harmonics(d: &mut Draws, cycle: &mut [f32], period: f32) {
    let fall = d.uniform(0.3, 2.5);
    for k in 1..=HARMONICS {
        if period < 2.0 * k as f32 {
            break;
        }
        let size = (k as f32).powf(-fall);
        let (mut a, mut b) = (size * d.normal(), size * d.normal());
        let (sin, cos) = (TAU * k as f32 / cycle.len() as f32).sin_cos();
        for v in cycle.iter_mut() {
            *v += a;
            (a, b) = (a * cos - b * sin, b * cos + a * sin);
        }
    }
}

/// Straight lines between random values at 24 knots, or fewer.
fn knots(d: &mut Draws, cycle: &mut [f32]) {
    let count = if d.chance(0.7) { 24 } else { 3 + d.below(12) };
    let mut values = [0.0; 25];
    d.normals(&mut values[..count]);
    values[count] = values[0];
    let step = count as f32 / cycle.len() as f32;
    for (i, v) in cycle.iter_mut().enumerate() {
        let place = i as f32 * step;
        let at = (place as usize).min(count - 1);
        *v = values[at] + (place - at as f32) * (values[at + 1] - values[at]);
    }
}

/// One to four peaks, as of mornings and evenings.
fn bumps(d: &mut Draws, cycle: &mut [f32]) {
    let len = cycle.len() as f32;
    for _ in 0..=d.below(4) {
        let (centre, sharp, height) = (d.unit() * len, d.log_uniform(1.0, 40.0), d.log_uniform(0.3, 2.0));
        for (i, v) in cycle.iter_mut().enumerate() {
            *v += height * (sharp * ((TAU * (i as f32 - centre) / len).cos() - 1.0)).exp();
        }
    }
}

/// Held levels: one each step of a short period, else one each weekday, hour or the like; neighbours may be alike.
fn levels(d: &mut Draws, cycle: &mut [f32], period: f32) {
    let steps = period.round().max(2.0) as usize;
    let count = match steps {
        0..=24 => steps,
        _ if d.chance(0.3) => steps.min(cycle.len()),
        _ => d.pick(&[7, 12, 24, 24]),
    };
    let mut values = d.take(count);
    let alike = d.uniform(0.0, 0.95) * f32::from(u8::from(d.chance(0.5)));
    let mut state = d.normal();
    for v in &mut values {
        state = alike * state + (1.0 - alike * alike).sqrt() * d.normal();
        *v = state;
    }
    let len = cycle.len();
    cycle.iter_mut().enumerate().for_each(|(i, v)| *v = values[i * count / len]);
    if d.chance(0.15) {
        // Quiet but for a few of them.
        let (mean, _) = moments(cycle);
        cycle.iter_mut().for_each(|v| *v = (*v - mean - 1.0).max(0.0));
    }
    d.give(values);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_have_mean_0_and_deviation_1() {
        let mut d = Draws::new(4);
        let mut flat = 0;
        for i in 0..600 {
            let steps = [3, 4, 7, 52, 365][i % 5];
            let mut cycle = vec![0.0; steps];
            shape(&mut d, &mut cycle, steps as f32);
            let (mean, deviation) = moments(&cycle);
            assert!(mean.abs() < 1e-3 && cycle.iter().all(|v| v.is_finite()));
            flat += usize::from((deviation - 1.0).abs() > 1e-2);
        }
        assert!(flat < 30, "{flat} of 600 do not vary");
    }
}
