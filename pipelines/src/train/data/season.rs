//! Seasons: random shapes at calendar or free periods, with drifting phase and amplitude, alone or nested (days in weeks).

mod shape;

use self::shape::shape;
use super::{
    draws::Draws,
    trend,
    vector::{add, standardise},
};

/// Calendar periods, the common ones several times.
const PERIODS: [usize; 32] = [
    4, 5, 6, 7, 7, 7, 8, 10, 12, 12, 12, 12, 13, 24, 24, 24, 24, 26, 30, 48, 48, 52, 52, 60, 96, 120, 144, 168, 168,
    168, 288, 365,
];
/// Those of short windows, as far as they occur at least three times.
const SHORT: [usize; 19] = [4, 4, 4, 6, 7, 7, 7, 12, 12, 12, 12, 12, 12, 24, 24, 24, 48, 52, 168];
/// Those of long windows only.
const LONG: [usize; 8] = [336, 365, 672, 720, 1008, 1440, 2016, 8766];
/// A period and one that it is nested in: hours, half hours, ... in weeks, days in weeks, months and years.
const NESTED: [(usize, usize); 11] = [
    (24, 168),
    (24, 168),
    (24, 168),
    (48, 336),
    (96, 672),
    (144, 1008),
    (288, 2016),
    (7, 365),
    (7, 30),
    (5, 21),
    (24, 8766),
];
/// Points of a cycle that is played at a free period.
const POINTS: usize = 512;

/// A length in steps.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Period {
    /// Cycles repeat exactly.
    Whole(usize),
    /// Any length.
    Free(f64),
}

impl Period {
    /// A period that fits a window of `len` values.
    fn draw(d: &mut Draws, len: usize) -> Self {
        if len <= 1100 && d.chance(0.65) {
            let fitting = SHORT.iter().filter(|&&p| p <= (len / 3).max(4)).count();
            return Self::Whole(d.pick(&SHORT[..fitting]));
        }
        let long = len > 4200;
        if long && d.chance(0.25) {
            return Self::Whole(d.pick(&LONG));
        }
        if d.chance(0.3) {
            let longest = if long { len as f32 / 6.0 } else { 500.0 };
            return Self::Free(f64::from(d.log_uniform(3.0, longest)));
        }
        Self::Whole(d.pick(&PERIODS))
    }

    fn steps(self) -> f64 {
        match self {
            Self::Whole(steps) => steps as f64,
            Self::Free(steps) => steps,
        }
    }
}

/// A season of a random shape and period, of deviation about 1.
pub(super) fn season(d: &mut Draws, x: &mut [f32]) {
    let period = Period::draw(d, x.len());
    of_period(d, x, period);
}

/// The seasons of a series, added up: nested ones, or up to three that know nothing of each other.
pub(super) fn seasons(d: &mut Draws, x: &mut [f32]) {
    x.fill(0.0);
    let mut part = d.take(x.len());
    let fitting: [usize; NESTED.len()] = std::array::from_fn(|i| i);
    let fits = |&i: &usize| NESTED[i].1 <= x.len() / 2;
    if d.chance(0.3) && fitting.iter().any(fits) {
        let mut choice = d.pick(&fitting);
        while !fits(&choice) {
            choice = d.pick(&fitting);
        }
        let size = d.log_uniform(0.3, 2.5);
        nested(d, &mut part, NESTED[choice]);
        add(x, &part, size);
        if d.chance(0.15) {
            let size = d.log_uniform(0.2, 2.0);
            season(d, &mut part);
            add(x, &part, size);
        }
    } else {
        for chance in [0.85, 0.45, 0.15] {
            if d.chance(chance) {
                let size = d.log_uniform(0.2, 2.0);
                season(d, &mut part);
                add(x, &part, size);
            }
        }
    }
    d.give(part);
}

/// A season of a given period.
fn of_period(d: &mut Draws, x: &mut [f32], period: Period) {
    let drifts = d.chance(0.2);
    match period {
        Period::Whole(steps) if !drifts => {
            let mut cycle = d.take(steps);
            shape(d, &mut cycle, steps as f32);
            repeat(d, x, &cycle);
            if d.chance(0.1) {
                cycle.fill(0.0);
                shape(d, &mut cycle, steps as f32);
                morph(d, x, &cycle);
            }
            d.give(cycle);
        }
        _ => {
            let mut cycle = d.take(POINTS);
            let smooth = shape(d, &mut cycle, period.steps() as f32);
            play(d, x, &cycle, Played { period: period.steps(), smooth, drifts });
            d.give(cycle);
        }
    }
    swell(d, x);
}

/// Cycles of an exact number of steps, from anywhere in the first.
fn repeat(d: &mut Draws, x: &mut [f32], cycle: &[f32]) {
    let mut at = d.below(cycle.len());
    for v in x {
        *v = cycle[at];
        at = if at + 1 == cycle.len() { 0 } else { at + 1 };
    }
}

/// Goes over to another cycle along a logistic curve.
fn morph(d: &mut Draws, x: &mut [f32], cycle: &[f32]) {
    let (mut other, mut share) = (d.take(x.len()), d.take(x.len()));
    repeat(d, &mut other, cycle);
    trend::logistic(d, &mut share, 300.0);
    for ((v, other), share) in x.iter_mut().zip(&other).zip(&share) {
        *v += share * (other - *v);
    }
    d.give(other);
    d.give(share);
}

/// How a cycle is played.
struct Played {
    /// Steps of a cycle.
    period: f64,
    /// Whether values between points are interpolated.
    smooth: bool,
    /// Whether the phase drifts.
    drifts: bool,
}

/// Cycles of any length.
fn play(d: &mut Draws, x: &mut [f32], cycle: &[f32], how: Played) {
    let jitter = if how.drifts { 0.02 * d.uniform(0.0, 5.0) / (x.len() as f32).sqrt() } else { 0.0 };
    let (mut phase, step, points) = (f64::from(d.unit()), 1.0 / how.period, cycle.len());
    for v in x {
        let place = phase as f32 * points as f32;
        let at = (place as usize).min(points - 1);
        *v = if how.smooth {
            let next = cycle[if at + 1 == points { 0 } else { at + 1 }];
            cycle[at] + (place - at as f32) * (next - cycle[at])
        } else {
            cycle[at]
        };
        phase += step;
        if jitter > 0.0 {
            phase += f64::from(jitter * d.normal());
        }
        phase -= phase.floor();
    }
}

/// Lets the amplitude wander or grow, in some.
fn swell(d: &mut Draws, x: &mut [f32]) {
    let (kind, len) = (d.unit(), x.len() as f32);
    if kind < 0.3 {
        let size = d.uniform(0.0, 0.6) * 2.0 / len.sqrt();
        let mut log = 0.0;
        for v in x {
            log += size * d.normal();
            *v *= log.exp();
        }
    } else if kind < 0.38 {
        let (growth, mut factor) = ((d.uniform(-1.5, 1.5) / len).exp(), 1.0);
        for v in x {
            *v *= factor;
            factor *= growth;
        }
    }
}

/// Days (of `inner` steps) in weeks, months or years (of `outer` steps): where weeks are of whole days, each weekday has
/// its level and its size, and weekends may have a shape of their own; else two seasons.
fn nested(d: &mut Draws, x: &mut [f32], (inner, outer): (usize, usize)) {
    let days = outer / inner;
    if days != 7 || outer % inner != 0 {
        of_period(d, x, Period::Whole(inner));
        let (mut slow, size) = (d.take(x.len()), d.log_uniform(0.2, 3.0));
        of_period(d, &mut slow, if outer > 300 { Period::Free(outer as f64 + 0.25) } else { Period::Whole(outer) });
        add(x, &slow, size);
        d.give(slow);
        return;
    }
    let (mut day, mut rest_day, mut week) = (d.take(inner), d.take(inner), d.take(outer));
    shape(d, &mut day, inner as f32);
    shape(d, &mut rest_day, inner as f32);
    let of_its_own = d.uniform(0.0, 1.0) * f32::from(u8::from(d.chance(0.6)));
    let (sizes, levels) = (d.log_uniform(0.02, 0.5), d.log_uniform(0.05, 1.5));
    for (i, piece) in week.chunks_mut(inner).enumerate() {
        let own = if i >= 5 { of_its_own } else { 0.0 };
        let (size, level) = (1.0 + sizes * d.normal(), levels * d.normal());
        add(piece, &day, size * (1.0 - own));
        add(piece, &rest_day, size * own);
        piece.iter_mut().for_each(|v| *v += level);
    }
    standardise(&mut week);
    repeat(d, x, &week);
    swell(d, x);
    [day, rest_day, week].into_iter().for_each(|buffer| d.give(buffer));
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;

    #[test]
    fn whole_periods_repeat_exactly() {
        let mut d = Draws::new(1);
        let mut x = vec![0.0; 700];
        for steps in [4, 7, 12, 24, 168] {
            for _ in 0..20 {
                let mut cycle = vec![0.0; steps];
                shape(&mut d, &mut cycle, steps as f32);
                repeat(&mut d, &mut x, &cycle);
                assert!((steps..700).all(|t| x[t] == x[t - steps]), "{steps}");
            }
        }
    }

    #[test]
    fn seasons_correlate_at_their_period() {
        let mut d = Draws::new(2);
        let mut x = vec![0.0; 2112];
        for period in [Period::Whole(12), Period::Whole(168), Period::Free(50.5)] {
            let mut good = 0;
            for _ in 0..60 {
                of_period(&mut d, &mut x, period);
                standardise(&mut x);
                let lag = period.steps() as usize * if period == Period::Free(50.5) { 2 } else { 1 };
                let lag = lag + usize::from(period == Period::Free(50.5));
                let products: f32 = x.iter().zip(&x[lag..]).map(|(a, b)| a * b).sum();
                good += usize::from(products / (x.len() - lag) as f32 > 0.7);
            }
            assert!(good >= 52, "{period:?}: {good} of 60");
        }
    }

    #[test]
    fn a_free_period_is_kept_over_long_windows() {
        let mut d = Draws::new(3);
        let mut x = vec![0.0; 16_384];
        let cycle: Vec<f32> = (0..POINTS).map(|i| (TAU * i as f32 / POINTS as f32).sin()).collect();
        play(&mut d, &mut x, &cycle, Played { period: 37.3, smooth: true, drifts: false });
        // 373 steps are ten cycles.
        assert!((0..16_011).all(|t| (x[t] - x[t + 373]).abs() < 1e-2));
    }

    #[test]
    fn sums_of_seasons_fit_any_window() {
        let mut d = Draws::new(5);
        for len in [10, 65, 192, 2112, 9000] {
            let mut x = vec![0.0; len];
            for _ in 0..40 {
                seasons(&mut d, &mut x);
                assert!(x.iter().all(|v| v.abs() < 1e3), "{len}");
            }
        }
    }
}
