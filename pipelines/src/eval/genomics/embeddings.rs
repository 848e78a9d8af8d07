//! Embeddings of short sequences: means of hidden rows, of both strands.

use unspool_model::{
    Events, Front, Info, Item, Model, Options, Pool, Pooled, RunOptions, State, WindowModel, dna, train::DnaWeights,
};

use super::{
    super::{Error, Result},
    features::Features,
    task::Case,
};
use crate::embed::Reader;

/// Seed of the random weights.
const SEED: u64 = 1;
/// Tokens that are embedded at once, about: what suits a CPU and a GPU.
const PACK: usize = 1 << 17;
/// As many of windows, whose rows are in memory all at once.
const PACK_WINDOWS: usize = 1 << 14;

/// Refuses a model that is not for DNA.
pub(super) fn check(info: &Info) -> Result<()> {
    let problem = "is no DNA model: there is nothing to evaluate".to_owned();
    match info.front {
        Front::Dna => Ok(()),
        _ => Err(Error::Model { model: info.name.clone(), problem }),
    }
}

/// The same network with weights drawn at random.
///
/// # Errors
/// When the model is not for DNA, or the weights cannot be written to a temporary folder and read again.
pub fn random_twin(model: &Model, options: RunOptions) -> Result<Model> {
    check(model.info())?;
    let folder = tempfile::tempdir().map_err(|error| Error::Folder(error.to_string()))?;
    let path = folder.path().join("random");
    DnaWeights::fresh(&model.info().config, SEED)?.save(&path, "random weights", false)?;
    Ok(Model::load(&path, options)?)
}

/// The mean of each layer's rows over both strands of each case: `[layers]` of `[cases, d]`.
pub(super) fn embed(model: &Reader, cases: &[Case], layers: &[usize]) -> Result<Vec<Features>> {
    let mut features = vec![Features::new(model.width()); layers.len()];
    let most = if matches!(model, Reader::Windows(_)) { PACK_WINDOWS } else { PACK };
    let mut rest = cases;
    while !rest.is_empty() {
        let mut tokens = 0;
        let mut fits = |case: &Case| {
            tokens += 2 * case.tokens.len();
            tokens <= most
        };
        let (pack, after) = rest.split_at(rest.iter().take_while(|case| fits(case)).count().max(1));
        rest = after;
        let mut strands: Vec<Vec<u32>> = vec![];
        for case in pack {
            let mut other = case.tokens.clone();
            dna::reverse_complement(&mut other);
            strands.extend([case.tokens.clone(), other]);
        }
        let means = match model {
            Reader::Carried(model) => carried(model, &strands, layers)?,
            Reader::Windows(model) => windows(model, &strands, layers)?,
        };
        for (features, means) in features.iter_mut().zip(means) {
            for pair in means.chunks_exact(2) {
                features.push_dense(&pair[0].iter().zip(&pair[1]).map(|(a, b)| 0.5 * (a + b)).collect::<Vec<_>>());
            }
        }
    }
    Ok(features)
}

/// The mean of each layer's rows of each strand: `[layers][strands]`.
fn carried(model: &Model, strands: &[Vec<u32>], layers: &[usize]) -> Result<Vec<Vec<Vec<f32>>>> {
    let options = Options { layers: layers.to_vec(), pools: true, ..Options::default() };
    let mut states = strands.iter().map(|_| model.open(&options)).collect::<Result<Vec<State>, _>>()?;
    let items = states.iter_mut().zip(strands).map(|(state, tokens)| Item { state, events: Events::Tokens(tokens) });
    model.append(&mut items.collect::<Vec<_>>())?;
    let mean =
        |state: &State, layer| state.pooled(layer, Pool::Mean).unwrap_or_else(|| vec![0.0; model.info().config.d]);
    Ok(layers.iter().map(|&layer| states.iter().map(|state| mean(state, layer)).collect()).collect())
}

/// As [`carried`], each strand as one window.
fn windows(model: &WindowModel, strands: &[Vec<u32>], layers: &[usize]) -> Result<Vec<Vec<Vec<f32>>>> {
    let (width, windows) = (model.width(), strands.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let of_layer = |rows: Vec<f32>| {
        let mut rest = &rows[..];
        let mean = |window: &&[u32]| {
            let (rows, after) = rest.split_at(window.len() * width);
            rest = after;
            let mut mean = Pooled::new(width);
            mean.push(rows);
            mean.get(Pool::Mean).unwrap_or_else(|| vec![0.0; width])
        };
        windows.iter().map(mean).collect()
    };
    Ok(model.encode(&windows, layers)?.into_iter().map(of_layer).collect())
}
