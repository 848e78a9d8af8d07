//! The scan's backward pass.
//!
//! From the last token to the first, with `e = exp(dt A)` and all of it per channel; j runs over the n states:
//!
//! ```text
//! dy = dg silu(z)                         dz = dg y silu'(z)
//! dh[j] += C[j] dy                        dC[j] = sum over channels of h[j] dy
//! dB[j] = sum over channels of dh[j] dt u
//! du = D dy + dt sum over j of dh[j] B[j] dD = sum over tokens of u dy
//! ddt = u sum over j of dh[j] B[j] + sum over j of A[j] w[j],    w[j] = dh[j] e[j] h[t - 1][j]
//! dA[j] = sum over tokens of dt w[j]
//! dh[j] = e[j] dh[j], to the token before
//! ```

use std::ops::Range;

use unspool_kernels::cpu::Team;

use super::{BLOCK, CHUNK, Checkpoints, Cut, Scan, ScanRows, Token, blocks, kept};
use crate::backward::{
    parts::{split, sum_rows},
    real::{Real, sum},
};

/// What a scan's backward pass gives.
pub struct ScanGradients<T> {
    /// g once more, `[t, d_in]`.
    pub g: Vec<T>,
    /// `[t, d_in]`
    pub du: Vec<T>,
    /// For dt before softplus, `[t, d_in]`.
    pub ddt: Vec<T>,
    /// For B and C, `[t, 2 n]`.
    pub dbc: Vec<T>,
    /// For A_log, `[d_in, n]`.
    pub da_log: Vec<T>,
    /// `[d_in]`
    pub dd: Vec<T>,
}

/// The rows that one task writes.
struct Rows<'a, T> {
    g: &'a mut [T],
    du: &'a mut [T],
    ddt: &'a mut [T],
    dbc: &'a mut [T],
    dxz: &'a mut [T],
    /// dA `[n, d_in]`, dD `[d_in]`.
    dad: &'a mut [T],
    /// The first of these rows in the batch.
    first: usize,
}

/// What a task keeps of one chunk and one block of channels.
struct Chunk<T> {
    /// h before each token and after the last, `[CHUNK + 1, n, width]`.
    h: Vec<T>,
    /// `[CHUNK, n, width]`
    decay: Vec<T>,
    tokens: Vec<Token<T>>,
    /// The gradient for h after the token at hand, `[n, width]`.
    dh: Vec<T>,
}

impl<T: Real> Scan<T> {
    /// rows and checkpoints as in the forward pass; dg: `[t, d_in]`; dz is written into the rows of dxz, `[t, 2 d_in]`.
    pub fn backward(
        &self,
        team: &Team,
        (rows, checkpoints): (ScanRows<'_, T>, &Checkpoints<T>),
        dg: &[T],
        dxz: &mut [T],
    ) -> ScanGradients<T> {
        let (d_in, n, t) = (self.d_in, self.n, dg.len() / self.d_in);
        let zeros = |width: usize| vec![T::ZERO; t * width];
        let (mut g, mut du, mut ddt, mut dbc) = (zeros(d_in), zeros(d_in), zeros(d_in), zeros(2 * n));
        let cut = Cut::new(rows.offsets);
        let width = (n + 1) * d_in;
        let mut partial = vec![T::ZERO; cut.parts.len() * width];
        let mut outputs = split(&mut g, &cut.tokens, d_in)
            .into_iter()
            .zip(split(&mut du, &cut.tokens, d_in))
            .zip(split(&mut ddt, &cut.tokens, d_in))
            .zip(split(&mut dbc, &cut.tokens, 2 * n))
            .zip(split(dxz, &cut.tokens, 2 * d_in))
            .zip(partial.chunks_exact_mut(width));
        let mut kept_before = 0;
        let tasks = cut.parts.iter().zip(&cut.chunks).map_while(|(part, &chunks)| {
            let (((((g, du), ddt), dbc), dxz), dad) = outputs.next()?;
            let kept = &checkpoints.0[kept_before * n * d_in..][..chunks * n * d_in];
            kept_before += chunks;
            Some((part.clone(), Rows { g, du, ddt, dbc, dxz, dad, first: rows.offsets[part.start] }, kept))
        });
        team.each(tasks.collect(), |(part, mut out, kept)| self.part(&rows, (part, kept), dg, &mut out));
        let (da_log, dd) = self.published(&sum_rows(&partial, width));
        ScanGradients { g, du, ddt, dbc, da_log, dd }
    }

    fn part(&self, rows: &ScanRows<'_, T>, (part, checkpoints): (Range<usize>, &[T]), dg: &[T], out: &mut Rows<'_, T>) {
        let one = self.n * self.d_in;
        let mut before = checkpoints;
        let mut chunk = Chunk {
            h: vec![T::ZERO; (CHUNK + 1) * self.n * BLOCK],
            decay: vec![T::ZERO; CHUNK * self.n * BLOCK],
            tokens: (0..CHUNK).map(|_| Token::default()).collect(),
            dh: vec![T::ZERO; self.n * BLOCK],
        };
        for i in part {
            let (start, end) = (rows.offsets[i], rows.offsets[i + 1]);
            let (here, rest) = before.split_at(kept(end - start) * one);
            before = rest;
            for block in blocks(self.d_in) {
                chunk.dh.fill(T::ZERO);
                for first in (start..end).step_by(CHUNK).rev() {
                    let tokens = first..end.min(first + CHUNK);
                    let checkpoint = ((first - start) / CHUNK).checked_sub(1).map(|i| &here[i * one..][..one]);
                    self.again(rows, (tokens.clone(), checkpoint), &block, &mut chunk);
                    for t in tokens.clone().rev() {
                        self.token_back(rows, (t, t - first), &block, (&mut chunk, dg), out);
                    }
                }
            }
        }
    }

    /// Fills the chunk as the forward pass went.
    fn again(
        &self,
        rows: &ScanRows<'_, T>,
        (tokens, checkpoint): (Range<usize>, Option<&[T]>),
        channels: &Range<usize>,
        chunk: &mut Chunk<T>,
    ) {
        let width = channels.len();
        for (j, h) in chunk.h[..self.n * width].chunks_exact_mut(width).enumerate() {
            match checkpoint {
                Some(checkpoint) => h.copy_from_slice(&checkpoint[j * self.d_in..][channels.clone()]),
                None => h.fill(T::ZERO),
            }
        }
        for (i, t) in tokens.enumerate() {
            self.token(rows, t, channels.clone(), &mut chunk.tokens[i]);
            let (before, after) = chunk.h[i * self.n * width..].split_at_mut(self.n * width);
            let decay = chunk.decay[i * self.n * width..].chunks_exact_mut(width);
            let h = before.chunks_exact(width).zip(after.chunks_exact_mut(width));
            for (j, ((before, after), decay)) in h.zip(decay).enumerate() {
                self.decay(&chunk.tokens[i], j, channels, decay);
                after.copy_from_slice(before);
                chunk.tokens[i].advance(j, decay, after, rows.bc(t, self.n));
            }
        }
    }

    /// One token of the backward walk: number t in the batch, i in the chunk.
    fn token_back(
        &self,
        rows: &ScanRows<'_, T>,
        (t, i): (usize, usize),
        channels: &Range<usize>,
        (chunk, dg): (&mut Chunk<T>, &[T]),
        out: &mut Rows<'_, T>,
    ) {
        let (d_in, n, width, row) = (self.d_in, self.n, channels.len(), t - out.first);
        let token = &chunk.tokens[i];
        let at = t * d_in + channels.start..t * d_in + channels.end;
        let (da, dd) = out.dad.split_at_mut(n * d_in);
        let u = &rows.u[at.clone()];
        let mut dy = [T::ZERO; BLOCK];
        let z = &rows.z(t, d_in)[channels.clone()];
        let dz = &mut out.dxz[(2 * row + 1) * d_in..][channels.clone()];
        let g = &mut out.g[row * d_in..][channels.clone()];
        for (c, ((&dg, &z), &y)) in dg[at].iter().zip(z).zip(&token.y).enumerate() {
            let s = z.sigmoid();
            dy[c] = dg * z * s;
            dz[c] = dg * y * s * (T::ONE + z * (T::ONE - s));
            g[c] = y * z * s;
        }
        let dd = &mut dd[channels.clone()];
        dd.iter_mut().zip(&dy).zip(u).for_each(|((dd, &dy), &u)| *dd += dy * u);

        let (mut through_b, mut through_a) = ([T::ZERO; BLOCK], [T::ZERO; BLOCK]);
        let (b, c) = rows.bc(t, n);
        for j in 0..n {
            let dh = &mut chunk.dh[j * width..][..width];
            dh.iter_mut().zip(&dy).for_each(|(dh, &dy)| *dh += c[j] * dy);
            let h = &chunk.h[((i + 1) * n + j) * width..][..width];
            out.dbc[(2 * row + 1) * n + j] += sum(width, |c| h[c] * dy[c]);
            out.dbc[2 * row * n + j] += sum(width, |c| dh[c] * token.dtu[c]);
            let before = &chunk.h[(i * n + j) * width..][..width];
            let decay = &chunk.decay[(i * n + j) * width..][..width];
            let (a, da) = (&self.a[j * d_in..][channels.clone()], &mut da[j * d_in..][channels.clone()]);
            let past = before.iter().zip(decay).zip(a.iter().zip(da)).zip(&token.dt);
            let sums = through_b.iter_mut().zip(&mut through_a);
            for ((dh, (((&before, &decay), (&a, da)), &dt)), (through_b, through_a)) in
                dh.iter_mut().zip(past).zip(sums)
            {
                *through_b += *dh * b[j];
                *dh *= decay;
                let w = *dh * before;
                *through_a += a * w;
                *da += dt * w;
            }
        }

        let du = &mut out.du[row * d_in..][channels.clone()];
        let ddt = &mut out.ddt[row * d_in..][channels.clone()];
        let (raw, d) = (&rows.dt[t * d_in..][channels.clone()], &self.d[channels.clone()]);
        for c in 0..width {
            du[c] = d[c] * dy[c] + token.dt[c] * through_b[c];
            ddt[c] = (u[c] * through_b[c] + through_a[c]) * raw[c].sigmoid();
        }
    }

    /// dA `[n, d_in]`, dD → dA_log `[d_in, n]`, dD. (A = -exp(A_log), so dA_log = dA A.)
    fn published(&self, sums: &[T]) -> (Vec<T>, Vec<T>) {
        let (d_in, n) = (self.d_in, self.n);
        let (da, dd) = sums.split_at(n * d_in);
        let place = |i: usize| i % n * d_in + i / n;
        ((0..d_in * n).map(|i| da[place(i)] * self.a[place(i)]).collect(), dd.to_vec())
    }
}
