//! `unspool fill`.

use unspool_model::Front;
use unspool_pipelines::{FillOptions, Filler};

use crate::{
    args::FillArgs,
    error::Result,
    input::{self, Inputs},
    model,
    run::{self, Plan},
};

pub(crate) const HELP: &str = "Examples:\n  unspool fill taxi.csv --output whole.csv\n  unspool fill sales.parquet --id shop --time day \
--value units --output whole.parquet\n\nA missing value (an empty cell, null, NaN, or a row that is missing from a regular grid) becomes the median of what the model \
expects there, from the values before it and, in the series turned round, from those after it.\nOutput: id, time, value, filled, and for a filled value low and high, the model's outer \
quantiles. A gap of more than 4,096 values stays.\nWhole series are in memory until the end.";

/// Makes what was typed into a job, and runs it.
///
/// # Errors
/// When the request does not fit the inputs or the model, or the job fails.
pub(crate) fn run(args: FillArgs) -> Result<()> {
    input::series_alone(&args.inputs, "have no values to fill in")?;
    let model = model::load(args.model.as_deref(), &args.run)?;
    model::fits(model.info(), Front::Series)?;
    let inputs = Inputs::series(&args.inputs, &args.columns)?;
    let patch = model.series_shape().map_or(1, |shape| shape.patch);
    let pack_values = model::batch_tokens(&args.run, &model).saturating_mul(patch);
    let max_series = args.columns.max_series.map_or(usize::MAX, std::num::NonZero::get);
    let metadata = run::metadata(&model, &[("command", "fill".to_owned())]);
    let job = Box::new(Filler::new(model, FillOptions { time: inputs.time_kind(), pack_values, max_series })?);
    run::run(Plan { job, paths: args.inputs, inputs, output: args.output, metadata }, &args.run)
}
