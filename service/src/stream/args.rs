//! What was typed after `unspool stream`; the job's file says the rest.

use std::path::PathBuf;

use clap::Args;

use crate::args::DeviceArgs;

/// `unspool stream`.
#[derive(Debug, Args)]
pub(crate) struct StreamArgs {
    /// The job: a TOML file
    pub(crate) job: Option<PathBuf>,
    /// Check the job, its topics and its model, print what it comes to, and end
    #[arg(long)]
    pub(crate) check: bool,
    /// Show a job at work: plays a real series into a topic of a broker inside this process, or of one by address
    #[arg(long, conflicts_with_all = ["job", "check"])]
    pub(crate) demo: bool,
    /// End the demonstration after so many events [default: go on until Ctrl-C]
    #[arg(long, value_name = "N", requires = "demo", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) events: Option<u64>,
    /// Kafka's address, instead of the file's
    #[arg(long, value_name = "HOST:PORT", env = "UNSPOOL_KAFKA", hide_env_values = true)]
    pub(crate) bootstrap: Option<String>,
    /// Where snapshots are kept, instead of the file's run.data_dir
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// This worker's lasting name (default: one that the data folder remembers)
    #[arg(long, value_name = "NAME")]
    pub(crate) member: Option<String>,
    /// Go on with states that were computed elsewhere, although no longer to the bits of an undisturbed run
    #[arg(long)]
    pub(crate) allow_route_change: bool,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Threads that compute (default: all cores)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// No progress, no summary
    #[arg(short, long)]
    pub(crate) quiet: bool,
}
