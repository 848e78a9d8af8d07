//! Kernels for NVIDIA GPUs: cards, and the modules that the build compiled from `src/cuda/*.cu`.
//!
//! Nothing of CUDA is linked. The driver's library is looked for when a card is first asked for, so that this program
//! starts on a machine without one; no other library of CUDA is needed.

mod device;
mod error;
mod memory;
mod modules;

pub use device::{Card, Gpu};
pub use error::{CudaError, Version};
pub use modules::names as module_names;
