//! `unspool forecast`.

pub(crate) mod gather;
pub(crate) mod plot;

use std::{
    fs,
    num::NonZeroUsize,
    path::Path,
    sync::{Arc, Mutex},
};

use unspool_ingest::{
    format::{self, Format},
    tables,
};
use unspool_model::{Front, Options};
use unspool_pipelines::{ForecastOptions, Forecaster, Job};

use self::gather::{Gathered, Gathering};
use crate::{
    args::{ForecastArgs, MAX_HORIZON},
    error::{Error, Result},
    input::{self, Inputs},
    model,
    progress::say,
    run::{self, Plan},
};

/// Makes what was typed into a job, and runs it.
///
/// # Errors
/// When the request does not fit the inputs or the model, or the job fails.
pub(crate) fn run(args: ForecastArgs) -> Result<()> {
    input::series_alone(&args.inputs, "cannot be forecast")?;
    let horizon = horizon(&args)?;
    let model = model::load(args.model.as_deref(), &args.run)?;
    model::fits(model.info(), Front::Series)?;
    let inputs = Inputs::series(&args.inputs, &args.columns)?;
    let max_series = match args.columns.max_series {
        Some(max) => max.get(),
        None => model::max_sequences(&model, &Options::default())?,
    };
    let pack_tokens = model::batch_tokens(&args.run, &model);
    let levels = Some(args.quantiles).filter(|levels| !levels.is_empty());
    let time = inputs.time_kind();
    let options = ForecastOptions { horizon, levels, time, pack_tokens, max_series };
    let said = [("command", "forecast".to_owned()), ("horizon", horizon.to_string())];
    let metadata = run::metadata(&model, &said);
    let info = model.info();
    let lines = vec![format!("{horizon} steps ahead by {} ({})", info.name, &info.digest.to_string()[..12])];
    let job = Forecaster::new(model, options)?;
    let Some(page) = args.plot else {
        return run::run(
            Plan { job: Box::new(job), paths: args.inputs, inputs, output: args.output, metadata },
            &args.run,
        );
    };
    let about = plot::About { lines, levels: levels_of(&job), time };
    refuse_to_replace(&page, args.run.overwrite)?;
    let gathered = Arc::new(Mutex::new(Gathered::new(args.plot_series, horizon.get())));
    let job = Box::new(Gathering::new(job, &gathered));
    run::run(Plan { job, paths: args.inputs, inputs, output: args.output, metadata }, &args.run)?;
    draw(&page, &about, &gather::lock(&gathered))
}

/// The levels of a job's columns.
fn levels_of(job: &Forecaster) -> Vec<f64> {
    let schema = job.schema();
    let percents = schema.fields().iter().filter_map(|field| field.name().strip_prefix('q')?.parse::<f64>().ok());
    percents.map(|percent| percent / 100.0).collect()
}

fn refuse_to_replace(page: &Path, overwrite: bool) -> Result<()> {
    if page.exists() && !overwrite {
        let problem = format!("{} exists: name another file, or add --overwrite", page.display());
        return Err(Error::Usage(problem));
    }
    Ok(())
}

/// Writes the page of what was gathered.
fn draw(page: &Path, about: &plot::About, gathered: &Gathered) -> Result<()> {
    let missing = gathered.missing();
    if !missing.is_empty() {
        say(&format!("--plot-series: the input has no series {}", missing.join(", ")));
    }
    let io = |source| Error::Io { path: page.into(), source };
    // Whole under its name, or not at all.
    let part = page.with_added_extension(format!("{}.part", std::process::id()));
    fs::write(&part, plot::page(about, &gathered.tracks)).map_err(io)?;
    fs::rename(&part, page).map_err(io)
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
