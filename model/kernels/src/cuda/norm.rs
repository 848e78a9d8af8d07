//! Norms of rows, the way in, and element-wise steps.

use cudarc::driver::DeviceRepr;

use super::{
    CudaError, Gpu,
    buffer::Buffer,
    launch::{Kernel, arg},
    linear::int,
    rows::{Columns, On, Rows, Type},
    wide::to_bf16,
};

/// The kernels' `Norm`.
#[repr(C)]
#[derive(Clone, Copy)]
struct NormArgs {
    wave: u64,
    x: u64,
    weight: u64,
    bias: u64,
    y: u64,
    d: i32,
    eps: f32,
    centered: i32,
}
// SAFETY: addresses and numbers, laid out as in norm.cu.
unsafe impl DeviceRepr for NormArgs {}

/// The norm of a residual stream.
pub struct Norm {
    d: usize,
    weight: Buffer,
    bias: Option<Buffer>,
    eps: f32,
    centered: bool,
    f32: Kernel,
    bf16: Kernel,
}

impl Norm {
    /// RMS norms, or layer norms where `centered`.
    ///
    /// # Errors
    /// When memory does not suffice.
    pub fn new(
        gpu: &Gpu,
        (weight, bias): (&[f32], Option<&[f32]>),
        eps: f32,
        centered: bool,
    ) -> Result<Self, CudaError> {
        let d = weight.len();
        let load = |fours, any| Kernel::load(gpu, "norm", if d.is_multiple_of(4) { fours } else { any }, 0);
        Ok(Self {
            d,
            weight: Buffer::of(gpu, "weights", weight)?,
            bias: bias.map(|bias| Buffer::of(gpu, "weights", bias)).transpose()?,
            eps,
            centered,
            f32: load("norm_f32", "norm_any_f32")?,
            bf16: load("norm_bf16", "norm_any_bf16")?,
        })
    }

    pub(super) fn is_plain_rms(&self) -> bool {
        !self.centered && self.bias.is_none()
    }

    pub(super) fn eps(&self) -> f32 {
        self.eps
    }

    pub(super) fn weight(&self, d: usize) -> u64 {
        assert_eq!(d, self.d, "the norm's width");
        self.weight.at(0)
    }

    /// y = norm(x): x in f32, y in f32 or bf16.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn forward(&self, on: On<'_>, x: &Rows, y: &Rows) -> Result<(), CudaError> {
        let args = NormArgs {
            wave: on.wave.head(),
            x: x.checked(on.size, Type::F32, self.d),
            weight: self.weight.at(0),
            bias: self.bias.as_ref().map_or(0, |bias| bias.at(0)),
            y: y.checked(on.size, y.kind, self.d),
            d: int(self.d),
            eps: self.eps,
            centered: i32::from(self.centered),
        };
        let kernel = if y.kind == Type::F32 { &self.f32 } else { &self.bf16 };
        // SAFETY: the arguments of the norm kernels; rows have been checked.
        unsafe { kernel.launch(on.lane, ([on.size.rows.div_ceil(4), 1, 1], 128), &mut [arg(&args)]) }
    }
}

/// Embedded tokens.
pub struct Embedding {
    table: Buffer,
    d: usize,
    kernel: Kernel,
}

impl Embedding {
    /// A table `[vocab, d]` in the route's type.
    ///
    /// # Errors
    /// When memory does not suffice.
    pub fn new(gpu: &Gpu, kind: Type, table: &[f32], d: usize) -> Result<Self, CudaError> {
        let table = match kind {
            Type::F32 => Buffer::of(gpu, "weights", table)?,
            Type::Bf16 => Buffer::of(gpu, "weights", &to_bf16(table))?,
        };
        Ok(Self { table, d, kernel: Kernel::load(gpu, "norm", kind.form("embed_f32", "embed_bf16"), 0)? })
    }

    /// x = the embedded tokens of the wave, which must be less than the vocabulary.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn forward(&self, on: On<'_>, x: &Rows) -> Result<(), CudaError> {
        let (wave, tokens, table) = (on.wave.head(), on.wave.tokens(), self.table.at(0));
        let (to, d) = (x.checked(on.size, Type::F32, self.d), int(self.d));
        let args = &mut [arg(&wave), arg(&tokens), arg(&table), arg(&to), arg(&d)];
        // SAFETY: the arguments of the embed kernels; the wave's tokens were checked by whoever set them.
        unsafe { self.kernel.launch(on.lane, ([on.size.rows, 1, 1], 128), args) }
    }
}

/// Weightless RMS norms of dt, B and C, in place.
pub struct NormDtBc {
    kernel: Kernel,
    kind: Type,
    eps: f32,
}

impl NormDtBc {
    /// With this epsilon.
    ///
    /// # Errors
    /// When the kernel cannot be loaded.
    pub fn new(gpu: &Gpu, kind: Type, eps: f32) -> Result<Self, CudaError> {
        let kernel = Kernel::load(gpu, "norm", kind.form("norm_dt_bc_f32", "norm_dt_bc_bf16"), 0)?;
        Ok(Self { kernel, kind, eps })
    }

    /// dt: the first `r` of each row; bc: `[rows, 2 n]`.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn forward(&self, on: On<'_>, (dt, r): (&Rows, usize), bc: &Rows) -> Result<(), CudaError> {
        let (wave, to, both) =
            (on.wave.head(), dt.checked(on.size, self.kind, dt.cols), bc.checked(on.size, Type::F32, bc.cols));
        let (r, ld, n) = (int(r), int(dt.cols), int(bc.cols / 2));
        let args = &mut [arg(&wave), arg(&to), arg(&r), arg(&ld), arg(&both), arg(&n), arg(&self.eps)];
        // SAFETY: the arguments of the norm_dt_bc kernels; rows have been checked.
        unsafe { self.kernel.launch(on.lane, ([on.size.rows.div_ceil(4), 1, 1], 128), args) }
    }
}

/// y silu(gate), of rows that hold y, then gate.
pub struct Gate(Kernel, Type);

impl Gate {
    /// In the route's type.
    ///
    /// # Errors
    /// When the kernel cannot be loaded.
    pub fn new(gpu: &Gpu, kind: Type) -> Result<Self, CudaError> {
        Ok(Self(Kernel::load(gpu, "norm", kind.form("gate_f32", "gate_bf16"), 0)?, kind))
    }

    /// both `[rows, 2 h]` to y `[rows, h]`.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn forward(&self, on: On<'_>, both: &Rows, y: &Rows) -> Result<(), CudaError> {
        let h = y.cols;
        let (wave, from) = (on.wave.head(), both.checked(on.size, self.1, 2 * h));
        let (ld, to, h_arg) = (int(both.cols), y.checked(on.size, self.1, h), int(h));
        let args = &mut [arg(&wave), arg(&from), arg(&ld), arg(&to), arg(&h_arg)];
        // SAFETY: the arguments of the gate kernels; rows have been checked.
        unsafe { self.0.launch(on.lane, ([h.div_ceil(128), on.size.rows, 1], 128), args) }
    }
}

/// The kernels' `GatedNorm`.
#[repr(C)]
#[derive(Clone, Copy)]
struct GatedArgs {
    wave: u64,
    y: u64,
    z: u64,
    weight: u64,
    out: u64,
    d_in: i32,
    groups: i32,
    ld: i32,
    eps: f32,
    norm_first: i32,
}
// SAFETY: addresses and numbers, laid out as in norm.cu.
unsafe impl DeviceRepr for GatedArgs {}

/// Mamba-2's gated norm, or its plain gate.
pub struct GatedNorm {
    kernel: Kernel,
    kind: Type,
    weight: Option<Buffer>,
    groups: usize,
    eps: f32,
    norm_first: bool,
}

impl GatedNorm {
    /// A norm in groups with this weight, or the gate alone.
    ///
    /// # Errors
    /// When memory does not suffice.
    pub fn new(
        gpu: &Gpu,
        kind: Type,
        weight: Option<&[f32]>,
        (groups, eps, norm_first): (usize, f32, bool),
    ) -> Result<Self, CudaError> {
        let kernel = Kernel::load(gpu, "norm", kind.form("gated_norm_f32", "gated_norm_bf16"), 0)?;
        let weight = weight.map(|weight| Buffer::of(gpu, "weights", weight)).transpose()?;
        Ok(Self { kernel, kind, weight, groups, eps, norm_first })
    }

    /// y in f32, z of the route's type; to rows of the route's type.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn forward(&self, on: On<'_>, y: &Rows, z: Columns<'_>, out: &Rows) -> Result<(), CudaError> {
        let args = GatedArgs {
            wave: on.wave.head(),
            y: y.checked(on.size, Type::F32, y.cols),
            z: z.checked(on.size, self.kind, y.cols),
            weight: self.weight.as_ref().map_or(0, |weight| weight.room(4 * y.cols)),
            out: out.checked(on.size, self.kind, y.cols),
            d_in: int(y.cols),
            groups: int(self.groups),
            ld: int(z.rows.cols),
            eps: self.eps,
            norm_first: i32::from(self.norm_first),
        };
        let grid = [(on.size.rows * self.groups).div_ceil(4), 1, 1];
        // SAFETY: the arguments of the gated_norm kernels; rows have been checked.
        unsafe { self.kernel.launch(on.lane, (grid, 128), &mut [arg(&args)]) }
    }
}
