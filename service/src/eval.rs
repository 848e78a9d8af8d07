//! `unspool eval`: how good a model is, on public data.

mod anomaly;
mod embed;
mod forecast;
mod genomics;

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand, value_parser};
use serde_json::Value;
use unspool_model::{Model, RunOptions};

use self::{anomaly::EvalAnomalyArgs, embed::EvalEmbedArgs, forecast::EvalForecastArgs, genomics::EvalGenomicsArgs};
use crate::{
    args::DeviceArgs,
    error::{Error, Result},
    model,
    progress::say,
};

/// What to evaluate.
#[derive(Debug, Subcommand)]
pub(crate) enum EvalCommand {
    /// Score forecasts: ten benchmark sets beside published models, or the series that models are chosen by
    #[command(
        after_help = "Examples:\n  unspool eval forecast data/benchmark\n  unspool eval forecast data/benchmark --model \
                            series-3 --output scores.json\n  unspool eval forecast --validation data/extra --model \
                            my-model\n\nMASE and WQL (weighted quantile loss) as ratios to the seasonal naive forecast, and \
                            their geometric means: less is better, 1 is no better than repeating the last season. Choose \
                            models by --validation; the benchmark is for a model that was chosen."
    )]
    Forecast(EvalForecastArgs),
    /// Score anomaly detection on NAB, or on the series that models are chosen by
    #[command(
        after_help = "Examples:\n  unspool eval anomaly NAB\n  unspool eval anomaly NAB --validation data/extra --model \
                            my-model\n\nNAB: the folder with labels/ and the folders of its files. Its scores: 0 for detecting \
                            nothing, 100 for every window at its first row and nothing else."
    )]
    Anomaly(EvalAnomalyArgs),
    /// Judge series embeddings by a linear probe on labelled sets
    #[command(
        after_help = "Example:\n  unspool eval embed data/classification --model my-model\n\nAccuracies of ridge regression on \
                            embeddings (mean and maximum of a middle layer and of the last), on 22 simple statistics of each \
                            channel, and on embeddings of the same network with random weights."
    )]
    Embed(EvalEmbedArgs),
    /// Judge a DNA model: bits per base beside Markov models, and a probe beside k-mers and published models
    #[command(
        after_help = "Examples:\n  unspool eval genomics data/genomics --output figures.json\n  unspool eval genomics \
                            data/genomics --model my-model --tasks ecoli_coding_150\n\nBits per base of the last 20 % of E. coli, beside Markov \
                            models of interpolated counts of the first 70 %. A logistic probe on mean embeddings of both \
                            strands, alone and joined with counts of 3- to 5-mers, beside those alone and the same network \
                            with random weights: the nine GUE tasks and coding E. coli, each by its own splits. Layer and \
                            strength are chosen on the dev split."
    )]
    Genomics(EvalGenomicsArgs),
}

/// Evaluates.
///
/// # Errors
/// When the data or the model cannot be had, or the model fails.
pub(crate) fn run(command: EvalCommand) -> Result<()> {
    match command {
        EvalCommand::Anomaly(args) => anomaly::run(&args),
        EvalCommand::Embed(args) => embed::run(&args),
        EvalCommand::Forecast(args) => forecast::run(&args),
        EvalCommand::Genomics(args) => genomics::run(&args),
    }
}

/// What every evaluation is told.
#[derive(Debug, Args)]
struct CommonArgs {
    /// Write all figures to this JSON file
    #[arg(short, long, value_name = "FILE.json")]
    output: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Threads that compute, on a CPU (default: all cores)
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl CommonArgs {
    /// Makes the file, now and not after minutes; how the model is to run.
    ///
    /// # Errors
    /// When the file cannot be written.
    fn begin(&self) -> Result<RunOptions> {
        self.output.iter().try_for_each(|path| write(path, ""))?;
        Ok(model::options(self.device, self.threads))
    }

    /// Writes the figures, if they were asked for.
    ///
    /// # Errors
    /// When the file cannot be written.
    fn end(&self, figures: impl FnOnce() -> Value) -> Result<()> {
        self.output.as_ref().map_or(Ok(()), |path| write(path, &format!("{:#}\n", figures())))
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|source| Error::Io { path: path.into(), source })
}

/// Says where a model runs that was to run elsewhere.
fn warn(model: &Model) {
    if let Some(warning) = model::fell_back(model) {
        say(&format!("warning: {warning}"));
    }
}
