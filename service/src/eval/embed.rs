//! `unspool eval embed`.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use unspool_model::Front;
use unspool_pipelines::eval::embed::{self, Accuracy, SETS, Set};

use super::{CommonArgs, warn};
use crate::{error::Result, model, print, progress::say};

/// `unspool eval embed`.
#[derive(Debug, Args)]
pub(crate) struct EvalEmbedArgs {
    /// The folder of the labelled sets, two files each: NAME_TRAIN.ts and NAME_TEST.ts
    dir: PathBuf,
    /// A model's directory, or series-3 or series-1 for a built-in one
    #[arg(long, value_name = "NAME|DIR", default_value = "series-3")]
    model: String,
    #[command(flatten)]
    common: CommonArgs,
}

/// Probes and prints.
///
/// # Errors
/// When the data or the model cannot be had, the model fails, or the file cannot be written.
pub(crate) fn run(args: &EvalEmbedArgs) -> Result<()> {
    let options = args.common.begin()?;
    let model = model::by_name(Some(&args.model), options)?;
    model::fits(model.info(), Front::Series)?;
    warn(&model);
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
    args.common.end(|| figures(&sets, &table))
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
