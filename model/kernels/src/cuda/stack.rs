//! One row each of many sequences through all layers of a stack of Mamba-1 at once: see stack.cu and few.cu.

use cudarc::driver::{DeviceRepr, ValidAsZeroBits};

use super::{
    CudaError, Gpu,
    buffer::Buffer,
    launch::{Kernel, arg},
    linear::int,
    rows::{On, Rows, Type},
    wave::Size,
};

/// Rows of a group of few.cu, and the most groups.
const GROUP: usize = 8;
const MOST_GROUPS: usize = 4;
/// Rows that go through the layers one by one (step.cu) no slower than through all at once.
const CHAINED: usize = 64;
/// Channels of a block there, its threads, and the layers that it has room for.
const OWN: usize = 16;
const FEW_THREADS: u32 = 256;
const MOST_LAYERS: usize = 64;
/// Threads of a block of stack.cu.
const THREADS: u32 = 512;
/// What aligns shared memory there and here.
const ALIGN: usize = 1024;

/// One layer, as the kernels read it: `Layer` of stack.cuh.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Weights {
    pub(super) norm: u64,
    pub(super) in_bias: u64,
    pub(super) in_proj: u64,
    pub(super) conv_weight: u64,
    pub(super) conv_bias: u64,
    pub(super) x_proj: u64,
    pub(super) dt_proj: u64,
    pub(super) dt_bias: u64,
    pub(super) a2: u64,
    pub(super) skip: u64,
    pub(super) out_proj: u64,
    pub(super) out_bias: u64,
    pub(super) states: u64,
    pub(super) by_quads: u64,
}
// SAFETY: addresses, laid out as in stack.cuh.
unsafe impl DeviceRepr for Weights {}
// SAFETY: zeros are addresses too.
unsafe impl ValidAsZeroBits for Weights {}

/// A layer of a [`Stack`]: where its weights and states lie, and its shape.
#[derive(Clone, Copy)]
pub struct StackLayer {
    pub(super) weights: Weights,
    pub(super) shape: Shape,
    pub(super) slot_stride: usize,
    pub(super) eps: f32,
}

/// Width, channels, rank of dt.
pub(super) type Shape = (usize, usize, usize);

/// The kernels' `Stack`.
#[repr(C)]
#[derive(Clone, Copy)]
struct StackArgs {
    wave: u64,
    slots: u64,
    layers: u64,
    residual: u64,
    slot_stride: u64,
    count: i32,
    eps: f32,
}
// SAFETY: addresses and numbers, laid out as in stack.cu.
unsafe impl DeviceRepr for StackArgs {}

/// The kernels' `Few`.
#[repr(C)]
#[derive(Clone, Copy)]
struct FewArgs {
    wave: u64,
    slots: u64,
    layers: u64,
    residual: u64,
    slot_stride: u64,
    flag: u64,
    words: [u64; 4],
    group_words: i32,
    count: i32,
    eps: f32,
}
// SAFETY: addresses and numbers, laid out as in few.cu.
unsafe impl DeviceRepr for FewArgs {}

/// All layers, for single rows.
pub struct Stack {
    layers: Buffer,
    count: usize,
    shape: Shape,
    slot_stride: usize,
    eps: f32,
    few: Option<Kernel>,
    groups: usize,
    many: Option<Many>,
}

/// The kernels of blocks of eight and of sixteen rows.
struct Many {
    eight: Kernel,
    sixteen: Kernel,
    multiprocessors: usize,
}

/// What the blocks of a step of few rows tell each other: a lane's.
pub struct Words {
    flag: Buffer,
    words: Buffer,
}

impl Stack {
    /// `None` for shapes that the kernels are not made for, and on cards that cannot run them.
    ///
    /// # Errors
    /// When memory does not suffice.
    pub fn new(gpu: &Gpu, layers: &[StackLayer]) -> Result<Option<Self>, CudaError> {
        let Some(&StackLayer { shape, slot_stride, eps, .. }) = layers.first() else { return Ok(None) };
        let multiprocessors = gpu.card().multiprocessors as usize;
        let load = |module, name, bytes| Kernel::load(gpu, module, name, bytes + ALIGN);
        // A multiprocessor has one block of theirs, and all must be there at once.
        let groups = (multiprocessors * OWN / shape.1).min(MOST_GROUPS);
        let fits = groups > 0 && layers.len() <= MOST_LAYERS;
        // Shared memory: as few.cu and stack.cu assert.
        let few = match shape {
            (256, 512, 16) if fits => Some(load("few", "few_256", 64_128)?),
            (768, 1536, 48) if fits => Some(load("few", "few_768", 171_136)?),
            _ => None,
        };
        let many = match shape {
            (256, 512, 16) => Some(Many {
                eight: load("stack", "stack_256_8", 228_096)?,
                sixteen: load("stack", "stack_256_16", 226_304)?,
                multiprocessors,
            }),
            _ => None,
        };
        if few.is_none() && many.is_none() {
            return Ok(None);
        }
        let count = layers.len();
        let layers = Buffer::of(gpu, "weights", &layers.iter().map(|layer| layer.weights).collect::<Vec<_>>())?;
        Ok(Some(Self { layers, count, shape, slot_stride, eps, few, groups, many }))
    }

    /// Whether waves of this size are for it.
    #[must_use]
    pub fn takes(&self, size: Size) -> bool {
        let one_kernel = self.is_few(size) || (self.many.is_some() && size.rows > CHAINED);
        size.segments == 0 && size.rows > 0 && one_kernel
    }

    fn is_few(&self, size: Size) -> bool {
        self.few.is_some() && size.steps <= self.groups * GROUP
    }

    /// Whether it takes any number of rows.
    #[must_use]
    pub fn takes_many(&self) -> bool {
        self.many.is_some()
    }

    /// What a lane needs for it.
    ///
    /// # Errors
    /// When memory does not suffice.
    pub fn words(&self, gpu: &Gpu) -> Result<Words, CudaError> {
        let buffer = |bytes| Buffer::zeros(gpu, "rows on their way", bytes);
        Ok(Words { flag: buffer(4 * MOST_GROUPS)?, words: buffer(MOST_GROUPS * self.group_words() * 8)? })
    }

    /// Words of a row: u, what x_proj makes, y, the residual stream.
    fn parts(&self) -> [usize; 4] {
        let (d, d_in, r) = self.shape;
        [d_in / 2, r + 32, d_in / 2, d]
    }

    fn group_words(&self) -> usize {
        self.parts().iter().sum::<usize>() * GROUP
    }

    /// The residual stream of a wave of single rows through all layers; windows and states move on.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn forward(&self, on: On<'_>, residual: &Rows, words: &Words) -> Result<(), CudaError> {
        let (d, d_in, _) = self.shape;
        let (wave, slots) = (on.wave.head(), on.wave.steps());
        let (layers, residual) = (self.layers.at(0), residual.checked(on.size, Type::F32, d));
        let (slot_stride, count, eps) = (self.slot_stride as u64, int(self.count), self.eps);
        let steps = on.size.steps;
        match (&self.few, &self.many) {
            (Some(few), _) if self.is_few(on.size) => {
                let (flag, mut at) = (words.flag.at(0), 0);
                let words = self.parts().map(|part| {
                    let start = words.words.at(at);
                    at += part * GROUP * 8;
                    start
                });
                let group_words = int(self.group_words());
                let args = FewArgs { wave, slots, layers, residual, slot_stride, flag, words, group_words, count, eps };
                let grid = [d_in / OWN, steps.div_ceil(GROUP), 1];
                // SAFETY: the arguments of the kernels of few.cu; rows have been checked, slots by whoever set the wave.
                unsafe { few.launch_together(on.lane, (grid, FEW_THREADS), &mut [arg(&args)]) }
            }
            (_, Some(many)) => {
                let args = StackArgs { wave, slots, layers, residual, slot_stride, count, eps };
                let sixteen = steps.div_ceil(8) > many.multiprocessors;
                let (kernel, rows) = if sixteen { (&many.sixteen, 16) } else { (&many.eight, 8) };
                // SAFETY: the arguments of the kernels of stack.cu; the rest as above.
                unsafe { kernel.launch(on.lane, ([steps.div_ceil(rows), 1, 1], THREADS), &mut [arg(&args)]) }
            }
            _ => Err(CudaError::NoKernel("a step of many rows at once".into())),
        }
    }
}
