//! SAM: one line a record, each field checked.

mod fields;
mod number;
mod tags;

use self::fields::Fields;
use super::{
    Limits,
    header::{Header, References},
    input::{Input, MAX_RECORD_BYTES},
    records::{RecordDecoder, Records, Step},
    rows::{Record, Rows},
};
use crate::{Place, Position, Reject, Result};

/// The records of one file.
pub(super) struct Sam {
    input: Input,
    references: References,
    /// The record at hand: its line.
    line: Vec<u8>,
    fields: Fields,
    mark: u64,
}

/// A SAM file, from a position.
pub(super) fn open(
    mut input: Input,
    rows: Rows,
    limits: Limits,
    start: Option<Position>,
) -> Result<RecordDecoder<Sam>> {
    let (references, mut rejects) = read_header(&mut input)?;
    let mut at = (0, 0);
    if let Some(start) = start {
        at = input.seek(start)?;
        rejects.clear();
    }
    let records = Sam { input, references, line: vec![], fields: Fields::default(), mark: 0 };
    Ok(RecordDecoder::new(records, rows, limits, at).with_rejects(rejects))
}

/// Reads the lines that begin with `@`.
///
/// # Errors
/// When one of the references cannot be used.
fn read_header(input: &mut Input) -> Result<(References, Vec<Reject>)> {
    let mut header = Header::default();
    let mut line = vec![];
    while input.fill()?.first() == Some(&b'@') {
        line.clear();
        input.read_line(&mut line, MAX_RECORD_BYTES)?;
        header.add(&line);
    }
    let (references, faults) = header.finish();
    if let Some(fault) = faults.iter().find(|fault| fault.fatal) {
        return Err(input.invalid(Place::Line(fault.line), format!("in the header: {}", fault.reason)));
    }
    let rejects = faults.into_iter().map(|fault| {
        let place = format!("{}, header line {}", input.path().display(), fault.line);
        Reject { place, reason: fault.reason, payload: fault.text }
    });
    Ok((references, rejects.collect()))
}

impl Records for Sam {
    fn advance(&mut self, number: u64) -> Result<Step> {
        loop {
            self.line.clear();
            self.mark = self.input.mark();
            if !self.input.read_line(&mut self.line, MAX_RECORD_BYTES)? {
                return Ok(Step::End);
            }
            if !self.line.is_empty() {
                break;
            }
        }
        match Fields::parse(&self.line, &self.references) {
            Ok(fields) => {
                self.fields = fields;
                Ok(Step::Record)
            }
            Err(reason) => Ok(Step::Rejected(self.reject(number, reason, &self.line))),
        }
    }

    fn record(&self) -> Record<'_> {
        self.fields.record(&self.line)
    }

    fn mark(&self) -> u64 {
        self.mark
    }

    fn next_mark(&self) -> u64 {
        self.input.mark()
    }

    fn input(&self) -> &Input {
        &self.input
    }
}
