//! Noise: white of several distributions, coloured, of processes with a memory, and with a volatility of its own.

use std::f32::consts::TAU;

use rand_distr::StudentT;

use super::{
    draws::Draws,
    vector::{accumulate, standardise},
};

/// Sections of the filter behind coloured noise.
const SECTIONS: usize = 16;
/// Heavy tails end here, in deviations of their core.
const TAIL: f32 = 12.0;

/// Noise with a memory, standardised: 1/f noise, AR(1), a stochastic cycle or an ARMA process.
pub(super) fn coloured(d: &mut Draws, x: &mut [f32]) {
    let (kind, len) = (d.unit(), x.len() as f32);
    if kind < 0.35 {
        let alpha = d.uniform(0.0, 2.6);
        power_law(d, x, alpha);
    } else if kind < 0.78 {
        let phi = 1.0 - d.log_uniform((1.0 / len).min(0.005), 1.0);
        ar1(d, x, phi);
    } else if kind < 0.92 {
        let period = d.log_uniform(5.0, (len / 4.0).clamp(60.0, 300.0));
        let bandwidth = d.log_uniform(0.02, 0.3);
        cycle(d, x, period, bandwidth);
    } else {
        arma(d, x);
    }
    standardise(x);
}

/// Noise whose power falls with frequency as `f^-alpha`, for `alpha` from 0 to 3.
///
/// White noise through first-order sections whose time constants are spread evenly in the logarithm up to the window's
/// length and weighed so that their sum falls as `f^(-alpha/2)`; beyond `alpha` = 2 it is summed up once.
fn power_law(d: &mut Draws, x: &mut [f32], alpha: f32) {
    let summed = alpha > 2.0;
    let order = if summed { alpha / 2.0 - 1.0 } else { alpha / 2.0 };
    let ratio = (2.0 * x.len() as f32).powf(1.0 / (SECTIONS - 1) as f32);
    let (mut phi, mut weight, mut state) = ([0.0; SECTIONS], [0.0; SECTIONS], [0.0; SECTIONS]);
    let mut tau = 0.5_f32;
    for i in 0..SECTIONS {
        phi[i] = (-1.0 / tau).exp();
        weight[i] = tau.powf(order - 1.0);
        state[i] = d.normal() / (1.0 - phi[i] * phi[i]).sqrt();
        tau *= ratio;
    }
    for v in x.iter_mut() {
        let shock = d.normal();
        let mut sums = [0.0; 4];
        for i in 0..SECTIONS {
            state[i] = phi[i] * state[i] + shock;
            sums[i % 4] += weight[i] * state[i];
        }
        *v = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    }
    if summed {
        accumulate(x);
    }
}

/// A first-order autoregression, stationary from its start.
fn ar1(d: &mut Draws, x: &mut [f32], phi: f32) {
    let mut state = d.normal() / (1.0 - phi * phi).max(1e-6).sqrt();
    for v in x {
        state = phi * state + d.normal();
        *v = state;
    }
}

/// A second-order autoregression that swings about `period`, within `bandwidth` times its frequency.
pub(super) fn cycle(d: &mut Draws, x: &mut [f32], period: f32, bandwidth: f32) {
    let radius = (-0.5 * TAU * bandwidth / period).exp();
    let (a, b) = (2.0 * radius * (TAU / period).cos(), -radius * radius);
    let (mut now, mut before) = (0.0, 0.0);
    let mut step = |d: &mut Draws| {
        (now, before) = (a * now + b * before + d.normal(), now);
        now
    };
    let warm_up = (2.0 / (1.0 - radius)).min(400.0) as usize;
    for _ in 0..warm_up {
        step(d);
    }
    x.fill_with(|| step(d));
}

/// An ARMA(2, 2) process of random roots.
fn arma(d: &mut Draws, x: &mut [f32]) {
    let [(a, b), (m, n)] = [0.98, 0.8].map(|limit| {
        let (r, s) = (d.uniform(-0.4, limit), d.uniform(-0.4, limit));
        // Two real roots, or a pair of conjugates.
        if d.chance(0.5) { (r + s, -r * s) } else { (2.0 * r * (TAU * 0.5 * s).cos(), -r * r) }
    });
    let (mut now, mut before, mut shock, mut shock_before) = (0.0, 0.0, 0.0, 0.0);
    for v in x {
        let fresh = d.normal();
        (now, before) = (a * now + b * before + fresh + m * shock + n * shock_before, now);
        (shock, shock_before) = (fresh, shock);
        *v = now;
    }
}

/// Independent noise of deviation about 1, some of it with a volatility that moves.
pub(super) fn noise(d: &mut Draws, x: &mut [f32]) {
    let kind = d.unit();
    if kind < 0.66 {
        d.normals(x);
    } else if kind < 0.88 {
        student(d, x);
    } else if kind < 0.94 {
        let (rate, size) = (d.log_uniform(0.005, 0.1), d.log_uniform(2.0, 8.0));
        x.fill_with(|| d.normal());
        burst(d, x, rate, |v| v * size);
    } else {
        let spread = d.uniform(0.2, 1.0);
        let (mean, deviation) = ((0.5 * spread * spread).exp(), (spread * spread).exp());
        let scale = 1.0 / (mean * (deviation - 1.0).sqrt());
        x.fill_with(|| ((spread * d.normal()).exp() - mean) * scale);
    }
    let volatility = d.unit();
    if volatility < 0.22 {
        let mut log = d.take(x.len());
        coloured(d, &mut log);
        let size = d.uniform(0.0, 0.8);
        x.iter_mut().zip(&log).for_each(|(v, l)| *v *= (size * l).exp());
        d.give(log);
    } else if volatility < 0.29 {
        garch(d, x);
    }
}

/// Student's t of few degrees of freedom.
fn student(d: &mut Draws, x: &mut [f32]) {
    let freedom = if d.chance(0.5) { 3.0 } else { d.uniform(2.1, 7.0) };
    if let Ok(student) = StudentT::new(freedom) {
        x.fill_with(|| d.of(&student).clamp(-TAIL, TAIL));
    }
}

/// Changes values at random places.
pub(super) fn burst(d: &mut Draws, x: &mut [f32], rate: f32, change: impl Fn(f32) -> f32) {
    let mut at = d.gap(rate) - 1;
    while at < x.len() {
        x[at] = change(x[at]);
        at += d.gap(rate);
    }
}

/// Makes shocks follow each other in size: a GARCH(1, 1) variance of mean 1.
pub(super) fn garch(d: &mut Draws, x: &mut [f32]) {
    let (shock, memory) = (d.uniform(0.05, 0.3), d.uniform(0.3, 0.95));
    let memory = memory * (0.98 - shock);
    let mut variance = 1.0_f32;
    for v in x {
        *v *= variance.sqrt();
        variance = ((1.0 - shock - memory) + shock * *v * *v + memory * variance).min(400.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::data::vector::moments;

    /// The autocorrelation at a lag.
    fn correlation(x: &[f32], lag: usize) -> f32 {
        let (mean, deviation) = moments(x);
        let products = x.iter().zip(&x[lag..]).map(|(a, b)| (a - mean) * (b - mean)).sum::<f32>();
        products / (deviation * deviation * (x.len() - lag) as f32)
    }

    /// Power at a frequency in cycles a step, mean over pieces of 512 values.
    fn power(x: &[f32], frequency: f32) -> f32 {
        let piece = |x: &[f32]| {
            let (mut re, mut im) = (0.0_f32, 0.0_f32);
            for (t, v) in x.iter().enumerate() {
                let (s, c) = (TAU * frequency * t as f32).sin_cos();
                let window = 1.0 - (TAU * t as f32 / 512.0).cos();
                re += v * c * window;
                im += v * s * window;
            }
            re * re + im * im
        };
        x.chunks_exact(512).map(piece).sum()
    }

    #[test]
    fn ar1_correlates_as_its_coefficient() {
        let mut x = vec![0.0; 20_000];
        for phi in [0.0, 0.5, 0.9, -0.3_f32] {
            ar1(&mut Draws::new(3), &mut x, phi);
            for lag in [1, 2, 4] {
                let (got, wanted) = (correlation(&x, lag), phi.powi(lag as i32));
                assert!((got - wanted).abs() < 0.05, "{phi} at {lag}: {got}, not {wanted}");
            }
        }
    }

    #[test]
    fn power_falls_as_the_exponent() {
        let mut x = vec![0.0; 512 * 80];
        for alpha in [0.8, 1.0, 1.5, 1.9, 2.5_f32] {
            power_law(&mut Draws::new(4), &mut x, alpha);
            let slope = (power(&x, 4.0 / 512.0) / power(&x, 64.0 / 512.0)).ln() / 16.0_f32.ln();
            assert!((slope - alpha).abs() < 0.3, "{alpha}: {slope}");
        }
    }

    #[test]
    fn a_cycle_swings_about_its_period() {
        let mut x = vec![0.0; 20_000];
        cycle(&mut Draws::new(5), &mut x, 20.0, 0.05);
        assert!(correlation(&x, 20) > 0.6 && correlation(&x, 10) < -0.6);
    }

    #[test]
    fn every_kind_is_finite_and_of_a_sane_size() {
        let mut d = Draws::new(6);
        for round in 0..300 {
            let mut x = vec![0.0; 300];
            noise(&mut d, &mut x);
            assert!(x.iter().all(|v| v.is_finite() && v.abs() < 1e3), "noise {round}");
            coloured(&mut d, &mut x);
            let (mean, deviation) = moments(&x);
            assert!(mean.abs() < 1e-3 && (deviation - 1.0).abs() < 1e-3, "coloured {round}: {mean} {deviation}");
        }
    }
}
