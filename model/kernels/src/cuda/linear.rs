//! Matrix products with a layer's weights, and what is fused into them.

use cudarc::driver::DeviceRepr;

use super::{
    Conv, CudaError, Gpu, LayerStates, Norm,
    buffer::Buffer,
    launch::{Kernel, arg},
    rows::{On, Rows, TensorMap, Type},
    wide::to_bf16,
};

/// `y = W x + b` for rows x.
pub struct Linear {
    n_in: usize,
    n_out: usize,
    kind: Type,
    weight: Buffer,
    bias: Option<Buffer>,
    path: Path,
}

/// The way is chosen by the weights' shape alone: all rows take the same.
enum Path {
    /// On the matrix units: W `[n_out, n_in]` in tiles of `columns` outputs.
    Tensor {
        tiles: TensorMap,
        columns: usize,
        store: Kernel,
        add: Kernel,
        wide: Kernel,
        split: Kernel,
        broad: Option<Broad<2>>,
    },
    /// On the plain units: W `[n_in, n_out]`, in tiles of [`PLAIN`].
    Plain([Kernel; 4]),
    /// On the matrix units, `d_in` columns of the output convolved at once: see [`Linear::convolved`].
    Convolved { tiles: TensorMap, kernel: Kernel, broad: Option<Broad<1>>, windows: Kernel },
    /// On the matrix units, whole rows added and normed at once: see [`Linear::added_and_normed`].
    Normed { tiles: TensorMap, kernel: Kernel },
}

/// Rows and outputs of a tile on the plain units, and the block's threads. All give the same bits.
const PLAIN: [(usize, usize, u32); 4] = [(4, 32, 128), (16, 32, 128), (32, 64, 128), (128, 128, 256)];

/// Which of [`PLAIN`]: few rows wait for memory and want many blocks, many want large ones.
fn plain_tile(rows: usize, n_out: usize) -> usize {
    const FILLED: usize = 264; // blocks, two a multiprocessor of a large card
    match rows {
        0..=4 => 0,
        5..=64 => 1,
        _ if rows.div_ceil(128) * n_out.div_ceil(128) < FILLED => 2,
        _ => 3,
    }
}

/// Tiles twice as broad, for deep products of many rows: they give the same bits.
struct Broad<const N: usize> {
    tiles: TensorMap,
    kernels: [Kernel; N],
}

/// Rows from which on they pay: fewer leave multiprocessors idle.
const BROAD_ROWS: usize = 2048;
/// Inputs from which on they pay.
const BROAD_INPUTS: usize = 512;

impl<const N: usize> Broad<N> {
    /// For these weights, where they are deep enough.
    fn of(gpu: &Gpu, weight: &Buffer, [n_out, n_in]: [usize; 2], names: [&str; N]) -> Result<Option<Self>, CudaError> {
        if n_in < BROAD_INPUTS || !n_out.is_multiple_of(256) {
            return Ok(None);
        }
        let tiles = TensorMap::new((weight, 0, Type::Bf16), [n_out, n_in, n_in], (64, 256), true)?;
        let mut kernels = Vec::with_capacity(N);
        for name in names {
            kernels.push(Kernel::load(gpu, "gemm", name, ring(256, 4))?);
        }
        Ok(kernels.try_into().ok().map(|kernels| Self { tiles, kernels }))
    }
}

/// Where a product goes.
#[derive(Clone, Copy)]
pub enum Out<'a> {
    /// Into rows of the route's type.
    Store(&'a Rows),
    /// Added to f32 rows.
    Add(&'a Rows),
    /// The first columns into rows of the route's type, as many as these have; the others into f32 rows.
    Split(&'a Rows, &'a Rows),
    /// Into f32 rows.
    Wide(&'a Rows),
    /// Their SiLU, into rows of the route's type; on the plain units only.
    Silu(&'a Rows),
}

/// The kernels' `Product`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Product {
    wave: u64,
    bias: u64,
    c: u64,
    c2: u64,
    n: i32,
    k: i32,
    ldc: i32,
    ldc2: i32,
    split: i32,
    weight: u64,
    eps: f32,
    info: u64,
    conv_weight: u64,
    conv_bias: u64,
    states: u64,
    slot_stride: u64,
    tails: u64,
}
// SAFETY: addresses and numbers, laid out as in gemm.cu.
unsafe impl DeviceRepr for Product {}

/// The kernels' `Windows`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Windows {
    wave: u64,
    segments: u64,
    tails: u64,
    states: u64,
    slot_stride: u64,
    channels: i32,
}
// SAFETY: addresses and a number, laid out as in conv.cu.
unsafe impl DeviceRepr for Windows {}

/// The kernels' `Linear`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Plain {
    wave: u64,
    a: u64,
    w: u64,
    bias: u64,
    c: u64,
    c2: u64,
    n: i32,
    k: i32,
    lda: i32,
    ldc: i32,
    ldc2: i32,
    split: i32,
    place: i32,
}
// SAFETY: addresses and numbers, laid out as in linear.cu.
unsafe impl DeviceRepr for Plain {}

pub(super) fn int(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// Shared memory of the products' blocks: a ring of tiles of 128 and `columns` rows, 128 bytes each.
fn ring(columns: usize, stages: usize) -> usize {
    stages * (128 + columns) * 128 + 1024
}

impl Linear {
    /// Weights `[n_out, n_in]` and a bias, on the card in the route's type.
    ///
    /// # Errors
    /// When memory does not suffice.
    pub fn new(
        gpu: &Gpu,
        kind: Type,
        (weight, n_in): (&[f32], usize),
        bias: Option<&[f32]>,
    ) -> Result<Self, CudaError> {
        let n_out = weight.len() / n_in.max(1);
        if kind == Type::Bf16 && gpu.is_hopper() && n_in.is_multiple_of(8) && n_out.is_multiple_of(8) {
            let columns = if n_out <= 64 {
                64
            } else if n_out <= 96 {
                96
            } else {
                128
            };
            let stages = if columns == 128 { 3 } else { 4 };
            let load = |name: &str| Kernel::load(gpu, "gemm", name, ring(columns, stages));
            let many = |name: &str| load(&format!("gemm_{name}_{columns}"));
            return Self::tensor(gpu, (weight, n_in), bias, columns, |tiles, weight| {
                let broad = Broad::of(gpu, weight, [n_out, n_in], ["gemm_store_256", "gemm_add_256"])?;
                let (store, add, wide, split) = (many("store")?, many("add")?, many("wide")?, many("split")?);
                Ok(Path::Tensor { tiles, columns, store, add, wide, split, broad })
            });
        }
        let transposed: Vec<f32> = (0..n_in).flat_map(|k| (0..n_out).map(move |n| weight[n * n_in + k])).collect();
        let weight = match kind {
            Type::F32 => Buffer::of(gpu, "weights", &transposed)?,
            Type::Bf16 => Buffer::of(gpu, "weights", &to_bf16(&transposed))?,
        };
        let load = |tile: &str| Kernel::load(gpu, "linear", &format!("linear{tile}_{}", kind.form("f32", "bf16")), 0);
        let path = Path::Plain([load("_one")?, load("_few")?, load("_some")?, load("")?]);
        let bias = bias.map(|bias| Buffer::of(gpu, "weights", bias)).transpose()?;
        Ok(Self { n_in, n_out, kind, weight, bias, path })
    }

    /// Weights whose first half of outputs is convolved at once, where that is possible: bf16 on Hopper, a convolution of
    /// width 4, halves of whole tiles.
    ///
    /// # Errors
    /// When memory does not suffice.
    pub fn with_convolution(
        gpu: &Gpu,
        kind: Type,
        (weight, n_in): (&[f32], usize),
        bias: Option<&[f32]>,
        conv: &Conv,
    ) -> Result<Option<Self>, CudaError> {
        let half = weight.len() / n_in.max(1) / 2;
        let fits = kind == Type::Bf16 && gpu.is_hopper() && n_in.is_multiple_of(8) && half.is_multiple_of(128);
        if !fits || conv.width() != 4 || conv.channels() != half {
            return Ok(None);
        }
        let tensor = Self::tensor(gpu, (weight, n_in), bias, 128, |tiles, weight| {
            // A tile is of x or of z.
            let shape = [if half.is_multiple_of(256) { 2 * half } else { 1 }, n_in];
            let broad = Broad::of(gpu, weight, shape, ["gemm_conv_256"])?;
            let windows = Kernel::load(gpu, "conv", "conv_windows", 0)?;
            let kernel = Kernel::load(gpu, "gemm", "gemm_conv_128", ring(128, 3))?;
            Ok(Path::Convolved { tiles, kernel, broad, windows })
        });
        tensor.map(Some)
    }

    /// Weights whose outputs are added to the residual stream and normed at once, where that is possible: bf16 on Hopper,
    /// rows of 256, RMS norms.
    ///
    /// # Errors
    /// When memory does not suffice.
    pub fn with_norm(
        gpu: &Gpu,
        kind: Type,
        (weight, n_in): (&[f32], usize),
        bias: Option<&[f32]>,
        norm: &Norm,
    ) -> Result<Option<Self>, CudaError> {
        let n_out = weight.len() / n_in.max(1);
        if kind != Type::Bf16 || !gpu.is_hopper() || !n_in.is_multiple_of(8) || n_out != 256 || !norm.is_plain_rms() {
            return Ok(None);
        }
        let tensor = Self::tensor(gpu, (weight, n_in), bias, 256, |tiles, _| {
            Ok(Path::Normed { tiles, kernel: Kernel::load(gpu, "gemm", "gemm_norm_256", ring(256, 3))? })
        });
        tensor.map(Some)
    }

    fn tensor(
        gpu: &Gpu,
        (weight, n_in): (&[f32], usize),
        bias: Option<&[f32]>,
        columns: usize,
        path: impl FnOnce(TensorMap, &Buffer) -> Result<Path, CudaError>,
    ) -> Result<Self, CudaError> {
        let n_out = weight.len() / n_in;
        let weight = Buffer::of(gpu, "weights", &to_bf16(weight))?;
        let tiles = TensorMap::new((&weight, 0, Type::Bf16), [n_out, n_in, n_in], (64, columns), true)?;
        let bias = bias.map(|bias| Buffer::of(gpu, "weights", bias)).transpose()?;
        let path = path(tiles, &weight)?;
        Ok(Self { n_in, n_out, kind: Type::Bf16, weight, bias, path })
    }

    /// Outputs.
    #[must_use]
    pub fn n_out(&self) -> usize {
        self.n_out
    }

    /// It runs on the matrix units.
    #[must_use]
    pub fn is_tuned(&self) -> bool {
        self.kind == Type::F32 || !matches!(self.path, Path::Plain(..))
    }

    fn bias(&self) -> u64 {
        self.bias.as_ref().map_or(0, |bias| bias.at(0))
    }

    /// Rows x of the route's type, whole or the first columns, to `out`.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn forward(&self, on: On<'_>, x: &Rows, out: Out<'_>) -> Result<(), CudaError> {
        let size = on.size;
        let (c, c2, ldc, ldc2, split, place) = match out {
            Out::Store(rows) => (rows.checked(size, self.kind, rows.cols), 0, rows.cols, 0, 0, 0),
            Out::Add(rows) => (rows.checked(size, Type::F32, self.n_out), 0, self.n_out, 0, 0, 1),
            Out::Split(first, rest) => {
                let rest_cols = self.n_out - first.cols;
                let (c, c2) = (first.checked(size, self.kind, first.cols), rest.checked(size, Type::F32, rest_cols));
                (c, c2, first.cols, rest_cols, first.cols, 2)
            }
            Out::Wide(rows) => (rows.checked(size, Type::F32, self.n_out), 0, self.n_out, 0, 0, 3),
            Out::Silu(rows) => (rows.checked(size, self.kind, self.n_out), 0, self.n_out, 0, 0, 4),
        };
        assert!(place != 0 || ldc == self.n_out, "rows of {ldc} for {} outputs", self.n_out);
        let (n, k) = (int(self.n_out), int(self.n_in));
        let (ldc, ldc2, split) = (int(ldc), int(ldc2), int(split));
        match &self.path {
            Path::Tensor { tiles, columns, store, add, wide, split: split_kernel, broad } => {
                x.checked(size, Type::Bf16, self.n_in);
                let product = Product {
                    wave: on.wave.head(),
                    bias: self.bias(),
                    c,
                    c2,
                    n,
                    k,
                    ldc,
                    ldc2,
                    split,
                    ..Product::default()
                };
                let broad = broad.as_ref().filter(|_| size.rows >= BROAD_ROWS);
                let (kernel, tiles, columns) = match (out, broad) {
                    (Out::Store(_), Some(Broad { tiles, kernels: [store, _] })) => (store, tiles, 256),
                    (Out::Add(_), Some(Broad { tiles, kernels: [_, add] })) => (add, tiles, 256),
                    (Out::Store(_), None) => (store, tiles, *columns),
                    (Out::Add(_), None) => (add, tiles, *columns),
                    (Out::Split(..), _) => (split_kernel, tiles, *columns),
                    (Out::Wide(_), _) => (wide, tiles, *columns),
                    (Out::Silu(_), _) => return Err(CudaError::NoKernel("a product with its SiLU".into())),
                };
                let grid = [self.n_out.div_ceil(columns), size.rows.div_ceil(128), 1];
                let a = x.tiles()?;
                // SAFETY: the arguments of the kernels of gemm.cu; rows and weights have been checked above.
                unsafe { kernel.launch(on.lane, (grid, 256), &mut [arg(&a), arg(tiles), arg(&product)]) }
            }
            Path::Plain(kernels) => {
                let a = x.checked(size, self.kind, x.cols);
                assert!(x.cols >= self.n_in, "rows of {} for {} inputs", x.cols, self.n_in);
                let (wave, w, bias, lda) = (on.wave.head(), self.weight.at(0), self.bias(), int(x.cols));
                let plain = Plain { wave, a, w, bias, c, c2, n, k, lda, ldc, ldc2, split, place };
                let tile = plain_tile(size.rows, self.n_out);
                let (rows, columns, block) = PLAIN[tile];
                let grid = [self.n_out.div_ceil(columns), size.rows.div_ceil(rows), 1];
                // SAFETY: the arguments of the kernels of linear.cu; rows and weights have been checked above.
                unsafe { kernels[tile].launch(on.lane, (grid, block), &mut [arg(&plain)]) }
            }
            Path::Convolved { .. } | Path::Normed { .. } => Err(CudaError::NoKernel("a fused product alone".into())),
        }
    }

    /// u = silu(conv(first half of x W)), z = second half; the windows move on. `tails`: for what those of runs of two rows or
    /// more will hold once all have been read.
    ///
    /// # Errors
    /// When the driver refuses, or it was not made by [`Linear::with_convolution`].
    pub fn convolved(
        &self,
        on: On<'_>,
        x: &Rows,
        (conv, states): (&Conv, LayerStates),
        (u, z, tails): (&Rows, &Rows, &Rows),
    ) -> Result<(), CudaError> {
        let Path::Convolved { tiles, kernel, broad, windows } = &self.path else {
            return Err(CudaError::NoKernel("a product with a convolution".into()));
        };
        let half = self.n_out / 2;
        x.checked(on.size, Type::Bf16, self.n_in);
        let (conv_weight, conv_bias) = conv.weights();
        assert!(tails.most >= 3 * on.size.segments && tails.cols == half, "room for tails");
        let product = Product {
            wave: on.wave.head(),
            bias: self.bias(),
            c: u.checked(on.size, Type::Bf16, half),
            c2: z.checked(on.size, Type::Bf16, half),
            n: int(self.n_out),
            k: int(self.n_in),
            ldc: int(half),
            ldc2: int(half),
            split: int(half),
            info: on.wave.info(),
            conv_weight,
            conv_bias,
            states: states.address,
            slot_stride: states.stride as u64,
            tails: tails.buffer.at(0),
            ..Product::default()
        };
        let (tiles, kernel, columns) = match broad.as_ref().filter(|_| on.size.rows >= BROAD_ROWS) {
            Some(Broad { tiles, kernels: [kernel] }) => (tiles, kernel, 256),
            None => (tiles, kernel, 128),
        };
        let grid = [self.n_out / columns, on.size.rows.div_ceil(125), 1];
        let a = x.tiles()?;
        // SAFETY: the arguments of the gemm_conv kernels; rows and weights have been checked above, slots by whoever set the wave.
        unsafe { kernel.launch(on.lane, (grid, 256), &mut [arg(&a), arg(tiles), arg(&product)])? };
        let Product { wave, tails, states, slot_stride, .. } = product;
        let moved = Windows { wave, segments: on.wave.segments(), tails, states, slot_stride, channels: int(half) };
        let grid = [half.div_ceil(256), on.size.segments, 1];
        // SAFETY: the arguments of conv_windows; room for tails has been checked above, slots by whoever set the wave.
        unsafe { windows.launch(on.lane, (grid, 256), &mut [arg(&moved)]) }
    }

    /// residual += x W, normed = norm(residual).
    ///
    /// # Errors
    /// When the driver refuses, or it was not made by [`Linear::with_norm`].
    pub fn added_and_normed(
        &self,
        on: On<'_>,
        x: &Rows,
        residual: &Rows,
        (norm, normed): (&Norm, &Rows),
    ) -> Result<(), CudaError> {
        let Path::Normed { tiles, kernel } = &self.path else {
            return Err(CudaError::NoKernel("a product with a norm".into()));
        };
        x.checked(on.size, Type::Bf16, self.n_in);
        let n = int(self.n_out);
        let product = Product {
            wave: on.wave.head(),
            bias: self.bias(),
            c: residual.checked(on.size, Type::F32, self.n_out),
            c2: normed.checked(on.size, Type::Bf16, self.n_out),
            n,
            k: int(self.n_in),
            ldc: n,
            ldc2: n,
            weight: norm.weight(self.n_out),
            eps: norm.eps(),
            ..Product::default()
        };
        let grid = [1, on.size.rows.div_ceil(128), 1];
        let a = x.tiles()?;
        // SAFETY: the arguments of gemm_norm_256; rows and weights have been checked above.
        unsafe { kernel.launch(on.lane, (grid, 256), &mut [arg(&a), arg(tiles), arg(&product)]) }
    }
}
