//! Starting kernels: one function for each, with the grid that its header asks for.
//!
//! Addresses are of memory that [`super::layer`] and [`super::Training`] took for exactly these sizes.

use std::sync::Arc;

use cudarc::driver::LaunchConfig;

use super::{
    Address, TrainingError,
    args::{Adam, Argument, Batch, Conv, CrossEntropy, Norm, Product, Quantiles, ScanBack, ScanRows},
    functions::{self, Functions, Kernel, NARROW},
    shape::Padded,
};
use crate::cuda::{CudaError, Gpu};

/// Tokens of a run of the convolution, forward and backward, and rows of a block of the norm's backward pass.
const CONV_RUN: usize = 8;
const CONV_BACK_RUN: usize = 32;
const NORM_ROWS: usize = 64;
/// Columns of a block of an ordered sum, and rows of one of its first step.
const SUM_COLUMNS: usize = 32;
const SUM_ROWS: usize = 512;
/// Parts that one thread adds up by itself.
const FEW: usize = 96;
/// Values of a block of a sum in f64.
const F64_SUMMED: usize = 8192;
/// Blocks that a product for weights is cut into, about, and the fewest tokens of one.
const WEIGHT_BLOCKS: usize = 264;
const WEIGHT_TOKENS: usize = 256;

/// Kernels, where they run, and for what sizes.
pub(super) struct Launcher {
    pub gpu: Arc<Gpu>,
    pub functions: Functions,
    pub p: Padded,
}

/// Where an ordered sum over parts leaves its parts, and what it has: the most that any sum of a layer needs.
#[derive(Clone, Copy)]
pub(super) struct Partial(pub Address);

/// The batch, as the scan takes it.
#[derive(Clone, Copy)]
pub(super) struct Scanned {
    pub batch: Batch,
    pub parts: usize,
    pub joints: usize,
    pub chained: Address,
}

/// A matrix in rows.
#[derive(Clone, Copy)]
pub(super) struct Matrix {
    pub at: Address,
    /// Values used of a row, and from row to row.
    pub width: usize,
    pub stride: usize,
}

impl Matrix {
    pub fn new(at: Address, width: usize) -> Self {
        Self { at, width, stride: width }
    }
}

type Done = Result<(), TrainingError>;

impl Launcher {
    fn start(&self, kernel: &Kernel, grid: [usize; 3], arguments: &[Argument]) -> Done {
        if grid.contains(&0) {
            return Ok(());
        }
        let [x, y, z] = grid.map(|size| u32::try_from(size).unwrap_or(u32::MAX));
        let (grid_dim, block_dim) = ((x, y, z), (kernel.threads, 1, 1));
        let mut call = self.gpu.stream().launch_builder(&kernel.function);
        arguments.iter().for_each(|argument| argument.push(&mut call));
        // SAFETY: the callers below pass a kernel's arguments in order, and addresses of memory that was taken for these
        // sizes and outlives the call: all work is on one stream, which also gives memory back.
        let started = unsafe { call.launch(LaunchConfig { grid_dim, block_dim, shared_mem_bytes: kernel.shared }) };
        started.map(drop).map_err(|error| CudaError::driver("starting a kernel")(error).into())
    }

    /// Each token's sequence's first token and the one after its last. offsets: `[sequences + 1]`
    pub fn bounds(&self, offsets: (Address, usize), tokens: usize, [begins, ends]: [Address; 2]) -> Done {
        let (grid, (offsets, sequences)) = ([tokens.div_ceil(256), 1, 1], offsets);
        let call = [offsets.into(), sequences.into(), tokens.into(), begins.into(), ends.into()];
        self.start(&self.functions.bounds, grid, &call)
    }

    pub fn decay_rates(&self, a_log: Address, a: Address) -> Done {
        let count = self.p.ip * self.p.n;
        self.start(&self.functions.decay_rates, [count.div_ceil(256), 1, 1], &[a_log.into(), count.into(), a.into()])
    }

    pub fn narrow(&self, from: Address, count: usize, to: Address) -> Done {
        self.start(&self.functions.narrow, [count.div_ceil(256), 1, 1], &[from.into(), count.into(), to.into()])
    }

    /// `[t, d]` rows of the table.
    pub fn embed(&self, table: Address, ids: Address, tokens: usize, rows: Address) -> Done {
        self.start(&self.functions.embed, [tokens, 1, 1], &[table.into(), ids.into(), self.p.d.into(), rows.into()])
    }

    /// `count` sums of chosen rows `[.., d]`; an `order` of 0 is that of the rows.
    pub fn sum_chosen(&self, rows: Address, (order, cuts, count): (Address, Address, usize), out: Address) -> Done {
        self.start(
            &self.functions.sum_chosen,
            [count, 1, 1],
            &[rows.into(), order.into(), cuts.into(), self.p.d.into(), out.into()],
        )
    }

    pub fn norm(&self, norm: Norm, y: Address, last: bool) -> Done {
        let kernel = if last { &self.functions.last_norm_forward } else { &self.functions.norm_forward };
        self.start(kernel, [count(norm.tokens).div_ceil(8), 1, 1], &[norm.into(), y.into()])
    }

    /// Adds to `dx`, `[t, d]`, in f32 and in rows; the weight's gradient goes to `dw`.
    pub fn norm_back(&self, norm: Norm, dy: Address, dx: (Address, Address), dw: (Partial, Address)) -> Done {
        self.any_norm_back(&self.functions.norm_backward, (norm, dy), dx, dw)
    }

    /// As [`Self::norm_back`], but dy is of f32, and dx is written.
    pub fn last_norm_back(&self, norm: Norm, dy: Address, dx: (Address, Address), dw: (Partial, Address)) -> Done {
        self.any_norm_back(&self.functions.last_norm_backward, (norm, dy), dx, dw)
    }

    fn any_norm_back(
        &self,
        kernel: &Kernel,
        (norm, dy): (Norm, Address),
        (dx, dx_rows): (Address, Address),
        (partial, dw): (Partial, Address),
    ) -> Done {
        let blocks = count(norm.tokens).div_ceil(NORM_ROWS);
        self.start(kernel, [blocks, 1, 1], &[norm.into(), dy.into(), dx.into(), dx_rows.into(), partial.0.into()])?;
        self.sum_parts(partial, [blocks, self.p.d], dw)
    }

    pub fn conv(&self, conv: Conv, u: Address) -> Done {
        let threads = count(conv.tokens).div_ceil(CONV_RUN) * (self.p.ip / 8);
        self.start(&self.functions.conv_forward, [threads.div_ceil(256), 1, 1], &[conv.into(), u.into()])
    }

    /// The gradients for x, into the first halves of `dxz`, and for the taps and the bias.
    pub fn conv_back(&self, conv: Conv, du: Address, dxz: Address, (partial, dw): (Partial, Address)) -> Done {
        let runs = count(conv.tokens).div_ceil(CONV_BACK_RUN);
        let threads = runs * (self.p.ip / 4);
        self.start(
            &self.functions.conv_backward,
            [threads.div_ceil(256), 1, 1],
            &[conv.into(), du.into(), dxz.into(), partial.0.into()],
        )?;
        self.sum_parts(partial, [runs, (self.p.k + 1) * self.p.ip], dw)
    }

    /// y and g, `[t, ip]`, and what [`ScanRows`] names of h.
    pub fn scan(&self, rows: ScanRows, scanned: &Scanned, y: Address, g: Address) -> Done {
        let (f, grid) = (&self.functions, [self.p.scan_blocks()[0], scanned.parts, 1]);
        if scanned.joints > 0 {
            self.start(&f.carry_forward, grid, &[rows.into(), scanned.batch.into()])?;
            self.chain(&f.chain_forward, &rows, scanned, rows.joined)?;
        }
        self.start(&f.scan_forward, grid, &[rows.into(), scanned.batch.into(), y.into(), g.into()])
    }

    /// All that [`ScanBack`] names, dB and dC into the ends of the rows `d_dtbc`, and A_log's, D's and dt's bias's to `dw`.
    pub fn scan_back(
        &self,
        rows: ScanRows,
        scanned: &Scanned,
        back: ScanBack,
        (d_dtbc, dw): (Address, Address),
    ) -> Done {
        let (f, [forward_blocks, blocks]) = (&self.functions, self.p.scan_blocks());
        let call = [rows.into(), scanned.batch.into(), back.into()];
        if scanned.joints > 0 {
            self.start(&f.carry_backward, [forward_blocks, scanned.parts, 1], &call)?;
            self.chain(&f.chain_backward, &rows, scanned, back.joined)?;
        }
        self.start(&f.scan_backward, [blocks, scanned.parts, 1], &call)?;
        let (tokens, sums, width) = (count(back.tokens), 2 * self.p.n, self.p.width());
        let call = [back.dbc.into(), blocks.into(), tokens.into(), sums.into(), width.into(), d_dtbc.into()];
        self.start(&f.sum_blocks, [(tokens * sums).div_ceil(256), 1, 1], &call)?;
        self.sum_parts(Partial(back.sums), [scanned.parts, self.p.scan_values()], dw)
    }

    /// Puts the segments of long sequences together.
    fn chain(&self, kernel: &Kernel, rows: &ScanRows, scanned: &Scanned, joined: Address) -> Done {
        let (chained, joints, sums) = (scanned.chained.into(), scanned.joints.into(), rows.dt_sums.into());
        let call = [chained, joints, rows.a.into(), sums, self.p.ip.into(), self.p.n.into(), joined.into()];
        self.start(kernel, [(self.p.ip * self.p.n).div_ceil(256), 1, 1], &call)
    }

    /// `y = x Wᵀ`; what `ends` has of bias, addend and softplus is put on top. w: `[n, k]` without gaps.
    pub fn forward(&self, tokens: usize, (x, y): (Matrix, Matrix), w: Address, ends: Product) -> Done {
        self.product(&self.functions.product_forward, tokens, [x, Matrix::new(w, x.width), y], ends)
    }

    /// As [`Self::forward`], with y of f32.
    pub fn forward_sum(&self, tokens: usize, (x, y): (Matrix, Matrix), w: Address, ends: Product) -> Done {
        self.product(&self.functions.product_sum, tokens, [x, Matrix::new(w, x.width), y], ends)
    }

    /// `dx = dy W`, added to dx where `add`. w: `[n, k]` without gaps.
    pub fn back(&self, tokens: usize, (dy, dx): (Matrix, Matrix), w: Address, add: bool) -> Done {
        let ends = Product { add: if add { dx.at } else { 0 }, ..Product::default() };
        self.product(&self.functions.product_back, tokens, [dy, Matrix::new(w, dx.width), dx], ends)
    }

    /// As [`Self::back`], with dx of f32.
    pub fn back_sum(&self, tokens: usize, (dy, dx): (Matrix, Matrix), w: Address, add: bool) -> Done {
        let ends = Product { add: if add { dx.at } else { 0 }, ..Product::default() };
        self.product(&self.functions.product_back_sum, tokens, [dy, Matrix::new(w, dx.width), dx], ends)
    }

    fn product(&self, kernels: &functions::Product, m: usize, [a, b, c]: [Matrix; 3], ends: Product) -> Done {
        let product = Product {
            a: a.at,
            b: b.at,
            c: c.at,
            m: int(m),
            n: int(c.width),
            k: int(a.width),
            lda: int(a.stride),
            ldb: int(b.stride),
            ldc: int(c.stride),
            k_part: int(a.width.max(1)),
            ..ends
        };
        let (kernel, [bm, bn]) = if c.width <= NARROW { &kernels.narrow } else { &kernels.wide };
        self.start(kernel, [c.width.div_ceil(*bn), m.div_ceil(*bm), 1], &[product.into()])
    }

    /// `dW = dyᵀ x`, `[dy.width, x.width]`, over the tokens: in parts, which are then summed in order.
    pub fn weight(&self, tokens: usize, (dy, x): (Matrix, Matrix), (partial, dw): (Partial, Address)) -> Done {
        let kernels = &self.functions.product_weight;
        let (kernel, [bm, bn]) = if x.width <= NARROW { &kernels.narrow } else { &kernels.wide };
        let (parts, k_part) = weight_parts(tokens, dy.width.div_ceil(*bm) * x.width.div_ceil(*bn));
        let product = Product {
            a: dy.at,
            b: x.at,
            c: if parts > 1 { partial.0 } else { dw },
            m: int(dy.width),
            n: int(x.width),
            k: int(tokens),
            lda: int(dy.stride),
            ldb: int(x.stride),
            ldc: int(x.width),
            k_part: int(k_part),
            ..Product::default()
        };
        self.start(kernel, [x.width.div_ceil(*bn), dy.width.div_ceil(*bm), parts], &[product.into()])?;
        if parts > 1 { self.sum_parts(partial, [parts, dy.width * x.width], dw) } else { Ok(()) }
    }

    /// A bias's gradient, the sum of the rows dy, which are of f32 or the rows' type; `[t, width]` without gaps.
    pub fn bias(&self, tokens: usize, dy: (Address, usize), of_f32: bool, (partial, db): (Partial, Address)) -> Done {
        let kernel = if of_f32 { &self.functions.sum_columns_f32 } else { &self.functions.sum_columns };
        let ((dy, width), blocks) = (dy, tokens.div_ceil(SUM_ROWS));
        self.start(
            kernel,
            [width.div_ceil(SUM_COLUMNS), blocks, 1],
            &[dy.into(), tokens.into(), width.into(), partial.0.into()],
        )?;
        self.sum_parts(partial, [blocks, width], db)
    }

    /// `y = silu(x)`; `count`: a multiple of 8.
    pub fn silu(&self, x: Address, count: usize, y: Address) -> Done {
        let call = [x.into(), Argument::Address(count as Address), y.into()];
        self.start(&self.functions.silu_forward, [count.div_ceil(8 * 256), 1, 1], &call)
    }

    /// `dx = dy silu'(x)`, in dy's place.
    pub fn silu_back(&self, x: Address, dy: Address, count: usize) -> Done {
        let call = [x.into(), dy.into(), Argument::Address(count as Address), dy.into()];
        self.start(&self.functions.silu_backward, [count.div_ceil(8 * 256), 1, 1], &call)
    }

    /// Each patch's loss, and the gradient for the outputs, `[t, stride]`.
    pub fn quantile_loss(&self, quantiles: Quantiles, d_outputs: Address) -> Done {
        let grid = [count(quantiles.tokens), 1, 1];
        self.start(&self.functions.quantile_loss, grid, &[quantiles.into(), d_outputs.into()])
    }

    /// Each token's loss, and the gradient for the outputs, `[t, width]`.
    pub fn cross_entropy(&self, loss: CrossEntropy, d_outputs: Address) -> Done {
        let grid = [count(loss.tokens).div_ceil(256), 1, 1];
        self.start(&self.functions.cross_entropy, grid, &[loss.into(), d_outputs.into()])
    }

    /// Adds the sum of losses to the report. sums: room for [`f64_sums`].
    pub fn report_loss(&self, (losses, count): (Address, usize), sums: Address, report: Address) -> Done {
        let blocks = f64_sums(count);
        self.start(
            &self.functions.sum_f64,
            [blocks, 1, 1],
            &[losses.into(), count.into(), Argument::Int(0), sums.into()],
        )?;
        self.start(&self.functions.report_loss, [1, 1, 1], &[sums.into(), blocks.into(), report.into()])
    }

    /// Leaves the norm of the gradients in the report. sums: room for [`f64_sums`].
    pub fn report_norm(&self, (gradients, count): (Address, usize), sums: Address, report: Address) -> Done {
        let blocks = f64_sums(count);
        self.start(
            &self.functions.sum_f64,
            [blocks, 1, 1],
            &[gradients.into(), count.into(), Argument::Int(1), sums.into()],
        )?;
        self.start(&self.functions.report_norm, [1, 1, 1], &[sums.into(), blocks.into(), report.into()])
    }

    pub fn adam(&self, adam: Adam) -> Done {
        self.start(&self.functions.adam, [count(adam.count).div_ceil(256), 1, 1], &[adam.into()])
    }

    /// `a += b`
    pub fn add_to(&self, a: Address, b: Address, count: usize) -> Done {
        self.start(&self.functions.add_to, [count.div_ceil(256), 1, 1], &[a.into(), b.into(), count.into()])
    }

    fn sum_parts(&self, partial: Partial, [parts, width]: [usize; 2], out: Address) -> Done {
        let call = [partial.0.into(), parts.into(), width.into(), out.into()];
        if parts <= FEW {
            return self.start(&self.functions.sum_few_parts, [width.div_ceil(4 * 256), 1, 1], &call);
        }
        self.start(&self.functions.sum_parts, [width.div_ceil(SUM_COLUMNS), 1, 1], &call)
    }

    /// The values that [`Partial`] must have room for.
    pub fn partial_values(&self, tokens: usize, pieces: usize) -> usize {
        let p = &self.p;
        let weight = |m: usize, n: usize| {
            // Blocks of the smallest tile give the most parts.
            let parts = weight_parts(tokens, 1).0.min(WEIGHT_BLOCKS.div_ceil(m.div_ceil(128) * n.div_ceil(128)));
            parts * m * n
        };
        let sums = [
            tokens.div_ceil(CONV_BACK_RUN) * (p.k + 1) * p.ip,
            tokens.div_ceil(NORM_ROWS) * p.d,
            tokens.div_ceil(SUM_ROWS) * (2 * p.ip).max(p.d),
            pieces * p.d,
            weight(2 * p.ip, p.d),
            weight(p.d, p.ip),
            weight(p.width(), p.ip),
            weight(p.ip, p.r),
        ];
        let ends = p.shape.series.map_or(0, |ends| {
            let (outputs, features) = (ends.outputs().next_multiple_of(8), ends.padded_features());
            let width = outputs.max(p.hidden());
            let products =
                [(width, p.hidden()), (width, p.d), (p.hidden(), features), (p.d, features), (p.d, p.hidden())];
            let products = products.into_iter().map(|(m, n)| weight(m, n)).max().unwrap_or(0);
            products.max(tokens.div_ceil(SUM_ROWS) * width)
        });
        let head = p.shape.head.map_or(0, |_| weight(p.vocab(), p.d));
        sums.into_iter().chain([ends, head]).max().unwrap_or(0)
    }
}

/// Sums that f64 sums over so many values leave.
pub(super) fn f64_sums(count: usize) -> usize {
    count.div_ceil(F64_SUMMED)
}

/// Parts of a product for weights of so many tiles, and the tokens of each.
fn weight_parts(tokens: usize, tiles: usize) -> (usize, usize) {
    let parts = WEIGHT_BLOCKS.div_ceil(tiles).min(tokens.div_ceil(WEIGHT_TOKENS)).max(1);
    let k_part = tokens.div_ceil(parts).next_multiple_of(32).max(32);
    (tokens.div_ceil(k_part).max(1), k_part)
}

/// A size that was checked to be small.
pub(super) fn int(size: usize) -> i32 {
    i32::try_from(size).unwrap_or(i32::MAX)
}

fn count(size: i32) -> usize {
    usize::try_from(size).unwrap_or(0)
}
