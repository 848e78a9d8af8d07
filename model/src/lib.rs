//! Tensors and state to tensors: Mamba encoders whose state is a value.
//!
//! Letters, everywhere: `b` sequences, `l` length, `t` tokens of all sequences together, `d` model width, `d_in` inner
//! width, `n` state size, `k` convolution width, `r` rank of dt.
//!
//! **Nouns.** A [`Model`] is a checkpoint that runs: weights, a front end that turns events (bases, values) into rows, heads that turn rows into answers. A [`State`] is all that is remembered
//! of one sequence. An [`encoder::Encoder`] moves packed sequences and their states on. A *route* names where and how numbers are computed; a [`Digest`] names the model.
//!
//! **Invariants.** Any cut of a sequence into calls, and any company in a batch, gives the same bits along one route. A state has a fixed size; its bytes are versioned, checksummed and bound to the model's digest.
//! No async, no Arrow, no I/O but weights. [`conformance`] holds the laws for every encoder.
//!
//! **Where to start.** `encoder.rs` (the trait), `reference.rs` (the recurrence, readable), `cpu.rs` (the same, fast), `model.rs` (what callers use), `state.rs`, `series.rs` (patches, scaling, quantiles).

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
pub mod overlap;
mod pool;
pub mod reference;
pub mod series;
mod state;
pub mod train;
pub mod weights;

pub use device::{Device, RunOptions, Weights};
pub use digest::{BadDigest, Digest};
pub use encoder::PooledSpan;
pub use error::{Error, Result, StateError};
pub use model::{Events, Front, Info, Item, Model, Output, WindowModel};
pub use pool::{Pool, Pooled};
pub use state::{Options, State};

/// Sets up a process that computes: memory that calls give back is kept for the next, and a card's lanes get queues of their own.
/// For the beginning of `main`, before there are other threads.
pub fn prepare_process() {
    unspool_kernels::cpu::keep_freed_memory();
    #[cfg(feature = "cuda")]
    unspool_kernels::cuda::more_queues();
}
