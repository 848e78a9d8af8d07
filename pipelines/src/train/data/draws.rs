//! The random numbers of a window, and buffers to work in.

use rand::{RngCore, SeedableRng};
use rand_distr::{Distribution, Exp1, Poisson, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Rates from here on are drawn by the normal approximation.
const MANY: f32 = 60.0;
/// Rates up to here are drawn by inversion.
const FEW: f32 = 12.0;

/// Draws of one window, and buffers that are used again from window to window.
pub(super) struct Draws {
    rng: Xoshiro256PlusPlus,
    spare: Vec<Vec<f32>>,
}

/// Mixes numbers into a seed: any change of one changes all bits (the finaliser of SplitMix64).
pub(super) fn seed(parts: [u64; 3]) -> u64 {
    parts.into_iter().fold(0x243f_6a88_85a3_08d3, |state, part| {
        let mut z = (state ^ part).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

impl Draws {
    /// The draws of a seed.
    pub(super) fn new(seed: u64) -> Self {
        Self { rng: Xoshiro256PlusPlus::seed_from_u64(seed), spare: vec![] }
    }

    /// Starts again from a seed, with the buffers kept.
    pub(super) fn restart(&mut self, seed: u64) {
        self.rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    }

    /// A buffer of zeros.
    pub(super) fn take(&mut self, len: usize) -> Vec<f32> {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer.resize(len, 0.0);
        buffer
    }

    /// Gives a buffer back, to be taken again.
    pub(super) fn give(&mut self, buffer: Vec<f32>) {
        self.spare.push(buffer);
    }

    /// Uniform in [0, 1).
    pub(super) fn unit(&mut self) -> f32 {
        (self.rng.next_u64() >> 40) as f32 * (1.0 / (1 << 24) as f32)
    }

    /// Uniform between two bounds.
    pub(super) fn uniform(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Uniform in the logarithm, between two positive bounds.
    pub(super) fn log_uniform(&mut self, low: f32, high: f32) -> f32 {
        self.uniform(low.ln(), high.ln()).exp()
    }

    /// Whether something of this probability happens.
    pub(super) fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// Uniform in 0..n; 0 for n = 0.
    pub(super) fn below(&mut self, n: usize) -> usize {
        // The bias is n / 2^64.
        ((u128::from(self.rng.next_u64()) * n as u128) >> 64) as usize
    }

    /// One of several, which must not be empty.
    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// -1 or 1.
    pub(super) fn sign(&mut self) -> f32 {
        if self.rng.next_u64() >> 63 == 0 { 1.0 } else { -1.0 }
    }

    /// Standard normal.
    pub(super) fn normal(&mut self) -> f32 {
        StandardNormal.sample(&mut self.rng)
    }

    /// Of any distribution.
    pub(super) fn of(&mut self, distribution: &impl Distribution<f32>) -> f32 {
        distribution.sample(&mut self.rng)
    }

    /// Fills with standard normals.
    pub(super) fn normals(&mut self, x: &mut [f32]) {
        x.fill_with(|| self.normal());
    }

    /// Steps to the next event of this rate a step, from 1 on: what `chance(rate)` at each step would give, in one draw.
    pub(super) fn gap(&mut self, rate: f32) -> usize {
        let exponential: f32 = Exp1.sample(&mut self.rng);
        1 + (exponential / -(-rate.min(0.999_999)).ln_1p()).min(1e9) as usize
    }

    /// Poisson of a mean from 0 on; from 60 on rounded normal.
    pub(super) fn poisson(&mut self, mean: f32) -> f32 {
        if mean < FEW {
            let (mut term, mut k, mut left) = ((-mean).exp(), 0.0, self.unit());
            while left >= term && k < 64.0 {
                left -= term;
                k += 1.0;
                term *= mean / k;
            }
            return k;
        }
        if mean >= MANY {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0);
        }
        Poisson::new(mean).map_or(0.0, |poisson| self.of(&poisson))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::data::vector::moments;

    #[test]
    fn poisson_has_the_moments_of_its_mean() {
        let mut d = Draws::new(1);
        for mean in [0.0, 0.3, 4.0, 11.9, 12.1, 40.0, 59.0, 61.0, 1500.0_f32] {
            let x: Vec<f32> = (0..20_000).map(|_| d.poisson(mean)).collect();
            let (got, deviation) = moments(&x);
            let error = 5.0 * (mean / 20_000.0).sqrt();
            assert!((got - mean).abs() <= error, "{mean}: {got}");
            assert!((deviation * deviation - mean).abs() <= 0.06 * mean, "{mean}: variance {}", deviation * deviation);
            assert!(x.iter().all(|&v| v >= 0.0 && v.fract() == 0.0));
        }
    }

    #[test]
    fn gaps_have_the_mean_of_their_rate() {
        let mut d = Draws::new(2);
        for rate in [0.01_f32, 0.2, 0.9] {
            let mean = (0..20_000).map(|_| d.gap(rate) as f64).sum::<f64>() / 20_000.0;
            assert!((mean * f64::from(rate) - 1.0).abs() < 0.04, "{rate}: {mean}");
        }
    }

    #[test]
    fn seeds_of_near_numbers_are_far() {
        let of = |a, b, c| seed([a, b, c]);
        let base = of(1, 2, 3);
        for other in [of(0, 2, 3), of(1, 3, 3), of(1, 2, 2), of(2, 1, 3), of(1, 3, 2)] {
            assert!((12..52).contains(&(base ^ other).count_ones()), "{base:x} {other:x}");
        }
    }
}
