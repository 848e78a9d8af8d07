//! Stream jobs: events of many series in, forecasts, scores or embeddings out, exactly once with the model's state inside.
//!
//! ```text
//! rows of a partition ──EventTime──► in order of time ──Core──► outputs ──Sink──► one transaction with the offsets
//!                                          │
//!                                       States (live ──► segment files) ──Snapshots──► at committed positions
//! ```
//!
//! Everything between a row and an output is a function of one partition's records in the order of their offsets: so a
//! replay from a snapshot comes to the same states and the same outputs, bit for bit, and need only leave out what was
//! committed already.

pub mod core;
pub mod emit;
mod error;
pub mod files;
pub mod job;
mod member;
mod producer;
mod progress;
pub mod remote;
mod saved;
mod saver;
mod seed;
pub mod snapshot;
pub mod states;
pub mod time;
mod worker;

pub use self::{
    error::{Error, Result},
    job::StreamJob,
    member::Member,
    progress::{Observer, PartitionProgress, Progress, Stages},
    saved::{Saved, SavedPartition, SavedSeries},
    seed::Seed,
    worker::{Plan, Sample, check, rehearse, run, sample},
};
