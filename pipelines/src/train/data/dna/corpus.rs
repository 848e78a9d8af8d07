//! The sequences of a file, one token a byte.

use std::path::Path;

use arrow::array::AsArray;
use unspool_ingest::reads::{self, ReadOptions};
use unspool_model::dna;

use super::{
    super::{DataError, labelled},
    SHORTEST,
};

/// Sequences of tokens, one after another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Corpus {
    tokens: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Corpus {
    /// The part `take` of each record of a file; parts of less than two bases are left out.
    ///
    /// # Errors
    /// When the file cannot be read, a record is no DNA, or nothing is left.
    pub(crate) fn read(path: &Path, take: (f64, f64)) -> Result<Self, DataError> {
        let mut corpus = Self::default();
        let mut add = |place: &str, bases: &[u8]| {
            let wrong = |bad: dna::BadBase| DataError::Rejected { place: place.to_owned(), reason: bad.to_string() };
            corpus.add(&dna::tokens(bases).map_err(wrong)?, take);
            Ok(())
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        if name.ends_with(".csv") || name.ends_with(".csv.gz") {
            labelled::read(path)?.iter().try_for_each(|row| add(&row.place, row.sequence.as_bytes()))?;
        } else {
            records(path, &mut add)?;
        }
        if corpus.ends.is_empty() {
            let (place, reason) =
                (path.display().to_string(), "no sequence of two bases or more is taken of it".into());
            return Err(DataError::Rejected { place, reason });
        }
        Ok(corpus)
    }

    fn add(&mut self, tokens: &[u32], (from, to): (f64, f64)) {
        let at = |share: f64| ((share * tokens.len() as f64).ceil() as usize).min(tokens.len());
        let part = &tokens[at(from)..at(to)];
        if part.len() >= SHORTEST {
            // All tokens of bases are less than 16.
            self.tokens.extend(part.iter().map(|&token| token as u8));
            self.ends.push(self.tokens.len());
        }
    }

    /// Bases in all.
    pub(crate) fn bases(&self) -> usize {
        self.tokens.len()
    }

    /// The record that holds a base.
    pub(crate) fn record(&self, base: usize) -> &[u8] {
        let record = self.ends.partition_point(|&end| end <= base).min(self.ends.len() - 1);
        self.at(record)
    }

    /// All records, in order.
    pub(crate) fn records(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.ends.len()).map(|record| self.at(record))
    }

    fn at(&self, record: usize) -> &[u8] {
        let first = record.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.tokens[first..self.ends[record]]
    }
}

/// Takes a record: its place, and its bases.
type Add<'a> = dyn FnMut(&str, &[u8]) -> Result<(), DataError> + 'a;

/// Whole records of a file of reads or contigs.
fn records(path: &Path, add: &mut Add<'_>) -> Result<(), DataError> {
    let columns = Some(["id", "start", "last", "sequence"].map(str::to_owned).to_vec());
    let mut decoder = reads::decoder(path, &ReadOptions { columns, ..ReadOptions::default() })?;
    let mut bases = vec![];
    while let Some(batch) = decoder.decode()? {
        // A record less would be a hole that nobody sees.
        if let Some(reject) = batch.rejects.into_iter().next() {
            return Err(DataError::Rejected { place: reject.place, reason: reject.reason });
        }
        let column = |name: &str| batch.rows.column_by_name(name).cloned();
        let (Some(id), Some(last), Some(sequence)) = (column("id"), column("last"), column("sequence")) else {
            continue;
        };
        let (id, last, sequence) = (id.as_string::<i32>(), last.as_boolean(), sequence.as_string::<i32>());
        for row in 0..batch.rows.num_rows() {
            bases.extend_from_slice(sequence.value(row).as_bytes());
            if last.value(row) {
                add(&format!("{}, {}", path.display(), id.value(row)), &bases)?;
                bases.clear();
            }
        }
    }
    Ok(())
}
