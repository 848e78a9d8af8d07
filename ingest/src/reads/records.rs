//! From records held in memory, one at a time, to batches: what FASTQ, SAM and BAM share.

use arrow::datatypes::SchemaRef;

use super::{
    Limits,
    input::Input,
    rows::{Record, Rows},
};
use crate::{Batch, CommitToken, Decode, Error, Position, Reject, Result};

/// The most of a rejected record that is kept.
pub(super) const MAX_PAYLOAD: usize = 64 << 10;

/// What came next.
pub(super) enum Step {
    /// A record, which [`Records::record`] shows.
    Record,
    /// A record that cannot be used.
    Rejected(Reject),
    /// Nothing: the end.
    End,
}

/// A format whose records are held in memory one at a time.
pub(super) trait Records: Send + 'static {
    /// Reads the next record, whose number in the file is `number` (0-based).
    fn advance(&mut self, number: u64) -> Result<Step>;

    /// The record read last.
    fn record(&self) -> Record<'_>;

    /// The mark of the record read last.
    fn mark(&self) -> u64;

    /// The mark of the record that comes next.
    fn next_mark(&self) -> u64;

    /// The file.
    fn input(&self) -> &Input;

    /// The position of the record read last (`at_hand`), or of the one that comes next, whose number is `record`.
    fn position(&self, at_hand: bool, record: u64, within: u64) -> Position {
        let mark = if at_hand { self.mark() } else { self.next_mark() };
        self.input().position(mark, record, within)
    }

    /// What a reject or an error of the record at hand says of its place, beside its number.
    fn place(&self) -> String {
        self.input().place_of(self.mark()).to_string().trim_start_matches(", ").to_owned()
    }

    /// A reject of the record at hand.
    fn reject(&self, number: u64, reason: String, payload: &[u8]) -> Reject {
        let place = format!("{}, record {number} ({})", self.input().path().display(), self.place());
        Reject { place, reason, payload: payload[..payload.len().min(MAX_PAYLOAD)].to_vec() }
    }
}

/// A [`Decode`] over [`Records`].
pub(super) struct RecordDecoder<R> {
    records: R,
    rows: Rows,
    limits: Limits,
    /// Rejects of this batch, and the bytes they keep.
    rejects: Vec<Reject>,
    reject_bytes: usize,
    /// Number of the record at hand, or of the next one where none is.
    number: u64,
    /// Bases of the record at hand that were yielded; `None` where no record is at hand.
    within: Option<usize>,
    /// Bases of the next record to leave out: it was partly read before.
    skip: u64,
    /// Records begun.
    begun: u64,
    ended: bool,
    /// An error that comes after the rows read before it, and the position of what could not be read.
    failed: Option<(Error, Position)>,
}

impl<R: Records> RecordDecoder<R> {
    /// Starts at record `number`, of which `within` bases were read before. `rejects` come with the first batch.
    pub(super) fn new(records: R, rows: Rows, limits: Limits, (number, within): (u64, u64)) -> Self {
        Self {
            records,
            rows,
            limits,
            rejects: vec![],
            reject_bytes: 0,
            number,
            within: None,
            skip: within,
            begun: 0,
            ended: false,
            failed: None,
        }
    }

    /// Adds rejects that stand before the first record.
    pub(super) fn with_rejects(mut self, rejects: Vec<Reject>) -> Self {
        self.rejects = rejects;
        self
    }

    /// Reads the next record; `false` at the end.
    fn advance(&mut self) -> Result<bool> {
        if self.begun == self.limits.records {
            return Ok(false);
        }
        let step = self.records.advance(self.number)?;
        if matches!(step, Step::Record) {
            if !self.limits.filter.wants(&self.records.record()) {
                self.number += 1;
                return Ok(true);
            }
            self.begun += 1;
            let bases = self.records.record().len();
            let skip = usize::try_from(std::mem::take(&mut self.skip)).unwrap_or(usize::MAX);
            if skip > 0 && skip >= bases {
                return Err(self.moved(skip, bases));
            }
            self.within = Some(skip);
            return Ok(true);
        }
        if let Step::Rejected(reject) = step {
            self.reject_bytes += reject.payload.len();
            self.rejects.push(reject);
            self.number += 1;
            return Ok(true);
        }
        Ok(false)
    }

    /// The error of a position that does not fit the file.
    fn moved(&self, skip: usize, bases: usize) -> Error {
        let problem =
            format!("cannot go on after {skip} bases of record {}: it has {bases}; the file has changed", self.number);
        self.records.input().request(problem)
    }

    /// Adds pieces of the record at hand until it ends or the batch is full.
    fn push_pieces(&mut self, mut within: usize) {
        let record = self.records.record();
        let bases = record.len();
        loop {
            let end = bases.min(within.saturating_add(self.limits.piece_bases));
            self.rows.push(&record, within..end);
            within = end;
            if end == bases || self.rows.is_full(&self.limits) {
                break;
            }
        }
        self.within = (within < bases).then_some(within);
        self.number += u64::from(within == bases);
    }

    fn is_full(&self) -> bool {
        self.rows.is_full(&self.limits)
            || self.rejects.len() >= self.limits.batch_rows
            || self.reject_bytes >= self.limits.batch_bases
    }

    fn position(&self) -> Position {
        self.records.position(self.within.is_some(), self.number, self.within.unwrap_or(0) as u64)
    }
}

impl<R: Records> Decode for RecordDecoder<R> {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    fn decode(&mut self) -> Result<Option<Batch>> {
        while !self.ended && !self.is_full() {
            match self.within {
                Some(within) => self.push_pieces(within),
                None => {
                    let position = self.position();
                    match self.advance() {
                        Ok(more) => self.ended = !more,
                        Err(error) => (self.ended, self.failed) = (true, Some((error, position))),
                    }
                }
            }
        }
        if self.rows.is_empty() && self.rejects.is_empty() {
            return self.failed.take().map_or(Ok(None), |(error, _)| Err(error));
        }
        // Who goes on behind what could not be read would not know of it.
        let next = self.failed.as_ref().map_or_else(|| self.position(), |(_, position)| *position);
        self.reject_bytes = 0;
        let rejects = std::mem::take(&mut self.rejects);
        let rows = self.rows.finish(self.records.input())?;
        Ok(Some(Batch { rows, rejects, next, token: CommitToken::default() }))
    }

    fn progress(&self) -> Option<(u64, u64)> {
        self.records.input().progress()
    }
}
