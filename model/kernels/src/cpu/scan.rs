//! The selective scan of Mamba-1, strictly in time order, with the state carried.
//!
//! ```text
//! h[t] = exp(dt[t] A) h[t-1] + dt[t] x[t] B[t]
//! y[t] = (sum_n h[t] C[t] + D x[t]) silu(z[t])
//! ```
//!
//! Sixteen channels are sixteen lanes; the sum over n is one chain in order of n. Time is walked in short runs, and in
//! each run the state of sixteen channels stays in registers.

use super::{
    Buffer, Isa, LANES, Team, maths, padded,
    simd::{Simd, on_isa},
    team::Shared,
};

/// Tokens in a run.
const RUN: usize = 32;
/// Blocks of 16 channels that one task takes.
const BLOCKS: usize = 8;
/// Exponentials below which one thread is faster than two.
const WORTH: usize = 1 << 13;

/// A scan's weights, channels padded to a multiple of [`LANES`].
pub struct Scan {
    n: usize,
    /// `[channels / 16][n][16]`: A log2(e).
    a: Buffer,
    /// `[channels]`
    d: Buffer,
}

/// What a scan runs over.
pub struct ScanArgs<'a, 'b> {
    /// In: dt before softplus, bias included; out: y. `[t][channels]`
    pub dt: &'a mut [f32],
    /// `[t][channels]`
    pub x: &'a [f32],
    /// Rows that hold B and C.
    pub bc: &'a [f32],
    /// Values from one row of `bc` to the next, the place of B in a row, and of C.
    pub bc_layout: (usize, usize, usize),
    /// The gate: rows `z_stride` apart.
    pub z: &'a [f32],
    /// Values from one row of z to the next.
    pub z_stride: usize,
    /// `[b + 1]`
    pub offsets: &'a [usize],
    /// Each sequence's h: `[channels / 16][n][16]`.
    pub states: &'a mut [&'b mut [f32]],
}

struct Task<'a> {
    scan: &'a Scan,
    /// Blocks of 16 channels.
    blocks: std::ops::Range<usize>,
    rows: usize,
    dt: *mut f32,
    x: *const f32,
    b: *const f32,
    c: *const f32,
    bc_stride: usize,
    z: *const f32,
    z_stride: usize,
    h: *mut f32,
}

impl Scan {
    /// Packs A_log, `[channels, n]`, and D, `[channels]`.
    ///
    /// # Panics
    /// When the sizes do not fit.
    #[must_use]
    pub fn new(a_log: &[f32], n: usize, d: &[f32]) -> Self {
        assert!(n > 0 && a_log.len() == n * d.len(), "A has n values a channel");
        let channels = padded(d.len());
        let (mut a, mut padded_d) = (Buffer::zeros(channels * n), Buffer::zeros(channels));
        for (c, row) in a_log.chunks_exact(n).enumerate() {
            for (j, value) in row.iter().enumerate() {
                a[(c / LANES * n + j) * LANES + c % LANES] =
                    (-libm::exp(f64::from(*value)) * std::f64::consts::LOG2_E) as f32;
            }
        }
        padded_d[..d.len()].copy_from_slice(d);
        Self { n, a, d: padded_d }
    }

    /// Values of one state.
    #[must_use]
    pub fn state_len(&self) -> usize {
        self.a.len()
    }

    /// Runs over packed sequences and moves their states on.
    ///
    /// # Panics
    /// When the sizes do not fit.
    pub fn forward(&self, (isa, team): (Isa, &Team), args: ScanArgs<'_, '_>) {
        let (t, channels) = (args.offsets[args.offsets.len() - 1], self.d.len());
        if t == 0 {
            return;
        }
        let (bc_stride, b, c) = args.bc_layout;
        assert!(args.offsets.is_sorted() && args.offsets.len() == args.states.len() + 1);
        assert!(args.dt.len() >= t * channels && args.x.len() >= t * channels);
        assert!(args.bc.len() >= (t - 1) * bc_stride + b.max(c) + self.n);
        assert!(args.z_stride >= channels && args.z.len() >= (t - 1) * args.z_stride + channels);
        assert!(args.states.iter().all(|state| state.len() == self.state_len()));
        let blocks = channels / LANES;
        let parts = blocks.div_ceil(BLOCKS);
        let dt = Shared(args.dt.as_mut_ptr());
        let states: Vec<Shared> = args.states.iter_mut().map(|state| Shared(state.as_mut_ptr())).collect();
        let (x, bc, z, z_stride, offsets) = (args.x, args.bc, args.z, args.z_stride, args.offsets);
        team.run(parts * states.len(), t * self.a.len() >= WORTH, |task| {
            let (sequence, part) = (task / parts, task % parts);
            let (first, rows) = (offsets[sequence], offsets[sequence + 1] - offsets[sequence]);
            if rows == 0 {
                return;
            }
            let task = Task {
                scan: self,
                blocks: part * BLOCKS..blocks.min((part + 1) * BLOCKS),
                rows,
                // SAFETY: the task reads and writes these channels of this sequence's rows only.
                dt: unsafe { dt.get().add(first * channels) },
                x: x[first * channels..].as_ptr(),
                b: bc[first * bc_stride + b..].as_ptr(),
                c: bc[first * bc_stride + c..].as_ptr(),
                bc_stride,
                z: z[first * z_stride..].as_ptr(),
                z_stride,
                // the task alone touches its blocks of this state
                h: states[sequence].get(),
            };
            on_isa!(isa, scan, &task, &Task<'_>);
        });
    }
}

/// # Safety
/// The task's rows and blocks lie in all of its arrays.
#[inline(always)]
unsafe fn scan<S: Simd>(t: &Task<'_>) {
    let mut first = 0;
    while first < t.rows {
        let rows = first..t.rows.min(first + RUN);
        for block in t.blocks.clone() {
            // SAFETY: rows and block lie in the arrays.
            unsafe {
                match t.scan.n {
                    16 => run::<S, 16>(t, rows.clone(), block),
                    8 => run::<S, 8>(t, rows.clone(), block),
                    _ => run_any::<S>(t, rows.clone(), block),
                }
            }
        }
        first += RUN;
    }
}

/// One run of one block, its state in registers.
#[inline(always)]
unsafe fn run<S: Simd, const N: usize>(t: &Task<'_>, rows: std::ops::Range<usize>, block: usize) {
    // SAFETY: the caller names rows and a block of the arrays.
    unsafe {
        let a = t.scan.a.as_ptr().add(block * N * LANES);
        let state = t.h.add(block * N * LANES);
        let mut h = [S::splat(0.0); N];
        for (n, h) in h.iter_mut().enumerate() {
            *h = S::load(state.add(n * LANES));
        }
        for row in rows {
            let token = Token::<S>::load(t, row, block);
            let mut y = S::splat(0.0);
            for (n, h) in h.iter_mut().enumerate() {
                *h = token.step(*h, S::load(a.add(n * LANES)), n);
                y = S::fma(*h, S::splat(*token.c.add(n)), y);
            }
            token.finish(t, block, y);
        }
        for (n, h) in h.iter().enumerate() {
            S::store(state.add(n * LANES), *h);
        }
    }
}

/// As [`run`], for any n: the state stays in memory.
#[inline(always)]
unsafe fn run_any<S: Simd>(t: &Task<'_>, rows: std::ops::Range<usize>, block: usize) {
    // SAFETY: the caller names rows and a block of the arrays.
    unsafe {
        let n = t.scan.n;
        let a = t.scan.a.as_ptr().add(block * n * LANES);
        let state = t.h.add(block * n * LANES);
        for row in rows {
            let token = Token::<S>::load(t, row, block);
            let mut y = S::splat(0.0);
            for n in 0..n {
                let h = token.step(S::load(state.add(n * LANES)), S::load(a.add(n * LANES)), n);
                S::store(state.add(n * LANES), h);
                y = S::fma(h, S::splat(*token.c.add(n)), y);
            }
            token.finish(t, block, y);
        }
    }
}

/// What one token brings to sixteen channels.
struct Token<S: Simd> {
    dt: S::V,
    x: S::V,
    dx: S::V,
    b: *const f32,
    c: *const f32,
    row: usize,
}

impl<S: Simd> Token<S> {
    #[inline(always)]
    unsafe fn load(t: &Task<'_>, row: usize, block: usize) -> Self {
        // SAFETY: the caller names a row and a block of the arrays.
        unsafe {
            let at = row * t.scan.d.len() + block * LANES;
            let dt = maths::softplus::<S>(S::load(t.dt.add(at)));
            let x = S::load(t.x.add(at));
            let (b, c) = (t.b.add(row * t.bc_stride), t.c.add(row * t.bc_stride));
            Self { dt, x, dx: S::mul(dt, x), b, c, row }
        }
    }

    /// `exp(dt A) h + dt x B`.
    #[inline(always)]
    unsafe fn step(&self, h: S::V, a: S::V, n: usize) -> S::V {
        // SAFETY: n is one of the values of B.
        unsafe {
            let decay = maths::exp2::<S>(S::mul(self.dt, a));
            S::fma(decay, h, S::mul(self.dx, S::splat(*self.b.add(n))))
        }
    }

    #[inline(always)]
    unsafe fn finish(&self, t: &Task<'_>, block: usize, y: S::V) {
        // SAFETY: the row and block that it was loaded from.
        unsafe {
            let y = S::fma(S::load(t.scan.d.as_ptr().add(block * LANES)), self.x, y);
            let z = S::load(t.z.add(self.row * t.z_stride + block * LANES));
            let at = self.row * t.scan.d.len() + block * LANES;
            S::store(t.dt.add(at), S::mul(y, maths::silu::<S>(z)));
        }
    }
}

#[cfg(test)]
mod tests;
