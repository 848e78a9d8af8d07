//! `unspool eval embed`.

use std::{fs, path::PathBuf};

use clap::{Args, value_parser};
use serde_json::{Value, json};
use unspool_pipelines::eval::embed::{self, Accuracy, SETS, Set};

use crate::{
    args::DeviceArgs,
    error::{Error, Result},
    model, print,
    progress::say,
};

/// `unspool eval embed`.
#[derive(Debug, Args)]
pub(crate) struct EvalEmbedArgs {
    /// The folder of the labelled sets, two files each: NAME_TRAIN.ts and NAME_TEST.ts
    dir: PathBuf,
    /// A model's directory, or series-3 or series-1 for a built-in one
    #[arg(long, value_name = "NAME|DIR", default_value = "series-3")]
    model: String,
    /// Write all figures to this JSON file
    #[arg(short, long, value_name = "FILE.json")]
    output: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Threads that compute, on a CPU (default: all cores)
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

/// Probes and prints.
///
/// # Errors
/// When the data or the model cannot be had, the model fails, or the file cannot be written.
pub(crate) fn run(args: &EvalEmbedArgs) -> Result<()> {
    let io = |path: &PathBuf| {
        let path = path.clone();
        move |source| Error::Io { path, source }
    };
    if let Some(path) = &args.output {
        fs::write(path, "").map_err(io(path))?; // now, not after minutes
    }
    let options = model::options(args.device, args.threads);
    let model = model::by_name(Some(&args.model), options)?;
    if let Some(warning) = model::fell_back(&model) {
        say(&format!("warning: {warning}"));
    }
    let random = embed::random_twin(&model, options)?;
    let sets = SETS.iter().map(|name| embed::set(&args.dir, name)).collect::<Result<Vec<Set>, _>>()?;
    let mut table: Vec<Vec<Accuracy>> = vec![];
    for set in &sets {
        let mut row = embed::of_model(&model, set)?;
        row.push(embed::of_statistics(set));
        row.extend(embed::of_model(&random, set)?);
        say(&format!("{}: {} to learn from, {} to judge by", set.name, set.train.len(), set.test.len()));
        table.push(row);
    }
    print(&text(&sets, &table))?;
    let Some(path) = &args.output else { return Ok(()) };
    fs::write(path, format!("{:#}\n", figures(&sets, &table))).map_err(io(path))
}

/// A row for each kind of features, a column for each set, and the mean of the sets.
fn text(sets: &[Set], table: &[Vec<Accuracy>]) -> String {
    let mut text = format!("{:26}", "accuracy of a linear probe");
    sets.iter().for_each(|set| text += &format!(" {:>16}", set.name));
    text += &format!(" {:>7}", "mean");
    for at in 0..table.first().map_or(0, Vec::len) {
        text += &format!("\n{:26}", table[0][at].features);
        table.iter().for_each(|row| text += &format!(" {:>16.3}", row[at].share));
        let mean = table.iter().map(|row| row[at].share).sum::<f64>() / table.len() as f64;
        text += &format!(" {mean:>7.3}");
    }
    text
}

fn figures(sets: &[Set], table: &[Vec<Accuracy>]) -> Value {
    let set = |(set, row): (&Set, &Vec<Accuracy>)| {
        let accuracies = row.iter().map(
            |accuracy| json!({"features": accuracy.features, "width": accuracy.width, "accuracy": accuracy.share}),
        );
        json!({
            "set": set.name,
            "train": set.train.len(),
            "test": set.test.len(),
            "accuracies": accuracies.collect::<Vec<_>>(),
        })
    };
    json!({"unspool": env!("CARGO_PKG_VERSION"), "sets": sets.iter().zip(table).map(set).collect::<Vec<_>>()})
}
