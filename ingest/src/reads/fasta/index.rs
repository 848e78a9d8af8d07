//! A region of a FASTA file through its index: `.fai`, and `.gzi` for bgzip files.

use std::io;

use noodles::{
    bgzf::gzi,
    fasta::fai::{self, Record},
};

use super::{
    super::{
        input::{Input, beside, read_whole},
        region::{self, Region},
    },
    Current,
};
use crate::{Error, Place, Position, Result};

/// Where reading begins.
pub(super) struct Found {
    /// Number of the record in the index, 0-based.
    pub(super) number: u64,
    /// The record, ready for its next base; `None` where all of the region was read.
    pub(super) current: Option<Current>,
}

/// Finds a region's first base, or the one where `start` says to go on, and goes there.
///
/// # Errors
/// When there is no index, the file cannot be reached at random, or the region is not in it.
pub(super) fn find(input: &mut Input, region: &str, start: Option<Position>) -> Result<Found> {
    if !input.is_seekable() {
        let problem = "a region needs a plain or bgzip file; compress it with `bgzip` in place of gzip".into();
        return Err(input.request(problem));
    }
    let index = read_index(input)?;
    let records: &[Record] = index.as_ref();
    let lengths = records.iter().map(|r| (r.name().to_vec(), Some(r.length())));
    let Region { reference, start: from, end } = region::parse(region, lengths).map_err(|e| input.request(e))?;
    let record = &records[reference];
    let end = end.unwrap_or(record.length());
    let blocks = if input.is_bgzf() { Some(read_blocks(input)?) } else { None };
    let mark_of = |offset: u64| match &blocks {
        Some(blocks) => blocks.query(offset).map(u64::from).ok(),
        None => Some(offset),
    };
    let base = match start {
        Some(Position::Text { within, .. } | Position::Bgzf { within, .. }) => within.max(from),
        Some(_) => return Err(input.request("cannot go on at a position in another kind of file".into())),
        None => from,
    };
    let number = reference as u64;
    let ended = matches!(start, Some(Position::Text { record, .. } | Position::Bgzf { record, .. }) if record > number);
    if ended {
        return Ok(Found { number: number + 1, current: None });
    }
    let offset = offset_of(record, base)
        .ok_or_else(|| input.request("the index has numbers that cannot be: make it with `samtools faidx`".into()))?;
    let marks = (mark_of(record.position()), mark_of(offset));
    let (Some(mark), Some(first)) = marks else {
        return Err(input.request(format!("the index does not know byte {offset}: make it again")));
    };
    input.seek_to(first)?;
    let mut current = Current::new(mark, record.name().to_vec(), 0);
    (current.yielded, current.end) = (base, Some(end));
    Ok(Found { number, current: Some(current) })
}

/// The uncompressed offset of a base of a record; `None` where it would be beyond all files.
fn offset_of(record: &Record, base: u64) -> Option<u64> {
    let line_bases = record.line_base_count().get();
    let lines = (base / line_bases).checked_mul(record.line_width().get())?;
    record.position().checked_add(lines)?.checked_add(base % line_bases)
}

/// Reads `FILE.fai`.
fn read_index(input: &Input) -> Result<fai::Index> {
    let read = |bytes: &[u8]| fai::io::Reader::new(bytes).read_index();
    read_beside(input, ("fai", "make it with `samtools faidx`"), read)
}

/// Reads `FILE.gzi`.
fn read_blocks(input: &Input) -> Result<gzi::Index> {
    let read = |bytes: &[u8]| gzi::io::Reader::new(bytes).read_index();
    read_beside(input, ("gzi", "make it with `bgzip --reindex`"), read)
}

/// Reads an index, which must be there.
fn read_beside<T>(
    input: &Input,
    (extension, remedy): (&str, &str),
    read: impl FnOnce(&[u8]) -> io::Result<T>,
) -> Result<T> {
    let path = beside(input.path(), extension);
    let problem = match read_whole(&path)? {
        None => format!("a region needs this index: {remedy}"),
        Some(bytes) => match read(&bytes) {
            Ok(index) => return Ok(index),
            Err(source) => format!("the index cannot be read ({source}): {remedy}"),
        },
    };
    Err(Error::Invalid { path, place: Place::Whole, problem })
}
