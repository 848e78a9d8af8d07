//! `unspool finetune --classify`: a DNA model becomes a classifier of labelled sequences.

use std::{fmt::Write, fs, path::Path, sync::Arc};

use unspool_model::{Model, RunOptions, train::DnaWeights};
use unspool_pipelines::{
    eval::genomics::{classify, judge},
    train::{
        TrainConfig, TrainError, TrainOptions,
        data::classes::{Cases, ClassData, labels},
    },
};

use super::{Plan, execute, finetune::FinetuneArgs};
use crate::{
    error::{Error, Result},
    print,
};

/// The model to begin from where the user names none.
const BUILT_IN: &str = "dna-1";
/// Tokens of a step where the user does not say.
const TOKENS: usize = 8192;

/// Trains on labelled sequences, and judges on others.
///
/// # Errors
/// When a table cannot be read or there is no DNA model, or as `unspool train`.
pub(super) fn run(args: &FinetuneArgs) -> Result<()> {
    let [input] = &args.inputs[..] else {
        return Err(Error::Usage("--classify learns from one table: join the others to it".into()));
    };
    let from = args.model.as_deref().unwrap_or(Path::new(BUILT_IN));
    let classes = labels(input).map_err(TrainError::from)?;
    let read = |path: &Path| Cases::read(path, &classes).map_err(TrainError::from);
    let (train, held) = (read(input)?, args.dev.as_deref().map(read).transpose()?);
    let test = args.test.as_deref().map(read).transpose()?;
    let start = DnaWeights::load(from)?.classifier(classes.clone())?;
    let config = config(args, from);
    config.check()?;
    let source = Arc::new(ClassData::new(train, held.as_ref(), (1, config.train.patches)));
    let text = toml::to_string_pretty(&config).map_err(|error| Error::Usage(error.to_string()))?;
    execute(Plan { config, text, source, start, output: args.output.clone() }, &args.limits)?;
    let (Some(test), Some(path)) = (test, &args.test) else { return Ok(()) };
    // The checkpoint that was best on the dev split, where there is one.
    let best = [args.output.join("best"), args.output.join("model")].into_iter().find(|dir| dir.exists());
    let Some(dir) = best else { return Ok(()) };
    let options = RunOptions { device: args.limits.device, ..RunOptions::default() };
    let model = Model::load(&dir, options)?;
    let said = classify(&model, &test.sequences, classes.len())?;
    let judged = judge(&said, &test);
    write(&args.output.join("test.csv"), &classes, (&said, &test))?;
    let auc = if judged.auc.is_nan() { String::new() } else { format!("AUC {:.4}, ", judged.auc) };
    print(&format!("{}: {auc}MCC {:.4} on {} of {}", dir.display(), judged.mcc, said.len(), path.display()))
}

/// As a training file would say it.
fn config(args: &FinetuneArgs, from: &Path) -> TrainConfig {
    let steps = args.steps.get() as u64;
    let train = TrainOptions {
        steps,
        patches: if args.patches.get() == super::finetune::PATCHES { TOKENS } else { args.patches.get() },
        rate: args.rate,
        warmup: (steps / 10).max(1),
        average: 0.99,
        checkpoint_steps: (steps / 10).max(1),
        log_steps: (steps / 30).max(1),
        ..TrainOptions::default()
    };
    let from = Some(from.to_owned());
    // A table of its own says that tokens are counted, not patches.
    let dna = Some(unspool_pipelines::train::DnaOptions::default());
    TrainConfig { name: args.name.clone(), from, layers: None, model: None, data: Default::default(), dna, train }
}

/// Each test case's class and what the model says of each class.
fn write(path: &Path, classes: &[String], (said, test): (&[Vec<f64>], &Cases)) -> Result<()> {
    let mut text = format!("label,{}\n", classes.join(","));
    for (shares, &class) in said.iter().zip(&test.classes) {
        let shares: Vec<String> = shares.iter().map(|share| format!("{share:.6}")).collect();
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{},{}", classes[class], shares.join(","));
    }
    fs::write(path, text).map_err(|source| Error::Io { path: path.to_owned(), source })
}
