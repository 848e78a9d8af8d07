//! `unspool sql`: a query over files, with the model's functions.
//!
//! ```text
//! what was typed ─► SqlSession::query ─► Answer ─rows─► a table on standard output, or FileSink
//! ```

#[cfg(feature = "sql")]
mod answer;

use std::{num::NonZeroUsize, path::PathBuf};

use clap::{Args, value_parser};
use unspool_pipelines::Pooling;

use crate::{args::DeviceArgs, error::Result};

/// Examples and functions, for `unspool sql --help`.
pub(crate) const HELP: &str = r#"Examples:
  unspool sql "select * from 'taxi.csv' limit 5"
  unspool sql "select time, value, anomaly(time, value) over (order by time) as score from 'taxi.csv' order by score desc limit 5"
  unspool sql "select shop, unnest(forecast(array_agg(day order by day), array_agg(units order by day), 28)) as step
               from 'sales.parquet' group by shop" --output forecasts.parquet
  unspool sql "select id, embed(sequence) as e from read_fastq('reads.fq.gz')" --model dna-1 --output reads.parquet
  unspool sql "select count(*) from read_bam('aligned.bam') where reference = 'chr1' and position < 50000"
  unspool sql "explain select ..."                # shows where the model runs

Functions, over a window (partition by series order by time), or for each group over array_agg(... order by time):
  anomaly(time, value)            the score of each value, as of `unspool run`
  forecast(time, value, horizon)  a list of {time, step, q10 to q90}, as of `unspool forecast`; over a window as of each row
  embed(time, value ...)          the embedding of each value column, side by side; over a window as of each row
  embed(sequence)                 of bases, with a DNA model
Tables: 'FILE.parquet', 'FILE.csv', 'FOLDER/', and read_fasta, read_fastq, read_sam, read_bam and read_cram('FILES'
  [, 'chr1:1-5000'] [, 'tags=NM:i,RG:Z'] [, 'reference=REF.fa']); tags are columns "tag_NM" and so on.
The rest is Apache DataFusion's SQL. A row that is late or has no time gives null, and is counted."#;

/// `unspool sql`.
#[derive(Debug, Args)]
pub(crate) struct SqlArgs {
    /// The query
    pub(crate) query: String,
    /// The file to write: CSV if it ends in .csv, else Parquet (default: a table to standard output)
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,
    /// Replace the output if it exists
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Rows of a table to print, at most
    #[arg(long, value_name = "N", default_value = "1000")]
    pub(crate) rows: NonZeroUsize,
    /// A model's directory, or a built-in one's name: series-3, series-1 or dna-1 (default: series-3)
    #[arg(long, value_name = "NAME|DIR")]
    pub(crate) model: Option<PathBuf>,
    /// Of embeddings: layer K, as of `unspool embed` (default: the last, after the final norm)
    #[arg(long, value_name = "K")]
    pub(crate) layer: Option<usize>,
    /// Of embeddings: mean, last or max of a series' or a sequence's rows
    #[arg(long, value_name = "POOL", default_value = "mean")]
    pub(crate) pool: Pooling,
    /// Memory for sorting, grouping and joining, in MiB: what does not fit is spilled to disk, but for joins
    #[arg(long, value_name = "N", default_value = "4096", value_parser = value_parser!(u32).range(1..))]
    pub(crate) memory_mib: u32,
    /// Where to spill (default: the system's folder for temporary files)
    #[arg(long, value_name = "DIR")]
    pub(crate) spill: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Threads that read, sort, group and compute (default: all cores)
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// No warnings, no summary
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Answers a query.
///
/// # Errors
/// When it is not understood, the data cannot be read, the model refuses, or the user interrupts.
#[cfg(feature = "sql")]
pub(crate) fn run(args: SqlArgs) -> Result<()> {
    answer::run(args)
}

/// Says what this build lacks.
///
/// # Errors
/// Always.
#[cfg(not(feature = "sql"))]
pub(crate) fn run(_: SqlArgs) -> Result<()> {
    let remedy = "build it with `cargo build --release --features sql`";
    Err(crate::error::Error::Usage(format!("sql: this program was built without SQL: {remedy}")))
}
