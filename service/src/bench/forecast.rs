//! `unspool bench forecast`: sessions that run, each given what arrived and asked for a forecast.

use std::{num::NonZeroUsize, time::Instant};

use clap::{Args, value_parser};
use serde_json::json;
use unspool_model::{Events, Front, Item, Model, Options, State};

use super::machine;
use crate::{
    args::DeviceArgs,
    error::{Error, Result},
    model, print,
    progress::say,
};

/// What the figures stand beside.
const PEER: &str =
    "TiRex, which computes its context anew for each forecast: 17 ms for one series, 5,318 series/s, on an H100";
/// Calls before those that count.
const WARM_UP: usize = 3;
/// Values that each session was fed before.
const FED: usize = 512;

/// `unspool bench forecast`.
#[derive(Debug, Args)]
pub(crate) struct BenchForecastArgs {
    /// A series model's directory, or series-3 or series-1 for a built-in one
    #[arg(long, value_name = "NAME|DIR", default_value = "series-3")]
    model: String,
    #[command(flatten)]
    device: DeviceArgs,
    /// Threads that compute, on a CPU (default: all cores)
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Sessions of a call
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,1024")]
    sessions: Vec<NonZeroUsize>,
    /// Values that a session is asked to forecast
    #[arg(long, value_name = "H", default_value = "48")]
    horizon: NonZeroUsize,
    /// Calls of each case that count; sixteen fill a patch
    #[arg(long, value_name = "N", default_value = "64", value_parser = value_parser!(u16).range(1..=10_000))]
    runs: u16,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// What a case's calls took, in milliseconds.
struct Row {
    sessions: usize,
    /// Values of each session that arrived in a call.
    values: usize,
    least_ms: f64,
    median_ms: f64,
    most_ms: f64,
}

impl Row {
    fn series_s(&self) -> f64 {
        self.sessions as f64 / self.median_ms * 1e3
    }
}

/// Times the cases and prints them.
///
/// # Errors
/// When the model is not for series, or the device cannot be had, or fails.
pub(crate) fn run(args: &BenchForecastArgs) -> Result<()> {
    let model = model::by_name(Some(&args.model), model::options(args.device, args.threads))?;
    model::fits(model.info(), Front::Series)?;
    let patch = model.series_shape().map_or(1, |shape| shape.patch);
    if let Some(reason) = model::fell_back(&model) {
        say(&format!("warning: {reason}"));
    }
    if !args.json {
        print(&head(&model, args))?;
    }
    let mut rows = vec![];
    for sessions in &args.sessions {
        for values in [1, patch] {
            let row = time(&model, args, sessions.get(), values)?;
            if !args.json {
                print(&line(&row))?;
            }
            rows.push(row);
        }
    }
    if args.json { print(&json(&model, args, &rows).to_string()) } else { Ok(()) }
}

/// Calls that append values to sessions and forecast them. The sessions stand at all places of a patch.
fn time(model: &Model, args: &BenchForecastArgs, sessions: usize, values: usize) -> Result<Row> {
    let mut states = (0..sessions).map(|_| model.open(&Options::default())).collect::<Result<Vec<State>, _>>()?;
    let mut next: Vec<usize> = (0..sessions).map(|session| FED + session % 16).collect();
    let fed: Vec<Vec<f64>> = next.iter().enumerate().map(|(session, end)| draw(session, 0, *end)).collect();
    append(model, &mut states, &fed)?;
    let mut times = vec![];
    for run in 0..WARM_UP + usize::from(args.runs) {
        let arrived: Vec<Vec<f64>> =
            next.iter().enumerate().map(|(session, from)| draw(session, *from, from + values)).collect();
        next.iter_mut().for_each(|from| *from += values);
        let start = Instant::now();
        append(model, &mut states, &arrived)?;
        let forecasts = model.forecast(&states.iter().collect::<Vec<_>>(), args.horizon.get())?;
        let took = start.elapsed().as_secs_f64() * 1e3;
        if forecasts.iter().any(|forecast| forecast.reason.is_some()) {
            return Err(Error::Fault);
        }
        if run >= WARM_UP {
            times.push(took);
        }
    }
    times.sort_by(f64::total_cmp);
    let median_ms = f64::midpoint(times[(times.len() - 1) / 2], times[times.len() / 2]);
    Ok(Row { sessions, values, least_ms: times[0], median_ms, most_ms: times[times.len() - 1] })
}

fn append(model: &Model, states: &mut [State], arrived: &[Vec<f64>]) -> Result<()> {
    let items = states.iter_mut().zip(arrived).map(|(state, values)| Item { state, events: Events::Values(values) });
    model.append(&mut items.collect::<Vec<_>>())?;
    Ok(())
}

/// Values of a session, of a season and a ripple; what they are changes no time.
fn draw(session: usize, from: usize, to: usize) -> Vec<f64> {
    let value = |i: usize| 100.0 + session as f64 + 10.0 * (i as f64 / 3.8).sin() + (i * 787 % 31) as f64 * 0.1;
    (from..to).map(value).collect()
}

fn head(model: &Model, args: &BenchForecastArgs) -> String {
    let info = model.info();
    let (name, driver) = machine::names(info.device);
    let driver = driver.map_or(String::new(), |driver| format!(", {driver}"));
    format!(
        "unspool {} on {}, {name}{driver}; weights {}, route {}\n{}, {} values ahead, sessions of {FED} values and more; median of {} calls \
         after {WARM_UP}\nbeside: {PEER}\n\n{:>8} {:>16} {:>10} {:>10} {:>10} {:>12}",
        env!("CARGO_PKG_VERSION"),
        info.device,
        args.device.weights,
        info.route,
        info.name,
        args.horizon,
        args.runs,
        "sessions",
        "values arriving",
        "ms",
        "least",
        "most",
        "series/s"
    )
}

fn line(row: &Row) -> String {
    let Row { sessions, values, least_ms, median_ms, most_ms } = row;
    format!("{sessions:>8} {values:>16} {median_ms:>10.3} {least_ms:>10.3} {most_ms:>10.3} {:>12.0}", row.series_s())
}

fn json(model: &Model, args: &BenchForecastArgs, rows: &[Row]) -> serde_json::Value {
    let info = model.info();
    let (name, driver) = machine::names(info.device);
    let cases = rows.iter().map(|row| {
        json!({
            "sessions": row.sessions,
            "values": row.values,
            "ms": row.median_ms,
            "least_ms": row.least_ms,
            "most_ms": row.most_ms,
            "series_per_s": row.series_s(),
        })
    });
    json!({
        "unspool": env!("CARGO_PKG_VERSION"),
        "device": info.device.to_string(),
        "name": name,
        "driver": driver,
        "weights": args.device.weights.to_string(),
        "route": info.route.to_string(),
        "model": info.name,
        "horizon": args.horizon,
        "runs": args.runs,
        "warm_up": WARM_UP,
        "peer": PEER,
        "cases": cases.collect::<Vec<_>>(),
    })
}
