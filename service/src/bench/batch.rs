//! `unspool bench batch`: batch jobs beside the encoder alone, and reading beside pyarrow.

mod data;
mod measure;

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::{Args, ValueEnum, value_parser};
use serde_json::json;
use unspool_model::Model;

use self::{
    data::Data,
    measure::{Job, encoder, encoder_of_reads, job, pyarrow, scan},
};
use crate::{
    args::DeviceArgs,
    error::{Error, Result},
    model, print,
    progress::say,
};

/// `unspool bench batch`.
#[derive(Debug, Args)]
pub(crate) struct BenchBatchArgs {
    /// Rows of the table
    #[arg(long, value_name = "N", default_value = "1000000")]
    rows: NonZeroUsize,
    /// Series in it
    #[arg(long, value_name = "N", default_value = "1000")]
    series: NonZeroUsize,
    /// Ten million rows of ten thousand series
    #[arg(long, conflicts_with_all = ["rows", "series"])]
    full: bool,
    /// How the rows lie
    #[arg(long, value_enum, value_name = "ORDER", value_delimiter = ',', default_value = "series,time")]
    order: Vec<Order>,
    /// What the jobs give
    #[arg(long, value_enum, value_name = "WHAT", value_delimiter = ',', default_value = "forecasts")]
    what: Vec<What>,
    /// Runs of each side, in turns
    #[arg(long, value_name = "N", default_value = "2", value_parser = value_parser!(u16).range(1..=100))]
    runs: u16,
    /// A file of reads to embed instead, such as a BAM
    #[arg(long, value_name = "FILE", requires = "model", conflicts_with_all = ["rows", "series", "full", "scan_only"])]
    reads: Option<PathBuf>,
    /// A DNA model's directory, for --reads
    #[arg(long, value_name = "DIR", requires = "reads")]
    model: Option<PathBuf>,
    /// Leave out one worker beside two
    #[arg(long)]
    no_workers: bool,
    /// Only read, and run no model
    #[arg(long)]
    scan_only: bool,
    /// A Python with pyarrow, to compare reading
    #[arg(long, value_name = "PYTHON")]
    python: Option<PathBuf>,
    /// Where the table and the outputs go (default: the system's temporary folder)
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Threads that compute (default: all cores)
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Print one JSON object instead of lines
    #[arg(long)]
    json: bool,
}

/// How rows lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Order {
    /// One series after the other.
    Series,
    /// By time: all series are under way at once.
    Time,
}

/// What jobs give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum What {
    /// Forecasts of 24 values.
    Forecasts,
    /// The score of each value.
    Scores,
    /// An embedding of each series.
    Embeddings,
}

/// A figure and what it is to be.
struct Figure {
    name: String,
    value: f64,
    /// Such as `x`, `GiB`, `events/s`.
    unit: &'static str,
    /// At least, or at most.
    wanted: Option<(bool, f64)>,
}

/// Measures and prints.
///
/// # Errors
/// When the disk, the model or a job fails, or `--python` has no pyarrow.
pub(crate) fn run(args: &BenchBatchArgs) -> Result<()> {
    let (rows, series) =
        if args.full { (10_000_000, 10_000) } else { (args.rows.get(), args.series.get().min(args.rows.get())) };
    let folder = match &args.dir {
        Some(dir) => tempfile::tempdir_in(dir),
        None => tempfile::tempdir(),
    };
    let folder = folder.map_err(|source| Error::Io { path: "a temporary folder".into(), source })?;
    let model = Arc::new(model::open(args.model.as_deref(), model::options(args.device, args.threads))?);
    if let Some(reads) = &args.reads {
        return reads_job(args, (&model, reads), folder.path());
    }
    if !args.json {
        let info = model.info();
        print(&format!(
            "unspool {} on {}, {}; {rows} rows of {series} series in Parquet, {} runs of each side in turns",
            env!("CARGO_PKG_VERSION"),
            info.device,
            info.name,
            args.runs
        ))?;
    }
    let mut figures = vec![];
    for order in &args.order {
        say(&format!("writing {rows} rows, ordered by {}", order.name()));
        let data = Data { rows, series, order: *order };
        let table = data.write(folder.path())?;
        figures.extend(reading(args, &table, *order)?);
        if !args.scan_only {
            for what in &args.what {
                figures.extend(jobs(args, (&model, &data), (&table, *what), folder.path())?);
            }
        }
        std::fs::remove_file(&table).map_err(|source| Error::Io { path: table, source })?;
    }
    if !args.json {
        return Ok(());
    }
    print(&json!({"rows": rows, "series": series, "figures": json(&figures)}).to_string())
}

/// Scanning, ours and pyarrow's.
fn reading(args: &BenchBatchArgs, table: &Path, order: Order) -> Result<Vec<Figure>> {
    let (mut ours, mut theirs) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..args.runs.max(3) {
        ours = ours.min(scan(table)?);
        if let Some(python) = &args.python {
            theirs = theirs.min(pyarrow(python, table)?);
        }
    }
    let name = |what: &str| format!("by {}: {what}", order.name());
    let mut figures = vec![Figure { name: name("scan"), value: ours, unit: "s", wanted: None }];
    if args.python.is_some() {
        figures.push(Figure { name: name("scan with pyarrow"), value: theirs, unit: "s", wanted: None });
        let wanted = Some((false, 1.2));
        figures.push(Figure { name: name("scan / pyarrow"), value: ours / theirs, unit: "x", wanted });
    }
    show(args, figures)
}

/// A job beside the encoder alone, and two workers beside one.
fn jobs(
    args: &BenchBatchArgs,
    (model, data): (&Arc<Model>, &Data),
    (table, what): (&Path, What),
    dir: &Path,
) -> Result<Vec<Figure>> {
    let (mut alone, mut whole, mut peak) = (f64::INFINITY, f64::INFINITY, 0.0_f64);
    let mut one = [f64::INFINITY; 2];
    for _ in 0..args.runs {
        alone = alone.min(encoder(model, data, what)?);
        let of = |threads: Option<u16>, workers: u16| Job {
            input: table,
            model: None,
            what,
            device: args.device,
            threads,
            workers,
        };
        let ran = job(&of(args.threads, 1), dir)?;
        (whole, peak) = (whole.min(ran.seconds), peak.max(ran.peak_gib));
        if !args.no_workers {
            for (workers, best) in (1..).zip(&mut one) {
                *best = best.min(job(&of(Some(1), workers), dir)?.seconds);
            }
        }
    }
    let name = |text: &str| format!("{}, by {}: {text}", what.name(), data.order.name());
    let rate = |seconds: f64| data.rows as f64 / seconds;
    let most = if data.order == Order::Series { 2.0 } else { 5.0 };
    let figure = |text: &str, value, unit, wanted| Figure { name: name(text), value, unit, wanted };
    let mut figures = vec![
        figure("encoder alone", rate(alone), "values/s", None),
        figure("job", rate(whole), "values/s", None),
        figure("job / encoder alone", alone / whole, "x", Some((true, 0.9))),
        figure("peak memory of the job", peak, "GiB", Some((false, most))),
    ];
    if !args.no_workers {
        figures.push(figure("two workers of a thread / one", one[0] / one[1], "x", Some((true, 1.7))));
    }
    show(args, figures)
}

/// Embeddings of a file of reads, beside the encoder alone.
fn reads_job(args: &BenchBatchArgs, (model, input): (&Arc<Model>, &Path), dir: &Path) -> Result<()> {
    let (mut alone, mut whole, mut bases) = (f64::INFINITY, f64::INFINITY, 0);
    for _ in 0..args.runs {
        let (seconds, of) = encoder_of_reads(model, input)?;
        (alone, bases) = (alone.min(seconds), of);
        let (what, device, threads) = (What::Embeddings, args.device, args.threads);
        whole = whole
            .min(job(&Job { input, model: args.model.as_deref(), what, device, threads, workers: 1 }, dir)?.seconds);
    }
    let rate = |seconds: f64| bases as f64 / seconds;
    let figure = |name: &str, value, unit, wanted| Figure { name: name.into(), value, unit, wanted };
    let figures = vec![
        figure("reads: encoder alone", rate(alone), "bases/s", None),
        figure("reads: job", rate(whole), "bases/s", None),
        figure("reads: job / encoder alone", alone / whole, "x", Some((true, 0.9))),
    ];
    let figures = show(args, figures)?;
    if args.json { print(&json(&figures).to_string()) } else { Ok(()) }
}

/// Figures for programs.
fn json(figures: &[Figure]) -> serde_json::Value {
    let of = |figure: &Figure| json!({"name": figure.name, "value": figure.value, "unit": figure.unit});
    json!(figures.iter().map(of).collect::<Vec<_>>())
}

fn show(args: &BenchBatchArgs, figures: Vec<Figure>) -> Result<Vec<Figure>> {
    for Figure { name, value, unit, wanted } in figures.iter().filter(|_| !args.json) {
        let wanted = wanted.map_or(String::new(), |(least, bound)| {
            format!("  (wanted: at {} {bound})", if least { "least" } else { "most" })
        });
        let value = if *value >= 1000.0 { format!("{value:.0}") } else { format!("{value:.3}") };
        print(&format!("{name:<60} {value:>12} {unit}{wanted}"))?;
    }
    Ok(figures)
}

impl Order {
    fn name(self) -> &'static str {
        if self == Self::Series { "series" } else { "time" }
    }
}

impl What {
    fn name(self) -> &'static str {
        match self {
            Self::Forecasts => "forecasts",
            Self::Scores => "scores",
            Self::Embeddings => "embeddings",
        }
    }
}
