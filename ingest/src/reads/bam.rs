//! BAM: records decoded straight from their bytes into columns.

mod fields;
mod header;
mod index;
mod tags;

pub(super) use self::{
    fields::{Fields, KNOWN_FLAGS, reference_span},
    tags::{Seen, size as tag_size},
};
use super::{
    Limits,
    header::References,
    input::{Chunks, Input, MAX_RECORD_BYTES},
    records::{RecordDecoder, Records, Step},
    rows::{Record, Rows},
};
use crate::{Decode, Position, Result};

/// The records of one file.
pub(super) struct Bam {
    input: Input,
    references: References,
    /// The record at hand: its bytes, without its length.
    bytes: Vec<u8>,
    fields: Fields,
    mark: u64,
    region: Option<Selection>,
}

/// The part of a file that is asked for.
struct Selection {
    wanted: Wanted,
    /// The parts of the file that may hold wanted records, in order; the first is being read.
    chunks: Chunks,
}

/// Which records are asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted {
    /// Those that overlap `start..end` (0-based) of a reference.
    Overlapping { reference: usize, start: u64, end: u64 },
    /// Those without a reference.
    Unplaced,
}

/// A BAM file, or a region of it, from a position.
pub(super) fn open(
    mut input: Input,
    rows: Rows,
    limits: Limits,
    (region, start): (Option<&str>, Option<Position>),
) -> Result<Box<dyn Decode>> {
    let references = header::read(&mut input)?;
    let mut region = region.map(|region| index::select(&input, &references, region)).transpose()?;
    let mut at = (0, 0);
    if let Some(start) = start {
        at = input.seek(start)?;
    }
    if let Some(region) = &mut region {
        region.chunks.go_to_first(&mut input, start.is_some())?;
    }
    let records = Bam { input, references, bytes: vec![], fields: Fields::default(), mark: 0, region };
    Ok(Box::new(RecordDecoder::new(records, rows, limits, at)))
}

impl Bam {
    /// Reads the next record's bytes; `false` at the end of the file.
    fn read(&mut self) -> Result<bool> {
        self.mark = self.input.mark();
        self.bytes.clear();
        // Nearly all records lie in one block as a whole.
        let bytes = self.input.fill()?;
        if let Some((four, rest)) = bytes.split_first_chunk()
            && let Ok(size) = self::size(*four)
            && let Some(record) = rest.get(..size)
        {
            self.bytes.extend_from_slice(record);
            self.input.consume(4 + size);
            return Ok(true);
        }
        let place = self.input.place_of(self.mark);
        let read = self.input.read_into(&mut self.bytes, 4)?;
        let Ok(four) = self.bytes[..].try_into() else {
            let problem = format!("the file ends after {read} of the 4 bytes of a record's length");
            return if read == 0 { Ok(false) } else { Err(self.input.invalid(place, problem)) };
        };
        let size = self::size(four).map_err(|problem| self.input.invalid(place.clone(), problem))?;
        self.bytes.clear();
        let read = self.input.read_into(&mut self.bytes, size)?;
        if read < size {
            let problem = format!("the file ends after {read} of {size} bytes of a record");
            return Err(self.input.invalid(place, problem));
        }
        Ok(true)
    }

    /// Goes to the next record in what is asked for; `false` at its end.
    fn read_wanted(&mut self) -> Result<bool> {
        loop {
            if let Some(region) = &mut self.region
                && !region.chunks.go_on(&mut self.input)?
            {
                return Ok(false);
            }
            if !self.read()? {
                return Ok(false);
            }
            match self.region.as_ref().map(|region| region.wanted.compare(&self.bytes)) {
                None | Some(Wants::Yes) => return Ok(true),
                Some(Wants::No) => {}
                Some(Wants::Past) => return Ok(false),
            }
        }
    }
}

/// The size of a record, from the number before it.
///
/// # Errors
/// When no record can have it.
fn size(number: [u8; 4]) -> Result<usize, String> {
    let size = usize::try_from(u32::from_le_bytes(number)).unwrap_or(usize::MAX);
    if (fields::HEAD_BYTES..=MAX_RECORD_BYTES).contains(&size) {
        return Ok(size);
    }
    let least = fields::HEAD_BYTES;
    Err(format!(
        "a record of {size} bytes cannot be (they have {least} to {MAX_RECORD_BYTES}): the file is damaged here"
    ))
}

impl Records for Bam {
    fn advance(&mut self, number: u64) -> Result<Step> {
        if !self.read_wanted()? {
            return Ok(Step::End);
        }
        match Fields::parse(&self.bytes, self.references.as_slice().len()) {
            Ok(fields) => {
                self.fields = fields;
                Ok(Step::Record)
            }
            Err(reason) => Ok(Step::Rejected(self.reject(number, reason, &self.bytes))),
        }
    }

    fn record(&self) -> Record<'_> {
        self.fields.record(&self.bytes, self.references.as_slice())
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

/// Whether a record is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    Yes,
    No,
    /// It is not, and none after it is.
    Past,
}

impl Wanted {
    /// Whether a record, of a file in any order, is asked for.
    pub(super) fn takes(self, bytes: &[u8]) -> bool {
        self.compare(bytes) == Wants::Yes
    }

    /// Whether a record is asked for. Malformed ones are, so that they are reported.
    fn compare(self, bytes: &[u8]) -> Wants {
        let (reference, position) = fields::place(bytes);
        match self {
            Self::Unplaced if reference < 0 => Wants::Yes,
            Self::Unplaced => Wants::No,
            Self::Overlapping { .. } if reference < 0 => Wants::Past,
            Self::Overlapping { reference: wanted, start, end } => {
                let (reference, position) = (reference as usize, u64::try_from(position).unwrap_or(0));
                match reference.cmp(&wanted) {
                    std::cmp::Ordering::Less => Wants::No,
                    std::cmp::Ordering::Greater => Wants::Past,
                    std::cmp::Ordering::Equal if position >= end => Wants::Past,
                    std::cmp::Ordering::Equal => {
                        let span = fields::reference_span(bytes).max(1);
                        if position + span > start { Wants::Yes } else { Wants::No }
                    }
                }
            }
        }
    }
}
