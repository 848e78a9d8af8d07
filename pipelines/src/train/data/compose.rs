//! Composed series: trends, memory, smooth functions, shifts, seasons, noise and events, added or multiplied up, counted,
//! or accumulated.

use super::{
    counts,
    draws::Draws,
    noise, season, trend,
    vector::{accumulate, add, moments, standardise},
};

/// What a series is put together from, before it is known how.
struct Parts {
    /// Trend, memory, smooth functions, shifts and walks.
    base: Vec<f32>,
    season: Vec<f32>,
    noise: Vec<f32>,
}

/// A composed series: additive (half), multiplicative, counts, or accumulated growth.
pub(super) fn composed(d: &mut Draws, x: &mut [f32]) {
    let parts = Parts::draw(d, x.len());
    let kind = d.unit();
    if kind < 0.52 {
        additive(d, x, &parts);
    } else if kind < 0.77 {
        multiplicative(d, x, &parts);
    } else if kind < 0.93 {
        counted(d, x, &parts);
    } else {
        growth(d, x, &parts);
    }
    [parts.base, parts.season, parts.noise].into_iter().for_each(|buffer| d.give(buffer));
}

impl Parts {
    fn draw(d: &mut Draws, len: usize) -> Self {
        let (mut base, mut part) = (d.take(len), d.take(len));
        type Fill = fn(&mut Draws, &mut [f32]);
        let fills: [(f32, f32, f32, Fill); 5] = [
            (0.75, 0.2, 2.0, trend::trend),
            (0.55, 0.05, 2.5, noise::coloured),
            (0.22, 0.2, 2.0, trend::smooth),
            (0.15, 0.3, 3.0, trend::shifts),
            (0.17, 0.5, 8.0, trend::walk),
        ];
        for (chance, least, most, fill) in fills {
            if d.chance(chance) {
                let size = d.log_uniform(least, most);
                fill(d, &mut part);
                add(&mut base, &part, size);
            }
        }
        let mut seasons = part;
        if d.chance(0.9) {
            season::seasons(d, &mut seasons);
        } else {
            seasons.fill(0.0);
        }
        let mut errors = d.take(len);
        if d.chance(0.92) {
            let size = d.log_uniform(0.008, 1.0);
            noise::noise(d, &mut errors);
            // Some errors grow and shrink with the season.
            let swing = if d.chance(0.12) { d.uniform(0.2, 1.2) } else { 0.0 };
            if swing > 0.0 {
                errors.iter_mut().zip(&seasons).for_each(|(e, s)| *e *= (swing * s.clamp(-3.0, 3.0)).exp());
            }
            errors.iter_mut().for_each(|e| *e *= size);
        }
        Self { base, season: seasons, noise: errors }
    }
}

/// The sum, and events now and then.
fn additive(d: &mut Draws, x: &mut [f32], parts: &Parts) {
    x.copy_from_slice(&parts.base);
    add(x, &parts.season, 1.0);
    add(x, &parts.noise, 1.0);
    if d.chance(0.14) {
        events(d, x);
    }
    standardise(x);
}

/// A level times a season times an error, positive.
fn multiplicative(d: &mut Draws, x: &mut [f32], parts: &Parts) {
    x.copy_from_slice(&parts.base);
    standardise(x);
    let size = 0.5 * d.log_uniform(0.2, 2.0);
    for ((v, s), e) in x.iter_mut().zip(&parts.season).zip(&parts.noise) {
        *v = (size * *v + 0.4 * (s.clamp(-6.0, 6.0) + e.clamp(-6.0, 6.0))).exp();
    }
}

/// Counts about a mean that moves.
fn counted(d: &mut Draws, x: &mut [f32], parts: &Parts) {
    x.copy_from_slice(&parts.base);
    add(x, &parts.season, 1.0);
    standardise(x);
    let log = d.uniform(-2.5, 3.5);
    x.iter_mut().for_each(|v| *v = ((0.8 * *v).clamp(-5.0, 5.0) + log).exp().min(2000.0));
    let spread = d.log_uniform(0.3, 80.0);
    counts::count(d, x, spread);
    if d.chance(0.3) {
        let share = d.uniform(0.0, 0.9);
        counts::inflate_zeros(d, x, share);
    }
}

/// Accumulated growth, as of an epidemic: increments that set in along a logistic curve, and may end along another.
fn growth(d: &mut Draws, x: &mut [f32], parts: &Parts) {
    multiplicative(d, x, parts);
    let (mut curve, ends) = (d.take(x.len()), d.chance(0.5));
    trend::logistic(d, &mut curve, 40.0);
    x.iter_mut().zip(&curve).for_each(|(v, c)| *v *= c);
    if ends {
        trend::logistic(d, &mut curve, 40.0);
        x.iter_mut().zip(&curve).for_each(|(v, c)| *v *= 1.0 - c);
    }
    d.give(curve);
    if d.chance(0.3) {
        let (mean, _) = moments(x);
        let scale = d.log_uniform(0.2, 50.0) / (mean + 1e-9);
        x.iter_mut().for_each(|v| *v *= scale);
        let spread = d.log_uniform(0.5, 80.0);
        counts::count(d, x, spread);
    }
    accumulate(x);
}

/// Adds events of one sign, some of which die away slowly, some of which come in a rhythm.
fn events(d: &mut Draws, x: &mut [f32]) {
    let (rate, size) = (d.log_uniform(0.0005, 0.03), d.sign() * d.log_uniform(1.0, 6.0));
    let fades = if d.chance(0.4) { (-1.0 / d.log_uniform(1.0, 30.0)).exp() } else { 0.0 };
    let rhythm = if d.chance(0.2) { Some((1.0 / rate) as usize) } else { None };
    let next = |d: &mut Draws| rhythm.unwrap_or_else(|| d.gap(rate));
    let (mut at, mut left) = (d.gap(rate) - 1, 0.0);
    for (t, v) in x.iter_mut().enumerate() {
        left *= fades;
        if t == at {
            left += size * (0.5 * d.normal()).exp();
            at += next(d).max(1);
        }
        *v += left;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parts of a season alone.
    fn parts(len: usize) -> Parts {
        let season = (0..len).map(|t| (t as f32 * 0.5).sin()).collect();
        Parts { base: vec![0.0; len], season, noise: vec![0.0; len] }
    }

    #[test]
    fn what_is_composed_keeps_its_kind() {
        let mut d = Draws::new(1);
        let mut x = vec![0.0; 300];
        for _ in 0..50 {
            multiplicative(&mut d, &mut x, &parts(300));
            assert!(x.iter().all(|&v| v > 0.0));
            counted(&mut d, &mut x, &parts(300));
            assert!(x.iter().all(|&v| v >= 0.0 && v.fract() == 0.0));
            growth(&mut d, &mut x, &parts(300));
            assert!(x.is_sorted());
        }
    }

    #[test]
    fn events_are_as_frequent_as_their_rates() {
        let mut d = Draws::new(2);
        let mut touched = 0;
        for _ in 0..400 {
            let mut x = vec![0.0; 1000];
            events(&mut d, &mut x);
            touched += x.iter().filter(|v| v.abs() > 0.3).count();
        }
        // The mean of the rates is 0.0072; some events last.
        assert!((2500..25_000).contains(&touched), "{touched} of 400,000");
    }
}
