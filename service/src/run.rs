//! Running a job: signals, progress, the output and the summary.

use std::{
    fs,
    io::{stderr, stdout},
    path::{Path, PathBuf},
};

use tokio::runtime::{Builder, Runtime};
use unspool_model::{Info, Model};
use unspool_pipelines::{Cancel, CsvSink, Destination, FileSink, Job, Pipeline, Sink, Summary};

use crate::{
    args::RunArgs,
    error::{Error, Result},
    input::{Inputs, total_bytes},
    progress::{self, Display},
};

/// How errors and the summary call standard output.
const STDOUT: &str = "standard output";

/// The key under which an output's metadata name the route.
pub(crate) const ROUTE: &str = "unspool.route";

/// Everything that a job needs to run.
pub(crate) struct Plan {
    /// The job.
    pub(crate) job: Box<dyn Job>,
    /// The inputs' names.
    pub(crate) paths: Vec<PathBuf>,
    /// The inputs.
    pub(crate) inputs: Inputs,
    /// The output; `None`: CSV to standard output.
    pub(crate) output: Option<PathBuf>,
    /// Key-value metadata of the output.
    pub(crate) metadata: Vec<(String, String)>,
}

/// Runs a job to its end, or until the user interrupts it.
///
/// # Errors
/// When the input, the model or the output fails, or the user interrupts: no output appears then.
pub(crate) fn run(plan: Plan, args: &RunArgs) -> Result<()> {
    let destination = destination(&plan, args)?;
    let (runtime, cancel) = stopped_by_signals()?;
    let quiet = args.quiet;
    let written = destination.clone();
    let summary = runtime.block_on(drain(plan, destination, cancel, quiet));
    // A computation that was cancelled ends with the process: nobody waits for it.
    runtime.shutdown_background();
    let summary = match summary {
        Err(Error::Job(unspool_pipelines::Error::Cancelled)) => return Err(Error::Interrupted),
        Err(Error::Job(unspool_pipelines::Error::OutputClosed)) => return Err(Error::OutputClosed),
        summary => summary?,
    };
    if !quiet {
        let rejects = written.as_ref().map(|destination| destination.rejects().display().to_string());
        let output = written.map_or(STDOUT.to_owned(), |destination| destination.path.display().to_string());
        progress::summarize(&summary, &output, rejects.as_deref());
    }
    Ok(())
}

async fn drain(plan: Plan, destination: Option<Destination>, cancel: Cancel, quiet: bool) -> Result<Summary> {
    let Plan { job, paths, mut inputs, .. } = plan;
    let schema = job.schema();
    let sink: Box<dyn Sink> = match destination {
        Some(destination) => Box::new(FileSink::create(destination, schema)?),
        None => Box::new(CsvSink::new((stdout(), stderr()), Path::new(STDOUT), schema)?),
    };
    tracing::debug!(inputs = paths.len(), "running");
    let mut display = Display::new(quiet, total_bytes(&paths));
    let mut pipeline =
        Pipeline::new(job, sink).cancelled_by(cancel).reporting_to(move |progress| display.show(progress));
    while let Some(mut source) = inputs.next()? {
        pipeline.drain(&mut source).await?;
    }
    Ok(pipeline.finish().await?)
}

/// The output's place, checked against the inputs.
fn destination(plan: &Plan, args: &RunArgs) -> Result<Option<Destination>> {
    let Some(path) = plan.output.clone() else { return Ok(None) };
    let destination = Destination { path, overwrite: args.overwrite, metadata: plan.metadata.clone() };
    for output in [destination.path.clone(), destination.rejects()] {
        if let Some(input) = plan.paths.iter().find(|input| same_file(input, &output)) {
            let problem =
                format!("{} would overwrite the input {}: name another output", output.display(), input.display());
            return Err(Error::Usage(problem));
        }
    }
    Ok(Some(destination))
}

fn same_file(a: &Path, b: &Path) -> bool {
    match (fs::canonicalize(a), fs::canonicalize(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

/// A flag that Ctrl-C and SIGTERM set, as long as the runtime lives.
///
/// # Errors
/// When the system gives no threads or signals.
pub(crate) fn stopped_by_signals() -> Result<(Runtime, Cancel)> {
    stopped_by_signals_with(1)
}

/// As [`stopped_by_signals`], with so many threads in the runtime.
///
/// # Errors
/// As there.
pub(crate) fn stopped_by_signals_with(threads: usize) -> Result<(Runtime, Cancel)> {
    let runtime = Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let runtime = runtime.map_err(|source| Error::Io { path: "the runtime".into(), source })?;
    let cancel = cancelled_by_signals(&runtime)?;
    Ok((runtime, cancel))
}

/// A flag that Ctrl-C and SIGTERM set.
fn cancelled_by_signals(runtime: &Runtime) -> Result<Cancel> {
    let cancel = Cancel::default();
    let flag = cancel.clone();
    // Registered before this returns: from then on no signal ends the process halfway.
    let (mut interrupt, mut terminate) = runtime.block_on(async { signals() })?;
    runtime.spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => (),
            _ = terminate.recv() => (),
        }
        flag.cancel();
    });
    Ok(cancel)
}

fn signals() -> Result<(tokio::signal::unix::Signal, tokio::signal::unix::Signal)> {
    use tokio::signal::unix::{SignalKind, signal};
    let fail = |source| Error::Io { path: "signals".into(), source };
    Ok((signal(SignalKind::interrupt()).map_err(fail)?, signal(SignalKind::terminate()).map_err(fail)?))
}

/// What an output says of the model and the request. What cannot change a result is not named.
pub(crate) fn metadata(model: &Model, options: &[(&str, String)]) -> Vec<(String, String)> {
    metadata_of(model.info(), options)
}

/// As [`metadata`], of any kind of model.
pub(crate) fn metadata_of(info: &Info, options: &[(&str, String)]) -> Vec<(String, String)> {
    let mut metadata = vec![
        ("unspool.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("unspool.model.name".to_owned(), info.name.clone()),
        ("unspool.model.digest".to_owned(), info.digest.to_string()),
        ("unspool.model.trained".to_owned(), info.trained.to_string()),
        (ROUTE.to_owned(), info.route.to_string()),
    ];
    metadata.extend(options.iter().map(|(key, value)| (format!("unspool.options.{key}"), value.clone())));
    metadata
}
