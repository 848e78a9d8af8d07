//! Kernels for NVIDIA GPUs: cards, and the modules that the build compiled from `src/cuda/*.cu`.
//!
//! Nothing of CUDA is linked. The driver's library is looked for when a card is first asked for, so that this program
//! starts on a machine without one; no other library of CUDA is needed.

pub mod backward;
mod buffer;
mod conv;
mod device;
mod error;
mod launch;
mod linear;
mod memory;
mod modules;
mod norm;
mod outlet;
mod rows;
mod scan;
mod ssd;
mod stack;
mod states;
mod step;
mod wave;
mod wide;

pub use buffer::{Buffer, Pinned, Plain};
pub use conv::Conv;
pub use device::{Card, Gpu, more_queues};
pub use error::{CudaError, Version};
pub use launch::{Graph, Lane, Mark};
pub use linear::{Linear, Out};
pub use modules::names as module_names;
pub use norm::{Embedding, Gate, GatedNorm, Norm, NormDtBc};
pub use outlet::{Head, HeadRows, Piece, Pieces, Pool, Pools};
pub use rows::{Columns, On, Rows, Type};
pub use scan::{Dt, Scan, ScanRows};
pub use ssd::{Ssd, SsdShape};
pub use stack::{Stack, StackLayer, Words};
pub use states::{LayerStates, States};
pub use step::{Map, Step, StepRows};
pub use wave::{Run, Size, Wave};
