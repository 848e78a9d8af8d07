//! Batch jobs on more than one machine, by Apache DataFusion Ballista (feature `cluster`).
//!
//! ```text
//!  driver: reads, gathers, writes, commits               scheduler             executors: a model each
//!  batch::run_with ─► Cluster ── select unspool_run(x'…') ──► hands out ──► RunGroup ─► batch's own encode::run
//!                        ▲                                                     │
//!                        └───────────────── a row: x'…' ◄──────────────────────┘
//! ```
//!
//! The job is the local one, unit by unit, with its manifest; only the series of a unit are run elsewhere, in *groups*. A group is one
//! query of one row: what is to be run travels as the argument of a function, what came of it as its value. So executors need
//! neither the input nor the output, groups depend on nothing but what they carry, and any layout will do: one run twice,
//! or on another executor, gives the same bits. An executor that dies costs its groups, a scheduler that dies the unit at hand.
//!
//! Rejected: reading files on the executors. Series that are spread over files would be read by all of them, and reading is
//! cheap beside running them.

mod driver;
mod error;
mod executor;
mod function;
mod scheduler;
mod wire;

pub use self::{
    driver::{Cluster, ClusterOptions, address},
    error::{Error, Result},
    executor::{ExecutorOptions, execute},
    scheduler::{SchedulerOptions, schedule},
    wire::About,
};

/// The longest message, in bytes: a group, or what came of it.
const MESSAGE_BYTES: u32 = 256 << 20;
