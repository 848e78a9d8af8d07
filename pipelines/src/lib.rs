//! Where Arrow meets tensors: featurise, schedule, encode, commit.
//!
//! ```text
//! Source ──rows──► featurise ──chunks──► Scheduler ──packs──► Worker ──hidden rows──► table ──► Sink
//!                  └────────────────────────── Job ─────────────────────────────────────┘
//! └──────────────────────────────────────── Pipeline ───────────────────────────────────────────┘
//! ```
//!
//! [`Pipeline`] is the one loop. A [`Job`] ([`Embed`], [`Forecaster`], [`Filler`]) is pure computation between input rows and output
//! rows; a [`Sink`] makes rows, rejects and the position behind them durable together.
//!
//! **Nouns.** An *event* is a base or a value; a [`Chunk`] is a run of them of one [`Sequence`], for an [`Owner`] who takes turns with others. The [`Scheduler`] packs chunks, the [`Worker`] gives packs to the model
//! and keeps the states. Sessions (states that outlive calls) live in [`store`], and calls reach the model through [`engine`]. A batch job works in *units*, which its manifest names; a
//! stream job in transactions, with *snapshots* of states at committed positions.
//!
//! **Invariants.** Output, rejects and position become durable together or not at all; killed anywhere, a job ends with the bytes of an undisturbed one. What is packed with what never changes a bit. Every queue and cache has a
//! limit. A series' rows go through its state in the order of time, late ones are rejects.
//!
//! **Where to start.** `pipeline.rs` (the loop of files), `embed.rs` (a job), `scheduler.rs` and `worker.rs`; then `batch/run.rs`, `stream/worker.rs` and `engine.rs`, which are the loops of batch jobs, of streams and of calls.

pub mod batch;
mod cancel;
mod chunk;
#[cfg(feature = "cluster")]
pub mod cluster;
pub mod embed;
pub mod engine;
mod error;
pub mod eval;
pub mod featurise;
pub mod fill;
pub mod forecast;
mod frequency;
mod job;
mod pipeline;
mod scheduler;
pub mod score;
pub mod sink;
#[cfg(feature = "sql")]
pub mod sql;
pub mod store;
pub mod stream;
#[cfg(test)]
mod testing;
pub mod train;
mod worker;

pub use unspool_ingest::objects::{StoreError, StoreSettings};

pub use self::{
    cancel::Cancel,
    chunk::{Chunk, End, Events, Owner, Sequence},
    embed::{Embed, EmbedOptions, Pooling},
    error::{Error, Result},
    fill::{FillOptions, Filler},
    forecast::{ForecastOptions, Forecaster},
    frequency::Frequency,
    job::{Job, Step},
    pipeline::{Pipeline, Progress, Summary},
    scheduler::{Full, Limits, Piece, Scheduler},
    sink::{Committed, CsvSink, Destination, FileSink, MemorySink, Sink},
    worker::{Encoded, Worker, state_bytes},
};
