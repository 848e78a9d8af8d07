//! The causal convolution with carried windows.

use cudarc::driver::DeviceRepr;

use super::{
    CudaError, Gpu, LayerStates,
    buffer::Buffer,
    launch::{Kernel, arg},
    linear::int,
    rows::{Columns, On, Rows, Type},
};

/// The kernels' `Conv`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Args {
    wave: u64,
    tiles: u64,
    states: u64,
    slot_stride: u64,
    weight: u64,
    bias: u64,
    x: u64,
    y: u64,
    channels: i32,
    k: i32,
    ld_x: i32,
}
// SAFETY: addresses and numbers, laid out as in conv.cu.
unsafe impl DeviceRepr for Args {}

/// One filter a channel, then SiLU.
pub struct Conv {
    channels: usize,
    k: usize,
    kind: Type,
    weight: Buffer,
    bias: Buffer,
    kernel: Kernel,
    fours: bool,
}

impl Conv {
    /// Weights `[channels, k]`, the last tap weighing the present.
    ///
    /// # Errors
    /// When memory does not suffice.
    pub fn new(gpu: &Gpu, kind: Type, (weight, k): (&[f32], usize), bias: Option<&[f32]>) -> Result<Self, CudaError> {
        let channels = weight.len() / k.max(1);
        let by_tap: Vec<f32> = (0..k).flat_map(|j| (0..channels).map(move |c| weight[c * k + j])).collect();
        let fours = k == 4 && channels.is_multiple_of(8);
        let (f32, bf16) = if fours { ("conv4_f32", "conv4_bf16") } else { ("conv_any_f32", "conv_any_bf16") };
        let kernel = Kernel::load(gpu, "conv", kind.form(f32, bf16), 0)?;
        let weight = Buffer::of(gpu, "weights", &by_tap)?;
        let bias = Buffer::of(gpu, "weights", bias.unwrap_or(&vec![0.0; channels]))?;
        Ok(Self { channels, k, kind, weight, bias, kernel, fours })
    }

    /// Taps.
    #[must_use]
    pub fn width(&self) -> usize {
        self.k
    }

    /// Channels.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels
    }

    pub(super) fn weights(&self) -> (u64, u64) {
        (self.weight.at(0), self.bias.at(0))
    }

    /// y = silu(conv(x)). The windows stay as they are: the scan moves them.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn forward(&self, on: On<'_>, x: Columns<'_>, states: LayerStates, y: &Rows) -> Result<(), CudaError> {
        let (weight, bias) = self.weights();
        let args = Args {
            wave: on.wave.head(),
            tiles: on.wave.tiles(),
            states: states.address,
            slot_stride: states.stride as u64,
            weight,
            bias,
            x: x.checked(on.size, self.kind, self.channels),
            y: y.checked(on.size, self.kind, self.channels),
            channels: int(self.channels),
            k: int(self.k),
            ld_x: int(x.rows.cols),
        };
        let threads = if self.fours { self.channels / 8 } else { self.channels };
        let block = threads.clamp(32, 128).next_multiple_of(32);
        let grid = [threads.div_ceil(block), on.size.tiles, 1];
        let block = u32::try_from(block).unwrap_or(u32::MAX);
        // SAFETY: the arguments of the conv kernels; rows have been checked, slots by whoever set the wave.
        unsafe { self.kernel.launch(on.lane, (grid, block), &mut [arg(&args)]) }
    }
}
