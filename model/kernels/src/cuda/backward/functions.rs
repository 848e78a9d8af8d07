//! The kernels that a shape and a precision take, loaded, with the block sizes that `backward_*.cuh` have.

use cudarc::driver::{CudaFunction, sys::CUfunction_attribute};

use super::{Precision, TrainingError, shape::Padded};
use crate::cuda::{CudaError, Gpu};

/// The module's name.
const MODULE: &str = "backward";
/// Width of the narrow product tile; products that are no wider take it.
pub(super) const NARROW: usize = 64;

/// A kernel, the threads of its blocks and their dynamic shared memory in bytes.
pub(super) struct Kernel {
    pub function: CudaFunction,
    pub threads: u32,
    pub shared: u32,
}

/// A product's kernels by width of tile, with `[m, n]` of the tiles.
pub(super) struct Product {
    pub narrow: (Kernel, [usize; 2]),
    pub wide: (Kernel, [usize; 2]),
}

/// All kernels.
pub(super) struct Functions {
    pub scan_forward: Kernel,
    pub scan_backward: Kernel,
    pub carry_forward: Kernel,
    pub carry_backward: Kernel,
    pub chain_forward: Kernel,
    pub chain_backward: Kernel,
    pub conv_forward: Kernel,
    pub conv_backward: Kernel,
    pub norm_forward: Kernel,
    pub norm_backward: Kernel,
    pub last_norm_forward: Kernel,
    pub last_norm_backward: Kernel,
    pub sum_columns: Kernel,
    pub sum_columns_f32: Kernel,
    pub sum_blocks: Kernel,
    pub sum_parts: Kernel,
    pub sum_few_parts: Kernel,
    pub sum_chosen: Kernel,
    pub embed: Kernel,
    pub bounds: Kernel,
    pub decay_rates: Kernel,
    pub narrow: Kernel,
    pub silu_forward: Kernel,
    pub silu_backward: Kernel,
    pub quantile_loss: Kernel,
    pub cross_entropy: Kernel,
    pub sum_f64: Kernel,
    pub report_loss: Kernel,
    pub report_norm: Kernel,
    pub adam: Kernel,
    pub add_to: Kernel,
    pub product_forward: Product,
    pub product_sum: Product,
    pub product_back: Product,
    pub product_back_sum: Product,
    pub product_weight: Product,
}

impl Functions {
    pub fn load(gpu: &Gpu, p: &Padded, precision: Precision) -> Result<Self, TrainingError> {
        let rows = precision.name();
        let kernel = |name: String, threads, shared| load(gpu, &name, threads, shared);
        let plain = |name: &str, threads| load(gpu, &format!("{name}_{rows}"), threads, 0);
        let f32 = |name: &str, threads| load(gpu, name, threads, 0);
        let [_, back] = p.scan_channels();
        let pieces = p.norm_pieces();
        let norm_shared = u32::try_from(8 * p.d * 4).unwrap_or(u32::MAX); // 8 warps' sums of a row
        let h = u32::try_from(back * p.n / 4 * super::batch::CHUNK * 128 * 4).unwrap_or(u32::MAX);
        let product = |form: &str, of_f32: &str| product(gpu, precision, form, of_f32);
        Ok(Self {
            scan_forward: kernel(format!("scan_forward_{rows}_{}", p.n), 128, 0)?,
            scan_backward: kernel(format!("scan_backward_{rows}_{}", p.n), 128, h)?,
            carry_forward: kernel(format!("carry_forward_{rows}_{}", p.n), 128, 0)?,
            carry_backward: kernel(format!("carry_backward_{rows}_{}", p.n), 128, 0)?,
            chain_forward: f32("chain_forward_f32", 256)?,
            chain_backward: f32("chain_backward_f32", 256)?,
            conv_forward: kernel(format!("conv_forward_{rows}_{}", p.k), 256, 0)?,
            conv_backward: kernel(format!("conv_backward_{rows}_{}", p.k), 256, 0)?,
            norm_forward: kernel(format!("norm_forward_{rows}_{pieces}"), 256, 0)?,
            norm_backward: kernel(format!("norm_backward_{rows}_{pieces}"), 256, norm_shared)?,
            last_norm_forward: kernel(format!("norm_forward_f32_{pieces}"), 256, 0)?,
            last_norm_backward: kernel(format!("last_norm_backward_{rows}_{pieces}"), 256, norm_shared)?,
            sum_columns: plain("sum_columns", 512)?,
            sum_columns_f32: f32("sum_columns_f32", 512)?,
            sum_blocks: plain("sum_blocks", 256)?,
            sum_parts: f32("sum_parts_f32", 512)?,
            sum_few_parts: f32("sum_few_parts_f32", 256)?,
            sum_chosen: f32("sum_chosen_f32", 256)?,
            embed: f32("embed_f32", 256)?,
            bounds: f32("token_bounds_all", 256)?,
            decay_rates: f32("decay_rates_f32", 256)?,
            narrow: f32("narrow_bf16", 256)?,
            silu_forward: plain("silu_forward", 256)?,
            silu_backward: plain("silu_backward", 256)?,
            quantile_loss: plain("quantile_loss", 256)?,
            cross_entropy: plain("cross_entropy", 256)?,
            sum_f64: f32("sum_f64_all", 256)?,
            report_loss: f32("report_loss_f64", 256)?,
            report_norm: f32("report_norm_f64", 256)?,
            adam: f32("adam_f32", 256)?,
            add_to: f32("add_to_f32", 256)?,
            product_forward: product("forward_bf16", "forward")?,
            product_sum: product("forward_sum", "forward")?,
            product_back: product("back_bf16", "back")?,
            product_back_sum: product("back_sum", "back")?,
            product_weight: product("weight_bf16", "weight")?,
        })
    }
}

fn product(gpu: &Gpu, precision: Precision, form: &str, of_f32: &str) -> Result<Product, TrainingError> {
    let tile = |n: usize| -> Result<(Kernel, [usize; 2]), TrainingError> {
        // The stages of the operands' tiles, or the results.
        let shared = (4 * (128 + n) * 32 * 2).max(128 * (n + 8) * 4);
        let shared = u32::try_from(shared).unwrap_or(u32::MAX);
        Ok(match precision {
            Precision::Bf16 => (load(gpu, &format!("product_{form}_{n}"), 256, shared)?, [128, n]),
            Precision::F32 => (load(gpu, &format!("product_{of_f32}_f32"), 256, 0)?, [64, 64]),
        })
    };
    Ok(Product { narrow: tile(NARROW)?, wide: tile(2 * NARROW)? })
}

fn load(gpu: &Gpu, name: &str, threads: u32, shared: u32) -> Result<Kernel, TrainingError> {
    let function = gpu.function(MODULE, name)?;
    if shared > 48 << 10 {
        let attribute = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        let bytes = i32::try_from(shared).unwrap_or(i32::MAX);
        function.set_attribute(attribute, bytes).map_err(CudaError::driver("asking for shared memory"))?;
    }
    Ok(Kernel { function, threads, shared })
}
