//! CPU kernels that give the same bits whatever the instruction set.
//!
//! Every kernel is written once, over 16 lanes (`Simd`), and compiled for AVX-512, for AVX2 and without vector
//! instructions. All three do the same IEEE operations in the same order: products are one chain of fused
//! multiply-adds over k for each output, sums over a row use 16 partial sums and one fixed tree, and exponentials are one
//! polynomial. So a result depends neither on the instruction set, nor on the number of rows, nor on the threads.
//!
//! All rows are padded with zeros to a multiple of [`LANES`] values: no kernel has a tail.

mod buffer;
mod conv;
mod isa;
mod linear;
mod maths;
mod memory;
mod norm;
mod product;
mod scan;
mod simd;
mod ssd;
mod team;

pub use buffer::Buffer;
pub use conv::{Conv, ConvArgs};
pub use isa::{Isa, UnknownIsa};
pub use linear::{Linear, Out};
pub use memory::keep_freed_memory;
pub use norm::{gated_rms_norm, layer_norm, rms_norm, rms_norm_plain, silu, silu_gate};
pub use product::{Element, Matrix, Target, product};
pub use scan::{Scan, ScanArgs};
pub use ssd::{Ssd, SsdArgs, SsdShape};
pub use team::Team;

/// Values a row is padded to a multiple of.
pub const LANES: usize = 16;

/// The least multiple of [`LANES`] that holds `n` values.
#[must_use]
pub const fn padded(n: usize) -> usize {
    n.div_ceil(LANES) * LANES
}
