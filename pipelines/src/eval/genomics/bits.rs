//! Bits per base of held-out *E. coli*: Markov models, and a model beside them.

use std::path::Path;

use unspool_model::{Events, Item, Model, Options, dna};

use super::{
    super::{Error, Result},
    Markov, embeddings,
};
use crate::train::data::dna::corpus::Corpus;

/// The genome, in the folder of genomics data.
const GENOME: &str = "genomes/ecoli_K12_MG1655_GCF_000005845.2.fna.gz";
/// The parts that are counted, that is chosen by, and that is reported: as `ecoli_coding_150` is split.
const PARTS: [(f64, f64); 3] = [(0.0, 0.7), (0.7, 0.8), (0.8, 1.0)];
/// Bases of a window that begins from a fresh state.
const WINDOW: usize = 8192;
/// Windows that go through the model at once, and bases of a stream.
const PACK: usize = 8;

/// Bits per base of the last 20 % of *E. coli*.
#[derive(Clone, Debug, PartialEq)]
pub struct BitsPerBase {
    /// Bases that were told.
    pub bases: usize,
    /// Markov models of order 0, 1, ..
    pub markov: Vec<f64>,
    /// The model, where there is one.
    pub model: Option<ModelBits>,
}

/// A model's bits per base.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ModelBits {
    /// Over windows of 8,192 bases that begin from fresh states.
    pub windows: f64,
    /// Over all of it with one state.
    pub stream: f64,
}

/// Measures Markov models up to an order, and a model. Those count both strands of the first 70 % of the genome; the next
/// 10 % choose their weights.
///
/// # Errors
/// When the genome is not in the folder, or the model is not for DNA or fails.
pub fn bits_per_base(data: &Path, model: Option<&Model>, order: usize) -> Result<BitsPerBase> {
    model.map_or(Ok(()), |model| embeddings::check(model.info()))?;
    let path = data.join(GENOME);
    if !path.is_file() {
        let remedy = "name the folder of genomics data, which holds classification/ and genomes/";
        return Err(Error::Missing { path, remedy });
    }
    let [counted, chosen_on, held] = PARTS.map(|take| Corpus::read(&path, take));
    let (counted, chosen_on, held) = (counted?, chosen_on?, held?);
    let (chosen_on, held): (Vec<&[u8]>, Vec<&[u8]>) = (chosen_on.records().collect(), held.records().collect());
    let markov = Markov::learn(counted.records(), &chosen_on, order).bits(&held);
    let told = |record: &&[u8]| record.iter().skip(1).filter(|&&token| dna::base(token.into()).is_some()).count();
    let bases = held.iter().map(told).sum();
    Ok(BitsPerBase { bases, markov, model: model.map(|model| of_model(model, &held)).transpose()? })
}

fn of_model(model: &Model, held: &[&[u8]]) -> Result<ModelBits> {
    let mean = |(sum, count): (f64, usize)| sum / count.max(1) as f64;
    let windows: Vec<&[u8]> = held.iter().flat_map(|record| record.chunks(WINDOW)).collect();
    let streams = held.iter().map(|record| of_stream(model, record)).collect::<Result<Vec<_>>>()?;
    let stream = streams.into_iter().fold((0.0, 0), |(a, n), (b, m)| (a + b, n + m));
    Ok(ModelBits { windows: mean(of_windows(model, &windows)?), stream: mean(stream) })
}

/// The sum of bits over windows, and the bases that were told.
fn of_windows(model: &Model, windows: &[&[u8]]) -> Result<(f64, usize)> {
    let options = rows(model);
    let mut sums = (0.0, 0);
    for windows in windows.chunks(PACK) {
        let tokens: Vec<Vec<u32>> = windows.iter().map(|window| window.iter().map(|&t| t.into()).collect()).collect();
        let mut states = windows.iter().map(|_| model.open(&options)).collect::<Result<Vec<_>, _>>()?;
        let items =
            states.iter_mut().zip(&tokens).map(|(state, tokens)| Item { state, events: Events::Tokens(tokens) });
        for (output, tokens) in model.append(&mut items.collect::<Vec<_>>())?.iter().zip(&tokens) {
            let said = model.next_bases(&output.rows[0])?;
            add(&mut sums, &said, &tokens[1..]);
        }
    }
    Ok(sums)
}

/// As [`of_windows`], of one sequence with one state.
fn of_stream(model: &Model, sequence: &[u8]) -> Result<(f64, usize)> {
    let mut state = model.open(&rows(model))?;
    let (mut sums, mut before) = ((0.0, 0), vec![]);
    for piece in sequence.chunks(PACK * WINDOW) {
        let tokens: Vec<u32> = piece.iter().map(|&token| token.into()).collect();
        let output = model.append(&mut [Item { state: &mut state, events: Events::Tokens(&tokens) }])?.remove(0);
        let said = model.next_bases(&output.rows[0])?;
        let first = tokens.len() - 1;
        if !before.is_empty() {
            add(&mut sums, &before, &tokens[..1]);
        }
        add(&mut sums, &said[..first], &tokens[1..]);
        before = said[first..].to_vec();
    }
    Ok(sums)
}

fn rows(model: &Model) -> Options {
    Options { layers: vec![model.info().config.layers], rows: true, ..Options::default() }
}

/// Adds the bits of bases that were told.
fn add((sum, count): &mut (f64, usize), said: &[[f64; 4]], next: &[u32]) {
    for (said, &token) in said.iter().zip(next) {
        if let Some(base) = dna::base(token) {
            *sum -= said[base] * std::f64::consts::LOG2_E;
            *count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unspool_model::{RunOptions, config::Config, train::DnaWeights};

    /// A stream of pieces has the bits of the whole, and of windows as long as it is.
    #[test]
    fn windows_and_streams_agree_where_they_are_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { layers: 1, ..Config::mamba1(8) };
        DnaWeights::fresh(&config, 1).unwrap().save(&dir.path().join("m"), "m", false).unwrap();
        let model = Model::load(&dir.path().join("m"), RunOptions::cpu()).unwrap();
        let tokens: Vec<u8> = (0..PACK * WINDOW + 700).map(|i| 7 + (i * i / 3 % 5) as u8).collect();
        let (windows, streamed) = (of_windows(&model, &[&tokens]).unwrap(), of_stream(&model, &tokens).unwrap());
        assert_eq!(windows.1, streamed.1);
        assert!((windows.0 - streamed.0).abs() < 1e-6 * windows.0, "{windows:?} {streamed:?}");
        assert!((1.5..2.5).contains(&(windows.0 / windows.1 as f64)));
    }
}
