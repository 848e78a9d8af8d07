//! SQL over files, with the model's functions (feature `sql`).
//!
//! | function | over a window: `over (partition by series order by time)` | over lists: `f(array_agg(time order by time), ...)` |
//! |---|---|---|
//! | `anomaly(time, value)` | the score of each value, as of `unspool run` | the same as a list |
//! | `forecast(time, value, h)` | as of each row: the steps of `unspool forecast` over the rows so far | of the whole series |
//! | `embed(time, value ...)` | as of each row: the embedding of the rows so far | of the whole series |
//!
//! ```text
//! sql ─► statement ─rename windows─► plan ─► check ─► SeriesExec (windows), OverLists (lists) ─► Embed, Forecaster, Worker
//! ```
//!
//! None is an aggregate: those are computed in parts that are merged, and a recurrent state cannot be. All run the code of
//! the other ways in, so that the bits are the same: whole series through the jobs behind `unspool forecast` and `unspool
//! embed`, scores through the featuriser, scheduler and worker of batch jobs.

mod as_of;
mod ask;
mod check;
mod error;
mod exec;
mod last;
mod reads;
mod region;
mod scalar;
mod scores;
mod series;
mod session;
mod shared;
mod sort;
#[cfg(test)]
mod tests;
mod window;

pub use self::{
    error::{Error, Result},
    session::{Answer, Limits, SqlSession},
    shared::{Functions, Load, Unused},
    sort::FileSort,
};

/// The longest forecast.
const MAX_HORIZON: i64 = 65_536;
