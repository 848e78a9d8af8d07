//! `unspool run`: a batch job over a lake of files.
//!
//! ```text
//! what was typed, JOB.toml ─► file ─► BatchJob ─► pipelines::batch::run, shown by a Display
//! ```

mod args;
mod crew;
mod describe;
mod file;
mod order;
#[cfg(test)]
mod tests;

use std::{
    num::{NonZeroU64, NonZeroUsize},
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::Duration,
};

use unspool_ingest::tables::{Layout, SeriesOptions};
use unspool_pipelines::{
    Progress, StoreSettings,
    batch::{self, BatchJob, OnCorrupt},
    stream::emit::Give,
};

pub(crate) use self::args::BatchArgs;
use self::{
    crew::Crewed,
    describe::describe,
    file::{File, GiveFile, InputFile, OnCorruptFile, SchemasFile, WhatFile},
};
use crate::{
    args::MAX_HORIZON,
    error::{Error, Result},
    job_file, print,
    progress::{self, Display},
    run,
};

/// A job's file, for `unspool run --help`.
pub(crate) const HELP: &str = r#"Examples:
  unspool run job.toml --dry-run
  unspool run job.toml
  unspool run --input 'lake/*.parquet' --series meter --what forecasts --horizon 24 --output forecasts

job.toml:
  model = "series-3"                 # the default; or series-1, dna-1, a directory
  [input]
  paths = ["lake", "more/*.parquet"] # files, folders (also of key=value folders), globs: Parquet or CSV, taken in this
                                     # order, each by name; or URLs: s3://BUCKET/lake/**/*.parquet, gs://, az://, https://
  id = "meter"                       # columns, as of `unspool forecast`; without them by their usual names
  time = "time"
  values = ["value"]
  keep = ["region"]                  # columns, or keys of key=value folders, that go with each series into the output
  schemas = "same"                   # or "union": what is kept may be missing in some of the files, and is null there
  order = "time"                     # or "sort": the rows are in no order (a build with the feature sql)
  on_corrupt = "stop"                # or "skip": the rest of a damaged file is left out, as one reject
                                     # of reads also keep = ["reference", "CB:Z"] (columns, and tags: tag_CB), and of CRAM
                                     # files reference = "genome.fa", the FASTA file that they were made with
  [give]
  what = "forecasts"                 # with horizon = 24; or "scores"; or "embeddings" (layer = 8, pool = "mean")
  horizon = 24                       # embeddings of reads: window = 1000 gives one for each 1,000 bases
  [output]
  dir = "forecasts"                  # or s3://BUCKET/forecasts, ...: parts in Parquet; _rejects, _states and _manifest.json beside
  partition_by = ["region"]          # folders region=north, region=south, ...
  row_group_rows = 1000000           # default: as many as take 64 MiB
  [run]
  unit_rows = 1000000                # what a kill can cost; without it more where many series are mixed
  states_bytes = 1073741824          # memory for states; those beyond lie on the disk
  max_series = 1000000
  work_dir = "work"                  # where an output for an object store is made
  spool_dir = "/tmp"                 # where what is read of object stores lies meanwhile
  sort_memory = 1073741824           # of order = "sort": what does not fit is spilled beside the output, up to sort_disk bytes
  [store]
  timeout_ms = 30000                 # of one question to an object store; it is asked again for four times that
  settings = { aws_region = "eu-central-1" } # beside AWS_*, GOOGLE_* and AZURE_* in the environment

Killed at any point it goes on when it is started again, and ends with the same bytes. Started again when it is done, it reads
only files that are new. Each series' rows must come in the order of time, file by file; a row that is late is a reject.
With a model of DNA (`model = "dna-1"`) the input is FASTA, FASTQ, SAM or BAM, and what is given are embeddings.
On more than one machine: --cluster; see `unspool cluster --help`."#;

/// Rows of a unit where the file does not say.
const UNIT_ROWS: u64 = 1_000_000;
/// Memory for states where the file does not say, in bytes.
const STATES_BYTES: usize = 1 << 30;
/// Series where the file does not say, at most.
const MAX_SERIES: usize = 1_000_000;

/// Runs a job to its end, or until the user interrupts it.
///
/// # Errors
/// When the job's file is not understood, or the input, the model or the output fails.
pub(crate) fn run(args: BatchArgs) -> Result<()> {
    let (file, folder) = match (args.flags.clone().file()?, &args.job) {
        (Some(file), _) => (file, PathBuf::new()),
        (None, Some(path)) => {
            let file: File = job_file::read(path)?;
            (file, path.parent().unwrap_or(Path::new("")).to_owned())
        }
        (None, None) => return Err(Error::Usage("name a job's file, or --input, --what and --output".into())),
    };
    let name = file.model.as_deref().map(|name| match name {
        "series-1" | "series-3" | "dna-1" => name.to_owned(),
        dir => folder.join(dir).display().to_string(),
    });
    let (runtime, cancel) = run::stopped_by_signals()?;
    let crewed = crew::crew(&args, name.as_deref(), &cancel)?;
    let job = job(file, folder, &crewed)?;
    let Crewed { crew, model, .. } = &crewed;
    let plan = batch::plan_with(&job, crew)?;
    if args.dry_run {
        return print(describe(&job, model, &plan).trim_end());
    }
    let bytes = plan.files.iter().map(|(_, bytes)| bytes).sum();
    let mut display = Display::new(args.quiet, bytes);
    let mut report = |progress: &Progress| {
        display.show(progress);
        if cancel.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let done = batch::run_with(&job, crew, &mut report);
    drop(display);
    runtime.shutdown_background();
    let summary = match done {
        Err(batch::Error::Job(unspool_pipelines::Error::Cancelled)) => return Err(Error::Paused),
        done => done?,
    };
    order::tidy(&job)?;
    if !args.quiet {
        let output = job.output_url.clone().unwrap_or_else(|| job.output.display().to_string());
        let rejects = format!("{}/_rejects", output.trim_end_matches('/'));
        progress::summarize(&summary, &output, Some(&rejects));
    }
    Ok(())
}

/// From the file to a job; settings that do not go together are refused here.
fn job(file: File, folder: PathBuf, crewed: &Crewed) -> Result<BatchJob> {
    let give = give(&file.give)?;
    let on_corrupt = match file.input.on_corrupt {
        OnCorruptFile::Stop => OnCorrupt::Stop,
        OnCorruptFile::Skip => OnCorrupt::Skip,
    };
    let unit_rows = file.run.unit_rows.unwrap_or(UNIT_ROWS).max(1);
    let (output, output_url) = place(&file.output.dir, file.run.work_dir.as_deref(), &folder)?;
    let sort = order::sort(&file, &output, on_corrupt)?;
    let said = serde_json::to_string(&give).unwrap_or_default();
    let mut metadata = run::metadata(&crewed.model, &[("command", "run".to_owned()), ("give", said)]);
    for (_, route) in metadata.iter_mut().filter(|(key, _)| key == run::ROUTE) {
        route.clone_from(crewed.route.as_ref().unwrap_or(&crewed.model.info().route.to_string()));
    }
    Ok(BatchJob {
        inputs: file.input.paths.clone(),
        columns: columns(&file.input, unit_rows),
        sort,
        reference: file.input.reference.as_ref().map(|reference| folder.join(reference)),
        on_corrupt,
        give,
        window: file.give.window.map(NonZeroU64::get),
        output,
        output_url,
        stores: StoreSettings {
            settings: file.store.settings,
            timeout: file.store.timeout_ms.map_or(StoreSettings::default().timeout, Duration::from_millis),
        },
        spool: file.run.spool_dir.map(|dir| folder.join(dir)),
        partition_by: file.output.partition_by,
        row_group_rows: file.output.row_group_rows.map(NonZeroUsize::get),
        folder,
        metadata,
        stretch: file.run.unit_rows.is_none(),
        unit_rows,
        max_series: file.run.max_series.map_or(MAX_SERIES, NonZeroUsize::get),
        states_bytes: file.run.states_bytes.unwrap_or(STATES_BYTES),
        state_values: None,
        pack_tokens: crewed.pack_tokens,
    })
}

/// The output's folder, and its URL where it is in an object store: then the folder is where it is made.
fn place(dir: &str, work_dir: Option<&Path>, folder: &Path) -> Result<(PathBuf, Option<String>)> {
    match (dir.strip_prefix("file://"), dir.contains("://"), work_dir) {
        (_, true, Some(work)) if !dir.starts_with("file://") => Ok((folder.join(work), Some(dir.to_owned()))),
        (None, true, _) => {
            // The same folder each time the job is started from here.
            let name: String = dir.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
            Ok((folder.join(".unspool").join(name), Some(dir.to_owned())))
        }
        (_, _, Some(_)) => Err(Error::Usage("run.work_dir: it is for outputs in an object store".into())),
        (local, _, None) => Ok((folder.join(local.unwrap_or(dir)), None)),
    }
}

fn give(file: &GiveFile) -> Result<Give> {
    let wrong = |text: &str| Err(Error::Usage(format!("give: {text}")));
    let embeds = file.layer.is_some() || file.pool.is_some() || file.window.is_some();
    match (file.what, file.horizon) {
        (WhatFile::Scores | WhatFile::Forecasts, _) if embeds => {
            wrong("`layer`, `pool` and `window` are of embeddings")
        }
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

/// How files are read; a batch is no longer than a unit.
fn columns(input: &InputFile, unit_rows: u64) -> SeriesOptions {
    let usual = SeriesOptions::default();
    SeriesOptions {
        batch_rows: usual.batch_rows.min(usize::try_from(unit_rows).unwrap_or(usize::MAX)),
        id: input.id.clone(),
        time: input.time.clone(),
        values: input.values.clone(),
        keep: input.keep.clone(),
        union: input.schemas == SchemasFile::Union,
        layout: if input.lists { Layout::List } else { Layout::Long },
        ..usual
    }
}
