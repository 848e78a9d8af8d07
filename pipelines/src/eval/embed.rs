//! What series embeddings hold: a linear probe on labelled sets, beside simple statistics and the same network with random
//! weights.

mod probe;
mod statistics;
mod ts;

use std::path::Path;

use unspool_model::{Events, Item, Model, Options, Pool, RunOptions, State, train::SeriesWeights};

use super::{Error, Result, predict, read};

pub use self::{
    statistics::statistics,
    ts::{Labelled, parse},
};

/// The sets, by their names.
pub const SETS: [&str; 5] = ["GunPoint", "ArrowHead", "ItalyPowerDemand", "BasicMotions", "JapaneseVowels"];
/// Seed of the random weights.
const SEED: u64 = 1;
/// Cases whose channels are embedded at once.
const PACK: usize = 64;

/// Training and test cases of a set.
#[derive(Clone, Debug)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// Cases that the probe learns from.
    pub train: Vec<Labelled>,
    /// Cases that it is judged on.
    pub test: Vec<Labelled>,
}

/// Accuracies on a set: shares of its test cases.
#[derive(Clone, Debug, PartialEq)]
pub struct Accuracy {
    /// What the probe was given.
    pub features: String,
    /// How many numbers of each case.
    pub width: usize,
    /// The share that was right.
    pub share: f64,
}

/// Reads a set of the folder, `NAME_TRAIN.ts` and `NAME_TEST.ts`.
///
/// # Errors
/// When a file is missing, or does not hold what it should.
pub fn set(dir: &Path, name: &str) -> Result<Set> {
    let part = |part: &str| {
        let path = read::file(dir, &format!("{name}_{part}.ts"))?;
        let fail = |problem| Error::Unexpected { path: path.clone(), problem };
        // Names of people in the comments are not always UTF-8.
        let bytes = std::fs::read(&path).map_err(|error| fail(error.to_string()))?;
        parse(&String::from_utf8_lossy(&bytes)).map_err(fail)
    };
    Ok(Set { name: name.into(), train: part("TRAIN")?, test: part("TEST")? })
}

/// The same network with weights drawn at random.
///
/// # Errors
/// When the model is not for series, or the weights cannot be written to a temporary folder and read again.
pub fn random_twin(model: &Model, options: RunOptions) -> Result<Model> {
    predict::check(model)?;
    let Some(shape) = model.series_shape() else { return Err(Error::Folder("no series model".into())) };
    let folder = tempfile::tempdir().map_err(|error| Error::Folder(error.to_string()))?;
    let weights: SeriesWeights = SeriesWeights::fresh(&model.info().config, shape, SEED)?;
    weights.save(folder.path(), "random weights", false)?;
    Ok(Model::load(folder.path(), options)?)
}

/// Accuracies of a probe on a model's embeddings, of a middle layer and of the last.
///
/// # Errors
/// When the model refuses.
pub fn of_model(model: &Model, set: &Set) -> Result<Vec<Accuracy>> {
    let last = model.info().config.layers;
    let layers = [last / 2, last];
    let (train, test) = (embed(model, &set.train, &layers)?, embed(model, &set.test, &layers)?);
    let accuracy = |at: usize| {
        let of = |features: &[Vec<Vec<f64>>]| features[at].clone();
        judge(format!("{}, layer {}", model.info().name, layers[at]), set, (of(&train), of(&test)))
    };
    Ok((0..layers.len()).map(accuracy).collect())
}

/// The accuracy of a probe on simple statistics.
#[must_use]
pub fn of_statistics(set: &Set) -> Accuracy {
    let features = |cases: &[Labelled]| {
        cases.iter().map(|case| case.channels.iter().flat_map(|values| statistics(values)).collect()).collect()
    };
    judge("simple statistics".into(), set, (features(&set.train), features(&set.test)))
}

fn judge(features: String, set: &Set, (train, test): (Vec<Vec<f64>>, Vec<Vec<f64>>)) -> Accuracy {
    let labels: Vec<&str> = set.train.iter().map(|case| case.label.as_str()).collect();
    let width = train.first().map_or(0, Vec::len);
    let found = probe::classify((&train, &labels), &test);
    let right = found.iter().zip(&set.test).filter(|(found, case)| **found == case.label).count();
    Accuracy { features, width, share: right as f64 / set.test.len() as f64 }
}

/// Mean and maximum of the hidden rows of each channel, one after the other: `[layers][cases][channels * 2 d]`.
///
/// A patch that a series' end leaves open is filled up with missing values.
fn embed(model: &Model, cases: &[Labelled], layers: &[usize]) -> Result<Vec<Vec<Vec<f64>>>> {
    let options = Options { layers: layers.to_vec(), pools: true, ..Options::default() };
    let patch = model.series_shape().map_or(1, |shape| shape.patch);
    let mut features = vec![vec![]; layers.len()];
    for cases in cases.chunks(PACK) {
        let filled: Vec<Vec<f64>> = (cases.iter().flat_map(|case| &case.channels))
            .map(|values| {
                let mut values = values.clone();
                values.resize(values.len().next_multiple_of(patch), f64::NAN);
                values
            })
            .collect();
        let mut states = filled.iter().map(|_| model.open(&options)).collect::<Result<Vec<State>, _>>()?;
        let items =
            states.iter_mut().zip(&filled).map(|(state, values)| Item { state, events: Events::Values(values) });
        model.append(&mut items.collect::<Vec<_>>())?;
        for (features, layer) in features.iter_mut().zip(layers) {
            let mut states = states.iter();
            for case in cases {
                let pooled = states.by_ref().take(case.channels.len()).flat_map(|state| {
                    let pool = |pool| state.pooled(*layer, pool).unwrap_or_else(|| vec![0.0; model.info().config.d]);
                    [pool(Pool::Mean), pool(Pool::Max)].concat()
                });
                features.push(pooled.map(f64::from).collect());
            }
        }
    }
    Ok(features)
}
