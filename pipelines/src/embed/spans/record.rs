//! A record, its parts, and its strands on their way through the model.

use unspool_model::{Pooled, State, dna};

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
    pub(super) bases: Vec<u8>,
    pub(super) parts: Vec<Part>,
}

impl Whole {
    /// The tokens of a strand, up to the last one that any part needs.
    pub(super) fn tokens(&self, backward: bool) -> Result<Vec<u32>> {
        let needed = self.parts.iter().filter(|part| part.strands.has(backward));
        let needed = needed.map(|part| self.places(part, backward).1).max().unwrap_or(0);
        if needed == 0 {
            return Ok(vec![]);
        }
        let mut tokens = dna::tokens(&self.bases).map_err(|bad| Error::Rows(bad.to_string()))?;
        if backward {
            dna::reverse_complement(&mut tokens);
        }
        tokens.truncate(needed);
        Ok(tokens)
    }

    /// The places of a part among the tokens of a strand.
    fn places(&self, part: &Part, backward: bool) -> (usize, usize) {
        // Places in a record are at most its length, which is a usize.
        let (first, last, len) = (part.from as usize, part.to as usize, self.bases.len());
        if backward { (len - last, len - first) } else { (first, last) }
    }
}

/// A record's strand on its way through the model.
pub(super) struct Strand {
    pub(super) tokens: Vec<u32>,
    pub(super) done: usize,
    pub(super) state: State,
    pub(super) means: Vec<Pooled>,
}

impl Strand {
    /// Adds the next hidden rows to the parts that they lie in.
    pub(super) fn take(&mut self, whole: &Whole, (rows, width): (&[f32], usize), (piece, backward): (usize, bool)) {
        let (from, to) = (self.done, self.done + piece);
        for (mean, part) in self.means.iter_mut().zip(&whole.parts).filter(|(_, part)| part.strands.has(backward)) {
            let (first, last) = whole.places(part, backward);
            let (first, last) = (first.max(from), last.min(to));
            if first < last {
                mean.push(&rows[(first - from) * width..(last - from) * width]);
            }
        }
        self.done = to;
    }
}
