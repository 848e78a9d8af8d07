//! `unspool eval anomaly`.

use std::{path::PathBuf, time::Instant};

use clap::Args;
use serde_json::{Value, json};
use unspool_model::{Front, Model};
use unspool_pipelines::eval::{
    calibration::{self, BOUNDS, Calibration},
    nab::{self, File, PROFILES, PUBLISHED, Scores},
};

use super::{CommonArgs, warn};
use crate::{error::Result, model, print, progress::say};

/// `unspool eval anomaly`.
#[derive(Debug, Args)]
pub(crate) struct EvalAnomalyArgs {
    /// The folder of NAB's files and labels
    #[arg(required_unless_present = "validation")]
    dir: Option<PathBuf>,
    /// Count the p-values of series that were held out of training: the folder of training series
    #[arg(long, value_name = "DIR")]
    validation: Option<PathBuf>,
    /// A model's directory, or series-3 or series-1 for a built-in one
    #[arg(long, value_name = "NAME|DIR", default_value = "series-3")]
    model: String,
    #[command(flatten)]
    common: CommonArgs,
}

/// Scores and prints.
///
/// # Errors
/// When the data or the model cannot be had, the model fails, or the file cannot be written.
pub(crate) fn run(args: &EvalAnomalyArgs) -> Result<()> {
    let model = model::by_name(Some(&args.model), args.common.begin()?)?;
    model::fits(model.info(), Front::Series)?;
    warn(&model);
    let info = model.info();
    let digest = info.digest.to_string();
    print(&format!(
        "unspool {}: {} ({}) on {}, route {}",
        env!("CARGO_PKG_VERSION"),
        info.name,
        &digest[..12],
        info.device,
        info.route
    ))?;
    let mut figures = json!({"unspool": env!("CARGO_PKG_VERSION"), "model": {"name": info.name, "digest": digest}});
    if let Some(dir) = &args.validation {
        let (files, tail) = calibration::calibration(&model, dir)?;
        print(&calibration_table(&files))?;
        let now = model.series_shape().map_or(1.0, |shape| shape.tail);
        print(&format!("p_value_tail of this model {now}; {tail:.2} would fit the bounds below 0.2 best"))?;
        figures["p_value_tail"] = json!({"is": now, "fits": tail});
        figures["calibration"] = files.iter().map(calibration_figures).collect();
        let scores = nab_scores(&model, &nab::injected(dir)?)?;
        print(&nab_table("anomalies put into held-out series", &scores))?;
        figures["injected"] = nab_list(&scores);
    }
    if let Some(dir) = &args.dir {
        let scores = nab_scores(&model, &nab::corpus(dir)?)?;
        print(&(nab_table("NAB", &scores) + &published()))?;
        figures["nab"] = nab_list(&scores);
    }
    args.common.end(|| figures)
}

fn nab_scores(model: &Model, files: &[File]) -> Result<Vec<Scores>> {
    let start = Instant::now();
    let scores = nab::detect(model, files)?;
    let values: usize = scores.iter().map(Vec::len).sum();
    say(&format!("{} files, {values} values in {:.1} s", files.len(), start.elapsed().as_secs_f64()));
    Ok(PROFILES.iter().map(|profile| nab::score(files, &scores, profile)).collect())
}

fn nab_table(title: &str, scores: &[Scores]) -> String {
    let mut text = format!("\n{title:34}");
    PROFILES.iter().for_each(|profile| text += &format!(" {:>15}", profile.name));
    text += &format!("\n{:34}", "this model");
    scores.iter().for_each(|scores| text += &format!(" {:>15.1}", scores.normalized));
    for (what, of) in [("  windows found", 0), ("  false alarms", 1)] {
        text += &format!("\n{what:34}");
        for scores in scores {
            let count = match of {
                0 => format!("{} of {}", scores.found.0, scores.found.1),
                _ => scores.false_alarms.to_string(),
            };
            text += &format!(" {count:>15}");
        }
    }
    text
}

fn published() -> String {
    let mut text = String::from("\npublished (numenta/NAB, scoreboard)");
    for (name, scores) in PUBLISHED {
        text += &format!("\n{name:34}");
        scores.iter().for_each(|score| text += &format!(" {score:>15.1}"));
    }
    text
}

fn nab_list(scores: &[Scores]) -> Value {
    PROFILES.iter().zip(scores).map(|(profile, scores)| nab_figures(profile.name, scores)).collect()
}

fn nab_figures(profile: &str, scores: &Scores) -> Value {
    json!({
        "profile": profile,
        "score": scores.normalized,
        "threshold": scores.threshold.is_finite().then_some(scores.threshold),
        "found": scores.found.0,
        "windows": scores.found.1,
        "false_alarms": scores.false_alarms,
    })
}

fn calibration_table(files: &[Calibration]) -> String {
    let mut text = format!("\n{:34} {:>9}", "share of p-values below", "count");
    BOUNDS.iter().for_each(|bound| text += &format!(" {bound:>7}"));
    for file in files {
        text += &format!("\n{:34} {:>9}", file.name, file.count);
        file.shares.iter().for_each(|share| text += &format!(" {share:>7.4}"));
    }
    text
}

fn calibration_figures(file: &Calibration) -> Value {
    json!({"name": file.name, "count": file.count, "bounds": BOUNDS, "shares": file.shares})
}
