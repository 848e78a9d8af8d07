//! `y = x Wᵀ + b`.

use unspool_kernels::cpu::{Matrix, Target, Team, product};

use super::{parts::sum_rows, real::Real};
use crate::weights::Linear;

/// x: `[t, n_in]` in rows of some stride → `[t, n_out]`.
pub fn forward<T: Real>(team: &Team, map: &Linear<T>, (x, stride): (&[T], usize), t: usize) -> Vec<T> {
    let mut y = vec![T::ZERO; t * map.n_out];
    if let Some(bias) = &map.bias {
        y.chunks_exact_mut(map.n_out).for_each(|y| y.copy_from_slice(bias));
    }
    let out = Target { values: &mut y, stride: map.n_out, accumulate: map.bias.is_some() };
    product(team, Matrix::new(x, [t, map.n_in], stride), weight(map).t(), out);
    y
}

/// `dx = dy W`, or added to what is there. dy: `[t, n_out]`.
pub fn backward_x<T: Real>(team: &Team, map: &Linear<T>, dy: &[T], dx: Target<'_, T>) {
    product(team, Matrix::new(dy, [dy.len() / map.n_out, map.n_out], map.n_out), weight(map), dx);
}

/// `dW = dyᵀ x`, `db` = the sum of dy. dy: `[t, n_out]`, x: `[t, n_in]` in rows of some stride.
pub fn backward_w<T: Real>(team: &Team, map: &Linear<T>, dy: &[T], (x, stride): (&[T], usize)) -> Linear<T> {
    let (n_out, n_in, t) = (map.n_out, map.n_in, dy.len() / map.n_out);
    let mut weight = vec![T::ZERO; n_out * n_in];
    let out = Target { values: &mut weight, stride: n_in, accumulate: false };
    product(team, Matrix::new(dy, [t, n_out], n_out).t(), Matrix::new(x, [t, n_in], stride), out);
    Linear { n_out, n_in, weight, bias: map.bias.as_ref().map(|_| sum_rows(dy, n_out)) }
}

fn weight<T: Real>(map: &Linear<T>) -> Matrix<'_, T> {
    Matrix::new(&map.weight, [map.n_out, map.n_in], map.n_in)
}
