//! RMS norm: `y = x / sqrt(mean(x²) + eps) * w`.

use unspool_kernels::cpu::Team;

use super::{
    parts::{even, split, split_ref, sum_rows},
    real::{Real, sum},
};

/// x: `[t, d]`, weight: `[d]` → `[t, d]`.
pub fn forward<T: Real>(team: &Team, x: &[T], (weight, eps): (&[T], T)) -> Vec<T> {
    let d = weight.len();
    let mut y = vec![T::ZERO; x.len()];
    let rows = even(x.len() / d);
    let items = split(&mut y, &rows, d).into_iter().zip(split_ref(x, &rows, d)).collect();
    team.each(items, |(y, x)| {
        for (y, x) in y.chunks_exact_mut(d).zip(x.chunks_exact(d)) {
            let scale = scale(x, eps);
            y.iter_mut().zip(x).zip(weight).for_each(|((y, &x), &w)| *y = x * scale * w);
        }
    });
    y
}

/// Adds the gradient for x to `dx` and returns the one for the weight.
///
/// With `s = 1 / sqrt(mean(x²) + eps)`: `dx = s (w dy - x s mean(w dy x s))` and `dw = sum over tokens of dy x s`.
///
/// x, dy, dx: `[t, d]` → `[d]`.
pub fn backward<T: Real>(team: &Team, x: &[T], (weight, eps): (&[T], T), dy: &[T], dx: &mut [T]) -> Vec<T> {
    let d = weight.len();
    let rows = even(x.len() / d);
    let mut partial = vec![T::ZERO; rows.len() * d];
    let inputs = split_ref(x, &rows, d).into_iter().zip(split_ref(dy, &rows, d));
    let outputs = split(dx, &rows, d).into_iter().zip(partial.chunks_exact_mut(d));
    team.each(inputs.zip(outputs).collect(), |((x, dy), (dx, dw))| {
        for ((x, dy), dx) in x.chunks_exact(d).zip(dy.chunks_exact(d)).zip(dx.chunks_exact_mut(d)) {
            let s = scale(x, eps);
            let dot = sum(d, |i| x[i] * dy[i] * weight[i]);
            let along = dot * s * s * s / T::from_f64(d as f64);
            for ((((dx, dw), &x), &dy), &w) in dx.iter_mut().zip(&mut *dw).zip(x).zip(dy).zip(weight) {
                *dx += s * w * dy - along * x;
                *dw += dy * x * s;
            }
        }
    });
    sum_rows(&partial, d)
}

fn scale<T: Real>(x: &[T], eps: T) -> T {
    let mean = sum(x.len(), |i| x[i] * x[i]) / T::from_f64(x.len() as f64);
    T::ONE / (mean + eps).sqrt()
}
