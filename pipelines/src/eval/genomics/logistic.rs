//! Logistic regression with an L2 penalty, solved to its minimum:
//!
//! ```text
//! f(w, b) = |w|² / 2 + C Σ ln(1 + e^(-y (w·x + b)))        y: 1 or -1; the intercept is free
//! ```
//!
//! Newton's method; its steps by conjugate gradients, which take products with the Hessian alone (Lin, Weng and Keerthi,
//! 2008), and a line search. Rows are shared among threads in parts that depend on their number alone: sums have the same
//! bits on any machine.

use std::{num::NonZero, sync::Mutex, thread};

use super::features::Features;

/// Newton steps, and steps of conjugate gradients in each, at most.
const STEPS: usize = 60;
const INNER: usize = 250;
/// How small the gradient is where a fit ends, as a share of that at the start: at the minimum, and near enough to it to
/// choose by.
pub(super) const EXACT: f64 = 1e-6;
pub(super) const NEAR: f64 = 1e-3;
/// Parts that rows are shared in.
const PARTS: usize = 32;

/// A line between two classes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Logistic {
    /// The weights, then the intercept.
    weights: Vec<f64>,
}

impl Logistic {
    /// The minimum for these cases. `c`: what cases weigh against the penalty; `done`: [`EXACT`] or [`NEAR`].
    pub(super) fn fit(features: &Features, labels: &[bool], (c, done): (f64, f64)) -> Self {
        let problem = Problem { features, labels, c };
        let mut weights = vec![0.0; features.width + 1];
        let mut margins = vec![0.0; features.len()];
        let mut start = None;
        for _ in 0..STEPS {
            let gradient = problem.gradient(&weights, &margins);
            let size = dot(&gradient, &gradient).sqrt();
            let start = *start.get_or_insert(size);
            if size <= done * start {
                break;
            }
            let step = problem.newton(&margins, &gradient, (0.1_f64).min((size / start).sqrt()) * size);
            let along = problem.products(&step);
            let Some(length) = problem.search((&weights, &margins), (&step, &along), dot(&gradient, &step)) else {
                break;
            };
            weights.iter_mut().zip(&step).for_each(|(w, s)| *w += length * s);
            margins.iter_mut().zip(&along).for_each(|(m, a)| *m += length * a);
        }
        Self { weights }
    }

    /// Each row's margin: positive for the class of `true`.
    pub(super) fn margins(&self, features: &Features) -> Vec<f64> {
        Problem { features, labels: &[], c: 0.0 }.products(&self.weights)
    }
}

struct Problem<'a> {
    features: &'a Features,
    labels: &'a [bool],
    c: f64,
}

impl Problem<'_> {
    /// `X w + b`
    fn products(&self, weights: &[f64]) -> Vec<f64> {
        let bias = weights[self.features.width];
        let part = |rows: std::ops::Range<usize>| {
            let product = |row| {
                let (columns, values) = self.features.row(row);
                let terms = columns.iter().zip(values).map(|(&c, &x)| weights[usize::from(c)] * f64::from(x));
                bias + terms.sum::<f64>()
            };
            rows.map(product).collect::<Vec<f64>>()
        };
        self.in_parts(part).concat()
    }

    /// `Xᵀ r`, and the sum of r.
    fn transposed(&self, rows: &[f64]) -> Vec<f64> {
        let part = |range: std::ops::Range<usize>| {
            let mut sum = vec![0.0; self.features.width + 1];
            for row in range {
                let (columns, values) = self.features.row(row);
                columns.iter().zip(values).for_each(|(&c, &x)| sum[usize::from(c)] += rows[row] * f64::from(x));
                sum[self.features.width] += rows[row];
            }
            sum
        };
        let parts = self.in_parts(part).into_iter();
        let add = |mut sum: Vec<f64>, part: Vec<f64>| {
            sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
            sum
        };
        parts.reduce(add).unwrap_or_else(|| vec![0.0; self.features.width + 1])
    }

    fn gradient(&self, weights: &[f64], margins: &[f64]) -> Vec<f64> {
        let residual = |(&margin, &label): (&f64, &bool)| self.c * (sigmoid(margin) - f64::from(u8::from(label)));
        let mut gradient = self.transposed(&margins.iter().zip(self.labels).map(residual).collect::<Vec<_>>());
        let free = self.features.width;
        gradient[..free].iter_mut().zip(weights).for_each(|(g, w)| *g += w);
        gradient
    }

    /// The step that solves `H s = -g` as far as a residual of `tolerance`.
    fn newton(&self, margins: &[f64], gradient: &[f64], tolerance: f64) -> Vec<f64> {
        let curve: Vec<f64> = margins.iter().map(|&margin| self.c * sigmoid(margin) * sigmoid(-margin)).collect();
        let hessian = |v: &[f64]| {
            let mut rows = self.products(v);
            rows.iter_mut().zip(&curve).for_each(|(row, curve)| *row *= curve);
            let mut product = self.transposed(&rows);
            product[..self.features.width].iter_mut().zip(v).for_each(|(p, v)| *p += v);
            product
        };
        let mut step = vec![0.0; gradient.len()];
        let mut left: Vec<f64> = gradient.iter().map(|g| -g).collect();
        let mut direction = left.clone();
        let mut square = dot(&left, &left);
        for _ in 0..INNER {
            if square.sqrt() <= tolerance {
                break;
            }
            let product = hessian(&direction);
            let length = square / dot(&direction, &product).max(f64::MIN_POSITIVE);
            step.iter_mut().zip(&direction).for_each(|(s, d)| *s += length * d);
            left.iter_mut().zip(&product).for_each(|(l, p)| *l -= length * p);
            let next = dot(&left, &left);
            direction.iter_mut().zip(&left).for_each(|(d, l)| *d = l + next / square * *d);
            square = next;
        }
        step
    }

    /// How far to go along a step so that the value falls enough; `None` where it does not fall.
    fn search(&self, (weights, margins): (&[f64], &[f64]), (step, along): (&[f64], &[f64]), slope: f64) -> Option<f64> {
        let free = self.features.width;
        let value = |length: f64| {
            let penalty: f64 = weights[..free].iter().zip(step).map(|(w, s)| (w + length * s).powi(2)).sum();
            let terms = margins.iter().zip(along).zip(self.labels);
            let loss: f64 =
                terms.map(|((m, a), &label)| softplus(if label { -(m + length * a) } else { m + length * a })).sum();
            0.5 * penalty + self.c * loss
        };
        let before = value(0.0);
        let lengths = (0..30).map(|halvings| 0.5_f64.powi(halvings));
        lengths.into_iter().find(|&length| value(length) <= before + 1e-4 * length * slope)
    }

    /// Runs a part of the rows at a time; results in order.
    fn in_parts<R: Send>(&self, part: impl Fn(std::ops::Range<usize>) -> R + Sync) -> Vec<R> {
        let rows = self.features.len();
        let size = rows.div_ceil(PARTS).max(64);
        let ranges: Vec<_> = (0..rows).step_by(size).map(|first| first..rows.min(first + size)).collect();
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(ranges.len());
        if threads <= 1 || rows < 4096 {
            return ranges.into_iter().map(part).collect();
        }
        let queue = Mutex::new(ranges.into_iter().enumerate());
        let work = || {
            let mut done = vec![];
            while let Some((i, range)) = queue.lock().ok().and_then(|mut queue| queue.next()) {
                done.push((i, part(range)));
            }
            done
        };
        let mut done: Vec<(usize, R)> = thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            threads.into_iter().flat_map(|thread| thread.join()).flatten().collect()
        });
        done.sort_by_key(|(i, _)| *i);
        done.into_iter().map(|(_, result)| result).collect()
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

/// `ln(1 + e^x)`
fn softplus(x: f64) -> f64 {
    x.max(0.0) + libm::log1p(libm::exp(-x.abs()))
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(rows: usize) -> (Features, Vec<bool>) {
        let number = |i: usize| ((i * 7919 + 13) % 1009) as f32 / 504.5 - 1.0;
        let mut features = Features::new(5);
        (0..rows).for_each(|i| features.push_dense(&[0, 1, 2, 3, 4].map(|k| number(i * 5 + k))));
        let label = |i: usize| {
            let (_, x) = features.row(i);
            x[0] - 0.5 * x[3] + 0.8 * number(i * 31 + 3) > 0.1
        };
        let labels = (0..rows).map(label).collect();
        (features, labels)
    }

    /// At the minimum the gradient is 0, the penalty's part of it included; around it the value is greater.
    #[test]
    fn the_minimum_is_found() {
        for (rows, c) in [(200, 0.1), (200, 100.0), (5000, 0.01)] {
            let (features, labels) = problem(rows);
            let fitted = Logistic::fit(&features, &labels, (c, EXACT));
            let problem = Problem { features: &features, labels: &labels, c };
            let gradient = problem.gradient(&fitted.weights, &fitted.margins(&features));
            let start = problem.gradient(&[0.0; 6], &vec![0.0; rows]);
            let size = |g: &[f64]| dot(g, g).sqrt();
            assert!(size(&gradient) <= EXACT * size(&start), "{rows} {c}: {} of {}", size(&gradient), size(&start));
            assert!(fitted.weights[0] > 0.0 && fitted.weights[3] < 0.0);
        }
    }

    /// One feature, two cases: w = C / (1 + e^w) x 2 has a root that bisection finds.
    #[test]
    fn two_cases_by_hand() {
        let mut features = Features::new(1);
        [[1.0], [-1.0]].iter().for_each(|row| features.push_dense(row));
        let fitted = Logistic::fit(&features, &[true, false], (3.0, EXACT));
        let (mut low, mut high) = (0.0_f64, 10.0);
        for _ in 0..80 {
            let middle = 0.5 * (low + high);
            if middle < 6.0 / (1.0 + middle.exp()) { low = middle } else { high = middle }
        }
        assert!((fitted.weights[0] - low).abs() < 1e-5 && fitted.weights[1].abs() < 1e-9, "{:?}", fitted.weights);
    }
}
