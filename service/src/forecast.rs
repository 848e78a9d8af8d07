//! `unspool forecast`.

use std::num::NonZeroUsize;

use unspool_ingest::{
    format::{self, Format},
    tables,
};
use unspool_model::{Front, Options};
use unspool_pipelines::{ForecastOptions, Forecaster};

use crate::{
    args::{ForecastArgs, MAX_HORIZON},
    error::{Error, Result},
    input::{self, Inputs, Kind},
    model,
    run::{self, Plan},
};

/// Makes what was typed into a job, and runs it.
///
/// # Errors
/// When the request does not fit the inputs or the model, or the job fails.
pub(crate) fn run(args: ForecastArgs) -> Result<()> {
    if input::kind(&args.inputs)? == Kind::Reads {
        return Err(Error::Usage("reads cannot be forecast; `unspool embed` takes them".into()));
    }
    let horizon = horizon(&args)?;
    let model = model::load(args.model.as_deref(), &args.run)?;
    if model.info().front != Front::Series {
        let name = &model.info().name;
        return Err(Error::Usage(format!(
            "--model: {name} is no series model; leave --model out for the built-in one"
        )));
    }
    let inputs = Inputs::series(&args.inputs, &args.columns)?;
    let max_series = match args.columns.max_series {
        Some(max) => max.get(),
        None => model::max_sequences(&model, &Options::default())?,
    };
    let pack_tokens = model::batch_tokens(&args.run, &model);
    let options = ForecastOptions { horizon, time: inputs.time_kind(), pack_tokens, max_series };
    let said = [("command", "forecast".to_owned()), ("horizon", horizon.to_string())];
    let metadata = run::metadata(&model, &said);
    let job = Box::new(Forecaster::new(model, options)?);
    run::run(Plan { job, paths: args.inputs, inputs, output: args.output, metadata }, &args.run)
}

/// The horizon that was typed, or the one that a TSF file states.
fn horizon(args: &ForecastArgs) -> Result<NonZeroUsize> {
    let asked = || Error::Usage("--horizon: say how many values to forecast; the input states no @horizon".into());
    let horizon = match args.horizon {
        Some(horizon) => u64::from(horizon),
        None => {
            let first =
                args.inputs.first().filter(|path| format::detect(path).is_ok_and(|format| format == Format::Tsf));
            tables::tsf_header(first.ok_or_else(asked)?)?.horizon.ok_or_else(asked)?
        }
    };
    let allowed = Some(horizon)
        .filter(|horizon| *horizon <= u64::from(MAX_HORIZON))
        .and_then(|horizon| usize::try_from(horizon).ok());
    allowed.and_then(NonZeroUsize::new).ok_or_else(asked)
}
