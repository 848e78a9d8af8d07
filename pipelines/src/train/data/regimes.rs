//! Series that change their ways: regimes of a level, a spread, a memory, a slope and a season each.

use super::{draws::Draws, season};

/// One way of behaving.
struct Regime {
    mean: f32,
    spread: f32,
    memory: f32,
    slope: f32,
    season: f32,
}

impl Regime {
    fn draw(d: &mut Draws, len: usize) -> Self {
        Self {
            mean: 1.5 * d.normal(),
            spread: d.log_uniform(0.03, 1.5),
            memory: if d.chance(0.4) { 0.0 } else { 1.0 - d.log_uniform(0.01, 1.0) },
            slope: if d.chance(0.3) { 4.0 * d.normal() / len as f32 } else { 0.0 },
            season: if d.chance(0.6) { d.log_uniform(0.1, 2.0) } else { 0.0 },
        }
    }
}

/// Two or three regimes, each for spells of a random length.
pub(super) fn regimes(d: &mut Draws, x: &mut [f32]) {
    let len = x.len();
    let regimes = [(); 3].map(|()| Regime::draw(d, len));
    let (count, longest) = (2 + d.below(2), len as f32 / 2.0);
    let leave = 1.0 / d.log_uniform((longest / 20.0).max(4.0), longest.max(5.0));
    // Jumps to the new mean, or goes there over some steps.
    let approach = if d.chance(0.5) { 1.0 } else { d.log_uniform(0.02, 0.5) };
    season::seasons(d, x);
    let (mut at, mut until) = (d.below(count), d.gap(leave));
    let (mut mean, mut level, mut error) = (regimes[at].mean, 0.0, 0.0);
    for (t, v) in x.iter_mut().enumerate() {
        if t >= until {
            at = (at + 1 + d.below(count - 1)) % count;
            until = t + d.gap(leave);
        }
        let regime = &regimes[at];
        level += regime.slope;
        error = regime.memory * error + regime.spread * d.normal();
        mean += approach * (regime.mean - mean);
        *v = mean + level + regime.season * *v + error;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::data::vector::moments;

    #[test]
    fn spells_differ_more_than_chance_would_have_it() {
        let mut d = Draws::new(1);
        let mut apart = 0;
        for _ in 0..100 {
            let mut x = vec![0.0; 1000];
            regimes(&mut d, &mut x);
            assert!(x.iter().all(|v| v.abs() < 1e3));
            let spreads: Vec<f32> = x.chunks(50).map(|piece| moments(piece).1).collect();
            let (least, most) = spreads.iter().fold((f32::MAX, 0.0_f32), |(a, b), &v| (a.min(v), b.max(v)));
            apart += usize::from(most > 2.0 * least);
        }
        assert!(apart > 60, "{apart} of 100");
    }
}
