//! The selective scan of Mamba-1.

use cudarc::driver::DeviceRepr;

use super::{
    CudaError, Gpu, LayerStates,
    buffer::Buffer,
    launch::{Kernel, arg},
    linear::int,
    rows::{Columns, On, Rows, TensorMap, Type},
    wide::to_bf16,
};

/// The kernels' `Scan`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Args {
    wave: u64,
    segments: u64,
    step_slots: u64,
    states: u64,
    slot_stride: u64,
    a2: u64,
    d: u64,
    dt_bias: u64,
    w_dt: u64,
    x: u64,
    z: u64,
    u: u64,
    dt: u64,
    bc: u64,
    y: u64,
    d_in: i32,
    r: i32,
    k: i32,
    ld_x: i32,
    ld_z: i32,
    gated: i32,
}
// SAFETY: addresses and numbers, laid out as in scan.cu.
unsafe impl DeviceRepr for Args {}

const ROWS: usize = 16; // of a stage
const CHANNELS: usize = 64; // of a block
/// Up to this many blocks, more lanes walk each.
const FEW: usize = 32;

/// Shared memory of a block, as `scan_bytes` in scan.cu has it. `dt`: bytes of a row of dt.
fn shared(kind: Type, dt: usize, stages: usize) -> usize {
    let stage = 2 * ROWS * CHANNELS * kind.bytes() + ROWS * 128 + (ROWS * dt).next_multiple_of(1024);
    stages * stage + 2 * ROWS * CHANNELS * 8 + 2 * ROWS * (CHANNELS + 4) * 4 + 1024
}

/// How dt comes.
pub enum Dt<'a> {
    /// Rows of rank r, a multiple of 16, which the scan multiplies with `[d_in, r]`.
    Ranked(&'a [f32], usize),
    /// Whole rows in f32.
    Whole,
}

/// What a scan reads and writes.
#[derive(Clone, Copy)]
pub struct ScanRows<'a> {
    /// `[rows, d_in]`: the convolution's output.
    pub u: &'a Rows,
    /// `[rows, d_in]`: the gate,
    pub z: Columns<'a>,
    /// or silu of it already.
    pub gated: bool,
    /// `[rows, r]` of the route's type, or `[rows, d_in]` in f32.
    pub dt: &'a Rows,
    /// `[rows, 2 n]`, f32: B, C.
    pub bc: &'a Rows,
    /// `[rows, d_in]`: the convolution's input, for the windows; `None` where they have moved on already.
    pub x: Option<Columns<'a>>,
    /// `[rows, d_in]`: the gated output.
    pub y: &'a Rows,
}

enum Path {
    /// `few`: with more lanes a channel.
    Tuned {
        scan: Kernel,
        few: Option<Kernel>,
        step: Kernel,
    },
    Any(Kernel),
}

/// `h = exp(dt A) h + dt u B; y = (C h + D u) silu(z)`, with softplus of dt.
pub struct Scan {
    kind: Type,
    d_in: usize,
    n: usize,
    k: usize,
    a2: Buffer,
    d: Buffer,
    dt_bias: Buffer,
    w_dt: Option<Buffer>,
    r: usize,
    path: Path,
}

impl Scan {
    /// Whether the tuned scan takes this shape: 16 states, whole blocks of 64 channels, on Hopper.
    #[must_use]
    pub fn is_tuned_for(gpu: &Gpu, d_in: usize, n: usize) -> bool {
        gpu.is_hopper() && n == 16 && d_in.is_multiple_of(CHANNELS)
    }

    /// A from its logarithm `[d_in, n]`, D and dt's bias `[d_in]`, the convolution's width.
    ///
    /// # Errors
    /// When memory does not suffice.
    pub fn new(
        gpu: &Gpu,
        kind: Type,
        (a_log, d, dt_bias): (&[f32], &[f32], &[f32]),
        (k, dt): (usize, &Dt<'_>),
    ) -> Result<Self, CudaError> {
        let d_in = d.len();
        let n = a_log.len() / d_in.max(1);
        let a2: Vec<f32> = a_log.iter().map(|a| (-f64::from(*a).exp() * std::f64::consts::LOG2_E) as f32).collect();
        let (w_dt, r) = match dt {
            Dt::Ranked(weight, r) => (Some(Buffer::of(gpu, "weights", &to_bf16(weight))?), *r),
            Dt::Whole => (None, 0),
        };
        let load = |name: &str, shared| Kernel::load(gpu, "scan", name, shared);
        let path = if Self::is_tuned_for(gpu, d_in, n) {
            let step = Kernel::load(gpu, "scan_step", kind.form("scan_step_f32", "scan_step_bf16"), 0)?;
            match (kind, r) {
                (Type::F32, _) => {
                    Path::Tuned { scan: load("scan_f32", shared(kind, 4 * CHANNELS, 3))?, few: None, step }
                }
                (Type::Bf16, 0) => return Err(CudaError::NoKernel("a scan in bf16 of whole rows of dt".into())),
                (Type::Bf16, _) => {
                    let rank = if let 16 | 32 | 48 | 64 = r { format!("r{r}") } else { "any".into() };
                    let load = |form: &str| load(&format!("scan{form}_bf16_{rank}"), shared(kind, 2 * r, 4));
                    Path::Tuned { scan: load("")?, few: Some(load("_few")?), step }
                }
            }
        } else {
            Path::Any(Kernel::load(gpu, "scan_any", kind.form("scan_any_f32", "scan_any_bf16"), 0)?)
        };
        let upload = |values: &[f32]| Buffer::of(gpu, "weights", values);
        let (a2, d, dt_bias) = (upload(&a2)?, upload(d)?, upload(dt_bias)?);
        Ok(Self { kind, d_in, n, k, a2, d, dt_bias, w_dt, r, path })
    }

    /// Addresses of A log2(e), D, dt's bias and dt's weight, for this many channels and this rank.
    pub(super) fn weights(&self, (d_in, r): (usize, usize)) -> [u64; 4] {
        assert!(d_in == self.d_in && r == self.r && self.n == 16, "a scan of {} channels, rank {}", self.d_in, self.r);
        [self.a2.at(0), self.d.at(0), self.dt_bias.at(0), self.w_dt.as_ref().map_or(0, |w| w.at(0))]
    }

    /// It runs the tuned kernels.
    #[must_use]
    pub fn is_tuned(&self) -> bool {
        matches!(self.path, Path::Tuned { .. })
    }

    /// Moves states on, and windows that have not moved yet.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn forward(&self, on: On<'_>, rows: ScanRows<'_>, states: LayerStates) -> Result<(), CudaError> {
        let size = on.size;
        let (dt_kind, dt_cols) = if self.w_dt.is_some() { (self.kind, self.r) } else { (Type::F32, self.d_in) };
        assert!(states.stride >= (self.k - 1) * self.d_in + self.d_in * self.n, "a state's size");
        let args = Args {
            wave: on.wave.head(),
            segments: on.wave.segments(),
            step_slots: on.wave.steps(),
            states: states.address,
            slot_stride: states.stride as u64,
            a2: self.a2.at(0),
            d: self.d.at(0),
            dt_bias: self.dt_bias.at(0),
            w_dt: self.w_dt.as_ref().map_or(0, |w| w.at(0)),
            x: rows.x.map_or(0, |x| x.checked(size, self.kind, self.d_in)),
            z: rows.z.checked(size, self.kind, self.d_in),
            u: rows.u.checked(size, self.kind, self.d_in),
            dt: rows.dt.checked(size, dt_kind, dt_cols),
            bc: rows.bc.checked(size, Type::F32, 2 * self.n),
            y: rows.y.checked(size, self.kind, self.d_in),
            d_in: int(self.d_in),
            r: int(self.r),
            k: int(self.k),
            ld_x: int(rows.x.map_or(0, |x| x.rows.cols)),
            ld_z: int(rows.z.rows.cols),
            gated: i32::from(rows.gated),
        };
        match &self.path {
            Path::Tuned { scan, few, step } => {
                let [u, z, dt, bc] = self.maps(rows)?;
                let blocks = self.d_in / CHANNELS;
                let params = &mut [arg(&u), arg(&z), arg(&dt), arg(&bc), arg(&args)];
                // Both give the same bits.
                let (scan, threads) = match few {
                    Some(few) if blocks * size.segments <= FEW => (few, 384),
                    _ => (scan, 256),
                };
                // SAFETY: the arguments of the scan kernels; rows have been checked, slots by whoever set the wave.
                unsafe { scan.launch(on.lane, ([blocks, size.segments, 1], threads), params)? };
                // SAFETY: as above.
                unsafe { step.launch(on.lane, ([blocks, size.steps.div_ceil(16), 1], 128), &mut [arg(&args)]) }
            }
            Path::Any(kernel) => {
                let (n, grid) = (int(self.n), [self.d_in.div_ceil(64), size.segments + size.steps, 1]);
                // SAFETY: as above.
                unsafe { kernel.launch(on.lane, (grid, 64), &mut [arg(&args), arg(&n)]) }
            }
        }
    }

    fn maps(&self, rows: ScanRows<'_>) -> Result<[TensorMap; 4], CudaError> {
        let wide = (128 / self.kind.bytes(), ROWS);
        let dt = match self.w_dt {
            Some(_) => rows.dt.whole().map(self.r, (self.r, ROWS), false)?,
            None => rows.dt.whole().map(self.d_in, (32, ROWS), true)?,
        };
        let (u, z) = (rows.u.whole().map(self.d_in, wide, true)?, rows.z.map(self.d_in, wide, true)?);
        Ok([u, z, dt, rows.bc.whole().map(2 * self.n, (2 * self.n, ROWS), false)?])
    }
}
