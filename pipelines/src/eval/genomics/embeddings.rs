//! Embeddings of short sequences: means of hidden rows, of both strands.

use unspool_model::{Events, Front, Item, Model, Options, Pool, RunOptions, State, dna, train::DnaWeights};

use super::{
    super::{Error, Result},
    features::Features,
    task::Case,
};

/// Seed of the random weights.
const SEED: u64 = 1;
/// Tokens that are embedded at once, about: what suits a CPU and a GPU.
const PACK: usize = 1 << 17;

/// Refuses a model that is not for DNA.
pub(super) fn check(model: &Model) -> Result<()> {
    let problem = "is no DNA model: there is nothing to evaluate".to_owned();
    match model.info().front {
        Front::Dna => Ok(()),
        _ => Err(Error::Model { model: model.info().name.clone(), problem }),
    }
}

/// The same network with weights drawn at random.
///
/// # Errors
/// When the model is not for DNA, or the weights cannot be written to a temporary folder and read again.
pub fn random_twin(model: &Model, options: RunOptions) -> Result<Model> {
    check(model)?;
    let folder = tempfile::tempdir().map_err(|error| Error::Folder(error.to_string()))?;
    let path = folder.path().join("random");
    DnaWeights::fresh(&model.info().config, SEED)?.save(&path, "random weights", false)?;
    Ok(Model::load(&path, options)?)
}

/// The mean of each layer's rows over both strands of each case: `[layers]` of `[cases, d]`.
pub(super) fn embed(model: &Model, cases: &[Case], layers: &[usize]) -> Result<Vec<Features>> {
    let mut features = vec![Features::new(model.info().config.d); layers.len()];
    let mut rest = cases;
    while !rest.is_empty() {
        let mut tokens = 0;
        let mut fits = |case: &Case| {
            tokens += 2 * case.tokens.len();
            tokens <= PACK
        };
        let (pack, after) = rest.split_at(rest.iter().take_while(|case| fits(case)).count().max(1));
        rest = after;
        let mut strands: Vec<Vec<u32>> = vec![];
        for case in pack {
            let mut other = case.tokens.clone();
            dna::reverse_complement(&mut other);
            strands.extend([case.tokens.clone(), other]);
        }
        let options = Options { layers: layers.to_vec(), pools: true, ..Options::default() };
        let mut states = strands.iter().map(|_| model.open(&options)).collect::<Result<Vec<State>, _>>()?;
        let items =
            states.iter_mut().zip(&strands).map(|(state, tokens)| Item { state, events: Events::Tokens(tokens) });
        model.append(&mut items.collect::<Vec<_>>())?;
        for (features, &layer) in features.iter_mut().zip(layers) {
            for pair in states.chunks_exact(2) {
                let mean =
                    |state: &State| state.pooled(layer, Pool::Mean).unwrap_or_else(|| vec![0.0; model.info().config.d]);
                let (forward, backward) = (mean(&pair[0]), mean(&pair[1]));
                features.push_dense(&forward.iter().zip(&backward).map(|(a, b)| 0.5 * (a + b)).collect::<Vec<_>>());
            }
        }
    }
    Ok(features)
}
