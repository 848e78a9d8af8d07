//! `unspool run`: a batch job over a lake of files.
//!
//! ```text
//! what was typed, JOB.toml ─► file ─► BatchJob ─► pipelines::batch::run, shown by a Display
//! ```

mod file;

use std::{
    fmt::Write as _,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::{Args, value_parser};
use indicatif::HumanBytes;
use unspool_ingest::{
    schema::TimeKind,
    tables::{Layout, SeriesOptions},
};
use unspool_model::{Model, Options};
use unspool_pipelines::{
    Progress,
    batch::{self, BatchJob, OnCorrupt, Plan},
    state_bytes,
    stream::emit::Give,
};

use self::file::{File, GiveFile, InputFile, OnCorruptFile, WhatFile};
use crate::{
    args::{DeviceArgs, MAX_HORIZON},
    error::{Error, Result},
    job_file, model, print,
    progress::{self, Display, say},
    run,
};

/// A job's file, for `unspool run --help`.
pub(crate) const HELP: &str = r#"Examples:
  unspool run job.toml --dry-run
  unspool run job.toml

job.toml:
  model = "series-3"                 # or a directory; this is the default
  [input]
  paths = ["lake", "more/*.parquet"] # files, folders (also of key=value folders), globs: Parquet or CSV,
                                     # taken in this order, and each by name, folder by folder
  id = "meter"                       # columns, as of `unspool forecast`; without them by their usual names
  time = "time"
  values = ["value"]
  on_corrupt = "stop"                # or "skip": the rest of a damaged file is left out, as one reject
  [give]
  what = "forecasts"                 # with horizon = 24; or "scores"; or "embeddings" (layer = 8, pool = "mean")
  horizon = 24
  [output]
  dir = "forecasts"                  # parts in Parquet; _rejects, _states and _manifest.json beside
  [run]
  unit_rows = 1000000                # a unit is finished after so many rows: what a kill can cost
  states_bytes = 4294967296          # memory for the states of all series; or max_series = 10000

Killed at any point it goes on when it is started again, and ends with the same bytes. Started again when it is done, it reads
only files that are new. Each series' rows must come in the order of time, file by file; a row that is late is a reject.
Not there yet: input that is to be sorted first, object stores, SQL, reads (FASTA, BAM), and more than one machine."#;

/// Rows of a unit where the file does not say.
const UNIT_ROWS: u64 = 1_000_000;
/// Memory for states where the file does not say, in bytes.
const STATES_BYTES: usize = 4 << 30;

/// `unspool run`.
#[derive(Debug, Args)]
pub(crate) struct BatchArgs {
    /// The job: a TOML file
    pub(crate) job: PathBuf,
    /// Print what would be done, and end
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Threads that compute (default: all cores)
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// No progress, no summary
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Runs a job to its end, or until the user interrupts it.
///
/// # Errors
/// When the job's file is not understood, or the input, the model or the output fails.
pub(crate) fn run(args: BatchArgs) -> Result<()> {
    let file: File = job_file::read(&args.job)?;
    let folder = args.job.parent().unwrap_or(Path::new("")).to_owned();
    let name = file.model.as_deref().map(|name| match name {
        "series-1" | "series-3" => name.to_owned(),
        dir => folder.join(dir).display().to_string(),
    });
    let model = Arc::new(model::by_name(name.as_deref(), model::options(args.device, args.threads))?);
    if let (Some(warning), false) = (model::fell_back(&model), args.quiet) {
        say(&format!("warning: {warning}"));
    }
    let job = job(file, folder, &model)?;
    let plan = batch::plan(&job, &model)?;
    if args.dry_run {
        return print(describe(&job, &model, &plan).trim_end());
    }
    let (runtime, cancel) = run::stopped_by_signals()?;
    let bytes = plan.files.iter().map(|(_, bytes)| bytes).sum();
    let mut display = Display::new(args.quiet, bytes);
    let mut report = |progress: &Progress| {
        display.show(progress);
        if cancel.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let done = batch::run(&job, &model, &mut report);
    drop(display);
    runtime.shutdown_background();
    let summary = match done {
        Err(batch::Error::Job(unspool_pipelines::Error::Cancelled)) => return Err(Error::Paused),
        done => done?,
    };
    if !args.quiet {
        let (output, rejects) = (job.output.display().to_string(), job.output.join("_rejects").display().to_string());
        progress::summarize(&summary, &output, Some(&rejects));
    }
    Ok(())
}

/// From the file to a job; settings that do not go together are refused here.
fn job(file: File, folder: PathBuf, model: &Model) -> Result<BatchJob> {
    let give = give(&file.give)?;
    let on_corrupt = match file.input.on_corrupt {
        OnCorruptFile::Stop => OnCorrupt::Stop,
        OnCorruptFile::Skip => OnCorrupt::Skip,
    };
    let max_series = match (file.run.max_series, file.run.states_bytes) {
        (Some(_), Some(_)) => {
            return Err(Error::Usage("run: either `max_series` or `states_bytes`".into()));
        }
        (Some(max), None) => max.get(),
        (None, bytes) => {
            let options = states_options(&give, model);
            (bytes.unwrap_or(STATES_BYTES) / state_bytes(model, &options)?.max(1)).max(1)
        }
    };
    let unit_rows = file.run.unit_rows.unwrap_or(UNIT_ROWS).max(1);
    let said = serde_json::to_string(&give).unwrap_or_default();
    Ok(BatchJob {
        inputs: file.input.paths.clone(),
        columns: columns(&file.input, unit_rows),
        on_corrupt,
        give,
        output: folder.join(file.output.dir),
        folder,
        metadata: run::metadata(model, &[("command", "run".to_owned()), ("give", said)]),
        unit_rows,
        max_series,
        pack_tokens: model::suitable_tokens(model),
    })
}

fn give(file: &GiveFile) -> Result<Give> {
    let wrong = |text: &str| Err(Error::Usage(format!("give: {text}")));
    let embeds = file.layer.is_some() || file.pool.is_some();
    match (file.what, file.horizon) {
        (WhatFile::Scores | WhatFile::Forecasts, _) if embeds => wrong("`layer` and `pool` are of embeddings"),
        (WhatFile::Scores | WhatFile::Embeddings, Some(_)) => wrong("only forecasts have a `horizon`"),
        (WhatFile::Forecasts, None) => wrong("`horizon`: how many values to forecast?"),
        (WhatFile::Forecasts, Some(horizon)) if horizon == 0 || horizon > MAX_HORIZON => {
            wrong(&format!("`horizon`: from 1 to {MAX_HORIZON}"))
        }
        (WhatFile::Scores, None) => Ok(Give::Scores),
        (WhatFile::Forecasts, Some(horizon)) => Ok(Give::Forecast { horizon: horizon as usize }),
        (WhatFile::Embeddings, None) => {
            Ok(Give::Embedding { layer: file.layer, pool: file.pool.unwrap_or_default(), restart: false })
        }
    }
}

/// What series are opened for; a layer that is not there is refused by the job.
fn states_options(give: &Give, model: &Model) -> Options {
    match give {
        Give::Scores => Options { anomaly: model.series_shape().is_some(), ..Options::default() },
        Give::Forecast { .. } => Options::default(),
        Give::Embedding { .. } => {
            Options { layers: vec![model.info().config.layers], pools: true, ..Options::default() }
        }
    }
}

/// How files are read; a batch is no longer than a unit.
fn columns(input: &InputFile, unit_rows: u64) -> SeriesOptions {
    let usual = SeriesOptions::default();
    SeriesOptions {
        batch_rows: usual.batch_rows.min(usize::try_from(unit_rows).unwrap_or(usize::MAX)),
        id: input.id.clone(),
        time: input.time.clone(),
        values: input.values.clone(),
        layout: if input.lists { Layout::List } else { Layout::Long },
        ..usual
    }
}

/// The plan, for people.
fn describe(job: &BatchJob, model: &Model, plan: &Plan) -> String {
    let info = model.info();
    let (mut text, columns) = (String::new(), &job.columns);
    let named = |name: &Option<String>| name.clone().unwrap_or_else(|| "by convention".into());
    let values = if columns.values.is_empty() { "by convention".into() } else { columns.values.join(", ") };
    let time = match plan.time {
        Some(TimeKind::Timestamp) => " (timestamps)",
        Some(TimeKind::Step) => " (step numbers)",
        None => "",
    };
    let done = match &plan.manifest {
        None => "nothing yet".to_owned(),
        Some(manifest) => format!(
            "{} of {} files in {} units, {} series, {} parts, {} rejects",
            manifest.done,
            manifest.files.len(),
            manifest.units,
            manifest.series,
            manifest.parts.len(),
            manifest.rejects(),
        ),
    };
    let bytes: u64 = plan.files.iter().map(|(_, bytes)| bytes).sum();
    let lines = [
        format!("model    {} ({}), {}", info.name, &info.digest.to_string()[..12], info.route),
        format!("give     {}", serde_json::to_string(&job.give).unwrap_or_default()),
        format!("columns  id: {}; time: {}{time}; values: {values}", named(&columns.id), named(&columns.time)),
        format!("series   at most {}", job.max_series),
        format!("output   {}, a unit each {} rows", job.output.display(), job.unit_rows),
        format!("done     {done}"),
        format!("to read  {} files, {}", plan.files.len(), HumanBytes(bytes)),
    ];
    for line in lines {
        let _ = writeln!(text, "{line}");
    }
    for (name, bytes) in &plan.files {
        let _ = writeln!(text, "  {name}  {}", HumanBytes(*bytes));
    }
    text
}
