//! Training: data, and what is kept out of it.

pub mod data;
pub mod split;
