//! Tensors and state to tensors: Mamba encoders whose state is a value.
//!
//! Letters, everywhere: `b` sequences, `l` length, `t` tokens of all sequences together, `d` model width, `d_in` inner
//! width, `n` state size, `k` convolution width, `r` rank of dt.

pub mod backward;
mod blocks;
pub mod checkpoint;
pub mod config;
pub mod conformance;
pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod device;
mod digest;
pub mod dna;
pub mod encoder;
mod error;
pub mod init;
mod model;
mod pool;
pub mod reference;
pub mod series;
mod state;
pub mod train;
pub mod weights;

pub use device::{Device, RunOptions, Weights};
pub use digest::{BadDigest, Digest};
pub use error::{Error, Result, StateError};
pub use model::{Events, Front, Info, Item, Model, Output, WindowModel};
pub use pool::{Pool, Pooled};
pub use state::{Options, State};
pub use unspool_kernels::cpu::keep_freed_memory;
