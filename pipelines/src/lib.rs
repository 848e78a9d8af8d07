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
