//! The binary `unspool`: what was typed becomes a job that runs; errors become one line and an exit code.
//!
//! `args` holds the commands; each has a module, which turns what was typed (and a job's file) into one validated form and hands that to `unspool-pipelines`. `serve` is the server: `serve/config.rs` is what it runs on,
//! `serve/app.rs` what its calls share. Nothing is computed here, and nothing else in the project knows clap, our protobuf or how logs are set up. Start reading at `args.rs`, `run.rs` (the commands over files) and `serve.rs`.

mod args;
mod batch;
mod bench;
mod cluster;
mod demo;
mod embed;
mod error;
mod eval;
mod fill;
mod forecast;
mod init;
mod input;
mod inspect;
mod itself;
mod job_file;
mod manual;
mod model;
#[cfg(test)]
mod pages;
mod progress;
mod report;
mod run;
mod score;
mod serve;
mod sessions;
mod sql;
mod stream;
mod train;

use std::{io::Write, process::ExitCode};

use clap::{Parser, error::ErrorKind};
use tracing_subscriber::EnvFilter;

use crate::{
    args::{Cli, Command},
    error::{Error, Result},
};

/// What is logged where nobody asked: the Kafka client and the cluster's engine tell of every lost connection, and so does the job.
const QUIET: &str = "error,librdkafka=off,rdkafka=off,ballista_core=off,ballista_executor=off,ballista_scheduler=off";

fn main() -> ExitCode {
    unspool_model::prepare_process();
    // A fault of ours is one line too, the one below; the log has the rest for those who look for it.
    std::panic::set_hook(Box::new(|fault| tracing::debug!("{fault}")));
    let done = std::panic::catch_unwind(|| match Cli::try_parse() {
        Ok(cli) => dispatch(cli),
        Err(error) => usage(&error),
    });
    let done = done.unwrap_or(Err(Error::Fault));
    match done {
        Ok(()) | Err(Error::OutputClosed) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed: there is nobody left to tell.
            let _ = writeln!(std::io::stderr(), "unspool: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn dispatch(cli: Cli) -> Result<()> {
    if cli.version {
        let gpus = if cfg!(feature = "cuda") { ", or an NVIDIA GPU" } else { "" };
        return print(&format!("unspool {} ({}{gpus})", env!("CARGO_PKG_VERSION"), model::route()?));
    }
    // A server has a log of its own kind.
    if !matches!(cli.command, Some(Command::Serve(_))) {
        let filter = EnvFilter::try_from_env("UNSPOOL_LOG").unwrap_or_else(|_| EnvFilter::new(QUIET));
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
    match cli.command {
        Some(Command::Bench(command)) => bench::run(command),
        Some(Command::Cluster(command)) => cluster::run(command),
        Some(Command::Completions(args)) => manual::completions(&args),
        Some(Command::Demo(args)) => demo::run(args),
        Some(Command::Embed(args)) => embed::run(args),
        Some(Command::Eval(command)) => eval::run(command),
        Some(Command::Forecast(args)) => forecast::run(args),
        Some(Command::Fill(args)) => fill::run(args),
        Some(Command::Init(args)) => init::run(args),
        Some(Command::Inspect(args)) => inspect::run(args),
        Some(Command::Man(args)) => manual::man(&args),
        Some(Command::Report(args)) => report::run(&args),
        Some(Command::Run(args)) => batch::run(*args),
        Some(Command::Score(args)) => score::run(*args),
        Some(Command::Serve(args)) => serve::run(*args),
        Some(Command::Sessions(command)) => sessions::run(command),
        Some(Command::Sql(args)) => sql::run(*args),
        Some(Command::Stream(args)) => stream::run(*args),
        Some(Command::Train(args)) => train::run(args),
        Some(Command::Finetune(args)) => train::finetune::run(*args),
        None => Err(Error::Usage("name a command; `unspool --help` lists them".into())),
    }
}

/// Prints help, or makes one line of a complaint about the arguments.
fn usage(error: &clap::Error) -> Result<()> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => print(error.render().to_string().trim_end()),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Err(Error::Usage("name a command; `unspool --help` lists them".into()))
        }
        _ => {
            let text = error.render().to_string();
            let complaint = text.split("\n\nUsage:").next().unwrap_or_default();
            let complaint = complaint.split("\n\nFor more information").next().unwrap_or_default();
            let words: Vec<&str> = complaint.trim_start_matches("error: ").split_whitespace().collect();
            Err(Error::Usage(format!("{} (see --help)", words.join(" "))))
        }
    }
}

/// Prints a result to standard output.
fn print(text: &str) -> Result<()> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(source) if source.kind() == std::io::ErrorKind::BrokenPipe => Err(Error::OutputClosed),
        Err(source) => Err(Error::Io { path: "standard output".into(), source }),
        Ok(()) => Ok(()),
    }
}
