//! `unspool train`: a training file becomes a run in a folder, which can be interrupted and gone on with.

mod card;
mod classify;
pub(crate) mod finetune;
mod plot;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use clap::{Args, value_parser};
use unspool_model::{Device, series::SeriesShape, train::Objective};
use unspool_pipelines::{
    Cancel,
    train::{
        BatchSource, DnaData, Line, Run, RunLimits, SeriesBatches, SeriesData, Summary, TrainConfig, TrainError,
        WindowSource, read_log,
    },
};

use crate::{
    error::{Error, Result},
    print,
    progress::say,
    run,
};

/// `unspool train --help`.
pub(crate) const HELP: &str = r#"Examples:
  unspool train series.toml --output run
  unspool train series.toml --output run --stop-after 540     # goes on when it is started again

series.toml, with the defaults of what may be left out:
  name = "series-3"
  from = "model/weights/series-3"    # a series model to begin from; without it weights are drawn at random, and
  layers = 8                         # of it, or more: new ones begin as nothing
  # [model]                          # d = 256, layers = 8, n = 16, patch = 16, horizon = 64, levels = [0.1, ..], seed = 1
  [data]
  seed = 1
  lengths = [[128, 0.5], ..]         # patches of a window, and the share of steps
  real = "FOLDER"                    # real series (TSF, CSV) beside the synthetic ones
  real_share = 0.03
  [train]
  steps = 10000
  patches = 65536                    # of a step, in `batches` = 1
  rate = 2e-3                        # after warmup = 200 steps; then along a cosine to floor = 0.02 of it
  decay = 0.05
  clip = 1.0
  average = 0.999                    # of the weights: the model that is written
  partial = 3.0                      # what a partly filled patch's predictions weigh
  products = "bf16"                  # on a GPU; or "f32"
  checkpoint_steps = 500
  log_steps = 50

dna.toml: a file with [dna] trains a DNA model, causal, one token a base, on the next base; what may be left out as above:
  name = "dna-1"
  [model]                            # d, layers, n, seed; or from = "DIR", a DNA model
  [dna]
  seed = 1
  lengths = [[512, 0.25], ..]        # the most bases of a window, and the share of windows; each begins from a fresh state
  hidden = 0.0                       # share of bases that the model sees as N
  validation_bases = [8192, 524288]  # of a held-out window, and of all
  [[dna.sources]]
  path = "genome.fa.gz"              # FASTA, FASTQ, or CSV with a column `sequence`; half of all windows are of the other strand
  share = 1.0                        # of a step's bases
  take = [0.0, 0.7]                  # this part of each record; all of it where left out
  [[dna.validation]]                 # bits per base of it stand in the log at each checkpoint
  path = "genome.fa.gz"
  take = [0.7, 0.8]
  [train]
  bases = 65536                      # of a step

Relative paths start at the file's own folder. RUN holds log.jsonl, loss.svg, checkpoints/ and, at the end, model/ with its card; where something is held
out also best/, the model of the checkpoint with the least loss there. A run that was killed goes on from its
last checkpoint with the same bits as an undisturbed one on the same device."#;

/// `unspool train`.
#[derive(Debug, Args)]
pub(crate) struct TrainArgs {
    /// The training file
    #[arg(value_name = "CONFIG.toml")]
    config: PathBuf,
    /// The run's folder; one that is there is gone on with
    #[arg(short, long, value_name = "RUN")]
    output: PathBuf,
    #[command(flatten)]
    limits: LimitArgs,
}

/// Where and how long to train.
#[derive(Debug, Args)]
#[command(next_help_heading = "Running")]
pub(crate) struct LimitArgs {
    /// Where to compute: auto (the first NVIDIA card, else the CPU), cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", env = "UNSPOOL_DEVICE", hide_env_values = true, default_value_t)]
    device: Device,
    /// Threads that make training data (default: all cores but one); never changes the result
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Stop at the first checkpoint after so many seconds
    #[arg(long, value_name = "SECONDS")]
    stop_after: Option<f64>,
    /// No progress, no summary
    #[arg(short, long)]
    quiet: bool,
}

/// What is trained and where it goes.
pub(crate) struct Plan<W: Objective> {
    pub(crate) config: TrainConfig,
    /// The training file's text, kept with the run.
    pub(crate) text: String,
    pub(crate) source: Arc<dyn BatchSource<W::Batch>>,
    pub(crate) start: W,
    pub(crate) output: PathBuf,
}

/// The synthetic and real windows of a training file.
struct Windows(SeriesData);

impl WindowSource for Windows {
    fn windows(&self, number: u64) -> unspool_pipelines::train::Windows {
        self.0.batch(number, 1)
    }
}

/// Trains.
///
/// # Errors
/// When the file makes no sense, the folder is of another run, the device is not there, or the user interrupts.
pub(crate) fn run(args: TrainArgs) -> Result<()> {
    let text = fs::read_to_string(&args.config).map_err(|source| Error::Io { path: args.config.clone(), source })?;
    let wrong = |problem: String| Error::Usage(format!("{}: {}", args.config.display(), problem.trim()));
    let mut config: TrainConfig = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    config.check().map_err(|error| wrong(error.to_string()))?;
    let folder = args.config.parent().unwrap_or(Path::new("")).to_owned();
    if let Some(real) = &mut config.data.real {
        *real = folder.join(&real);
    }
    let (sizes, output) = ((config.train.patches, config.train.batches), args.output);
    if let Some(dna) = config.dna.clone() {
        let start = config.dna_weights(&folder)?;
        let source = Arc::new(DnaData::open(dna, &folder, sizes).map_err(TrainError::from)?);
        return execute(Plan { config, text, source, start, output }, &args.limits);
    }
    let start = config.weights(&folder)?;
    let shape = &start.shape;
    let data = SeriesData::new(config.data.clone(), shape.patch, shape.horizon, sizes.0 / sizes.1);
    let source = series(data.map_err(TrainError::from)?, &config, shape);
    execute(Plan { config, text, source, start, output }, &args.limits)
}

/// The batches of series data.
pub(crate) fn series(data: SeriesData, config: &TrainConfig, shape: &SeriesShape) -> Arc<SeriesBatches> {
    Arc::new(SeriesBatches::new(Arc::new(Windows(data)), shape.clone(), config))
}

/// Runs a plan: to its end, to the time limit, or until the user interrupts.
///
/// # Errors
/// As [`run()`].
pub(crate) fn execute<W: Objective + 'static>(plan: Plan<W>, args: &LimitArgs) -> Result<()> {
    let Plan { config, text, source, start, output } = plan;
    keep_config(&config, &text, &output)?;
    if output.join("model").exists() {
        return Err(Error::Usage(format!("{}: this run is done, its model is in model/", output.display())));
    }
    let limits =
        RunLimits { device: args.device, threads: args.threads.map(usize::from), stop_after_s: args.stop_after };
    let (_runtime, cancel) = run::stopped_by_signals()?;
    let mut training = Run::open(&config, source, start, (&output, &limits))?;
    if !args.quiet {
        let (device, fell_back) = training.device();
        if let Some(reason) = fell_back {
            say(&format!("warning: trained on the CPU: {reason}"));
        }
        let from =
            if training.done() > 0 { format!(", going on after step {}", training.done()) } else { String::new() };
        say(&format!(
            "{} on {device}: {} steps of {} {}{from}",
            config.name,
            config.train.steps,
            config.train.patches,
            config.unit()
        ));
    }
    let summary = training.run(&limits, &cancel, &mut teller(&config, args.quiet))?;
    finish(&training, (&config, &output), &summary, &cancel)
}

/// What is left to do when the steps are done, or the run is stopped.
fn finish<W: Objective + 'static>(
    training: &Run<'_, W>,
    (config, output): (&TrainConfig, &Path),
    summary: &Summary,
    cancel: &Cancel,
) -> Result<()> {
    let lines = read_log(output)?;
    write_whole(&output.join("loss.svg"), &plot::loss(config, &lines))?;
    if summary.step < summary.steps {
        let place = output.display();
        let saved = summary.step / config.train.checkpoint_steps * config.train.checkpoint_steps;
        if cancel.is_cancelled() {
            say(&format!(
                "interrupted after step {}: {place} goes on from step {saved} when it is started again",
                summary.step
            ));
            return Err(Error::Interrupted);
        }
        return print(&format!("{place}: {} of {} steps; start it again to go on", summary.step, summary.steps));
    }
    let (hidden, model) = (output.join(".model"), output.join("model"));
    if hidden.exists() {
        fs::remove_dir_all(&hidden).map_err(|source| Error::Io { path: hidden.clone(), source })?;
    }
    training.model()?.save(&hidden, &config.name, true)?;
    write_whole(&hidden.join("README.md"), &card::text(config, &lines, training.device().0))?;
    fs::rename(&hidden, &model).map_err(|source| Error::Io { path: model.clone(), source })?;
    print(&format!("{}: trained in {} steps", model.display(), summary.steps))
}

/// Keeps the training file with the run, and refuses a run of another one.
fn keep_config(config: &TrainConfig, text: &str, output: &Path) -> Result<()> {
    let path = output.join("train.toml");
    fs::create_dir_all(output).map_err(|source| Error::Io { path: output.to_owned(), source })?;
    if let Ok(before) = fs::read_to_string(&path) {
        let same = toml::from_str::<TrainConfig>(&before).is_ok_and(|mut before| {
            before.data.real.clone_from(&config.data.real);
            config.continues(&before)
        });
        if !same {
            let problem = "the folder holds a run with other settings (its train.toml): name another folder";
            return Err(Error::Usage(format!("{}: {problem}", output.display())));
        }
    }
    write_whole(&path, text)
}

/// Writes a file that appears whole.
fn write_whole(path: &Path, text: &str) -> Result<()> {
    let hidden = path.with_extension("part");
    let written = fs::write(&hidden, text).and_then(|()| fs::rename(&hidden, path));
    written.map_err(|source| Error::Io { path: path.to_owned(), source })
}

/// Tells of a line of the log.
fn teller(config: &TrainConfig, quiet: bool) -> impl FnMut(&Line) {
    let (steps, begun, unit) = (config.train.steps, Instant::now(), config.unit());
    let mut first = None;
    move |line| {
        if quiet {
            return;
        }
        let (step, at) = *first.get_or_insert((line.step, begun.elapsed().as_secs_f64()));
        let pace = (begun.elapsed().as_secs_f64() - at) / (line.step - step).max(1) as f64;
        let left = if line.step > step {
            format!("  {} left", duration(pace * (steps - line.step) as f64))
        } else {
            String::new()
        };
        let held = line.validation.map_or(String::new(), |loss| format!("  held out {loss:.4}"));
        let rate = line.patches as f64 / line.seconds.max(1e-9);
        say(&format!(
            "step {:>6} of {steps}  loss {:.4}{held}  norm {:.2}  rate {:.1e}  {:.0} {unit}/s{left}",
            line.step, line.loss, line.norm, line.rate, rate
        ));
    }
}

/// Seconds as a person says them.
fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s:02} s"),
        (h, m, _) => format!("{h} h {m:02} min"),
    }
}
