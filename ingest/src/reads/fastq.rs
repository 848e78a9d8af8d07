//! FASTQ, with sequences and qualities on one line or on several.

mod parse;

use std::collections::VecDeque;

use self::parse::{Fields, Lines};
use super::{
    Limits,
    input::{Input, MAX_RECORD_BYTES},
    records::{RecordDecoder, Records, Step},
    rows::{Bases, Record, Rows, Scores},
};
use crate::{Position, Result};

/// The records of one file.
pub(super) struct Fastq {
    input: Input,
    /// The record at hand: all its lines.
    lines: Lines,
    /// Lines read with a malformed record that may begin the next one.
    again: VecDeque<(u64, Vec<u8>)>,
    fields: Fields,
}

/// A FASTQ file, from a position.
pub(super) fn open(
    mut input: Input,
    rows: Rows,
    limits: Limits,
    start: Option<Position>,
) -> Result<RecordDecoder<Fastq>> {
    let at = start.map_or(Ok((0, 0)), |start| input.seek(start))?;
    let records = Fastq { input, lines: Lines::default(), again: VecDeque::new(), fields: Fields::default() };
    Ok(RecordDecoder::new(records, rows, limits, at))
}

impl Fastq {
    /// Adds the next line to the record at hand; `false` at the end of the file.
    fn next_line(&mut self) -> Result<bool> {
        if let Some((mark, line)) = self.again.pop_front() {
            self.lines.push(mark, |text| text.extend_from_slice(&line));
            return Ok(true);
        }
        let mark = self.input.mark();
        let (mut any, room) = (Ok(false), MAX_RECORD_BYTES.saturating_sub(self.lines.bytes()));
        self.lines.push(mark, |text| any = self.input.read_line(text, room));
        if !matches!(any, Ok(true)) {
            self.lines.pop();
        }
        any
    }

    /// Takes a record of four lines that lies in the bytes at hand as a whole: the usual case, at a fraction of the cost.
    fn read_at_once(&mut self) -> Result<Option<Fields>> {
        if !self.again.is_empty() {
            return Ok(None);
        }
        let mark = self.input.mark();
        let bytes = self.input.fill()?;
        let Some((fields, size)) = parse::four_lines(bytes) else { return Ok(None) };
        self.lines.push(mark, |text| text.extend_from_slice(&bytes[..size]));
        self.input.consume(size);
        Ok(Some(fields))
    }

    /// Reads lines until a record is whole; `None` where there is no more, an error's reason where it is malformed.
    fn read(&mut self) -> Result<Option<Result<Fields, String>>> {
        self.lines.clear();
        if let Some(fields) = self.read_at_once()? {
            return Ok(Some(Ok(fields)));
        }
        let mut state = parse::Parser::default();
        loop {
            if !self.next_line()? {
                return Ok(state.end().map(Err));
            }
            match state.add(&self.lines) {
                Ok(parse::Progress::Blank) => self.lines.clear(),
                Ok(parse::Progress::Going) => {}
                Ok(parse::Progress::Whole(fields)) => return Ok(Some(Ok(fields))),
                Err(reason) => return Ok(Some(Err(reason))),
            }
        }
    }

    /// Looks for the next line that may begin a record, first among those of the malformed one.
    fn resynchronise(&mut self) -> Result<()> {
        let next = (1..self.lines.len()).find(|&i| self.lines.line(i).starts_with(b"@"));
        if let Some(next) = next {
            for i in (next..self.lines.len()).rev() {
                self.again.push_front((self.lines.mark(i), self.lines.line(i).to_vec()));
            }
            self.lines.truncate(next);
            return Ok(());
        }
        let lines = self.lines.len();
        while self.next_line()? {
            let last = self.lines.len() - 1;
            let (mark, line) = (self.lines.mark(last), self.lines.line(last));
            if line.starts_with(b"@") {
                self.again.push_front((mark, line.to_vec()));
                self.lines.pop();
                return Ok(());
            }
            if self.lines.len() > lines + 4 {
                self.lines.pop();
            }
        }
        Ok(())
    }
}

impl Records for Fastq {
    fn advance(&mut self, number: u64) -> Result<Step> {
        match self.read()? {
            None => Ok(Step::End),
            Some(Ok(fields)) => {
                self.fields = fields;
                Ok(Step::Record)
            }
            Some(Err(reason)) => {
                self.resynchronise()?;
                Ok(Step::Rejected(self.reject(number, reason, self.lines.text())))
            }
        }
    }

    fn record(&self) -> Record<'_> {
        let text = self.lines.text();
        let id = &text[self.fields.id.clone()];
        Record {
            id: (!id.is_empty()).then_some(id),
            bases: Some(Bases::Text(&text[self.fields.bases.clone()])),
            scores: Some(Scores::Characters(&text[self.fields.scores.clone()])),
            alignment: None,
        }
    }

    fn mark(&self) -> u64 {
        self.lines.mark(0)
    }

    fn next_mark(&self) -> u64 {
        self.again.front().map_or_else(|| self.input.mark(), |(mark, _)| *mark)
    }

    fn input(&self) -> &Input {
        &self.input
    }
}
