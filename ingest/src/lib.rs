//! Bytes to Arrow: every reader of Unspool behind one trait, [`Source`].
//!
//! A reader decodes bytes into Arrow record batches of one of the stable schemas of [`schema`]: reads, variants,
//! features and series.
//! Each [`Batch`] says where to go on ([`Position`]), and carries the rows that could not be read ([`Reject`]):
//! a bad row never stops a stream, a bad environment ([`Error`]) always does. This crate knows no tensor and no gRPC.
//!
//! **Nouns.** A [`Source`] yields [`Batch`]es: rows, [`Reject`]s, and the [`Position`] of the first row not yet read. A [`Place`] says where something
//! stands, for a person. A *record* is what a format calls one (a read, a contig, a variant, a line); long ones come as several rows.
//!
//! **Invariants.** Opening a source at a batch's `next` gives the rest, no row twice and none lost; positions grow. A row is in the schema, or it is a reject with
//! its place and reason. Nothing that a file or message only claims takes memory. [`conformance`] holds these as suites that every reader's tests call, for any bytes.
//!
//! **Where to start.** `source.rs` (the trait), `memory.rs` (the smallest source), `tables/csv.rs` or `reads/fasta.rs` (a format), `format.rs` (which is which),
//! `kafka/decode.rs` (messages, which come through a client and not through a `Source`).

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
