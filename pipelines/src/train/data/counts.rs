//! Counts: about a moving mean, and intermittent demand.

use rand_distr::Gamma;

use super::{draws::Draws, season, trend};

/// Replaces means by counts: negative binomial of the shape `spread` (variance `mean + mean^2 / spread`), or Poisson
/// where it is 300 or more.
pub(super) fn count(d: &mut Draws, mean: &mut [f32], spread: f32) {
    let gamma = Gamma::new(spread, 1.0 / spread).ok().filter(|_| spread < 300.0);
    for v in mean {
        let rate = gamma.map_or(1.0, |gamma| d.of(&gamma)) * v.max(0.0);
        *v = d.poisson(rate.min(1e5));
    }
}

/// Sets values to zero at random: more zeros than counts have by themselves.
pub(super) fn inflate_zeros(d: &mut Draws, x: &mut [f32], share: f32) {
    x.iter_mut().for_each(|v| *v *= f32::from(u8::from(!d.chance(share))));
}

/// Intermittent demand: mostly zeros, with sizes where there is demand. Demand may come in spells, with the season, and
/// fade out or in.
pub(super) fn intermittent(d: &mut Draws, x: &mut [f32]) {
    let rate = d.log_uniform(0.02, 0.6);
    let mut logit = d.take(x.len());
    if d.chance(0.4) {
        let size = d.log_uniform(0.3, 2.0);
        season::season(d, &mut logit);
        logit.iter_mut().for_each(|v| *v *= size);
    }
    if d.chance(0.3) {
        let (mut slow, size) = (d.take(x.len()), d.normal());
        trend::trend(d, &mut slow);
        logit.iter_mut().zip(&slow).for_each(|(l, s)| *l += size * s);
        d.give(slow);
    }
    let spells = if d.chance(0.3) { d.log_uniform(0.02, 0.3) } else { 0.0 };
    let (kind, mean, spread) = (d.unit(), d.log_uniform(0.5, 60.0), d.log_uniform(0.1, 1.2));
    let (mut on, gamma) = (d.chance(0.5), Gamma::new(1.0 / spread, spread).ok());
    for (v, l) in x.iter_mut().zip(&logit) {
        if spells > 0.0 && d.chance(spells) {
            on = !on;
        }
        let odds = rate / (1.0 - rate) * l.clamp(-6.0, 6.0).exp();
        let demanded = (spells == 0.0 || on) && d.chance(odds / (1.0 + odds));
        *v = match () {
            () if !demanded => 0.0,
            () if kind < 0.35 => {
                let factor = gamma.map_or(1.0, |gamma| d.of(&gamma));
                1.0 + d.poisson(mean * factor)
            }
            () if kind < 0.6 => (1.0 + mean * (spread * d.normal()).exp()).round(),
            () if kind < 0.85 => mean * (spread * d.normal()).exp(),
            () => 1.0,
        };
    }
    d.give(logit);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::data::vector::moments;

    #[test]
    fn counts_have_the_moments_of_the_negative_binomial() {
        for (mean, spread) in [(0.5, 0.5), (4.0, 2.0), (30.0, 10.0), (200.0, 3.0), (5.0, 400.0)] {
            let mut x = vec![mean; 40_000];
            count(&mut Draws::new(1), &mut x, spread);
            let (got, deviation) = moments(&x);
            let variance = if spread < 300.0 { mean + mean * mean / spread } else { mean };
            assert!((got - mean).abs() < 6.0 * (variance / 40_000.0).sqrt(), "{mean} {spread}: mean {got}");
            assert!(
                (deviation * deviation / variance - 1.0).abs() < 0.12,
                "{mean} {spread}: {}",
                deviation * deviation
            );
        }
    }

    #[test]
    fn zeros_are_as_many_as_asked() {
        let mut x = vec![2.0; 20_000];
        inflate_zeros(&mut Draws::new(2), &mut x, 0.3);
        let zeros = x.iter().filter(|&&v| v == 0.0).count() as f32 / 20_000.0;
        assert!((zeros - 0.3).abs() < 0.02, "{zeros}");
    }

    #[test]
    fn intermittent_demand_is_mostly_nothing() {
        let mut d = Draws::new(3);
        let (mut zeros, rounds) = (0, 400);
        for _ in 0..rounds {
            let mut x = vec![0.0; 200];
            intermittent(&mut d, &mut x);
            assert!(x.iter().all(|v| v.is_finite() && *v >= 0.0));
            zeros += x.iter().filter(|&&v| v == 0.0).count();
        }
        let share = zeros as f32 / (200 * rounds) as f32;
        assert!((0.75..0.92).contains(&share), "{share}");
    }
}
