//! `unspool cluster`: the scheduler and the executors that batch jobs run on, with `unspool run --cluster URL`.
//!
//! ```text
//! what was typed ─► cluster::schedule, cluster::execute, until a signal comes
//! ```

#[cfg(feature = "cluster")]
mod roles;

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Subcommand, value_parser};

use crate::{args::DeviceArgs, error::Result};

/// Examples, for `unspool cluster --help`.
pub(crate) const HELP: &str = "Examples, each in a terminal of its own:\n  unspool cluster scheduler\n  unspool cluster executor \
                               --scheduler http://127.0.0.1:50050\n  unspool run job.toml --cluster \
                               http://127.0.0.1:50050\n\nThe driver (unspool run) reads the input, writes the output and commits; executors \
                               run the series, and need neither. Nothing is encrypted and nobody is asked who they are: beyond \
                               one machine only in a network of your own, with --allow-insecure.";

/// What part to play.
#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Hand groups of series out to executors
    Scheduler(SchedulerArgs),
    /// Run groups of series, by one model that is loaded once
    Executor(ExecutorArgs),
}

/// `unspool cluster scheduler`.
#[derive(Debug, Args)]
pub(crate) struct SchedulerArgs {
    /// Where to listen; port 0: any free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:50050")]
    pub(crate) listen: SocketAddr,
    /// Give an executor up that has said nothing for so many seconds; its groups go to others
    #[arg(long, value_name = "N", default_value = "30", value_parser = value_parser!(u16).range(1..))]
    pub(crate) executor_timeout_s: u16,
    /// Listen beyond this machine, though whoever reaches it may use it, and read what it sends
    #[arg(long)]
    pub(crate) allow_insecure: bool,
}

/// `unspool cluster executor`.
#[derive(Debug, Args)]
pub(crate) struct ExecutorArgs {
    /// The scheduler
    #[arg(long, value_name = "URL")]
    pub(crate) scheduler: String,
    /// Where drivers fetch results; port 0: any free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// The name or address by which drivers reach this machine (default: as the scheduler sees it)
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Option<String>,
    /// The model's directory, or a built-in one's name: that of the jobs (default: the built-in series model)
    #[arg(long, value_name = "NAME|DIR")]
    pub(crate) model: Option<String>,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Threads that compute (default: all cores)
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// The folder where results lie until they are fetched (default: the system's for temporary files)
    #[arg(long, value_name = "DIR")]
    pub(crate) work_dir: Option<PathBuf>,
    /// Wait so many seconds for the scheduler
    #[arg(long, value_name = "N", default_value = "60", value_parser = value_parser!(u16).range(1..))]
    pub(crate) patience_s: u16,
    /// Listen beyond this machine, though whoever reaches it may use it, and read what it sends
    #[arg(long)]
    pub(crate) allow_insecure: bool,
}

/// Plays the part until a signal comes.
///
/// # Errors
/// When the settings do not go together, an address is taken, or the model cannot be loaded.
#[cfg(feature = "cluster")]
pub(crate) fn run(command: ClusterCommand) -> Result<()> {
    match command {
        ClusterCommand::Scheduler(args) => roles::scheduler(&args),
        ClusterCommand::Executor(args) => roles::executor(args),
    }
}

/// Says what this build lacks.
///
/// # Errors
/// Always.
#[cfg(not(feature = "cluster"))]
pub(crate) fn run(_: ClusterCommand) -> Result<()> {
    Err(lacking("cluster"))
}

/// What a build without clusters says of one.
#[cfg(not(feature = "cluster"))]
pub(crate) fn lacking(what: &str) -> crate::error::Error {
    let remedy = "build it with `cargo build --release --features cluster`";
    crate::error::Error::Usage(format!("{what}: this program was built without clusters: {remedy}"))
}
