//! What moves slowly: trends, level shifts, random walks, smooth random functions.

use std::f32::consts::TAU;

use rand_distr::Gamma;

use super::{
    draws::Draws,
    noise,
    vector::{accumulate, standardise},
};

/// Waves of a smooth random function.
const WAVES: usize = 32;
/// Steps that waves are turned on before their angles are computed anew.
const TURNS: usize = 128;

/// A trend over the window: none, linear, exponential, logistic or piecewise linear.
pub(super) fn trend(d: &mut Draws, x: &mut [f32]) {
    let (kind, step) = (d.unit(), 1.0 / x.len() as f32);
    if kind < 0.3 {
        x.fill(0.0);
    } else if kind < 0.55 {
        let slope = d.normal() * d.log_uniform(0.3, 6.0) * step;
        x.iter_mut().enumerate().for_each(|(t, v)| *v = slope * t as f32);
    } else if kind < 0.68 {
        let (growth, mut level) = ((d.uniform(-3.0, 3.0) * step).exp(), d.log_uniform(0.2, 1.0));
        for v in x {
            *v = level;
            level *= growth;
        }
    } else if kind < 0.8 {
        let height = 3.0 * d.normal();
        logistic(d, x, 60.0);
        x.iter_mut().for_each(|v| *v *= height);
    } else {
        x.fill(0.0);
        let corners = 3 + x.len() / 6000;
        for _ in 0..corners {
            let (from, slope) = (d.below(x.len()), 4.0 * d.normal() * step);
            x[from..].iter_mut().enumerate().for_each(|(t, v)| *v += slope * t as f32);
        }
    }
}

/// A logistic curve from 0 to 1 with its middle anywhere in the window, up to `steepest`.
pub(super) fn logistic(d: &mut Draws, x: &mut [f32], steepest: f32) {
    let (middle, steep) = (d.unit(), d.log_uniform(3.0, steepest));
    // e^-steep(s - middle), by a factor a step; in f64, since it may fall by e^-60.
    let (mut odds, factor) = (f64::from(steep * middle).exp(), (-f64::from(steep) / x.len() as f64).exp());
    for v in x {
        *v = (1.0 / (1.0 + odds)) as f32;
        odds *= factor;
    }
}

/// Level shifts: none to two, more in long windows.
pub(super) fn shifts(d: &mut Draws, x: &mut [f32]) {
    x.fill(0.0);
    let most = 2 + x.len() / 3000;
    for _ in 0..most {
        if d.chance(0.5) {
            let (from, height) = (d.below(x.len()), d.normal());
            x[from..].iter_mut().for_each(|v| *v += height);
        }
    }
}

/// A random walk whose deviation over the window is about 1; its steps may be heavy-tailed or of moving volatility.
pub(super) fn walk(d: &mut Draws, x: &mut [f32]) {
    if d.chance(0.4) {
        noise::noise(d, x)
    } else {
        d.normals(x)
    }
    accumulate(x);
    let scale = 1.0 / (x.len() as f32).sqrt();
    x.iter_mut().for_each(|v| *v *= scale);
}

/// A price: a random walk whose steps have a volatility that moves, with a drift or a pull to its mean, in half of them
/// multiplicative.
pub(super) fn price(d: &mut Draws, x: &mut [f32]) {
    noise::noise(d, x);
    if d.chance(0.5) {
        noise::garch(d, x);
    }
    let scale = 1.0 / (x.len() as f32).sqrt();
    let drift = if d.chance(0.4) { d.normal() * scale } else { 0.0 };
    let pull = if d.chance(0.3) { d.log_uniform(0.3, 30.0) / x.len() as f32 } else { 0.0 };
    let mut level = 0.0;
    for v in x.iter_mut() {
        level += scale * (*v + drift) - pull * level;
        *v = level;
    }
    if d.chance(0.5) {
        let size = d.log_uniform(0.05, 1.5);
        x.iter_mut().for_each(|v| *v = (size * v.clamp(-8.0, 8.0)).exp());
    }
}

/// A smooth random function, standardised: a Gaussian process by random Fourier features, of a squared exponential
/// kernel or a rougher one (frequencies of Student's t).
pub(super) fn smooth(d: &mut Draws, x: &mut [f32]) {
    let scale = 1.0 / (d.log_uniform(0.004, 0.5) * x.len() as f32);
    let rough = Gamma::new(1.5_f32, 1.0 / 1.5).ok().filter(|_| d.chance(0.5));
    let (mut angle, mut speed) = ([0.0_f32; WAVES], [0.0_f32; WAVES]);
    for i in 0..WAVES {
        let heavy = rough.map_or(1.0, |gamma| (d.of(&gamma) + 1e-3).sqrt().recip());
        // Faster than half a cycle a step is not seen as such.
        speed[i] = (d.normal() * scale * heavy).clamp(-3.0, 3.0);
        angle[i] = d.uniform(0.0, TAU);
    }
    let (turn_cos, turn_sin) = (speed.map(f32::cos), speed.map(f32::sin));
    for block in x.chunks_mut(TURNS) {
        let (mut cos, mut sin) = (angle.map(f32::cos), angle.map(f32::sin));
        for v in block.iter_mut() {
            let mut sums = [0.0; 4];
            for i in 0..WAVES {
                sums[i % 4] += cos[i];
                let next = cos[i] * turn_cos[i] - sin[i] * turn_sin[i];
                sin[i] = sin[i] * turn_cos[i] + cos[i] * turn_sin[i];
                cos[i] = next;
            }
            *v = (sums[0] + sums[1]) + (sums[2] + sums[3]);
        }
        for i in 0..WAVES {
            angle[i] = (angle[i] + TURNS as f32 * speed[i]) % TAU;
        }
    }
    standardise(x);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::data::vector::moments;

    #[test]
    fn a_walk_spreads_to_one() {
        let mut d = Draws::new(1);
        let ends: Vec<f32> = (0..2000)
            .map(|_| {
                let mut x = [0.0; 64];
                walk(&mut d, &mut x);
                x[63]
            })
            .collect();
        let (_, deviation) = moments(&ends);
        assert!((0.85..1.5).contains(&deviation), "{deviation}");
    }

    #[test]
    fn steps_of_prices_hardly_correlate() {
        let mut d = Draws::new(5);
        let mut sum = 0.0;
        for _ in 0..100 {
            let mut x = vec![0.0; 400];
            price(&mut d, &mut x);
            let mut steps: Vec<f32> = x.windows(2).map(|w| w[1] - w[0]).collect();
            standardise(&mut steps);
            sum += steps.windows(2).map(|w| w[0] * w[1]).sum::<f32>() / 399.0;
        }
        assert!((sum / 100.0).abs() < 0.05, "{}", sum / 100.0);
    }

    #[test]
    fn smooth_functions_are_smooth_across_blocks() {
        let mut d = Draws::new(2);
        let mut x = vec![0.0; 4 * TURNS];
        let mut rough = 0;
        for _ in 0..200 {
            smooth(&mut d, &mut x);
            let step = |t: usize| (x[t] - x[t - 1]).abs();
            let largest = (1..x.len()).map(step).fold(0.0, f32::max);
            let at_edges = [1, 2, 3].map(|i| step(i * TURNS)).into_iter().fold(0.0, f32::max);
            rough += usize::from(at_edges > 0.999 * largest);
        }
        // By chance the largest of 511 steps is one of 3 in 1.2 of 200.
        assert!(rough <= 8, "{rough} jumps where blocks meet");
    }

    #[test]
    fn trends_and_shifts_are_finite() {
        let mut d = Draws::new(3);
        for len in [1, 2, 65, 5000] {
            let mut x = vec![0.0; len];
            for _ in 0..40 {
                trend(&mut d, &mut x);
                assert!(x.iter().all(|v| v.abs() < 200.0), "{len}");
                shifts(&mut d, &mut x);
                assert!(x.iter().all(|v| v.abs() < 40.0), "{len}");
                logistic(&mut d, &mut x, 60.0);
                assert!(x.iter().all(|v| (0.0..=1.0).contains(v)) && x.is_sorted(), "{len}");
            }
        }
    }
}
