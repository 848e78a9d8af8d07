//! From records held in memory, one at a time, to batches: what variants and features share.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch},
    datatypes::SchemaRef,
};

use crate::{Batch, CommitToken, Decode, Error, Reject, Result, reads::input::Input};

/// The most of a rejected record that is kept, and of all that a batch rejects.
const MAX_PAYLOAD: usize = 64 << 10;
const MAX_PAYLOADS: usize = 16 << 20;

/// Bytes of text that end a batch.
const MAX_TEXT_BYTES: usize = 32 << 20;

/// The columns of a format's rows while they fill.
pub(crate) trait Columns: Send + 'static {
    /// The schema of every batch.
    fn schema(&self) -> SchemaRef;

    /// What filled, in the schema's order; the columns are empty then.
    fn finish(&mut self) -> Vec<ArrayRef>;
}

/// A format whose records are held in memory one at a time.
pub(crate) trait OneByOne: Send + 'static {
    /// What its records fill.
    type Columns: Columns;

    /// Reads the next record's bytes; `false` at the end.
    fn advance(&mut self) -> Result<bool>;

    /// Adds the record read last to the columns; returns its bytes of text.
    ///
    /// # Errors
    /// With what is wrong with it; nothing was added then.
    fn push(&self, columns: &mut Self::Columns) -> Result<usize, String>;

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
    schema: SchemaRef,
    columns: S::Columns,
    /// The most rows of a batch, rows so far, and their bytes of text.
    most: usize,
    rows: usize,
    text_bytes: usize,
    rejects: Vec<Reject>,
    reject_bytes: usize,
    /// Number of the next record.
    number: u64,
    /// The mark of what was no record any more: the end, or what could not be read. Who went on behind it would not know of it.
    ended: Option<u64>,
    /// An error that comes after the rows read before it.
    failed: Option<Error>,
}

impl<S: OneByOne> Decoder<S> {
    /// Starts at record `number`; a batch has at most `most` rows.
    pub(crate) fn new(records: S, columns: S::Columns, (most, number): (usize, u64)) -> Self {
        let (schema, most) = (columns.schema(), most.clamp(1, 1 << 24));
        let (rows, text_bytes, rejects, reject_bytes) = (0, 0, vec![], 0);
        Self {
            records,
            schema,
            columns,
            most,
            rows,
            text_bytes,
            rejects,
            reject_bytes,
            number,
            ended: None,
            failed: None,
        }
    }

    /// Takes in the next record; `false` at the end.
    fn step(&mut self) -> Result<bool> {
        if !self.records.advance()? {
            return Ok(false);
        }
        match self.records.push(&mut self.columns) {
            Ok(bytes) => (self.rows, self.text_bytes) = (self.rows + 1, self.text_bytes + bytes),
            Err(reason) => self.reject(reason),
        }
        self.number += 1;
        Ok(true)
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
        self.rows.max(self.rejects.len()) >= self.most
            || self.text_bytes >= MAX_TEXT_BYTES
            || self.reject_bytes >= MAX_PAYLOADS
    }
}

impl<S: OneByOne> Decode for Decoder<S> {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn decode(&mut self) -> Result<Option<Batch>> {
        while self.ended.is_none() && !self.is_full() {
            let mark = self.records.input().mark();
            let more = self.step();
            self.ended = (!matches!(more, Ok(true))).then_some(mark);
            self.failed = more.err();
        }
        if self.rows == 0 && self.rejects.is_empty() {
            return self.failed.take().map_or(Ok(None), Err);
        }
        let input = self.records.input();
        let next = input.position(self.ended.unwrap_or_else(|| input.mark()), self.number, 0);
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), self.columns.finish());
        let rows = rows.map_err(|e| input.invalid(input.place(), e.to_string()))?;
        (self.rows, self.text_bytes, self.reject_bytes) = (0, 0, 0);
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
