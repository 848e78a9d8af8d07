//! The vector code of Unspool's encoders: the only crate with unsafe code.
//!
//! [`cpu`] is always built. See README.md beside this crate for versions, times and reasons.

pub mod cpu;
