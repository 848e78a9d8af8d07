//! The vector code of Unspool's encoders: the only crate with unsafe code.
//!
//! [`cpu`] is always built, `cuda` with the feature of that name. See README.md beside this crate for versions, times and reasons.

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod training;
