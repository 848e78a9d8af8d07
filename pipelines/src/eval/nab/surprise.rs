//! From p-values to detections: how much more surprising a value is than the stream's values are, told once an event.
//!
//! A surprise is -ln p. A stream whose values are often surprising (its p-values are too small, or its bursts are what it
//! does) must not alarm all the time, so surprises are measured against the mean and deviation of those before. Of values
//! that are surprising one after the other the first tells, and then only a greater one: people need one alarm an event.
//!
//! How it is done was chosen on [`injected`](super::injected()) anomalies, never on NAB: means over 3 to 20 surprises, as
//! anomaly likelihoods take them (arXiv 1510.03336), find less there. Causal, and of constant size.

use std::collections::VecDeque;

/// Surprises are forgotten at this rate: about 8,000 of them count.
const FORGET: f64 = 1.0 / 8000.0;
/// Nothing is told before so many values.
const LEARN: u64 = 288;
/// The largest surprise: beyond the outer deciles p is a model's, not a count.
const LARGEST: f64 = 30.0;
/// A score stays quiet for so many values after a greater one.
const QUIET: u64 = 256;

/// What was seen so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Surprise {
    count: u64,
    mean: f64,
    variance: f64,
    /// Scores of the last values that no later one reaches, with their numbers: falling.
    peaks: VecDeque<(u64, f64)>,
}

impl Surprise {
    /// Takes in a value's p-value (NaN: not known) and gives its score: deviations from the mean surprise, 0 at least.
    pub(super) fn push(&mut self, p: f64) -> f64 {
        // What is not known is as surprising as values are on average.
        let surprise = if p.is_nan() { 1.0 } else { (-libm::log(p)).clamp(0.0, LARGEST) };
        let off = surprise - self.mean;
        let score = if self.count < LEARN { 0.0 } else { (off / libm::sqrt(self.variance.max(1e-6))).max(0.0) };
        self.count += 1;
        // An average over all so far, until there are so many that the oldest are forgotten.
        let rate = (1.0 / self.count as f64).max(FORGET);
        self.mean += rate * off;
        self.variance = (1.0 - rate) * (self.variance + rate * off * off);
        self.once(score)
    }

    /// The score, or 0 where one of the last values had as great a one.
    fn once(&mut self, score: f64) -> f64 {
        while self.peaks.front().is_some_and(|(number, _)| number + QUIET < self.count) {
            self.peaks.pop_front();
        }
        let greatest = self.peaks.front().map_or(0.0, |peak| peak.1);
        while self.peaks.back().is_some_and(|(_, peak)| *peak <= score) {
            self.peaks.pop_back();
        }
        self.peaks.push_back((self.count, score));
        if score > greatest { score } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uniform(i: u64) -> f64 {
        ((i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    #[test]
    fn what_is_odd_is_told_once() {
        let mut surprise = Surprise::default();
        let usual: Vec<f64> = (0..3000).map(|i| surprise.push(uniform(i))).collect();
        assert!(usual[..LEARN as usize].iter().all(|score| *score == 0.0));
        assert!(usual.iter().all(|score| *score < 15.0));
        let first = surprise.push(1e-9);
        assert!(first > 15.0, "{first}");
        assert!((0..3).all(|_| surprise.push(1e-8) == 0.0));
        assert!(surprise.push(1e-13) > first);
        let quiet = (0..QUIET).map(|i| surprise.push(uniform(i))).all(|score| score == 0.0);
        assert!(quiet && (1000..3000).any(|i| surprise.push(uniform(i)) > 0.0));
        assert_eq!(surprise.push(f64::NAN), 0.0);
    }

    #[test]
    fn streams_that_are_often_surprising_are_measured_by_themselves() {
        let told = |power: f64| {
            let mut surprise = Surprise::default();
            for i in 0..3000 {
                surprise.push(uniform(i).powf(power));
            }
            for _ in 0..QUIET {
                surprise.push(1.0);
            }
            surprise.push(1e-9)
        };
        assert!(told(1.0) > 2.0 * told(3.0));
    }

    #[test]
    fn memory_is_bounded_and_scores_are_numbers() {
        let mut surprise = Surprise::default();
        let ps = [0.0, f64::MIN_POSITIVE, 1.0, 0.5, f64::NAN].repeat(400);
        assert!(ps.into_iter().all(|p| surprise.push(p).is_finite()));
        for i in 0..5000 {
            surprise.push(libm::exp(-0.001 * f64::from(5000 - i)));
        }
        assert!(surprise.peaks.len() <= QUIET as usize + 1);
    }
}
