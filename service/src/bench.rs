//! `unspool bench`: measurements that anyone can repeat.

mod batch;
mod encoder;
mod forecast;
mod machine;
mod serve;

use clap::Subcommand;

use self::{batch::BenchBatchArgs, encoder::BenchEncoderArgs, forecast::BenchForecastArgs, serve::BenchServeArgs};
use crate::error::Result;

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Time batch jobs beside the encoder alone, and reading beside pyarrow
    #[command(
        after_help = "Examples:\n  unspool bench batch\n  unspool bench batch --full --what forecasts,scores,embeddings\n  \
                            unspool bench batch --scan-only --python venv/bin/python\n\nThe table is written first: hourly \
                            values of ragged series, in Parquet. Jobs run in processes of their own. The best of the runs \
                            counts, since other work on a machine only makes a run slower."
    )]
    Batch(BenchBatchArgs),
    /// Time the encoder on a device, beside the figures of mamba-ssm on an H100
    #[command(
        after_help = "Examples:\n  unspool bench encoder\n  unspool bench encoder --device cuda:0 --weights bf16\n  \
                            unspool bench encoder --case 'd=256' --runs 5 --json\n\nRandom weights, vocabulary 256; the \
                            median of the runs after three to warm up. A CPU runs smaller forms of the cases."
    )]
    Encoder(BenchEncoderArgs),
    /// Time sessions that are given a value or a patch and asked for a forecast
    #[command(
        after_help = "Examples:\n  unspool bench forecast\n  unspool bench forecast --device cuda:0 --weights bf16\n  \
                            unspool bench forecast --sessions 64 --horizon 24 --json\n\nA call appends to all sessions and \
                            forecasts them all; its time holds both."
    )]
    Forecast(BenchForecastArgs),
    /// Put load on a server: latencies and throughput at a fixed rate of arrivals
    #[command(
        after_help = "Examples:\n  unspool bench serve\n  unspool bench serve --model dna-model --sessions 1000\n  \
                            unspool bench serve --rate 50000 --sessions 20000 --message 500 --duration-s 30\n  unspool \
                            bench serve --address 127.0.0.1:50051 --rate 200 --events 64 --horizon 24\n\nArrivals do not \
                            wait for replies, and latencies count from when an append was due, so that waiting is in \
                            them. Without --rate: what the server can take of each kind of load, the latencies at half \
                            of that, ten times that, and what the service costs beside the encoder alone."
    )]
    Serve(Box<BenchServeArgs>),
    /// A bare echo server, for comparison
    #[command(hide = true)]
    Echo,
}

/// Measures.
///
/// # Errors
/// When a device, a server or a model cannot be had, or what is measured fails.
pub(crate) fn run(command: BenchCommand) -> Result<()> {
    match command {
        BenchCommand::Batch(args) => batch::run(&args),
        BenchCommand::Encoder(args) => encoder::run(args),
        BenchCommand::Forecast(args) => forecast::run(&args),
        BenchCommand::Serve(args) => serve::run(*args),
        BenchCommand::Echo => serve::echo(),
    }
}
