//! From p-values to one score a value: how likely it is that so many odd values come together by chance.
//!
//! As the anomaly likelihood of Lavin and Ahmad (arXiv 1510.03336), whose constants stand here: the mean of the last ten
//! surprises is measured against the mean and deviation of the means before it. A surprise is -ln p, at most that of
//! p = 1e-6: nine deciles say nothing of rarer values. Causal, and of constant size.

/// Surprises whose mean is taken.
const SHORT: usize = 10;
/// Means are forgotten at this rate: about 8,000 of them count.
const FORGET: f64 = 1.0 / 8000.0;
/// Nothing is told before so many values.
const LEARN: u64 = 288;
/// The largest surprise.
const LARGEST: f64 = 13.8;

/// What was seen so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Likelihood {
    recent: Vec<f64>,
    at: usize,
    count: u64,
    mean: f64,
    variance: f64,
}

impl Likelihood {
    /// Takes in a value's p-value (NaN: not known) and gives its score, from 0 to 1: more for less likely.
    pub(super) fn push(&mut self, p: f64) -> f64 {
        let surprise = if p.is_nan() { 1.0 } else { -libm::log(p).clamp(-LARGEST, 0.0) };
        if self.recent.len() < SHORT {
            self.recent.push(surprise);
        } else {
            self.recent[self.at] = surprise;
            self.at = (self.at + 1) % SHORT;
        }
        let short = self.recent.iter().sum::<f64>() / self.recent.len() as f64;
        let deviations = (short - self.mean) / libm::sqrt(self.variance.max(1e-6));
        self.count += 1;
        // An average over all so far, until there are so many that the oldest are forgotten.
        let rate = (1.0 / self.count as f64).max(FORGET);
        let off = short - self.mean;
        self.mean += rate * off;
        self.variance = (1.0 - rate) * (self.variance + rate * off * off);
        if self.count <= LEARN {
            return 0.0;
        }
        // ln of the normal tail over ln 1e-10, as NAB's detectors scale it
        let tail = 0.5 * libm::erfc(deviations / std::f64::consts::SQRT_2);
        (libm::log(tail + 1e-10) / libm::log(1e-10)).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_values_that_come_together_stand_out() {
        let uniform = |i: u64| ((i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        let mut likelihood = Likelihood::default();
        let usual: Vec<f64> = (0..3000).map(|i| likelihood.push(uniform(i))).collect();
        assert!(usual[..LEARN as usize].iter().all(|score| *score == 0.0));
        let above = |least: f64| usual.iter().filter(|score| **score > least).count();
        assert!(above(0.0) > 2000 && above(0.5) < 30, "{} {}", above(0.0), above(0.5));
        let odd: Vec<f64> = (0..SHORT).map(|_| likelihood.push(1e-4)).collect();
        assert!(odd.is_sorted() && odd[SHORT - 1] > 0.9, "{odd:?}");
        // What is not known is as odd as values are on average.
        assert!((0..SHORT).map(|_| likelihood.push(f64::NAN)).last() < Some(0.5));
    }

    #[test]
    fn scores_stay_within_their_bounds() {
        let mut likelihood = Likelihood::default();
        let ps = [0.0, f64::MIN_POSITIVE, 1.0, 0.5, f64::NAN].repeat(200);
        assert!(ps.into_iter().all(|p| (0.0..=1.0).contains(&likelihood.push(p))));
        let mut still = Likelihood::default();
        assert!((0..1000).all(|_| still.push(1.0) < 1.0));
    }
}
