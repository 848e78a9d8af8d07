//! From records held in memory, one at a time, to batches: what variants and features share.

use arrow::{array::RecordBatch, datatypes::SchemaRef, error::ArrowError};

use crate::{Batch, CommitToken, Decode, Error, Reject, Result, reads::input::Input};

/// The most of a rejected record that is kept, and of all that a batch rejects.
const MAX_PAYLOAD: usize = 64 << 10;
const MAX_PAYLOADS: usize = 16 << 20;

/// A batch that fills.
pub(crate) trait Filling: Send + 'static {
    /// The schema of every batch.
    fn schema(&self) -> SchemaRef;

    /// The most rows of a batch.
    fn most(&self) -> usize;

    /// Rows so far.
    fn len(&self) -> usize;

    /// Whether the batch ends here, because of its bytes.
    fn is_large(&self) -> bool;

    /// The batch, and an empty one in its place.
    ///
    /// # Errors
    /// Never for what the readers of this crate push.
    fn finish(&mut self) -> Result<RecordBatch, ArrowError>;
}

/// A format whose records are held in memory one at a time.
pub(crate) trait OneByOne: Send + 'static {
    /// What its records become.
    type Rows: Filling;

    /// Reads the next record's bytes; `false` at the end.
    fn advance(&mut self) -> Result<bool>;

    /// Adds the record read last to the rows.
    ///
    /// # Errors
    /// With what is wrong with it; nothing was added then.
    fn push(&self, rows: &mut Self::Rows) -> Result<(), String>;

    /// The mark of the record read last.
    fn mark(&self) -> u64;

    /// The bytes of the record read last.
    fn bytes(&self) -> &[u8];

    /// The file.
    fn input(&self) -> &Input;
}

/// A [`Decode`] over [`OneByOne`].
pub(crate) struct Decoder<S: OneByOne> {
    records: S,
    rows: S::Rows,
    rejects: Vec<Reject>,
    reject_bytes: usize,
    /// Number of the next record.
    number: u64,
    ended: bool,
    /// An error that comes after the rows read before it.
    failed: Option<Error>,
}

impl<S: OneByOne> Decoder<S> {
    /// Starts at record `number`.
    pub(crate) fn new(records: S, rows: S::Rows, number: u64) -> Self {
        Self { records, rows, rejects: vec![], reject_bytes: 0, number, ended: false, failed: None }
    }

    fn step(&mut self) -> Result<()> {
        self.ended = !self.records.advance()?;
        if self.ended {
            return Ok(());
        }
        if let Err(reason) = self.records.push(&mut self.rows) {
            self.reject(reason);
        }
        self.number += 1;
        Ok(())
    }

    fn reject(&mut self, reason: String) {
        let input = self.records.input();
        let at = input.place_of(self.records.mark()).to_string();
        let at = at.trim_start_matches(", ");
        let place = format!("{}, record {} ({at})", input.path().display(), self.number);
        let bytes = self.records.bytes();
        let payload = bytes[..bytes.len().min(MAX_PAYLOAD)].to_vec();
        self.reject_bytes += payload.len();
        self.rejects.push(Reject { place, reason, payload });
    }

    fn is_full(&self) -> bool {
        self.rows.len().max(self.rejects.len()) >= self.rows.most()
            || self.rows.is_large()
            || self.reject_bytes >= MAX_PAYLOADS
    }
}

impl<S: OneByOne> Decode for Decoder<S> {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    fn decode(&mut self) -> Result<Option<Batch>> {
        while !self.ended && !self.is_full() {
            if let Err(error) = self.step() {
                (self.ended, self.failed) = (true, Some(error));
            }
        }
        if self.rows.len() == 0 && self.rejects.is_empty() {
            return self.failed.take().map_or(Ok(None), Err);
        }
        let input = self.records.input();
        let next = input.position(input.mark(), self.number, 0);
        let rows = self.rows.finish().map_err(|e| input.invalid(input.place(), e.to_string()))?;
        self.reject_bytes = 0;
        let rejects = std::mem::take(&mut self.rejects);
        Ok(Some(Batch { rows, rejects, next, token: CommitToken::default() }))
    }

    fn progress(&self) -> Option<(u64, u64)> {
        self.records.input().progress()
    }
}

/// Reads the next line that is not empty and does not begin with `#`, without its end; its mark, or `None` at the end.
pub(crate) fn next_line(input: &mut Input, line: &mut Vec<u8>, most: usize) -> Result<Option<u64>> {
    loop {
        line.clear();
        let mark = input.mark();
        if !input.read_line(line, most)? {
            return Ok(None);
        }
        if !line.is_empty() && line[0] != b'#' {
            return Ok(Some(mark));
        }
    }
}
