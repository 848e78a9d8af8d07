//! FASTA: sequences of any length stream in pieces; a record is never held as a whole.

mod index;
mod line;

use arrow::datatypes::SchemaRef;

use self::line::{Line, Scanned};
use super::{
    Limits,
    alphabet::bad_base,
    input::Input,
    records::MAX_PAYLOAD,
    rows::{Bases, Record, Rows},
};
use crate::{Batch, CommitToken, Decode, Error, Position, Reject, Result};

/// The longest header line.
const MAX_HEADER_BYTES: usize = 1 << 20;

/// The record at hand.
struct Current {
    mark: u64,
    /// The header line, without `>`.
    header: Vec<u8>,
    /// Bases of the record before `piece`.
    yielded: u64,
    /// Bases of the record still to be left out: they were read before.
    skip: u64,
    /// Bases that form the next row.
    piece: Vec<u8>,
    /// Where the region asked for ends, 0-based, exclusive.
    end: Option<u64>,
    line: Line,
}

impl Current {
    /// The first word of the header.
    fn id(&self) -> Option<&[u8]> {
        self.header.split(|b| b.is_ascii_whitespace()).next().filter(|id| !id.is_empty())
    }
}

/// The decoder of one file.
pub(super) struct Fasta {
    input: Input,
    rows: Rows,
    limits: Limits,
    rejects: Vec<Reject>,
    reject_bytes: usize,
    /// Number of the record at hand, or of the next one where none is.
    number: u64,
    current: Option<Current>,
    /// Bases of the next record that were read before.
    skip: u64,
    /// Records that ended.
    finished: u64,
    ended: bool,
    /// An error that comes after the rows read before it, and the position of what could not be read.
    failed: Option<(Error, Position)>,
}

/// A FASTA file, or one region of it, from a position.
pub(super) fn open(
    mut input: Input,
    rows: Rows,
    limits: Limits,
    (region, start): (Option<&str>, Option<Position>),
) -> Result<Fasta> {
    let (mut number, mut skip, mut current) = (0, 0, None);
    if let Some(region) = region {
        let place = index::find(&mut input, region, start)?;
        number = place.number;
        current = place.current;
    } else if let Some(start) = start {
        (number, skip) = input.seek(start)?;
    }
    let ended = region.is_some() && current.is_none();
    let (rejects, failed) = (vec![], None);
    Ok(Fasta { input, rows, limits, rejects, reject_bytes: 0, number, current, skip, finished: 0, ended, failed })
}

impl Fasta {
    /// Goes on by a header, or by some bases of the record at hand.
    fn step(&mut self) -> Result<()> {
        match self.current.take() {
            None => self.begin(),
            Some(current) => self.go_on(current),
        }
    }

    /// Reads a header line.
    fn begin(&mut self) -> Result<()> {
        let mark = self.input.mark();
        match self.input.fill()?.first() {
            _ if self.finished == self.limits.records => self.ended = true,
            None => self.ended = true,
            Some(b'\n' | b'\r') => self.input.consume(1),
            Some(b'>') => {
                let mut header = vec![];
                self.input.consume(1);
                self.input.read_line(&mut header, MAX_HEADER_BYTES)?;
                let skip = std::mem::take(&mut self.skip);
                let current = Current::new(mark, header, skip);
                if current.id().is_none_or(|id| std::str::from_utf8(id).is_ok()) {
                    self.current = Some(current);
                } else {
                    self.reject(current, "the name is not UTF-8")?;
                }
            }
            Some(_) => self.reject(Current::new(mark, vec![], 0), "there is no header line (`>name`) before this")?,
        }
        Ok(())
    }

    /// Adds bases to the record at hand, up to a whole piece.
    fn go_on(&mut self, mut current: Current) -> Result<()> {
        if current.end == Some(current.yielded + current.piece.len() as u64) {
            self.ended = true;
            return self.finish(current);
        }
        let mut room = (self.limits.piece_bases - current.piece.len()) as u64;
        if let Some(end) = current.end {
            room = room.min(end - current.yielded - current.piece.len() as u64);
        }
        let bytes = self.input.fill()?;
        match current.line.scan(bytes, usize::try_from(current.skip.max(room)).unwrap_or(usize::MAX)) {
            Scanned::Bases { from, to } => {
                let bases = &bytes[from..to];
                let left_out = usize::try_from(current.skip).unwrap_or(usize::MAX).min(bases.len());
                current.skip -= left_out as u64;
                let taken = &bases[left_out..];
                let taken = &taken[..taken.len().min(usize::try_from(room).unwrap_or(usize::MAX))];
                current.piece.extend_from_slice(taken);
                let n = from + left_out + taken.len();
                self.input.consume(n);
            }
            Scanned::Nothing { bytes } => self.input.consume(bytes),
            // The piece is whole, and the record goes on.
            Scanned::More => {
                let piece = std::mem::take(&mut current.piece);
                self.push(&current, &piece, false);
                current.yielded += piece.len() as u64;
                current.piece = piece;
                current.piece.clear();
            }
            Scanned::End => return self.finish(current),
            Scanned::Bad(byte) => return self.reject(current, &bad_base(byte)),
        }
        self.current = Some(current);
        Ok(())
    }

    /// Ends the record at hand with its last row.
    fn finish(&mut self, current: Current) -> Result<()> {
        let read = current.yielded + current.piece.len() as u64;
        let moved = current.skip > 0 || (current.yielded > 0 && current.piece.is_empty());
        if moved || current.end.is_some_and(|end| read < end) {
            let problem = format!(
                "record {} ends after {read} bases, before the place asked for: the file or its index has changed",
                self.number
            );
            return Err(self.input.request(problem));
        }
        self.push(&current, &current.piece, true);
        self.finished += 1;
        self.number += 1;
        Ok(())
    }

    fn push(&mut self, current: &Current, piece: &[u8], last: bool) {
        let record = Record { id: current.id(), bases: Some(Bases::Text(piece)), scores: None, alignment: None };
        self.rows.push_at(&record, 0..piece.len(), current.yielded, last);
    }

    /// Gives up the record at hand and goes to the next header line.
    fn reject(&mut self, current: Current, reason: &str) -> Result<()> {
        let at = self.input.place().to_string();
        let place =
            format!("{}, record {} ({})", self.input.path().display(), self.number, at.trim_start_matches(", "));
        let mut payload = current.header;
        payload.truncate(MAX_PAYLOAD / 2);
        if !payload.is_empty() {
            payload.insert(0, b'>');
            payload.push(b'\n');
        }
        payload.extend_from_slice(&current.piece);
        let bytes = self.input.fill()?;
        payload.extend_from_slice(&bytes[..bytes.len().min(MAX_PAYLOAD)]);
        payload.truncate(MAX_PAYLOAD);
        // Where the next record cannot be found, this one is not told of either: who goes on reads it again.
        line::skip_to_header(&mut self.input)?;
        self.reject_bytes += payload.len();
        self.rejects.push(Reject { place, reason: reason.into(), payload });
        self.number += 1;
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.rows.is_full(&self.limits)
            || self.rejects.len() >= self.limits.batch_rows
            || self.reject_bytes >= self.limits.batch_bases
    }

    fn position(&self) -> Position {
        let (mark, within) = match &self.current {
            Some(current) => (current.mark, current.yielded),
            None => (self.input.mark(), 0),
        };
        self.input.position(mark, self.number, within)
    }
}

impl Current {
    /// A record of whose bases the first `skip` were read before.
    fn new(mark: u64, header: Vec<u8>, skip: u64) -> Self {
        Self { mark, header, yielded: skip, skip, piece: vec![], end: None, line: Line::default() }
    }
}

impl Decode for Fasta {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    fn decode(&mut self) -> Result<Option<Batch>> {
        while !self.ended && !self.is_full() {
            let position = self.position();
            if let Err(error) = self.step() {
                (self.ended, self.failed) = (true, Some((error, position)));
            }
        }
        if self.rows.is_empty() && self.rejects.is_empty() {
            return self.failed.take().map_or(Ok(None), |(error, _)| Err(error));
        }
        // Who goes on behind what could not be read would not know of it.
        let next = self.failed.as_ref().map_or_else(|| self.position(), |(_, position)| *position);
        self.reject_bytes = 0;
        let rejects = std::mem::take(&mut self.rejects);
        let rows = self.rows.finish(&self.input)?;
        Ok(Some(Batch { rows, rejects, next, token: CommitToken::default() }))
    }

    fn progress(&self) -> Option<(u64, u64)> {
        self.input.progress()
    }
}
