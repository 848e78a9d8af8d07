//! The scan of Mamba-2, strictly in time order, with the state carried.
//!
//! ```text
//! dt[t] = clamp(softplus(dt[t] + bias))                 one a head
//! h[t]  = exp(dt[t] A) h[t-1] + dt[t] x[t] B[t]         [head_dim, n] a head
//! y[t]  = sum_n h[t] C[t] + D x[t]
//! ```
//!
//! Sixteen channels of a head are sixteen lanes; the sum over n is one chain in order of n. For each run of tokens,
//! sixteen values of n at a time stay in registers, and y's chain waits in memory in between.

use super::{
    Buffer, Isa, LANES, Team, maths, padded,
    simd::{Simd, on_isa},
    team::Shared,
};

/// Tokens in a run.
const RUN: usize = 32;
/// Values of n held in registers.
const HELD: usize = 16;
/// Multiply-adds below which one thread is faster than two.
const WORTH: usize = 1 << 16;

/// A scan's weights; each head's channels are padded to a multiple of [`LANES`].
pub struct Ssd {
    heads: usize,
    /// Channels a head, padded.
    width: usize,
    groups: usize,
    n: usize,
    /// `[padded heads]`: A log2(e).
    a: Buffer,
    /// `[padded heads]`
    dt_bias: Buffer,
    dt_limit: (f32, f32),
    /// `[heads][width]`
    d: Buffer,
}

/// What a scan runs over.
pub struct SsdArgs<'a, 'b> {
    /// Rows that hold dt before bias and softplus, one value a head, padded; out: dt.
    pub dt: &'a mut [f32],
    /// x, B and C: `[t]` rows of `[heads][width]`, then B and C, each `[groups][n]` padded in all.
    pub xbc: &'a [f32],
    /// `[b + 1]`
    pub offsets: &'a [usize],
    /// Each sequence's h: `[heads][width / 16][n][16]`.
    pub states: &'a mut [&'b mut [f32]],
    /// `[t][heads][width]`
    pub y: &'a mut [f32],
}

struct Task<'a> {
    ssd: &'a Ssd,
    head: usize,
    rows: usize,
    /// dt and exp(dt A): rows of padded heads.
    dt: *const f32,
    decay: *const f32,
    heads_stride: usize,
    x: *const f32,
    b: *const f32,
    c: *const f32,
    xbc_stride: usize,
    h: *mut f32,
    y: *mut f32,
}

/// The decays of all rows and heads.
struct Decays<'a> {
    ssd: &'a Ssd,
    dt: &'a mut [f32],
    decay: &'a mut [f32],
}

/// The shape of a [`Ssd`].
#[derive(Clone, Copy, Debug)]
pub struct SsdShape {
    /// Heads.
    pub heads: usize,
    /// Channels a head.
    pub head_dim: usize,
    /// Groups of heads that share B and C.
    pub groups: usize,
    /// State size.
    pub n: usize,
    /// dt is clamped to this closed interval.
    pub dt_limit: (f32, f32),
}

impl Ssd {
    /// Packs A_log and dt's bias, `[heads]`, and D, `[heads]` or `[heads, head_dim]`.
    ///
    /// # Panics
    /// When the sizes do not fit.
    #[must_use]
    pub fn new(shape: SsdShape, a_log: &[f32], dt_bias: &[f32], d: &[f32]) -> Self {
        let SsdShape { heads, head_dim, groups, n, dt_limit } = shape;
        assert!(a_log.len() == heads && dt_bias.len() == heads && groups > 0 && heads.is_multiple_of(groups) && n > 0);
        assert!(d.len() == heads || d.len() == heads * head_dim);
        let width = padded(head_dim);
        let (mut a, mut bias, mut skip) = (Buffer::zeros(heads), Buffer::zeros(heads), Buffer::zeros(heads * width));
        for head in 0..heads {
            a[head] = (-libm::exp(f64::from(a_log[head])) * std::f64::consts::LOG2_E) as f32;
            bias[head] = dt_bias[head];
            for p in 0..head_dim {
                skip[head * width + p] = if d.len() == heads { d[head] } else { d[head * head_dim + p] };
            }
        }
        Self { heads, width, groups, n, a, dt_bias: bias, dt_limit, d: skip }
    }

    /// Values of one state.
    #[must_use]
    pub fn state_len(&self) -> usize {
        self.heads * self.width * self.n
    }

    /// Values in a row of x, B and C.
    #[must_use]
    pub fn xbc_width(&self) -> usize {
        self.heads * self.width + 2 * padded(self.groups * self.n)
    }

    /// Runs over packed sequences and moves their states on. `decay` is scratch.
    ///
    /// # Panics
    /// When the sizes do not fit.
    pub fn forward(&self, (isa, team): (Isa, &Team), args: SsdArgs<'_, '_>, decay: &mut Buffer) {
        let (t, stride, width) = (args.offsets[args.offsets.len() - 1], self.xbc_width(), self.heads * self.width);
        if t == 0 {
            return;
        }
        assert!(args.offsets.is_sorted() && args.offsets.len() == args.states.len() + 1);
        assert!(args.dt.len() == t * self.a.len() && args.xbc.len() >= t * stride && args.y.len() >= t * width);
        assert!(args.states.iter().all(|state| state.len() == self.state_len()));
        let decay = decay.room(args.dt.len());
        on_isa!(isa, decays, &mut Decays { ssd: self, dt: args.dt, decay: &mut *decay }, &mut Decays<'_>);
        let y = Shared(args.y.as_mut_ptr());
        let states: Vec<Shared> = args.states.iter_mut().map(|state| Shared(state.as_mut_ptr())).collect();
        let (dt, decay, xbc, offsets) = (&*args.dt, &*decay, args.xbc, args.offsets);
        let heads_stride = self.a.len();
        team.run(self.heads * states.len(), t * width * self.n >= WORTH, |task| {
            let (sequence, head) = (task / self.heads, task % self.heads);
            let (first, rows) = (offsets[sequence], offsets[sequence + 1] - offsets[sequence]);
            if rows == 0 {
                return;
            }
            let b = width + head / (self.heads / self.groups) * self.n;
            let xbc = &xbc[first * stride..];
            let task = Task {
                ssd: self,
                head,
                rows,
                dt: dt[first * heads_stride + head..].as_ptr(),
                decay: decay[first * heads_stride + head..].as_ptr(),
                heads_stride,
                x: xbc[head * self.width..].as_ptr(),
                b: xbc[b..].as_ptr(),
                c: xbc[b + padded(self.groups * self.n)..].as_ptr(),
                xbc_stride: stride,
                // SAFETY: the task alone touches this head of this state.
                h: unsafe { states[sequence].get().add(head * self.width * self.n) },
                // SAFETY: the task writes this head of this sequence's rows only.
                y: unsafe { y.get().add(first * width + head * self.width) },
            };
            on_isa!(isa, scan, &task, &Task<'_>);
        });
    }
}

/// `dt = clamp(softplus(dt + bias))` and `exp(dt A)`.
///
/// # Safety
/// Both hold whole rows of padded heads.
#[inline(always)]
unsafe fn decays<S: Simd>(d: &mut Decays<'_>) {
    let heads = d.ssd.a.len();
    for i in (0..d.dt.len()).step_by(LANES) {
        // SAFETY: rows are whole; the caller has S's instructions.
        unsafe {
            let head = i % heads;
            let dt = S::add(S::load(d.dt.as_ptr().add(i)), S::load(d.ssd.dt_bias.as_ptr().add(head)));
            let (low, high) = (S::splat(d.ssd.dt_limit.0), S::splat(d.ssd.dt_limit.1));
            let dt = S::min(high, S::max(low, maths::softplus::<S>(dt)));
            S::store(d.dt.as_mut_ptr().add(i), dt);
            let decay = maths::exp2::<S>(S::mul(dt, S::load(d.ssd.a.as_ptr().add(head))));
            S::store(d.decay.as_mut_ptr().add(i), decay);
        }
    }
}

/// # Safety
/// The task's rows and head lie in all of its arrays.
#[inline(always)]
unsafe fn scan<S: Simd>(t: &Task<'_>) {
    let mut first = 0;
    while first < t.rows {
        let rows = first..t.rows.min(first + RUN);
        for block in 0..t.ssd.width / LANES {
            // SAFETY: rows and block lie in the arrays.
            unsafe { run::<S>(t, rows.clone(), block) };
        }
        first += RUN;
    }
}

/// One run of sixteen channels of the head.
#[inline(always)]
unsafe fn run<S: Simd>(t: &Task<'_>, rows: std::ops::Range<usize>, block: usize) {
    // SAFETY: the caller names rows and a block of the arrays.
    unsafe {
        let n = t.ssd.n;
        let h = t.h.add(block * n * LANES);
        let (mut y, mut dx) = ([S::splat(0.0); RUN], [S::splat(0.0); RUN]);
        for (i, row) in rows.clone().enumerate() {
            let x = S::load(t.x.add(row * t.xbc_stride + block * LANES));
            dx[i] = S::mul(S::splat(*t.dt.add(row * t.heads_stride)), x);
        }
        let mut first = 0;
        while first + HELD <= n {
            held::<S>(t, rows.clone(), h.add(first * LANES), first, (&mut y, &dx));
            first += HELD;
        }
        for j in first..n {
            let mut state = S::load(h.add(j * LANES));
            for (i, row) in rows.clone().enumerate() {
                let (decay, b) =
                    (S::splat(*t.decay.add(row * t.heads_stride)), S::splat(*t.b.add(row * t.xbc_stride + j)));
                state = S::fma(decay, state, S::mul(dx[i], b));
                y[i] = S::fma(state, S::splat(*t.c.add(row * t.xbc_stride + j)), y[i]);
            }
            S::store(h.add(j * LANES), state);
        }
        let d = S::load(t.ssd.d.as_ptr().add(t.head * t.ssd.width + block * LANES));
        for (i, row) in rows.enumerate() {
            let x = S::load(t.x.add(row * t.xbc_stride + block * LANES));
            S::store(t.y.add(row * t.ssd.heads * t.ssd.width + block * LANES), S::fma(d, x, y[i]));
        }
    }
}

/// [`HELD`] values of n over a run of tokens.
#[inline(always)]
unsafe fn held<S: Simd>(
    t: &Task<'_>,
    rows: std::ops::Range<usize>,
    state: *mut f32,
    first: usize,
    (y, dx): (&mut [S::V; RUN], &[S::V; RUN]),
) {
    // SAFETY: as `run`.
    unsafe {
        let mut h = [S::splat(0.0); HELD];
        for (j, h) in h.iter_mut().enumerate() {
            *h = S::load(state.add(j * LANES));
        }
        for (i, row) in rows.enumerate() {
            let decay = S::splat(*t.decay.add(row * t.heads_stride));
            let (b, c) = (t.b.add(row * t.xbc_stride + first), t.c.add(row * t.xbc_stride + first));
            let (mut sum, dx) = (y[i], dx[i]);
            for (j, h) in h.iter_mut().enumerate() {
                *h = S::fma(decay, *h, S::mul(dx, S::splat(*b.add(j))));
                sum = S::fma(*h, S::splat(*c.add(j)), sum);
            }
            y[i] = sum;
        }
        for (j, h) in h.iter().enumerate() {
            S::store(state.add(j * LANES), *h);
        }
    }
}
