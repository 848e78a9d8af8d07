//! Which model runs, and where.

use std::{path::Path, sync::Arc};

use unspool_model::{Model, Options, cpu::CpuOptions, encoder::Route};

use crate::{
    args::{Device, RunArgs},
    error::{Error, Result},
};

/// States may take this much memory where the user names no limit, in bytes.
const STATES_BYTES: usize = 4 << 30;

/// The model of a directory, or the built-in one, on the device and the threads that were asked for.
///
/// # Errors
/// When the device is not in this build, or the model cannot be loaded.
pub(crate) fn load(dir: Option<&Path>, args: &RunArgs) -> Result<Arc<Model>> {
    if args.device == Device::Cuda {
        return Err(Error::Usage("--device cuda: this build has none; use --device cpu".into()));
    }
    let options = CpuOptions { threads: args.threads.map_or(0, usize::from), ..CpuOptions::default() };
    let model = match dir {
        Some(dir) => Model::load(dir, options)?,
        None => Model::series(options)?,
    };
    let info = model.info();
    tracing::debug!(name = info.name, digest = %info.digest, route = %info.route, "model loaded");
    Ok(Arc::new(model))
}

/// Where this machine computes.
///
/// # Errors
/// When the built-in model cannot be loaded.
pub(crate) fn route() -> Result<Route> {
    Ok(Model::series(CpuOptions::default())?.info().route.clone())
}

/// How many sequences may be open at once where the user does not say.
///
/// # Errors
/// When the model refuses the options.
pub(crate) fn max_sequences(model: &Model, options: &Options) -> Result<usize> {
    Ok((STATES_BYTES / unspool_pipelines::state_bytes(model, options)?.max(1)).max(1))
}
