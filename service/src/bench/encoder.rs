//! `unspool bench encoder`: the encoder alone, on the device that is asked for.

mod cases;
mod measure;
mod report;

use std::time::SystemTime;

use chrono::{DateTime, Utc};
use clap::{Args, value_parser};
use unspool_model::{
    Device, Weights,
    device::{Placed, scan_ms},
    init,
};

use self::{
    cases::{Backbone, Case, Shape, cases},
    report::{Place, Row},
};
use super::machine;
use crate::{
    args::DeviceArgs,
    error::{Error, Result},
    model, print,
    progress::say,
};

/// `unspool bench encoder`.
#[derive(Debug, Args)]
pub(crate) struct BenchEncoderArgs {
    #[command(flatten)]
    device: DeviceArgs,
    /// Threads that compute, on a CPU (default: all cores)
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Runs of each case that count
    #[arg(long, value_name = "N", default_value = "20", value_parser = value_parser!(u16).range(1..=10_000))]
    runs: u16,
    /// Only the cases with this text in the row's name, such as 'd=768', '8 x 8192' or 'step'
    #[arg(long, value_name = "TEXT")]
    case: Option<String>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// Times the cases and prints them.
///
/// # Errors
/// When no case has the text, the device cannot be had, or the encoder fails.
pub(crate) fn run(args: BenchEncoderArgs) -> Result<()> {
    let chosen: Vec<Case> = cases().into_iter().filter(|case| fits(case, args.case.as_deref())).collect();
    if chosen.is_empty() {
        return Err(Error::Usage(format!("--case {}: no case has this in its name", args.case.unwrap_or_default())));
    }
    let mut rows: Vec<Row> = vec![];
    let mut place = None;
    let mut backbones: Vec<Backbone> = chosen.iter().map(|case| case.backbone).collect();
    backbones.dedup();
    for backbone in backbones {
        let placed = encoder(&args, backbone)?;
        if place.is_none() {
            let here = look_around(&args, &placed);
            if !args.json {
                print(&report::head(&here))?;
            }
            place = Some(here);
        }
        for case in chosen.iter().filter(|case| case.backbone == backbone) {
            let Some(ran) = case.runs(placed.device == Device::Cpu) else { continue };
            let row = row(&placed, (*case, ran), usize::from(args.runs), &rows);
            if !args.json {
                print(&report::line(&row))?;
            }
            rows.push(row);
        }
    }
    let scan = scan(&args, &rows)?;
    if let (Some(ms), false) = (scan, args.json) {
        print(&report::scan_line(ms))?;
    }
    if let (Some(place), true) = (place, args.json) {
        print(&report::json(&place, &rows, scan).to_string())?;
    }
    match rows.iter().filter(|row| row.times.is_err()).count() {
        0 => Ok(()),
        failed => Err(Error::NotMeasured { failed, cases: rows.len() }),
    }
}

/// The scan alone, in milliseconds, where it is asked for and the device is a card.
fn scan(args: &BenchEncoderArgs, rows: &[Row]) -> Result<Option<f64>> {
    let asked = args.case.as_deref().is_none_or(|text| report::SCAN.contains(text));
    let on_card = rows.iter().any(|row| row.times.is_ok()) && args.device.weights == Weights::Bf16;
    if !asked || !on_card {
        return Ok(None);
    }
    let device = match args.device.device {
        Device::Auto => Device::Cuda(0),
        device => device,
    };
    Ok(scan_ms(device, report::SCAN_SHAPE, report::SCAN_BATCH, usize::from(args.runs))?)
}

fn fits(case: &Case, text: Option<&str>) -> bool {
    text.is_none_or(|text| format!("{} {}", case.backbone, case.shape).contains(text))
}

fn encoder(args: &BenchEncoderArgs, backbone: Backbone) -> Result<Placed> {
    let config = backbone.config();
    let placed = model::options(args.device, args.threads).encoder(&config, &init::fresh(&config, 1)?)?;
    if let Some(reason) = &placed.fell_back {
        say(&format!("warning: computing on the CPU: {reason}"));
    }
    Ok(placed)
}

/// Times a case; what keeps it from running is said in its place.
fn row(placed: &Placed, (case, ran): (Case, Shape), runs: usize, before: &[Row]) -> Row {
    let times = measure::time(&*placed.encoder, &ran.lengths(), runs).map_err(|error| error.to_string());
    let mut row = Row { case, ran, times, of_equal: None };
    if matches!(ran, Shape::Mix { .. }) {
        let equal = before.last().filter(|row| matches!(row.ran, Shape::Whole { .. })).and_then(Row::mtok_s);
        row.of_equal = row.mtok_s().zip(equal).map(|(mix, equal)| mix / equal);
    }
    row
}

fn look_around(args: &BenchEncoderArgs, placed: &Placed) -> Place {
    let (name, driver) = machine::names(placed.device);
    Place {
        device: placed.device.to_string(),
        name,
        driver,
        weights: args.device.weights.to_string(),
        route: placed.encoder.route().to_string(),
        runs: usize::from(args.runs),
        date: DateTime::<Utc>::from(SystemTime::now()).format("%Y-%m-%d").to_string(),
    }
}
