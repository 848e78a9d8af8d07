//! A record, its parts, and its strands.

use std::ops::Range;

use arrow::array::RecordBatch;
use unspool_model::dna;

use crate::{Error, Result, featurise::Record};

/// A part of a record, counted from the record's own start, and the strands whose mean is wanted.
pub(super) struct Part {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) strands: Strands,
    /// The feature's number among those of its contig.
    pub(super) feature: Option<usize>,
}

/// Which strands of a record are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strands {
    /// The one that is written.
    Forward,
    /// The other one.
    Backward,
    /// Both.
    Both,
}

impl Strands {
    /// Whether one of the two is among them.
    pub(super) fn has(self, backward: bool) -> bool {
        self == Self::Both || (self == Self::Backward) == backward
    }
}

/// A record that has come to its end.
pub(super) struct Whole {
    pub(super) record: Record,
    /// The columns that go along.
    pub(super) kept: Option<RecordBatch>,
    pub(super) bases: Vec<u8>,
    pub(super) parts: Vec<Part>,
}

impl Whole {
    /// Some tokens of a strand, counted in its direction.
    pub(super) fn tokens(&self, backward: bool, places: &Range<usize>) -> Result<Vec<u32>> {
        let tokens = |bases: &[u8]| dna::tokens(bases).map_err(|bad| Error::Rows(bad.to_string()));
        if !backward {
            return tokens(&self.bases[places.clone()]);
        }
        let len = self.bases.len();
        let mut tokens = tokens(&self.bases[len - places.end..len - places.start])?;
        dna::reverse_complement(&mut tokens);
        Ok(tokens)
    }

    /// The place of each part among the tokens of a strand; an empty one where it does not need it.
    pub(super) fn places(&self, backward: bool) -> Vec<Range<usize>> {
        let len = self.bases.len();
        let place = |part: &Part| {
            // Places in a record are at most its length, which is a usize.
            let (first, last) = (part.from as usize, part.to as usize);
            match (part.strands.has(backward), backward) {
                (false, _) => 0..0,
                (true, false) => first..last,
                (true, true) => len - last..len - first,
            }
        };
        self.parts.iter().map(place).collect()
    }
}
