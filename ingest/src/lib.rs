//! Bytes to Arrow: every reader of Unspool behind one trait, [`Source`].
//!
//! A reader decodes bytes into Arrow record batches of one of the stable schemas of [`schema`]: reads, variants,
//! features and series.
//! Each [`Batch`] says where to go on ([`Position`]), and carries the rows that could not be read ([`Reject`]):
//! a bad row never stops a stream, a bad environment ([`Error`]) always does. This crate knows no tensor and no gRPC.

pub mod conformance;
mod error;
pub mod features;
pub mod format;
pub mod ipc;
pub mod kafka;
mod memory;
pub mod objects;
mod one_by_one;
mod percent;
pub mod reads;
mod reference;
pub mod schema;
mod source;
pub mod tables;
mod threaded;
pub mod variants;

pub use error::{Error, Place, Result};
pub use memory::MemorySource;
pub use reference::Reference;
pub use source::{Batch, CommitToken, Position, Reject, Source};
pub use threaded::{Decode, Threaded};
