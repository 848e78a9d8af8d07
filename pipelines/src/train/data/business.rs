//! Business series: level and damped slope as random walks, seasonal indices that drift from cycle to cycle.

use super::{
    counts,
    draws::Draws,
    noise,
    vector::{moments, standardise},
};

/// Periods in steps (1: none), as of yearly, quarterly, daily, monthly, hourly and weekly figures.
const PERIODS: [usize; 13] = [1, 1, 4, 4, 4, 7, 12, 12, 12, 12, 12, 24, 52];

/// A series of the kind that exponential smoothing fits: additive, multiplicative, or counts about a multiplicative mean.
pub(super) fn business(d: &mut Draws, x: &mut [f32]) {
    // The time over which things move, in steps.
    let pace = d.uniform(20.0, 200.0) * (x.len() as f32 / 2500.0).max(1.0);
    level(d, x, pace);
    let spread = d.log_uniform(0.3, 3.0);
    x.iter_mut().for_each(|v| *v = (*v * spread).clamp(-12.0, 12.0));
    let period = d.pick(&PERIODS);
    if period > 1 && d.chance(0.85) {
        seasonal(d, x, period, pace);
    }
    let (mut errors, size) = (d.take(x.len()), d.log_uniform(0.004, 0.4));
    if d.chance(0.15) {
        noise::coloured(d, &mut errors)
    } else {
        noise::noise(d, &mut errors)
    }
    x.iter_mut().zip(&errors).for_each(|(v, e)| *v += size * e);
    d.give(errors);
    if d.chance(0.25) {
        let mut at = d.gap(0.02) - 1;
        while at < x.len() {
            x[at] += 1.5 * d.normal();
            at += d.gap(0.02);
        }
    }
    let kind = d.unit();
    if kind < 0.42 {
        standardise(x);
    } else {
        x.iter_mut().for_each(|v| *v = (0.4 * *v).clamp(-14.0, 14.0).exp());
        let (mean, _) = moments(x);
        x.iter_mut().for_each(|v| *v /= mean + 1e-9);
        if kind > 0.88 {
            let (mean, spread) = (d.log_uniform(2.0, 400.0), d.log_uniform(3.0, 300.0));
            x.iter_mut().for_each(|v| *v *= mean);
            counts::count(d, x, spread);
        }
    }
}

/// The level: a random walk with a slope that is one too, damped or not.
fn level(d: &mut Draws, x: &mut [f32], pace: f32) {
    let damping = if d.chance(0.45) { 1.0 } else { 1.0 - d.log_uniform(0.003, 0.2) };
    let mut slope = if d.chance(0.6) { d.normal() * d.log_uniform(0.1, 3.0) / pace } else { 0.0 };
    let turns = if d.chance(0.7) { d.log_uniform(0.01, 1.0) / pace.powf(1.5) } else { 0.0 };
    let steps = if d.chance(0.8) { d.log_uniform(0.02, 1.5) / pace.sqrt() } else { 0.0 };
    let mut level = 0.0;
    for v in x {
        if turns > 0.0 {
            slope += turns * d.normal();
        }
        level += slope;
        if steps > 0.0 {
            level += steps * d.normal();
        }
        *v = level;
        slope *= damping;
    }
}

/// Adds seasonal indices.
fn seasonal(d: &mut Draws, x: &mut [f32], period: usize, pace: f32) {
    let mut index = d.take(period);
    d.normals(&mut index);
    if d.chance(0.5) {
        let mut smooth = d.take(period);
        for i in 0..period {
            smooth[i] = (index[i] + index[(i + 1) % period] + index[(i + period - 1) % period]) / 1.7;
        }
        d.give(std::mem::replace(&mut index, smooth));
    }
    if d.chance(0.15) {
        index.iter_mut().for_each(|v| *v *= f32::from(u8::from(d.chance(0.15))));
    }
    let (mean, _) = moments(&index);
    index.iter_mut().for_each(|v| *v -= mean);
    let (size, len) = (d.log_uniform(0.08, 1.5), x.len() as f32);
    let (growth, mut factor) = if d.chance(0.3) { (d.uniform(-1.5, 1.5) / len, size) } else { (0.0, size) };
    let growth = growth.exp();
    let (drift, amount) = (d.unit(), d.log_uniform(0.05, 0.7));
    let mut ways = d.take(period);
    d.normals(&mut ways);
    let wander = if drift < 0.22 { amount * (period as f32 / pace).sqrt() } else { 0.0 };
    // Straight on, for up to eight times the pace.
    let lead = if (0.22..0.42).contains(&drift) { amount * period as f32 / pace } else { 0.0 };
    let ends = (8.0 * pace) as usize;
    let mut at = d.below(period);
    for (t, v) in x.iter_mut().enumerate() {
        *v += factor * index[at];
        factor *= growth;
        if wander > 0.0 {
            index[at] += wander * d.normal();
        } else if lead > 0.0 && t < ends {
            index[at] += lead * ways[at];
        }
        at = if at + 1 == period { 0 } else { at + 1 };
    }
    d.give(index);
    d.give(ways);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seasonal_indices_sum_to_nothing_and_repeat_where_they_do_not_drift() {
        let mut d = Draws::new(1);
        let mut repeats = 0;
        for _ in 0..200 {
            let mut x = [0.0; 120];
            seasonal(&mut d, &mut x, 12, 100.0);
            let (first, _) = moments(&x[..12]);
            let (_, size) = moments(&x);
            assert!(first.abs() < 0.6 * size + 1e-4, "{first} of {size}");
            repeats += usize::from((12..120).all(|t| (x[t] - x[t - 12]).abs() < 1e-5));
        }
        // 0.58 without drift, times 0.7 without growth.
        assert!((55..110).contains(&repeats), "{repeats} of 200");
    }

    #[test]
    fn figures_are_finite_and_two_in_three_positive() {
        let mut d = Draws::new(2);
        let mut positive = 0;
        for _ in 0..300 {
            let mut x = vec![0.0; 192];
            business(&mut d, &mut x);
            assert!(x.iter().all(|v| v.is_finite()));
            positive += usize::from(x.iter().all(|&v| v >= 0.0));
        }
        assert!((150..200).contains(&positive), "{positive} of 300");
    }
}
