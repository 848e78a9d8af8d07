//! Labelled sequences, for a classifier of DNA: both strands of each, drawn evenly.

use std::{collections::BTreeSet, path::Path};

use unspool_model::{dna, train::DnaBatch};

use super::{
    DataError,
    draws::{self, Draws},
    labelled,
};

/// The index of a step's own draws.
const OF_STEP: u64 = u64::MAX;

/// Sequences that belong to classes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cases {
    /// Tokens of each sequence.
    pub sequences: Vec<Vec<u32>>,
    /// The number of each one's class.
    pub classes: Vec<usize>,
}

/// Where a classifier's batches come from.
pub struct ClassData {
    seed: u64,
    train: Cases,
    /// Tokens of a batch, about.
    tokens: usize,
    held: Vec<(DnaBatch, f64)>,
}

/// The labels of a table, in their order: the classes that a classifier of it tells.
///
/// # Errors
/// When the table cannot be read, or has no labels.
pub fn labels(path: &Path) -> Result<Vec<String>, DataError> {
    let labels: BTreeSet<String> = labelled::read(path)?.into_iter().map(|row| row.label).collect();
    if labels.iter().all(String::is_empty) {
        return Err(DataError::File { path: path.to_owned(), problem: "no column `label`".into() });
    }
    Ok(labels.into_iter().collect())
}

impl Cases {
    /// Reads a table of `sequence` and `label`.
    ///
    /// # Errors
    /// When it cannot be read, a sequence is no DNA or empty, or a label is none of the classes.
    pub fn read(path: &Path, classes: &[String]) -> Result<Self, DataError> {
        let mut cases = Self::default();
        for row in labelled::read(path)? {
            let wrong = |reason: String| DataError::Rejected { place: row.place.clone(), reason };
            let tokens = dna::tokens(row.sequence.as_bytes()).map_err(|bad| wrong(bad.to_string()))?;
            let class = classes.iter().position(|class| *class == row.label);
            let unknown = || wrong(format!("'{}' is none of the classes {}", row.label, classes.join(", ")));
            cases.classes.push(class.ok_or_else(unknown)?);
            cases
                .sequences
                .push(Some(tokens).filter(|tokens| !tokens.is_empty()).ok_or_else(|| wrong("no bases".into()))?);
        }
        if cases.sequences.is_empty() {
            return Err(DataError::File { path: path.to_owned(), problem: "no sequences".into() });
        }
        Ok(cases)
    }

    /// Both strands, packed into batches of about so many tokens; and the cases of each.
    fn batches(&self, tokens: usize) -> Vec<(DnaBatch, f64)> {
        let mut batches = vec![];
        let (mut pack, mut size): (Vec<(Vec<u32>, usize)>, usize) = (vec![], 0);
        let mut close = |pack: &mut Vec<(Vec<u32>, usize)>| {
            let batch = DnaBatch::classes(pack.iter().map(|(tokens, class)| (&tokens[..], *class)));
            batches.push((batch, pack.len() as f64));
            pack.clear();
        };
        for (sequence, &class) in self.sequences.iter().zip(&self.classes) {
            let mut other = sequence.clone();
            dna::reverse_complement(&mut other);
            size += 2 * (sequence.len() + 1);
            pack.extend([(sequence.clone(), class), (other, class)]);
            if size >= tokens {
                close(&mut pack);
                size = 0;
            }
        }
        if !pack.is_empty() {
            close(&mut pack);
        }
        batches
    }
}

impl ClassData {
    /// Batches of about so many tokens; `held` is what the held-out loss is measured on.
    #[must_use]
    pub fn new(train: Cases, held: Option<&Cases>, (seed, tokens): (u64, usize)) -> Self {
        let held = held.map_or_else(Vec::new, |held| held.batches(tokens));
        Self { seed, train, tokens, held }
    }

    /// The batch of a step: a function of the seed and the step alone.
    #[must_use]
    pub fn batch(&self, step: u64) -> DnaBatch {
        let mut draws = Draws::new(draws::seed([self.seed, step, OF_STEP]));
        let (mut drawn, mut tokens) = (vec![], 0);
        while tokens < self.tokens {
            let case = draws.below(self.train.sequences.len());
            let mut sequence = self.train.sequences[case].clone();
            if draws.chance(0.5) {
                dna::reverse_complement(&mut sequence);
            }
            tokens += sequence.len() + 1;
            drawn.push((sequence, self.train.classes[case]));
        }
        DnaBatch::classes(drawn.iter().map(|(sequence, class)| (&sequence[..], *class)))
    }

    /// What the held-out loss is measured on, and the cases of each.
    #[must_use]
    pub fn validation(&self) -> &[(DnaBatch, f64)] {
        &self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_read_and_drawn() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        std::fs::write(&path, "sequence,label\nACGG,b\nTTTA,a\nCCAA,b\n").unwrap();
        let classes = labels(&path).unwrap();
        assert_eq!(classes, ["a", "b"]);
        let cases = Cases::read(&path, &classes).unwrap();
        assert_eq!((cases.classes.as_slice(), cases.sequences.len()), (&[1, 0, 1][..], 3));
        let data = ClassData::new(cases.clone(), Some(&cases), (1, 40));
        assert_eq!(data.batch(5), data.batch(5));
        assert_ne!(data.batch(5), data.batch(6));
        assert_eq!((data.batch(5).len(), data.batch(5).told()), (40, 8));
        let held: f64 = data.validation().iter().map(|(_, cases)| cases).sum();
        assert_eq!((held, data.validation().len()), (6.0, 1), "three cases, both strands");
        let refused = |text: &str, expected: &str| {
            std::fs::write(&path, text).unwrap();
            let error = Cases::read(&path, &classes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        refused("sequence,label\nACGG,c\n", "line 2: 'c' is none of the classes a, b");
        refused("sequence,label\nA-GG,a\n", "is no base");
        refused("sequence,label\n,a\n", "no bases");
        refused("sequence,label\n", "no sequences");
        std::fs::write(&path, "sequence\nACG\n").unwrap();
        assert!(labels(&path).unwrap_err().to_string().contains("no column `label`"));
    }
}
