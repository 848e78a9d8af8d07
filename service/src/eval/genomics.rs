//! `unspool eval genomics`.

use std::{path::PathBuf, sync::Arc, time::Instant};

use clap::{Args, value_parser};
use serde_json::{Value, json};
use unspool_model::Front;
use unspool_pipelines::{
    embed::Reader,
    eval::genomics::{
        BitsPerBase, Columns, MOST_ORDER, Probed, TASKS, Task, bits_per_base, probe, published::FROZEN, random_twin,
    },
};

use super::{CommonArgs, warn};
use crate::{
    error::{Error, Result},
    model, print,
    progress::say,
};

/// `unspool eval genomics`.
#[derive(Debug, Args)]
pub(crate) struct EvalGenomicsArgs {
    /// The folder of genomics data, which holds classification/ and genomes/
    dir: PathBuf,
    /// A DNA model's directory, dna-1 for the built-in one, or none: then k-mers are probed and Markov models measured
    #[arg(long, value_name = "NAME|DIR", default_value = "dna-1")]
    model: String,
    /// Only these tasks, such as tf_human_0,ecoli_coding_150; `none` for bits per base alone (default: all ten)
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    tasks: Vec<String>,
    /// The highest order of the Markov models, for bits per base
    #[arg(long, value_name = "K", default_value_t = MOST_ORDER as u16, value_parser = value_parser!(u16).range(0..=MOST_ORDER as i64))]
    order: u16,
    #[command(flatten)]
    common: CommonArgs,
}

/// Measures and prints.
///
/// # Errors
/// When the data or the model cannot be had, the model fails, or the file cannot be written.
pub(crate) fn run(args: &EvalGenomicsArgs) -> Result<()> {
    let tasks = tasks(&args.tasks)?;
    let options = args.common.begin()?;
    let named = Some(args.model.as_str()).filter(|name| *name != "none");
    let model = named.map(|name| model::reader_by_name(name, options)).transpose()?;
    model.iter().try_for_each(|model| model::fits(model.info(), Front::Dna))?;
    // A model that reads whole windows tells no next base, and its twin would be one too.
    let carried = match &model {
        Some(Reader::Carried(model)) => Some(&**model),
        _ => None,
    };
    carried.into_iter().for_each(warn);
    let random = carried.map(|model| random_twin(model, options)).transpose()?;
    let bits = bits_per_base(&args.dir, carried, args.order.into())?;
    print(&bits_text(&bits))?;
    let models: Vec<Reader> = model.into_iter().chain(random.map(|model| Arc::new(model).into())).collect();
    let mut table: Vec<(Task, Columns)> = vec![];
    for named in tasks {
        let begun = Instant::now();
        let task = Task::read(&args.dir, named)?;
        let columns = probe(&task, &models)?;
        say(&format!("{}: {} to learn from, {:.0} s", task.name, task.train.len(), begun.elapsed().as_secs_f64()));
        table.push((task, columns));
    }
    if !table.is_empty() {
        print(&text(&table, &models))?;
    }
    args.common.end(|| figures(&bits, &table, &models))
}

/// The tasks by their names.
fn tasks(names: &[String]) -> Result<Vec<(&'static str, &'static str)>> {
    if names.is_empty() {
        return Ok(TASKS.to_vec());
    }
    let known = || TASKS.map(|task| task.1).join(", ");
    let task = |name: &String| {
        let found = TASKS.into_iter().find(|task| task.1 == name);
        found.ok_or_else(|| Error::Usage(format!("--tasks: {name} is no task; there are {}", known())))
    };
    names.iter().filter(|name| *name != "none").map(task).collect()
}

fn bits_text(bits: &BitsPerBase) -> String {
    let mut text = format!("bits per base of the last 20 % of E. coli K-12 ({} bases)\n", bits.bases);
    for (order, bits) in bits.markov.iter().enumerate() {
        text += &format!("  Markov, order {order:<2}              {bits:.4}\n");
    }
    if let Some(model) = bits.model {
        text += &format!("  the model, windows of 8,192   {:.4}\n", model.windows);
        text += &format!("  the model, one state          {:.4}\n", model.stream);
    }
    text
}

/// A row of a table: what it is of, and its score on each task.
type Row = (String, Vec<Option<f64>>);

/// AUC and MCC: a row for each kind of features, a column for each task.
fn text(table: &[(Task, Columns)], models: &[Reader]) -> String {
    let mut text = String::new();
    for (name, of) in [("AUC", (|p| p.test.auc) as fn(&Probed) -> f64), ("MCC", |p| p.test.mcc)] {
        let score = |probed: &dyn Fn(&Columns) -> Probed| -> Vec<Option<f64>> {
            table.iter().map(|(_, columns)| Some(of(&probed(columns)))).collect()
        };
        let mut rows: Vec<Row> = vec![("3- to 5-mers".into(), score(&|columns| columns.kmers.clone()))];
        for (at, model) in models.iter().enumerate() {
            for (joined, what) in ["", " and k-mers"].into_iter().enumerate() {
                let name = format!("{}{what}", model.info().name);
                rows.push((name, score(&|columns| columns.models[at][joined].clone())));
            }
        }
        if name == "AUC" {
            rows.extend(FROZEN.iter().map(|frozen| {
                let of = |(task, _): &(Task, Columns)| {
                    let place = TASKS.iter().position(|known| known.1 == task.name);
                    place.and_then(|place| frozen.auc.get(place)).copied()
                };
                (format!("{} (published)", frozen.name), table.iter().map(of).collect())
            }));
        }
        text += &format!("{name:<32}");
        table.iter().for_each(|(task, _)| text += &format!(" {:>8}", short(&task.name)));
        text += "  mean of GUE\n";
        rows.iter().for_each(|row| text += &line(row, table));
    }
    text
}

fn line((name, scores): &Row, table: &[(Task, Columns)]) -> String {
    let mut line = format!("  {name:<30}");
    for score in scores {
        line += &score.map_or_else(|| format!(" {:>8}", "-"), |score| format!(" {score:>8.3}"));
    }
    let gue = scores.iter().zip(table).filter(|(_, (task, _))| !task.name.starts_with("ecoli"));
    let gue: Option<Vec<f64>> = gue.map(|(score, _)| *score).collect();
    let mean = gue.filter(|gue| !gue.is_empty()).map(|gue| gue.iter().sum::<f64>() / gue.len() as f64);
    line + &mean.map_or_else(String::new, |mean| format!("  {mean:>8.3}")) + "\n"
}

/// A task's name in a column's width.
fn short(name: &str) -> String {
    let name = name.strip_prefix("prom_").or(name.strip_prefix("ecoli_")).unwrap_or(name);
    name.replace("notata", "no").replace("human_", "").replace("_150", "").chars().take(8).collect()
}

fn figures(bits: &BitsPerBase, table: &[(Task, Columns)], models: &[Reader]) -> Value {
    let scores = |probed: &Probed| {
        let (layer, c) = probed.chosen.unzip();
        json!({"auc": probed.test.auc, "mcc": probed.test.mcc, "layer": layer, "c": c})
    };
    let task = |(task, columns): &(Task, Columns)| {
        let each = models.iter().zip(&columns.models).map(|(model, [alone, joined])| {
            json!({"model": model.info().name, "alone": scores(alone), "joined": scores(joined)})
        });
        json!({
            "task": task.name,
            "train": task.train.len(),
            "dev": task.dev.len(),
            "test": task.test.len(),
            "kmers": scores(&columns.kmers),
            "models": each.collect::<Vec<_>>(),
        })
    };
    let (windows, stream) = bits.model.map(|model| (model.windows, model.stream)).unzip();
    let bits = json!({"bases": bits.bases, "markov": bits.markov, "windows": windows, "stream": stream});
    let digest = models.first().map(|model| model.info().digest.to_string());
    json!({
        "unspool": env!("CARGO_PKG_VERSION"),
        "digest": digest,
        "bits_per_base": bits,
        "tasks": table.iter().map(task).collect::<Vec<_>>(),
    })
}
