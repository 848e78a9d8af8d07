//! The training data of a DNA model: windows of genomes and of short sequences, both strands of them.
//!
//! A step's windows are a function of the seed and the step alone. Each source has its share of a step's bases, whatever the
//! lengths of its records. A window is a place drawn evenly over a source's bases, as long as was drawn and as its record
//! allows; each is read from a fresh state, half of them on the other strand.

pub(crate) mod corpus;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use unspool_model::{dna, train::DnaBatch};

use self::corpus::Corpus;
use super::{
    DataError,
    draws::{self, Draws},
};

/// The index of a step's own draws.
const OF_STEP: u64 = u64::MAX;
/// The longest window, in bases.
const LONGEST: usize = 1 << 20;
/// Shorter pieces teach nothing: a window's first base is not told.
const SHORTEST: usize = 2;

/// What a DNA trainer sees: the `[dna]` table of a training file.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct DnaOptions {
    /// All windows follow from it.
    pub seed: u64,
    /// The most bases of a window, and the share of windows that have it; shares need not add up to 1.
    pub lengths: Vec<(usize, f64)>,
    /// The share of bases that the model sees as N, from 0 to less than 1; they are to be told all the same.
    pub hidden: f64,
    /// Where windows come from.
    pub sources: Vec<DnaSource>,
    /// What is told of the run at each checkpoint: bits per base of these. No source may hold them.
    pub validation: Vec<DnaSource>,
    /// Bases of a validation window, and of all together at most.
    pub validation_bases: (usize, usize),
}

impl Default for DnaOptions {
    fn default() -> Self {
        let lengths = [(512, 0.25), (1024, 0.25), (2048, 0.25), (4096, 0.15), (8192, 0.1)];
        Self {
            seed: 1,
            lengths: lengths.into(),
            hidden: 0.0,
            sources: vec![],
            validation: vec![],
            validation_bases: (8192, 1 << 19),
        }
    }
}

/// A file of sequences, or a part of each of its records.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DnaSource {
    /// FASTA or FASTQ, plain or compressed; or CSV (plain or gzip) with a column `sequence`.
    pub path: PathBuf,
    /// Its share of the bases; shares need not add up to 1.
    #[serde(default = "whole")]
    pub share: f64,
    /// The part of each record that is taken, from a share of its length on to less than another.
    #[serde(default = "all")]
    pub take: (f64, f64),
}

fn whole() -> f64 {
    1.0
}

fn all() -> (f64, f64) {
    (0.0, 1.0)
}

/// Where a DNA model's training windows come from.
pub struct DnaData {
    options: DnaOptions,
    sources: Vec<Corpus>,
    /// Bases of a batch.
    bases: usize,
    batches: usize,
    validation: Vec<(DnaBatch, f64)>,
}

impl DnaData {
    /// Reads the sources. `folder`: where relative paths begin; `bases`: of a step, in all its `batches`.
    ///
    /// # Errors
    /// When an option makes no sense, or a file cannot be read or holds nothing.
    pub fn open(options: DnaOptions, folder: &Path, (bases, batches): (usize, usize)) -> Result<Self, DataError> {
        check(&options, bases / batches.max(1))?;
        let read = |source: &DnaSource| Corpus::read(&folder.join(&source.path), source.take);
        let sources = options.sources.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let held = options.validation.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let bases = bases / batches.max(1);
        let validation = validation(&held, options.validation_bases, bases);
        Ok(Self { options, sources, bases, batches: batches.max(1), validation })
    }

    /// The batches of a training step: a function of the seed and the step alone.
    #[must_use]
    pub fn batches(&self, step: u64) -> Vec<DnaBatch> {
        let number = |i: usize| step * self.batches as u64 + i as u64;
        (0..self.batches).map(|i| self.batch(number(i))).collect()
    }

    /// What validation is measured on, and the bases that each tells.
    #[must_use]
    pub fn validation(&self) -> &[(DnaBatch, f64)] {
        &self.validation
    }

    fn batch(&self, number: u64) -> DnaBatch {
        let mut draws = Draws::new(draws::seed([self.options.seed, number, OF_STEP]));
        let all: f64 = self.options.sources.iter().map(|source| source.share).sum();
        let (mut windows, mut taken, mut shares) = (vec![], 0, 0.0);
        for (source, corpus) in self.options.sources.iter().zip(&self.sources) {
            // Rounded sums: what one source leaves is the next one's.
            shares += source.share / all;
            let until = (shares * self.bases as f64).round() as usize;
            while taken + SHORTEST <= until {
                let window = self.window(&mut draws, corpus, until - taken);
                taken += window.len();
                windows.push(window);
            }
        }
        let mut batch = DnaBatch::new(windows.iter().map(Vec::as_slice));
        for token in 0..batch.len() {
            if self.options.hidden > 0.0 && f64::from(draws.unit()) < self.options.hidden {
                batch.hide(token);
            }
        }
        batch.share(self.batches);
        batch
    }

    /// A window of at most so many bases.
    fn window(&self, draws: &mut Draws, corpus: &Corpus, most: usize) -> Vec<u32> {
        let record = corpus.record(draws.below(corpus.bases()));
        let length = self.length(draws).min(record.len()).min(most);
        let first = draws.below(record.len() - length + 1);
        let mut tokens: Vec<u32> = record[first..first + length].iter().map(|&token| u32::from(token)).collect();
        if draws.chance(0.5) {
            dna::reverse_complement(&mut tokens);
        }
        tokens
    }

    fn length(&self, draws: &mut Draws) -> usize {
        let all: f64 = self.options.lengths.iter().map(|length| length.1).sum();
        let mut at = f64::from(draws.unit()) * all;
        let mut chosen = SHORTEST;
        for &(length, share) in self.options.lengths.iter().filter(|length| length.1 > 0.0) {
            chosen = length;
            at -= share;
            if at < 0.0 {
                break;
            }
        }
        chosen
    }
}

/// Windows of one length, spread evenly over all that is held out; in batches of about `batch` bases.
fn validation(held: &[Corpus], (length, most): (usize, usize), batch: usize) -> Vec<(DnaBatch, f64)> {
    let pieces: Vec<&[u8]> = held.iter().flat_map(Corpus::records).flat_map(|record| record.chunks(length)).collect();
    let bases: usize = pieces.iter().map(|piece| piece.len()).sum();
    let every = bases.div_ceil(most.max(1)).max(1);
    let kept: Vec<Vec<u32>> = (pieces.iter().step_by(every).filter(|piece| piece.len() >= SHORTEST))
        .map(|piece| piece.iter().map(|&token| u32::from(token)).collect())
        .collect();
    let batches = kept.chunks((batch / length).max(1));
    let batches = batches.map(|windows| DnaBatch::new(windows.iter().map(Vec::as_slice)));
    batches.map(|batch| (batch.told() as f64, batch)).map(|(told, batch)| (batch, told)).collect()
}

/// Refuses options that make no sense.
fn check(options: &DnaOptions, bases: usize) -> Result<(), DataError> {
    let refuse = |option, value: String, remedy| Err(DataError::Option { option, value, remedy });
    let DnaOptions { lengths, hidden, sources, validation, validation_bases, .. } = options;
    let good =
        |&(length, share): &(usize, f64)| (SHORTEST..=LONGEST).contains(&length) && share.is_finite() && share >= 0.0;
    if !lengths.iter().all(good) || !lengths.iter().any(|&(_, share)| share > 0.0) {
        let remedy = "pairs of a number of bases, from 2 to 1048576, and a share from 0 on; one is more";
        return refuse("dna.lengths", format!("{lengths:?}"), remedy);
    }
    if !(0.0..1.0).contains(hidden) {
        return refuse("dna.hidden", hidden.to_string(), "a share of bases, from 0 to less than 1");
    }
    if !sources.iter().any(|source| source.share > 0.0) {
        return refuse("dna.sources", format!("{} files", sources.len()), "at least one with a share above 0");
    }
    for DnaSource { path, share, take: (from, to) } in sources.iter().chain(validation) {
        if !share.is_finite() || *share < 0.0 {
            return refuse("the share of a source", format!("{share} ({})", path.display()), "a number from 0 on");
        }
        if !(0.0 <= *from && from < to && *to <= 1.0) {
            let value = format!("[{from}, {to}] ({})", path.display());
            return refuse("`take` of a source", value, "two growing shares of a record, from 0 to 1");
        }
    }
    if !(SHORTEST..=LONGEST).contains(&validation_bases.0) || validation_bases.1 == 0 {
        return refuse("dna.validation_bases", format!("{validation_bases:?}"), "a window's length and bases in all");
    }
    if bases < SHORTEST {
        return refuse("the number of bases in a batch", bases.to_string(), "at least 2");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
