//! `unspool eval forecast`.

mod json;
mod text;

use std::{
    path::{Path, PathBuf},
    str::FromStr,
    time::Instant,
};

use clap::Args;
use unspool_model::{Front, Model};
use unspool_pipelines::eval::{
    self, History, Scored, Task, benchmark,
    endless::{self, Band},
    validation::{self, Kind},
};

use super::{CommonArgs, warn};
use crate::{error::Result, model, print, progress::say};

/// `unspool eval forecast`.
#[derive(Debug, Args)]
pub(crate) struct EvalForecastArgs {
    /// The folder of the ten benchmark sets
    #[arg(required_unless_present = "validation")]
    dir: Option<PathBuf>,
    /// Score series that were held out of training, whole, cut short and aggregated: the folder of training series
    #[arg(long, value_name = "DIR")]
    validation: Option<PathBuf>,
    /// A model's directory, or series-3 or series-1 for a built-in one (default: series-3)
    #[arg(long, value_name = "NAME|DIR")]
    model: Option<String>,
    /// Values of each history that a state is fed before it is asked: the last N, or all
    #[arg(long, value_name = "N|all", default_value = "all")]
    history: HistoryArg,
    #[command(flatten)]
    common: CommonArgs,
    /// No progress
    #[arg(short, long)]
    quiet: bool,
}

/// What was typed of a history.
#[derive(Clone, Copy, Debug)]
struct HistoryArg(History);

impl FromStr for HistoryArg {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.parse()) {
            ("all", _) => Ok(Self(History::All)),
            (_, Ok(most)) if most > 0 => Ok(Self(History::Last(most))),
            _ => Err("a number of values, or all"),
        }
    }
}

/// What was scored.
#[derive(Default)]
struct Report {
    benchmark: Vec<Scored>,
    validation: Vec<(Kind, Scored)>,
    /// `None`: not asked for, or the model's sessions are fresh windows anyway.
    endless: Option<Vec<Band>>,
}

/// Scores and prints.
///
/// # Errors
/// When the data or the model cannot be had, the model fails, or the file cannot be written.
pub(crate) fn run(args: &EvalForecastArgs) -> Result<()> {
    let model = model::by_name(args.model.as_deref(), args.common.begin()?)?;
    model::fits(model.info(), Front::Series)?;
    if !args.quiet {
        warn(&model);
    }
    print(&text::head(&model, args.history.0))?;
    let mut report = Report::default();
    if let Some(dir) = &args.validation {
        validate(&model, args, dir, &mut report)?;
        print(&text::validation(&report))?;
    }
    if let Some(dir) = &args.dir {
        report.benchmark = score_benchmark(&model, args, dir)?;
        print(&text::benchmark(&report.benchmark))?;
    }
    args.common.end(|| json::report(&model, args.history.0, &report))
}

fn score_benchmark(model: &Model, args: &EvalForecastArgs, dir: &Path) -> Result<Vec<Scored>> {
    let names = benchmark::names();
    // All sets are read first: a file that is missing is told at once.
    let tasks = (0..names.len()).map(|number| benchmark::set(dir, number)).collect::<Result<Vec<Task>, _>>()?;
    tasks.iter().map(|task| score(model, args, task)).collect()
}

fn validate(model: &Model, args: &EvalForecastArgs, dir: &Path, report: &mut Report) -> Result<()> {
    for view in validation::views(dir)? {
        report.validation.push((view.kind, score(model, args, &view.task)?));
    }
    if !args.quiet {
        say("sessions over the long series");
    }
    report.endless = endless::endless(model, dir)?;
    Ok(())
}

fn score(model: &Model, args: &EvalForecastArgs, task: &Task) -> Result<Scored> {
    let start = Instant::now();
    let forecasts = eval::forecast(model, &task.windows, args.history.0)?;
    let seconds = start.elapsed().as_secs_f64();
    if !args.quiet {
        say(&format!("{}: {} forecasts in {seconds:.1} s", task.name, forecasts.len()));
    }
    Ok(task.scored(&forecasts, seconds))
}
