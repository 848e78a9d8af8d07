//! Tensors and state to tensors: Mamba encoders whose state is a value.
//!
//! Letters, everywhere: `b` sequences, `l` length, `t` tokens of all sequences together, `d` model width, `d_in` inner
//! width, `n` state size, `k` convolution width, `r` rank of dt.

pub mod checkpoint;
pub mod config;
pub mod encoder;
mod error;
pub mod init;
pub mod reference;
pub mod weights;

pub use error::{Error, Result};
