//! Causal depthwise convolution and SiLU: `y[t] = silu(v[t])`, `v[t] = b + sum over j of w[j] x[t - (k - 1) + j]`, where x
//! is 0 before a sequence's start.

use std::ops::Range;

use unspool_kernels::cpu::Team;

use super::{
    parts::{rows, split, sum_rows, whole},
    real::Real,
};
use crate::weights;

/// The filters of all channels, tap by tap.
pub struct Conv<T> {
    channels: usize,
    k: usize,
    /// `[k, channels]`
    taps: Vec<T>,
    /// `[channels]`
    bias: Vec<T>,
    biased: bool,
}

impl<T: Real> Conv<T> {
    pub fn new(conv: &weights::Conv<T>, channels: usize) -> Self {
        let k = conv.weight.len() / channels;
        let taps = (0..k * channels).map(|i| conv.weight[i % channels * k + i / channels]).collect();
        let bias = conv.bias.clone().unwrap_or_else(|| vec![T::ZERO; channels]);
        Self { channels, k, taps, bias, biased: conv.bias.is_some() }
    }

    /// x: rows of `stride` values, whose first `channels` are used → `[t, channels]`.
    pub fn forward(&self, team: &Team, (x, stride): (&[T], usize), offsets: &[usize]) -> Vec<T> {
        let mut y = vec![T::ZERO; offsets[offsets.len() - 1] * self.channels];
        let parts = whole(offsets);
        let items = split(&mut y, &rows(offsets, &parts), self.channels).into_iter().zip(parts).collect();
        team.each(items, |(y, part): (&mut [T], Range<usize>)| {
            for (row, t, start) in tokens(offsets, part) {
                let y = &mut y[row * self.channels..][..self.channels];
                self.filter(|past| &x[(t - past) * stride..][..self.channels], t - start, y);
                y.iter_mut().for_each(|y| *y *= y.sigmoid());
            }
        });
        y
    }

    /// v of one token. x: the row so many tokens ago; seen: the tokens before this one.
    fn filter<'a>(&self, x: impl Fn(usize) -> &'a [T], seen: usize, v: &mut [T])
    where
        T: 'a,
    {
        v.copy_from_slice(&self.bias);
        for past in 0..self.k.min(seen + 1) {
            let taps = self.taps(past);
            v.iter_mut().zip(taps).zip(x(past)).for_each(|((v, &w), &x)| *v += w * x);
        }
    }

    /// What weighs the token of so many ago. `[channels]`
    fn taps(&self, past: usize) -> &[T] {
        &self.taps[(self.k - 1 - past) * self.channels..][..self.channels]
    }

    /// The gradients for x, written to the first `channels` of the rows of `dx`, and for the filters.
    ///
    /// x as in [`Self::forward`]; dy: `[t, channels]`, in whose place the gradient for v is left; dx: rows of `stride`.
    pub fn backward(
        &self,
        team: &Team,
        (x, stride): (&[T], usize),
        offsets: &[usize],
        (dy, dx): (&mut [T], &mut [T]),
    ) -> weights::Conv<T> {
        let (channels, width) = (self.channels, (self.k + 1) * self.channels);
        let parts = whole(offsets);
        let sizes = rows(offsets, &parts);
        let mut partial = vec![T::ZERO; parts.len() * width]; // [parts, k + 1, channels]: taps, bias
        let outputs = split(dy, &sizes, channels).into_iter().zip(split(dx, &sizes, stride));
        let items = outputs.zip(partial.chunks_exact_mut(width)).zip(parts).collect();
        team.each(items, |(((dy, dx), dw), part)| {
            let (dw, db) = dw.split_at_mut(self.k * channels);
            let mut v = vec![T::ZERO; channels];
            for (row, t, start) in tokens(offsets, part.clone()) {
                let x = |past: usize| &x[(t - past) * stride..][..channels];
                self.filter(x, t - start, &mut v);
                let dv = &mut dy[row * channels..][..channels];
                for ((dv, db), &v) in dv.iter_mut().zip(&mut *db).zip(&v) {
                    let s = v.sigmoid();
                    *dv = *dv * s * (T::ONE + v * (T::ONE - s));
                    *db += *dv;
                }
                for past in 0..self.k.min(t - start + 1) {
                    let dw = &mut dw[(self.k - 1 - past) * channels..][..channels];
                    dw.iter_mut().zip(&*dv).zip(x(past)).for_each(|((dw, &dv), &x)| *dw += dv * x);
                }
            }
            let first = offsets[part.start];
            for sequence in part {
                let (start, end) = (offsets[sequence] - first, offsets[sequence + 1] - first);
                self.input_gradient(
                    &dy[start * channels..end * channels],
                    &mut dx[start * stride..end * stride],
                    stride,
                );
            }
        });
        self.published(&sum_rows(&partial, width))
    }

    /// `dx[t] = sum over the tokens t + later of w dv`. One sequence; dv: `[l, channels]`, dx: rows of `stride`.
    fn input_gradient(&self, dv: &[T], dx: &mut [T], stride: usize) {
        let l = dv.len() / self.channels;
        for (t, dx) in dx.chunks_exact_mut(stride).enumerate() {
            let dx = &mut dx[..self.channels];
            dx.fill(T::ZERO);
            for later in 0..self.k.min(l - t) {
                let dv = &dv[(t + later) * self.channels..][..self.channels];
                dx.iter_mut().zip(self.taps(later)).zip(dv).for_each(|((dx, &w), &dv)| *dx += w * dv);
            }
        }
    }

    /// `[k + 1, channels]` in the order of checkpoints.
    fn published(&self, sums: &[T]) -> weights::Conv<T> {
        let (channels, k) = (self.channels, self.k);
        let weight = (0..channels * k).map(|i| sums[i % k * channels + i / k]).collect();
        weights::Conv { weight, bias: self.biased.then(|| sums[k * channels..].to_vec()) }
    }
}

/// The tokens of some sequences: (row in the part, row in the batch, first row of its sequence).
fn tokens(offsets: &[usize], part: Range<usize>) -> impl Iterator<Item = (usize, usize, usize)> {
    let first = offsets[part.start];
    part.flat_map(move |i| (offsets[i]..offsets[i + 1]).map(move |t| (t - first, t, offsets[i])))
}
