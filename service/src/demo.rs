//! `unspool demo`: a broker, stream jobs, a server and batch jobs at once on one real history, and a page of what came of it.
//!
//! ```text
//! rides ─► player ─► broker, in this process ─► unspool stream (scores; killed once)  ─┐
//!   │        │                          └─────► unspool stream (forecasts)            ─┤
//!   │        └─► sessions ─► unspool serve                                            ─┼─► given: the same bits? ─► page
//!   └─► rides.csv ─► unspool run (scores, forecasts)                                  ─┤
//! lambda_variants.vcf ─► unspool score                                                ─┘
//! ```

mod cast;
mod chart;
pub(crate) mod error;
mod given;
mod lake;
mod outputs;
mod page;
mod player;
mod process;
pub(crate) mod recent;
pub(crate) mod rides;
mod screen;
mod sessions;
mod show;
mod stage;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::{Args, value_parser};

use self::{
    error::Error,
    given::{Ahead, Given, Scored, verify},
    page::Told,
    rides::Rides,
    sessions::Session,
    show::{Shown, show},
    stage::Stage,
};
use crate::{
    args::DeviceArgs,
    error::{Error as CommandError, Result},
    print,
    progress::say,
    run,
};

/// Topics of the broker.
const INPUT: &str = "rides";
const SCORES: &str = "scores";
const FORECASTS: &str = "forecasts";
/// Partitions of each.
const PARTITIONS: i32 = 4;
/// Values of a forecast: a day.
const HORIZON: u32 = rides::DAY as u32;
/// Days of each series, and variants.
const WHOLE: (usize, usize) = (32, usize::MAX);
/// The same with --check.
const CHECKED: (usize, usize) = (10, 3);
/// The page's name.
const PAGE: &str = "report.html";

/// What `unspool demo --help` says after the options.
pub(crate) const HELP: &str = "Examples:
  unspool demo
  unspool demo --seconds 15 --output look
  unspool demo --check

Everything runs on this machine and listens on loopback alone, on ports that the system chooses. Needs no broker, no network,
no GPU. The folder keeps what was written: the jobs' files and logs, their outputs, report.html.";

/// `unspool demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Seconds over which the events are spread
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = value_parser!(u16).range(2..=3600))]
    pub(crate) seconds: u16,
    /// Folder for all that it writes, new or empty (default: a new one among the system's temporary files)
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// Fewer events, as fast as they are taken, and no waiting: a test of this build on this machine
    #[arg(long, conflicts_with = "seconds")]
    pub(crate) check: bool,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
}

/// Runs the demonstration to its end, or until Ctrl-C.
///
/// # Errors
/// When something cannot be started, ends early, or gives other bits than it must.
pub(crate) fn run(args: DemoArgs) -> Result<()> {
    let folder = stage::folder(args.output.as_deref())?;
    let (days, variants) = if args.check { CHECKED } else { WHOLE };
    let rides = Arc::new(Rides::new(days)?);
    let over = (!args.check).then(|| Duration::from_secs(args.seconds.into()));
    let (runtime, cancel) = run::stopped_by_signals()?;
    let played = Stage::build(&folder, &rides, variants).and_then(|stage| {
        let shown = show((&stage, &rides, args.device), over, (&runtime, &cancel))?;
        Ok((outputs::whole(&stage.connection)?, shown))
    });
    if played.is_err() && !cancel.is_cancelled() {
        // Ctrl-C reaches all processes: one of them may be the first to end by it.
        std::thread::sleep(Duration::from_millis(200));
    }
    runtime.shutdown_background();
    if cancel.is_cancelled() {
        return Err(Error::Interrupted(folder).into());
    }
    let (stream, shown) = played?;
    finish(&folder, &rides, (stream, shown))
}

/// Compares, writes the page and says what to try next.
fn finish(folder: &Path, rides: &Rides, (stream, shown): (Given, Shown)) -> Result<()> {
    let nightly = lake::nightly(&folder.join(cast::NIGHTLY_SCORES), &folder.join(cast::NIGHTLY_FORECASTS))?;
    let sessions = sessions_given(rides, &shown.sessions, nightly.levels.len());
    let mut verified = verify(rides, [&stream, &nightly.given, &sessions])?;
    verified.push(format!(
        "the sessions came to that by {} appends, each of what had come until then",
        shown.sessions.iter().map(Session::appends).sum::<u64>()
    ));
    let variants = lake::variants(&folder.join(cast::VARIANTS))?;
    if variants.is_empty() {
        return Err(Error::Differs("no variant was scored".into()).into());
    }
    say("");
    verified.iter().for_each(|line| say(&format!("  ✓ {line}")));
    let next = next(folder);
    let told = Told {
        parts: shown.parts,
        verified: &verified,
        samples: &shown.samples,
        killed: shown.killed,
        rides,
        nightly,
        variants,
        next: &next,
    };
    let page = folder.join(PAGE);
    fs::write(&page, page::page(&told)).map_err(|source| CommandError::Io { path: page.clone(), source })?;
    let mut text = format!("\nA page of it, for a browser: {}\n\nTo try next:", page.display());
    for (command, why) in &next {
        text += &format!("\n  {command}\n      {why}");
    }
    print(&text)
}

/// What the sessions gave, as the other ways have it.
fn sessions_given(rides: &Rides, sessions: &[Session], levels: usize) -> Given {
    let mut given = Given { scores: BTreeMap::new(), forecasts: BTreeMap::new() };
    for (zone, session) in rides.zones.iter().zip(sessions) {
        let scored = |((time, value), p_value): (&(i64, f64), &f64)| Scored {
            time: time * 1_000_000,
            value: *value,
            p_value: *p_value,
        };
        given.scores.insert(zone.id.clone(), zone.rows.iter().zip(&session.p_values).map(scored).collect());
        let time = zone.rows.last().map_or(0, |row| row.0 * 1_000_000);
        let steps = (1..).zip(session.quantiles.chunks(levels.max(1)));
        let ahead = |(step, quantiles): (usize, &[f64])| Ahead { time, step, quantiles: quantiles.to_vec() };
        given.forecasts.insert(zone.id.clone(), steps.map(ahead).collect());
    }
    given
}

/// Commands that go on from here, as this program was called.
fn next(folder: &Path) -> Vec<(String, &'static str)> {
    let program = std::env::args().next().unwrap_or_else(|| "unspool".into());
    let file = |name: &str| folder.join(name).display().to_string();
    vec![
        (
            format!(
                "{program} forecast {} --horizon 96 --output {} --plot {}",
                file("rides.csv"),
                file("two-days.parquet"),
                file("two-days.html")
            ),
            "a file to forecasts, with a page of plots; your own CSV, TSF or Parquet goes the same way",
        ),
        (format!("{program} report {}", file(cast::NIGHTLY_FORECASTS)), "what a batch job came to, as a page"),
        (
            format!("{program} stream --demo --events 20000"),
            "a stream job at full speed; with --bootstrap HOST:PORT on a Kafka of yours",
        ),
    ]
}
