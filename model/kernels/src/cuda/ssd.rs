//! The scan of Mamba-2.

use cudarc::driver::DeviceRepr;

use super::{
    CudaError, Gpu, LayerStates,
    buffer::Buffer,
    launch::{Kernel, arg},
    linear::int,
    rows::{On, Rows, Type},
};

/// The kernels' `Ssd`.
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
    zxbcdt: u64,
    xbc: u64,
    y: u64,
    heads: i32,
    head_dim: i32,
    n: i32,
    groups: i32,
    k: i32,
    ld: i32,
    d_per_channel: i32,
    dt_low: f32,
    dt_high: f32,
}
// SAFETY: addresses and numbers, laid out as in ssd.cu.
unsafe impl DeviceRepr for Args {}

/// The most states of a channel that a block holds.
const MOST_STATES: usize = 256;

/// The shape of a Mamba-2 mixer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SsdShape {
    /// Heads.
    pub heads: usize,
    /// Channels a head.
    pub head_dim: usize,
    /// Groups of heads that share B and C.
    pub groups: usize,
    /// States a channel.
    pub n: usize,
    /// The convolution's width.
    pub k: usize,
    /// dt after softplus is clamped to this closed interval.
    pub dt_limit: (f32, f32),
}

impl SsdShape {
    fn d_in(&self) -> usize {
        self.heads * self.head_dim
    }

    fn channels(&self) -> usize {
        self.d_in() + 2 * self.groups * self.n
    }
}

/// `h = exp(dt A) h + dt x B; y = C h + D x`, one decay a head.
pub struct Ssd {
    shape: SsdShape,
    kind: Type,
    a2: Buffer,
    d: Buffer,
    d_per_channel: bool,
    dt_bias: Buffer,
    scan: Kernel,
    window: Kernel,
}

impl Ssd {
    /// A from its logarithm and dt's bias `[heads]`, D `[heads]` or `[d_in]`.
    ///
    /// # Errors
    /// When memory does not suffice, or there are more than 256 states a channel.
    pub fn new(
        gpu: &Gpu,
        kind: Type,
        shape: SsdShape,
        (a_log, dt_bias, d): (&[f32], &[f32], &[f32]),
    ) -> Result<Self, CudaError> {
        if shape.n > MOST_STATES {
            return Err(CudaError::NoKernel(format!(
                "Mamba-2 with {} states a channel; {MOST_STATES} are the most",
                shape.n
            )));
        }
        let a2: Vec<f32> = a_log.iter().map(|a| (-f64::from(*a).exp() * std::f64::consts::LOG2_E) as f32).collect();
        let upload = |values: &[f32]| Buffer::of(gpu, "weights", values);
        let scan = if shape.n <= MOST_STATES / 2 {
            kind.form("ssd_f32", "ssd_bf16")
        } else {
            kind.form("ssd_wide_f32", "ssd_wide_bf16")
        };
        Ok(Self {
            shape,
            kind,
            a2: upload(&a2)?,
            d: upload(d)?,
            d_per_channel: d.len() != shape.heads,
            dt_bias: upload(dt_bias)?,
            scan: Kernel::load(gpu, "ssd", scan, 0)?,
            window: Kernel::load(gpu, "ssd", kind.form("ssd_window_f32", "ssd_window_bf16"), 0)?,
        })
    }

    /// zxbcdt: what the convolution read, and dt at its end; xbc: what it gave; y in f32. Moves states and windows on.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn forward(
        &self,
        on: On<'_>,
        (zxbcdt, xbc): (&Rows, &Rows),
        states: LayerStates,
        y: &Rows,
    ) -> Result<(), CudaError> {
        let SsdShape { heads, head_dim, groups, n, k, dt_limit } = self.shape;
        let (d_in, channels) = (self.shape.d_in(), self.shape.channels());
        assert!(zxbcdt.cols >= d_in + channels + heads, "rows of {}", zxbcdt.cols);
        assert!(states.stride >= (k - 1) * channels + d_in * n, "a state's size");
        let args = Args {
            wave: on.wave.head(),
            segments: on.wave.segments(),
            step_slots: on.wave.steps(),
            states: states.address,
            slot_stride: states.stride as u64,
            a2: self.a2.at(0),
            d: self.d.at(0),
            dt_bias: self.dt_bias.at(0),
            zxbcdt: zxbcdt.checked(on.size, self.kind, zxbcdt.cols),
            xbc: xbc.checked(on.size, self.kind, channels),
            y: y.checked(on.size, Type::F32, d_in),
            heads: int(heads),
            head_dim: int(head_dim),
            n: int(n),
            groups: int(groups),
            k: int(k),
            ld: int(zxbcdt.cols),
            d_per_channel: i32::from(self.d_per_channel),
            dt_low: dt_limit.0,
            dt_high: dt_limit.1,
        };
        let runs = on.size.segments + on.size.steps;
        // SAFETY: the arguments of the ssd kernels; rows have been checked, slots by whoever set the wave.
        unsafe { self.scan.launch(on.lane, ([head_dim.div_ceil(32), heads, runs], 256), &mut [arg(&args)])? };
        // SAFETY: as above.
        unsafe { self.window.launch(on.lane, ([channels.div_ceil(128), runs, 1], 128), &mut [arg(&args)]) }
    }
}
