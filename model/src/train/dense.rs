//! A two-layer network with a linear path beside it, `down(silu(up(x))) + skip(x)`, forward and backward.

use unspool_kernels::cpu::{Target, Team};

use crate::{
    backward::{Real, linear},
    weights::{Linear, Spec},
};

/// The weights of such a network; gradients have the same form.
#[derive(Clone, Debug, PartialEq)]
pub struct Dense<T = f32> {
    /// `[2 d, n_in]`
    pub up: Linear<T>,
    /// `[n_out, 2 d]`
    pub down: Linear<T>,
    /// `[n_out, n_in]`
    pub skip: Linear<T>,
}

/// What the backward pass needs.
pub struct DenseTape<T> {
    /// `[t, 2 d]`, before SiLU and after it.
    up: Vec<T>,
    s: Vec<T>,
}

impl<T: Real> Dense<T> {
    /// x: rows of some stride → `[t, n_out]`.
    pub fn forward(&self, team: &Team, (x, stride): (&[T], usize), t: usize) -> (Vec<T>, DenseTape<T>) {
        let up = linear::forward(team, &self.up, (x, stride), t);
        let s: Vec<T> = up.iter().map(|&v| v * v.sigmoid()).collect();
        let mut y = linear::forward(team, &self.down, (&s, self.up.n_out), t);
        let skip = linear::forward(team, &self.skip, (x, stride), t);
        y.iter_mut().zip(&skip).for_each(|(y, &skip)| *y += skip);
        (y, DenseTape { up, s })
    }

    /// The gradients of the weights, and of x where asked for, `[t, n_in]`. dy: `[t, n_out]`.
    pub fn backward(
        &self,
        team: &Team,
        (x, stride): (&[T], usize),
        tape: &DenseTape<T>,
        dy: &[T],
    ) -> (Self, impl FnOnce() -> Vec<T>) {
        let t = dy.len() / self.down.n_out;
        let down = linear::backward_w(team, &self.down, dy, (&tape.s, self.up.n_out));
        let skip = linear::backward_w(team, &self.skip, dy, (x, stride));
        let mut d_up = vec![T::ZERO; tape.up.len()];
        let out = Target { values: &mut d_up, stride: self.up.n_out, accumulate: false };
        linear::backward_x(team, &self.down, dy, out);
        d_up.iter_mut().zip(&tape.up).for_each(|(d, &v)| {
            let s = v.sigmoid();
            *d *= s * (T::ONE + v * (T::ONE - s));
        });
        let up = linear::backward_w(team, &self.up, &d_up, (x, stride));
        let n_in = self.up.n_in;
        let dx = move || {
            let mut dx = vec![T::ZERO; t * n_in];
            linear::backward_x(team, &self.skip, dy, Target { values: &mut dx, stride: n_in, accumulate: false });
            linear::backward_x(team, &self.up, &d_up, Target { values: &mut dx, stride: n_in, accumulate: true });
            dx
        };
        (Self { up, down, skip }, dx)
    }
}

impl<T> Dense<T> {
    /// Builds one by asking for each of its tensors in order.
    pub fn build<E>(
        name: &str,
        (n_in, hidden, n_out): (usize, usize, usize),
        mut tensor: impl FnMut(&Spec) -> Result<Vec<T>, E>,
    ) -> Result<Self, E> {
        let mut linear = |part: &str, n_in: usize, n_out: usize| -> Result<Linear<T>, E> {
            let mut take = |what: &str, shape: &[usize]| {
                tensor(&Spec { name: format!("{name}.{part}.{what}"), shape: shape.to_vec() })
            };
            let weight = take("weight", &[n_out, n_in])?;
            Ok(Linear { n_out, n_in, weight, bias: Some(take("bias", &[n_out])?) })
        };
        Ok(Self {
            up: linear("up", n_in, hidden)?,
            down: linear("down", hidden, n_out)?,
            skip: linear("skip", n_in, n_out)?,
        })
    }

    /// The tensors' values, in the order of [`Self::build`].
    pub fn parts(&self) -> Vec<&[T]> {
        let linears = [&self.up, &self.down, &self.skip];
        linears.into_iter().flat_map(|l| [&l.weight[..]].into_iter().chain(l.bias.as_deref())).collect()
    }

    /// As [`Self::parts`], to be changed.
    pub fn parts_mut(&mut self) -> Vec<&mut [T]> {
        let linears = [&mut self.up, &mut self.down, &mut self.skip];
        linears.into_iter().flat_map(|l| [&mut l.weight[..]].into_iter().chain(l.bias.as_deref_mut())).collect()
    }
}
