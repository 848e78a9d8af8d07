//! Kafka: payload bytes to rows, and the client that fetches them.
//!
//! ```text
//! topic ──client──► Record (borrowed bytes) ──Decoder──► rows (schema::events) + Rejected
//! ```
//!
//! [`Decoder`] is a pure function of the records given to it: no I/O, no clock. What it needs of a schema registry is
//! fetched before it is called.

pub mod any_bytes;
pub mod client;
mod decode;
mod fields;
mod record;
mod registry;
#[cfg(test)]
mod tests;

pub use self::{
    decode::{Decoded, Decoder, Format},
    fields::{Content, Fields, Location, TimeFrom, TimeUnit},
    record::{Record, RejectKind, Rejected},
    registry::{Registry, RegistryAddress, RegistryError, Schema},
};
