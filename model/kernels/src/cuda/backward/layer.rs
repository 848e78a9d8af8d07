//! One layer, `x + mixer(norm(x))`, forward and backward: the order of its kernels, and the memory that they take.

use super::{
    Address, Precision, TrainingError,
    args::{Conv, Norm, Product, ScanBack, ScanRows},
    launch::{Launcher, Matrix, Partial, Scanned, int},
    layout::LayerPlaces,
    memory::Places,
    shape::Padded,
};

/// What one layer's backward pass reads.
#[derive(Clone, Copy)]
pub(super) struct LayerTape {
    /// The residual stream before the layer, f32 `[t, d]`.
    pub x: Address,
    /// `[t, d]`
    normed: Address,
    /// in_proj's output, `[t, 2 ip]`.
    xz: Address,
    /// The convolution's, `[t, ip]`.
    u: Address,
    /// x_proj's output, `[t, width]`.
    dtbc: Address,
    /// After softplus, `[t, ip]`.
    dt: Address,
    /// Before the gate and after it, `[t, ip]`.
    y: Address,
    g: Address,
    /// h before every [`super::batch::CHUNK`]th token but the first, f32 `[.., ip, n]`.
    kept: Address,
    /// h where segments join, f32 `[joints, ip, n]`, and the sums of dt before, `[joints, ip]`.
    joined: Address,
    dt_sums: Address,
}

/// Memory of a backward pass, used anew by each layer.
#[derive(Clone, Copy)]
pub(super) struct Work {
    /// The gradient for the residual stream, f32 and rows, `[t, d]`.
    pub dx: Address,
    pub dx_rows: Address,
    dg: Address,
    du: Address,
    ddt: Address,
    dxz: Address,
    d_dtbc: Address,
    d_normed: Address,
    dbc: Address,
    joined: Address,
    sums: Address,
    pub partial: Partial,
}

/// One layer's weights: in f32, and in the rows' type for products.
#[derive(Clone, Copy)]
pub(super) struct LayerWeights {
    pub at: LayerPlaces,
    /// All weights in f32, and in the rows' type.
    pub all: Address,
    pub rows: Address,
    pub precision: Precision,
    /// `[ip, n]`, from A_log.
    pub a: Address,
}

/// The batch, as a layer's kernels take it.
#[derive(Clone, Copy)]
pub(super) struct Tokens {
    pub count: usize,
    pub scanned: Scanned,
    pub begins: Address,
    pub ends: Address,
}

/// Sizes of a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub tokens: usize,
    /// Kept h.
    pub kept: usize,
    pub parts: usize,
    pub joints: usize,
    /// Pieces of the embedding's gradient.
    pub pieces: usize,
}

impl LayerTape {
    pub fn take(places: &mut Places, p: &Padded, sizes: Sizes, precision: Precision) -> Self {
        let (size, Sizes { tokens, kept, joints, .. }) = (precision.bytes(), sizes);
        let mut rows = |width: usize| places.take(tokens * width, size);
        let (normed, xz, u) = (rows(p.d), rows(2 * p.ip), rows(p.ip));
        let (dtbc, dt, y, g) = (rows(p.width()), rows(p.ip), rows(p.ip), rows(p.ip));
        let mut f32 = |count: usize| places.take(count, 4);
        let (x, kept) = (f32(tokens * p.d), f32(kept * p.ip * p.n));
        let (joined, dt_sums) = (f32(joints * p.ip * p.n), f32(joints * p.ip));
        Self { x, normed, xz, u, dtbc, dt, y, g, kept, joined, dt_sums }
    }
}

impl Work {
    pub fn take(places: &mut Places, launcher: &Launcher, sizes: Sizes, precision: Precision) -> Self {
        let (p, size, tokens) = (&launcher.p, precision.bytes(), sizes.tokens);
        let dx = places.take(tokens * p.d, 4);
        let mut rows = |width: usize| places.take(tokens * width, size);
        let (dx_rows, dg, du, ddt) = (rows(p.d), rows(p.ip), rows(p.ip), rows(p.ip));
        let (dxz, d_dtbc, d_normed) = (rows(2 * p.ip), rows(p.width()), rows(p.d));
        let dbc = places.take(p.scan_blocks()[1] * tokens * 2 * p.n, 4);
        let joined = places.take(sizes.joints * p.ip * p.n, 4);
        let sums = places.take(sizes.parts * p.scan_values(), 4);
        let partial = Partial(places.take(launcher.partial_values(tokens, sizes.pieces), 4));
        Self { dx, dx_rows, dg, du, ddt, dxz, d_dtbc, d_normed, dbc, joined, sums, partial }
    }
}

impl LayerWeights {
    fn f32(&self, place: usize) -> Address {
        self.all + 4 * place as Address
    }

    fn in_rows(&self, place: usize) -> Address {
        self.rows + (self.precision.bytes() * place) as Address
    }
}

/// What a layer's kernels share.
pub(super) struct LayerCall<'a> {
    pub launcher: &'a Launcher,
    pub weights: LayerWeights,
    pub tape: LayerTape,
    pub tokens: Tokens,
}

impl LayerCall<'_> {
    fn norm(&self) -> Norm {
        let p = &self.launcher.p;
        let weight = self.weights.f32(self.weights.at.norm);
        Norm {
            x: self.tape.x,
            weight,
            tokens: int(self.tokens.count),
            dp: int(p.d),
            d: int(p.shape.d),
            eps: p.shape.eps,
        }
    }

    fn conv(&self) -> Conv {
        let Tokens { count, begins, ends, .. } = self.tokens;
        let taps = self.weights.f32(self.weights.at.conv);
        Conv { x: self.tape.xz, taps, begins, ends, tokens: int(count), ip: int(self.launcher.p.ip) }
    }

    fn scan(&self) -> ScanRows {
        let (p, LayerTape { dt, u, xz, dtbc, kept, joined, dt_sums, .. }) = (&self.launcher.p, self.tape);
        let d = self.weights.f32(self.weights.at.scan + p.ip * p.n);
        ScanRows { dt, u, xz, dtbc, a: self.weights.a, d, kept, joined, dt_sums, ip: int(p.ip), width: int(p.width()) }
    }

    /// The rank's part of rows of dt, B, C.
    fn rank(&self, dtbc: Address) -> Matrix {
        let p = &self.launcher.p;
        Matrix { at: dtbc, width: p.r, stride: p.width() }
    }

    /// The residual stream after the layer, f32 `[t, d]`.
    pub fn forward(&self, next: Address) -> Result<(), TrainingError> {
        let (l, p, w, tape, t) = (self.launcher, &self.launcher.p, &self.weights, &self.tape, self.tokens.count);
        let bias = |biased: bool, place| Product { bias: if biased { w.f32(place) } else { 0 }, ..Product::default() };
        let (at, linear_bias) = (&w.at, p.shape.linear_bias);
        l.norm(self.norm(), tape.normed, false)?;
        let (normed, xz) = (Matrix::new(tape.normed, p.d), Matrix::new(tape.xz, 2 * p.ip));
        l.forward(t, (normed, xz), w.in_rows(at.in_proj), bias(linear_bias, at.in_bias))?;
        l.conv(self.conv(), tape.u)?;
        let (u, dtbc) = (Matrix::new(tape.u, p.ip), Matrix::new(tape.dtbc, p.width()));
        l.forward(t, (u, dtbc), w.in_rows(at.x_proj), Product::default())?;
        let softplus = Product { softplus: 1, ..bias(true, at.scan + p.ip * (p.n + 1)) };
        l.forward(t, (self.rank(tape.dtbc), Matrix::new(tape.dt, p.ip)), w.in_rows(at.dt_proj), softplus)?;
        l.scan(self.scan(), &self.tokens.scanned, tape.y, tape.g)?;
        let residual = Product { add: tape.x, ..bias(linear_bias, at.out_bias) };
        l.forward_sum(t, (Matrix::new(tape.g, p.ip), Matrix::new(next, p.d)), w.in_rows(at.out_proj), residual)
    }

    /// Turns `work.dx`, the gradient for the residual stream after the layer, into the one before it; the weights'
    /// gradients go to their places from `out` on.
    pub fn backward(&self, work: &Work, out: Address) -> Result<(), TrainingError> {
        self.through_out_proj(work, out)?;
        self.through_scan(work, out)?;
        self.through_in_proj(work, out)
    }

    /// dg.
    fn through_out_proj(&self, work: &Work, out: Address) -> Result<(), TrainingError> {
        let (l, p, at, t) = (self.launcher, &self.launcher.p, &self.weights.at, self.tokens.count);
        let gradient = |place: usize| (work.partial, out + 4 * place as Address);
        let dx = Matrix::new(work.dx_rows, p.d);
        l.back(t, (dx, Matrix::new(work.dg, p.ip)), self.weights.in_rows(at.out_proj), false)?;
        l.weight(t, (dx, Matrix::new(self.tape.g, p.ip)), gradient(at.out_proj))?;
        if p.shape.linear_bias {
            l.bias(t, (work.dx, p.d), true, gradient(at.out_bias))?;
        }
        Ok(())
    }

    /// du, ddt, dz, d_dtbc.
    fn through_scan(&self, work: &Work, out: Address) -> Result<(), TrainingError> {
        let (l, p, w, tape, t) = (self.launcher, &self.launcher.p, &self.weights, &self.tape, self.tokens.count);
        let (at, gradient) = (&w.at, |place: usize| (work.partial, out + 4 * place as Address));
        let &Work { dg, du, ddt, dxz, dbc, joined, sums, .. } = work;
        let back = ScanBack { dg, y: tape.y, du, ddt, dxz, dbc, joined, sums, tokens: int(t) };
        l.scan_back(self.scan(), &self.tokens.scanned, back, (work.d_dtbc, gradient(at.scan).1))?;
        let (ddt, du) = (Matrix::new(ddt, p.ip), Matrix::new(du, p.ip));
        let d_dtbc = Matrix::new(work.d_dtbc, p.width());
        l.back(t, (ddt, self.rank(work.d_dtbc)), w.in_rows(at.dt_proj), false)?;
        l.weight(t, (ddt, self.rank(tape.dtbc)), gradient(at.dt_proj))?;
        l.weight(t, (d_dtbc, Matrix::new(tape.u, p.ip)), gradient(at.x_proj))?;
        l.back(t, (d_dtbc, du), w.in_rows(at.x_proj), true)
    }

    /// dx.
    fn through_in_proj(&self, work: &Work, out: Address) -> Result<(), TrainingError> {
        let (l, p, at, t) = (self.launcher, &self.launcher.p, &self.weights.at, self.tokens.count);
        let gradient = |place: usize| (work.partial, out + 4 * place as Address);
        l.conv_back(self.conv(), work.du, work.dxz, gradient(at.conv))?;
        let (dxz, d_normed) = (Matrix::new(work.dxz, 2 * p.ip), Matrix::new(work.d_normed, p.d));
        l.weight(t, (dxz, Matrix::new(self.tape.normed, p.d)), gradient(at.in_proj))?;
        if p.shape.linear_bias {
            l.bias(t, (work.dxz, 2 * p.ip), false, gradient(at.in_bias))?;
        }
        l.back(t, (dxz, d_normed), self.weights.in_rows(at.in_proj), false)?;
        l.norm_back(self.norm(), work.d_normed, (work.dx, work.dx_rows), gradient(at.norm))
    }
}
