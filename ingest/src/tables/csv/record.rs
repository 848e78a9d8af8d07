//! The records of a CSV file, one at a time, with where they stand.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use memchr::memchr_iter;

use crate::{Place, Result, reads::input::Input, tables::rows::MAX_PAYLOAD_BYTES};

/// The longest record: an unclosed quote or a file without line ends is found here.
const MAX_RECORD_BYTES: usize = 8 << 20;

/// The record at hand.
pub(super) struct RecordReader {
    core: Reader,
    /// Fields without quotes, one after the other.
    text: Vec<u8>,
    /// Ends of the fields in `text`.
    ends: Vec<usize>,
    fields: usize,
    raw: Vec<u8>,
    /// The line that the record begins on, 1-based.
    line: u64,
    next_line: u64,
    /// Uncompressed bytes read.
    offset: u64,
}

impl RecordReader {
    /// No record yet.
    pub(super) fn new(delimiter: u8) -> Self {
        Self {
            core: ReaderBuilder::new().delimiter(delimiter).build(),
            text: vec![0; 4096],
            ends: vec![0; 64],
            fields: 0,
            raw: vec![],
            line: 1,
            next_line: 1,
            offset: 0,
        }
    }

    /// Reads the next record; `false` at the end of the file. Blank lines are passed over.
    ///
    /// # Errors
    /// When the file is damaged or the record is too long.
    pub(super) fn read(&mut self, input: &mut Input) -> Result<bool> {
        if !self.skip_blank(input)? {
            return Ok(false);
        }
        self.line = self.next_line;
        self.raw.clear();
        let (mut size, mut text, mut ends) = (0, 0, 0);
        loop {
            let bytes = input.fill()?;
            let (result, n, n_text, n_ends) =
                self.core.read_record(bytes, &mut self.text[text..], &mut self.ends[ends..]);
            let room = MAX_PAYLOAD_BYTES.saturating_sub(self.raw.len());
            self.raw.extend_from_slice(&bytes[..n.min(room)]);
            self.next_line += memchr_iter(b'\n', &bytes[..n]).count() as u64;
            (size, text, ends) = (size + n, text + n_text, ends + n_ends);
            self.advance(input, n);
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.text.resize(self.text.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::End => return Ok(false),
                ReadRecordResult::Record => break,
            }
            if size > MAX_RECORD_BYTES {
                let problem = format!("a row of more than {MAX_RECORD_BYTES} bytes: a quote is not closed, or no CSV");
                return Err(input.invalid(Place::Line(self.line), problem));
            }
        }
        self.fields = ends;
        if self.raw.last() == Some(&b'\r') && input.fill()?.first() == Some(&b'\n') {
            self.next_line += 1;
            self.advance(input, 1);
        }
        Ok(true)
    }

    /// The number of fields.
    pub(super) fn len(&self) -> usize {
        self.fields
    }

    /// A field, without quotes.
    pub(super) fn field(&self, i: usize) -> &[u8] {
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        &self.text[start..self.ends[i]]
    }

    /// The line that the record ends on, 1-based.
    pub(super) fn last_line(&self) -> u64 {
        self.line + memchr_iter(b'\n', self.raw()).count() as u64
    }

    /// The line that the record begins on, 1-based.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// The record as written, as far as it is kept.
    pub(super) fn raw(&self) -> &[u8] {
        self.raw.trim_ascii_end()
    }

    /// Uncompressed offset of the byte after the record.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Goes on by bytes that are no part of a record.
    pub(super) fn advance(&mut self, input: &mut Input, n: usize) {
        self.offset += n as u64;
        input.consume(n);
    }

    /// Passes over line ends; `false` at the end of the file.
    fn skip_blank(&mut self, input: &mut Input) -> Result<bool> {
        loop {
            let bytes = input.fill()?;
            let (len, blank) = (bytes.len(), bytes.iter().take_while(|b| matches!(b, b'\n' | b'\r')).count());
            self.next_line += memchr_iter(b'\n', &bytes[..blank]).count() as u64;
            self.advance(input, blank);
            if blank < len || len == 0 {
                return Ok(len > 0);
            }
        }
    }
}
