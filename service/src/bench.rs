//! `unspool bench`: measurements that anyone can repeat.

mod encoder;

use clap::Subcommand;

use self::encoder::BenchEncoderArgs;
use crate::error::Result;

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Time the encoder on a device, beside the figures of mamba-ssm on an H100
    #[command(
        after_help = "Examples:\n  unspool bench encoder\n  unspool bench encoder --device cuda:0 --weights bf16\n  \
                            unspool bench encoder --case 'd=256' --runs 5 --json\n\nRandom weights, vocabulary 256; the \
                            median of the runs after three to warm up. A CPU runs smaller forms of the cases."
    )]
    Encoder(BenchEncoderArgs),
}

/// Measures.
///
/// # Errors
/// When the device cannot be had, or what is measured fails.
pub(crate) fn run(command: BenchCommand) -> Result<()> {
    match command {
        BenchCommand::Encoder(args) => encoder::run(args),
    }
}
