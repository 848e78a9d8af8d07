//! `unspool finetune`: a user's own series, a shipped model, a short run.

use std::{collections::HashMap, num::NonZeroUsize, path::PathBuf};

use arrow::{array::AsArray, datatypes::Float64Type};
use clap::Args;
use unspool_ingest::tables;
use unspool_model::train::SeriesWeights;
use unspool_pipelines::train::{DataOptions, SeriesData, TrainConfig, TrainError, TrainOptions};

use super::{LimitArgs, Plan, execute};
use crate::{
    args::ColumnArgs,
    error::{Error, Result},
    input::{self, Kind},
    progress::say,
};

/// Patches of a step where the user does not say.
pub(super) const PATCHES: usize = 2048;
/// Lengths of windows, in patches, that are tried where series are long enough.
const LENGTHS: [(usize, f64); 5] = [(128, 0.4), (64, 0.2), (32, 0.15), (16, 0.15), (8, 0.1)];

/// `unspool finetune --help`.
pub(crate) const HELP: &str = "Examples:\n  unspool finetune sales.parquet --id shop --time day --value units --output run\n  unspool \
                               forecast sales.parquet --id shop --time day --value units --horizon 28 --model run/model\n  unspool finetune train.csv --classify --dev dev.csv --test test.csv --steps 1000 --output \
                               classifier\n\nHold the \
                               last values of your series back (in other files), and compare forecasts of both models there before \
                               you use the new one: few series are soon learned by heart.";

/// `unspool finetune`.
#[derive(Debug, Args)]
pub(crate) struct FinetuneArgs {
    /// Series: CSV, TSF or Parquet
    #[arg(required = true)]
    pub(super) inputs: Vec<PathBuf>,
    /// The run's folder; one that is there is gone on with
    #[arg(short, long, value_name = "RUN")]
    pub(super) output: PathBuf,
    /// The model to begin from: a directory, or a built-in model's name (default: series-3; with --classify dna-1)
    #[arg(long, value_name = "DIR|NAME")]
    pub(super) model: Option<PathBuf>,
    /// The new model's name
    #[arg(long, default_value = "finetuned")]
    pub(super) name: String,
    /// Steps
    #[arg(long, value_name = "N", default_value = "300")]
    pub(super) steps: NonZeroUsize,
    /// Patches of a step (with --classify: tokens, 8192 where left out)
    #[arg(long, value_name = "N", default_value = "2048")]
    pub(super) patches: NonZeroUsize,
    /// The largest learning rate
    #[arg(long, default_value = "2e-4")]
    pub(super) rate: f64,
    /// The share of windows that are of your series; the others are synthetic, so that the model forgets less
    #[arg(long, value_name = "SHARE", default_value = "0.7")]
    share: f64,
    /// Make a classifier of a DNA model: the input is a CSV file with columns `sequence` and `label`, of 2 to 4 classes
    #[arg(long)]
    pub(super) classify: bool,
    /// With --classify: a table to choose the checkpoint by
    #[arg(long, value_name = "FILE.csv", requires = "classify")]
    pub(super) dev: Option<PathBuf>,
    /// With --classify: a table to judge the classifier on; RUN/test.csv has what it says
    #[arg(long, value_name = "FILE.csv", requires = "classify")]
    pub(super) test: Option<PathBuf>,
    #[command(flatten)]
    columns: ColumnArgs,
    #[command(flatten)]
    pub(super) limits: LimitArgs,
}

/// Trains on.
///
/// # Errors
/// When the inputs hold no series to learn from, or as `unspool train`.
pub(crate) fn run(args: FinetuneArgs) -> Result<()> {
    if args.classify {
        return super::classify::run(&args);
    }
    if input::kind(&args.inputs)? != Kind::Series {
        let problem = "reads and variants are no series: a series model learns from CSV, TSF or Parquet";
        return Err(Error::Usage(problem.into()));
    }
    let start = match &args.model {
        Some(dir) => SeriesWeights::load(dir)?,
        None => SeriesWeights::built_in()?,
    };
    let start = start.aligned_any()?;
    let series = read(&args)?;
    let longest = series.iter().map(Vec::len).max().unwrap_or(0);
    let fits = |patches: usize| patches * start.shape.patch <= 2 * longest;
    let lengths = LENGTHS.into_iter().filter(|&(patches, _)| fits(patches) || patches == 8).collect();
    let data = DataOptions { real_share: args.share, lengths, ..DataOptions::default() };
    let train = TrainOptions {
        steps: args.steps.get() as u64,
        patches: args.patches.get(),
        rate: args.rate,
        warmup: (args.steps.get() as u64 / 10).max(1),
        average: 0.99,
        checkpoint_steps: (args.steps.get() as u64 / 6).max(1),
        log_steps: (args.steps.get() as u64 / 30).max(1),
        ..TrainOptions::default()
    };
    let config = TrainConfig {
        name: args.name.clone(),
        from: args.model.clone(),
        layers: None,
        model: None,
        data: data.clone(),
        dna: None,
        train,
    };
    config.check()?;
    let sizes = (start.shape.patch, start.shape.horizon, args.patches.get());
    let data = SeriesData::of_series(series, data, sizes).map_err(TrainError::from)?;
    let text = toml::to_string_pretty(&config).map_err(|error| Error::Usage(error.to_string()))?;
    let source = super::series(data, &config, &start.shape);
    execute(Plan { config, text, source, start, output: args.output }, &args.limits)
}

/// All series of the inputs, in the order in which they begin; missing values are NaN.
fn read(args: &FinetuneArgs) -> Result<Vec<Vec<f64>>> {
    let mut decoder = tables::decoder(&args.inputs, &input::series_options(&args.columns))?;
    let (mut series, mut places) = (vec![], HashMap::new());
    let (mut rejected, mut first) = (0, None);
    while let Some(batch) = decoder.decode()? {
        rejected += batch.rejects.len();
        first = first.or(batch.rejects.into_iter().next());
        let (ids, values) =
            (batch.rows.column(0).as_string::<i32>(), batch.rows.column(2).as_primitive::<Float64Type>());
        for (row, value) in values.iter().enumerate() {
            let place = *places.entry(ids.value(row).to_owned()).or_insert_with(|| {
                series.push(vec![]);
                series.len() - 1
            });
            series[place].push(value.unwrap_or(f64::NAN));
        }
    }
    if let Some(reject) = first.filter(|_| !args.limits.quiet) {
        say(&format!("warning: {rejected} rows are left out; the first is {}: {}", reject.place, reject.reason));
    }
    Ok(series)
}
