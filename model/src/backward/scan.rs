//! The selective scan with gate and D, and its backward pass.
//!
//! ```text
//! dt = softplus(raw)                      g = y silu(z)
//! h[t] = exp(dt A) h[t - 1] + dt B u      y = C h[t] + D u
//! ```
//!
//! The forward pass keeps h at every [`CHUNK`]th token; the backward pass walks the chunks from the last to the first and
//! computes each chunk's h again. Channels lie side by side in the inner loops, [`BLOCK`] at a time, so that the compiler
//! makes vector code of them.

mod backward;

use std::ops::Range;

use unspool_kernels::cpu::Team;

use super::{
    parts::{rows, split, whole},
    real::Real,
};

/// Tokens from one kept h to the next.
pub const CHUNK: usize = 64;
/// Channels that are worked on together.
const BLOCK: usize = 32;

/// The weights of a scan.
pub struct Scan<T> {
    d_in: usize,
    n: usize,
    /// A, `[n, d_in]`.
    a: Vec<T>,
    /// `[d_in]`
    d: Vec<T>,
}

/// What a scan reads, `[t, ..]`.
#[derive(Clone, Copy)]
pub struct ScanRows<'a, T> {
    /// dt before softplus, `[t, d_in]`.
    pub dt: &'a [T],
    /// `[t, d_in]`
    pub u: &'a [T],
    /// Rows that end with z, `[t, 2 d_in]`.
    pub xz: &'a [T],
    /// Rows that end with B and C, `[t, r + 2 n]`.
    pub dtbc: &'a [T],
    /// `[b + 1]`
    pub offsets: &'a [usize],
}

/// h before every [`CHUNK`]th token of each sequence but its first, sequence after sequence: `[.., n, d_in]`.
pub struct Checkpoints<T>(Vec<T>);

impl<T: Real> Scan<T> {
    /// a_log: `[d_in, n]`, d: `[d_in]`.
    pub fn new(a_log: &[T], d: &[T]) -> Self {
        let (d_in, n) = (d.len(), a_log.len() / d.len());
        let a = (0..n * d_in).map(|i| -a_log[i % d_in * n + i / d_in].exp()).collect();
        Self { d_in, n, a, d: d.to_vec() }
    }

    /// g: `[t, d_in]`, and what the backward pass needs.
    pub fn forward(&self, team: &Team, rows: ScanRows<'_, T>) -> (Vec<T>, Checkpoints<T>) {
        let mut y = vec![T::ZERO; rows.u.len()];
        let cut = Cut::new(rows.offsets);
        let mut checkpoints = vec![T::ZERO; cut.chunks.iter().sum::<usize>() * self.n * self.d_in];
        let outputs = split(&mut y, &cut.tokens, self.d_in);
        let outputs = outputs.into_iter().zip(split(&mut checkpoints, &cut.chunks, self.n * self.d_in));
        team.each(
            outputs.zip(cut.parts.iter().cloned()).collect(),
            |((y, checkpoints), part): ((&mut [T], &mut [T]), Range<usize>)| {
                let (mut y, mut checkpoints) = (y, checkpoints);
                for i in part {
                    let sequence = rows.offsets[i]..rows.offsets[i + 1];
                    let (y_here, y_rest) = y.split_at_mut(sequence.len() * self.d_in);
                    let (kept, kept_rest) = checkpoints.split_at_mut(kept(sequence.len()) * self.n * self.d_in);
                    (y, checkpoints) = (y_rest, kept_rest);
                    for block in blocks(self.d_in) {
                        self.sequence(&rows, sequence.clone(), block, (&mut *y_here, &mut *kept));
                    }
                }
            },
        );
        (y, Checkpoints(checkpoints))
    }

    /// One sequence's g, in some channels.
    fn sequence(
        &self,
        rows: &ScanRows<'_, T>,
        sequence: Range<usize>,
        channels: Range<usize>,
        (y, kept): (&mut [T], &mut [T]),
    ) {
        let width = channels.len();
        let mut h = vec![T::ZERO; self.n * width];
        let (mut token, mut decay) = (Token::default(), [T::ZERO; BLOCK]);
        for (i, t) in sequence.enumerate() {
            if i % CHUNK == 0 && i > 0 {
                let kept = &mut kept[(i / CHUNK - 1) * self.n * self.d_in..][..self.n * self.d_in];
                for (kept, h) in kept.chunks_exact_mut(self.d_in).zip(h.chunks_exact(width)) {
                    kept[channels.clone()].copy_from_slice(h);
                }
            }
            self.token(rows, t, channels.clone(), &mut token);
            for j in 0..self.n {
                self.decay(&token, j, &channels, &mut decay[..width]);
                token.advance(j, &decay[..width], &mut h[j * width..][..width], rows.bc(t, self.n));
            }
            let z = &rows.z(t, self.d_in)[channels.clone()];
            let y = &mut y[i * self.d_in..][channels.clone()];
            y.iter_mut().zip(&token.y).zip(z).for_each(|((g, &y), &z)| *g = y * z * z.sigmoid());
        }
    }

    /// Reads one token's channels; y begins with D u.
    fn token(&self, rows: &ScanRows<'_, T>, t: usize, channels: Range<usize>, token: &mut Token<T>) {
        let at = |values: &'_ [T]| -> Range<usize> {
            debug_assert_eq!(values.len(), rows.u.len());
            t * self.d_in + channels.start..t * self.d_in + channels.end
        };
        let inputs = rows.dt[at(rows.dt)].iter().zip(&rows.u[at(rows.u)]).zip(&self.d[channels.clone()]);
        for (i, ((&dt, &u), &d)) in inputs.enumerate() {
            token.dt[i] = dt.softplus();
            token.dtu[i] = token.dt[i] * u;
            token.y[i] = d * u;
        }
    }

    /// `exp(dt A[.., j])`.
    fn decay(&self, token: &Token<T>, j: usize, channels: &Range<usize>, decay: &mut [T]) {
        let a = &self.a[j * self.d_in..][channels.clone()];
        decay.iter_mut().zip(&token.dt).zip(a).for_each(|((decay, &dt), &a)| *decay = (dt * a).exp());
    }
}

/// One token in the channels of a block.
struct Token<T> {
    dt: [T; BLOCK],
    /// `dt u`
    dtu: [T; BLOCK],
    /// So far.
    y: [T; BLOCK],
}

impl<T: Real> Default for Token<T> {
    fn default() -> Self {
        Self { dt: [T::ZERO; BLOCK], dtu: [T::ZERO; BLOCK], y: [T::ZERO; BLOCK] }
    }
}

impl<T: Real> Token<T> {
    /// Moves the state j of each channel on, and y.
    fn advance(&mut self, j: usize, decay: &[T], h: &mut [T], (b, c): (&[T], &[T])) {
        let (b, c) = (b[j], c[j]);
        for (((h, &decay), &dtu), y) in h.iter_mut().zip(decay).zip(&self.dtu).zip(&mut self.y) {
            *h = decay * *h + dtu * b;
            *y += c * *h;
        }
    }
}

impl<'a, T> ScanRows<'a, T> {
    /// `[d_in]`
    fn z(&self, t: usize, d_in: usize) -> &'a [T] {
        &self.xz[(2 * t + 1) * d_in..][..d_in]
    }

    /// `[n]`, `[n]`
    fn bc(&self, t: usize, n: usize) -> (&'a [T], &'a [T]) {
        let width = self.dtbc.len() / self.offsets[self.offsets.len() - 1];
        self.dtbc[(t + 1) * width - 2 * n..(t + 1) * width].split_at(n)
    }
}

/// How the threads share a batch.
struct Cut {
    parts: Vec<Range<usize>>,
    /// Tokens of each part.
    tokens: Vec<usize>,
    /// Kept h of each part.
    chunks: Vec<usize>,
}

impl Cut {
    fn new(offsets: &[usize]) -> Self {
        let parts = whole(offsets);
        let chunks = parts.iter().map(|part| part.clone().map(|i| kept(offsets[i + 1] - offsets[i])).sum()).collect();
        Self { tokens: rows(offsets, &parts), parts, chunks }
    }
}

/// The number of h that are kept of a sequence.
fn kept(tokens: usize) -> usize {
    tokens.saturating_sub(1) / CHUNK
}

/// The channels, block by block.
fn blocks(d_in: usize) -> impl Iterator<Item = Range<usize>> {
    (0..d_in).step_by(BLOCK).map(move |first| first..d_in.min(first + BLOCK))
}
