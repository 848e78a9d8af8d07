//! Which model runs, and where.

use std::{num::NonZeroUsize, path::Path, sync::Arc};

use unspool_model::{
    Front, Info, Model, Options, RunOptions, WindowModel, cpu::CpuOptions, device::Device, encoder::Route,
};
use unspool_pipelines::embed::Reader;

use crate::{
    args::{DeviceArgs, RunArgs},
    error::{Error, Result},
    progress::say,
};

/// States may take this much memory where the user names no limit, in bytes.
const STATES_BYTES: usize = 4 << 30;

/// The model of a directory, or the built-in one, on the device and the threads that were asked for.
///
/// # Errors
/// When the device is not in this build or not in this machine, or the model cannot be loaded.
pub(crate) fn load(dir: Option<&Path>, args: &RunArgs) -> Result<Arc<Model>> {
    Ok(ready(open(dir, options(args.device, args.threads))?, args))
}

/// As [`load`], of a directory that may also hold a model that reads whole windows.
///
/// # Errors
/// As there.
pub(crate) fn reader(dir: &Path, args: &RunArgs) -> Result<Reader> {
    let options = options(args.device, args.threads);
    match open(Some(dir), options) {
        Err(error) => windows_instead(error.into(), dir, options),
        Ok(model) => Ok(ready(model, args).into()),
    }
}

/// As [`by_name`], of a directory that may also hold a model that reads whole windows.
///
/// # Errors
/// As there.
pub(crate) fn reader_by_name(name: &str, options: RunOptions) -> Result<Reader> {
    match by_name(Some(name), options) {
        Err(error) => windows_instead(error, Path::new(name), options),
        Ok(model) => Ok(Arc::new(model).into()),
    }
}

/// The model that reads whole windows, where it was for that that it could not be loaded.
fn windows_instead(error: Error, dir: &Path, options: RunOptions) -> Result<Reader> {
    match error {
        Error::Model(unspool_model::Error::ReadsWindows { .. }) => {
            Ok(Arc::new(WindowModel::load(dir, options)?).into())
        }
        other => Err(other),
    }
}

/// Says of a model what its user should know.
pub(crate) fn ready(model: Model, args: &RunArgs) -> Arc<Model> {
    if let (Some(warning), false) = (fell_back(&model), args.quiet) {
        say(&format!("warning: {warning}"));
    }
    let info = model.info();
    tracing::debug!(name = info.name, digest = %info.digest, route = %info.route, note = info.note, "model loaded");
    Arc::new(model)
}

/// Refuses a model that takes something else than the command asks it about.
///
/// # Errors
/// When it does.
pub(crate) fn fits(info: &Info, wanted: Front) -> Result<()> {
    let kind = match wanted {
        found if found == info.front => return Ok(()),
        Front::Series => "series",
        Front::Dna => "DNA",
        Front::Tokens => "token",
    };
    let problem = format!("--model: {} is no {kind} model; leave --model out for the built-in one", info.name);
    Err(Error::Usage(problem))
}

/// A built-in model by its name; `None`: none is called so.
pub(crate) fn built_in(name: &str, options: RunOptions) -> Option<Result<Model, unspool_model::Error>> {
    match name {
        "series-3" => Some(Model::series(options)),
        "series-1" => Some(Model::series_1(options)),
        "dna-1" => Some(Model::dna(options)),
        _ => None,
    }
}

/// The model of a directory, a built-in one by its name where there is no such directory, or the default one.
///
/// # Errors
/// When it cannot be loaded, or cannot run where the options say.
pub(crate) fn open(dir: Option<&Path>, options: RunOptions) -> Result<Model, unspool_model::Error> {
    let Some(dir) = dir else { return Model::series(options) };
    let name = dir.to_str().filter(|_| !dir.exists());
    name.and_then(|name| built_in(name, options)).unwrap_or_else(|| Model::load(dir, options))
}

/// A built-in model by its name, the model of a directory, or the default one.
///
/// # Errors
/// As [`open`].
pub(crate) fn by_name(name: Option<&str>, options: RunOptions) -> Result<Model> {
    let named = name.and_then(|name| built_in(name, options));
    Ok(named.unwrap_or_else(|| open(name.map(Path::new), options))?)
}

/// Tokens of a batch: as asked for, or as many as suit the model's device.
pub(crate) fn batch_tokens(args: &RunArgs, model: &Model) -> usize {
    batch_tokens_of(args, model.info())
}

/// As [`batch_tokens`], of any kind of model.
pub(crate) fn batch_tokens_of(args: &RunArgs, info: &Info) -> usize {
    args.batch_tokens.map_or_else(|| tokens_on(info.device), NonZeroUsize::get)
}

/// As [`batch_tokens_of`], where a card keeps the hidden rows to itself: a few megabases take little memory there, and one long
/// sequence fills it only by as many.
pub(crate) fn long_batch_tokens_of(args: &RunArgs, info: &Info) -> usize {
    let suitable = if let Device::Cuda(_) = info.device { 1 << 22 } else { tokens_on(info.device) };
    args.batch_tokens.map_or(suitable, NonZeroUsize::get)
}

/// Tokens of a batch that suit the model's device.
pub(crate) fn suitable_tokens(model: &Model) -> usize {
    tokens_on(model.info().device)
}

fn tokens_on(device: Device) -> usize {
    if let Device::Cuda(_) = device { 131_072 } else { 2048 }
}

/// How a model runs.
pub(crate) fn options(args: DeviceArgs, threads: Option<u16>) -> RunOptions {
    let cpu = CpuOptions { threads: threads.map_or(0, usize::from), ..CpuOptions::default() };
    RunOptions { device: args.device, weights: args.weights, cpu, ..RunOptions::default() }
}

/// What to tell the user of a model that runs on the CPU though a GPU was wanted.
pub(crate) fn fell_back(model: &Model) -> Option<String> {
    model.info().fell_back.as_ref().map(|reason| format!("computing on the CPU: {reason}"))
}

/// Where a model runs, and why not elsewhere.
pub(crate) fn place(model: &Model) -> String {
    let device = model.info().device;
    model.info().fell_back.as_ref().map_or(device.to_string(), |reason| format!("{device} ({reason})"))
}

/// How the CPU of this machine computes.
///
/// # Errors
/// When the built-in model cannot be loaded.
pub(crate) fn route() -> Result<Route> {
    Ok(Model::series(RunOptions::cpu())?.info().route.clone())
}

/// How many sequences may be open at once where the user does not say.
///
/// # Errors
/// When the model refuses the options.
pub(crate) fn max_sequences(model: &Model, options: &Options) -> Result<usize> {
    Ok((STATES_BYTES / unspool_pipelines::state_bytes(model, options)?.max(1)).max(1))
}
