//! CRAM: containers decoded by noodles and checked by the BAM reader.
//!
//! noodles gives records back from their differences to the reference; each is written as BAM holds it, and so passes the
//! same checks and becomes the same columns as a record of a BAM file. A container that cannot be decoded ends the reading:
//! where its records would begin is not known. The decoder panics on some damaged containers, which is caught here.

mod index;
mod template;

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use noodles::{
    bam,
    cram::{self, io::reader::Container},
    fasta::{self, repository::Adapter},
    sam::{self, alignment::io::Write as _},
};

use self::index::Selection;
use super::{
    Limits,
    bam::Fields,
    header::{Reference, References},
    input::{Input, MAX_RECORD_BYTES},
    records::{RecordDecoder, Records, Step},
    rows::{Record, Rows},
};
use crate::{Error, Position, Result};

/// The longest container that is read, in bytes.
const MAX_CONTAINER_BYTES: usize = 512 << 20;
/// Bytes of the container that ends every file, after its header.
const END_BYTES: usize = 15;
/// The most records that a container may say it has.
const MAX_CONTAINER_RECORDS: usize = 1 << 24;

/// The records of one file.
pub(super) struct Cram {
    reader: cram::io::Reader<Input>,
    header: sam::Header,
    references: References,
    repository: fasta::Repository,
    /// The records of the container at hand, as BAM has them, one after the other; and where each ends.
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Where the container at hand begins.
    mark: u64,
    /// Number of the next record within the container.
    next: usize,
    fields: Fields,
    region: Option<Selection>,
}

/// A CRAM file, or a region of it, from a position. `reference` is the FASTA file that its records differ from.
pub(super) fn open(
    input: Input,
    (rows, limits): (Rows, Limits),
    reference: Option<&Path>,
    (region, start): (Option<&str>, Option<Position>),
) -> Result<RecordDecoder<Cram>> {
    let path = input.path().to_owned();
    let repository = match reference {
        Some(reference) => fasta::Repository::new(Contigs(Mutex::new(crate::Reference::open(reference)?))),
        None => fasta::Repository::default(),
    };
    let builder = cram::io::reader::Builder::default().set_reference_sequence_repository(repository.clone());
    let mut reader = builder.build_from_reader(input);
    let header = guarded(|| reader.read_header()).map_err(|problem| damaged(&reader, 0, &problem))?;
    let references = references(&header).map_err(|problem| damaged(&reader, 0, &problem))?;
    let mut cram = Cram {
        mark: reader.get_ref().mark(),
        reader,
        header,
        references,
        repository,
        bytes: vec![],
        ends: vec![],
        next: 0,
        fields: Fields::default(),
        region: None,
    };
    if let Some(region) = region {
        cram.region = Some(index::select(cram.input(), &cram.references, region)?);
    }
    let mut at = (0, 0);
    if let Some(start) = start {
        let Position::Container { offset, index, record, within } = start else {
            let problem = format!("cannot go on at {start:?}: it is a position in another kind of file");
            return Err(Error::Request { path, problem });
        };
        cram.reader.get_mut().seek_to(offset)?;
        cram.mark = offset;
        if index > 0 && cram.read_container()? {
            cram.next = usize::try_from(index).unwrap_or(usize::MAX).min(cram.ends.len());
        }
        at = (record, within);
    }
    Ok(RecordDecoder::new(cram, rows, limits, at))
}

impl Cram {
    /// Decodes the container that comes next; `false` at the end of the file.
    fn read_container(&mut self) -> Result<bool> {
        self.bytes.clear();
        self.ends.clear();
        self.next = 0;
        if let Some(region) = &mut self.region {
            let Some(offset) = region.next_container(self.reader.get_ref().mark()) else { return Ok(false) };
            self.reader.get_mut().seek_to(offset)?;
        }
        self.mark = self.reader.get_ref().mark();
        self.check_length()?;
        let Self { reader, header, repository, bytes, ends, .. } = self;
        let decoded = guarded(|| decode(reader, (header, repository), bytes, ends));
        let more = decoded.map_err(|problem| damaged(&self.reader, self.mark, &problem))?;
        if !more && self.reader.get_mut().read_into(&mut vec![], END_BYTES)? < END_BYTES {
            return Err(damaged(&self.reader, self.mark, "it ends within the container that marks its end"));
        }
        Ok(more)
    }

    /// Refuses a container of a length that cannot be, before any memory is asked for it.
    fn check_length(&mut self) -> Result<()> {
        let mark = self.mark;
        let input = self.reader.get_mut();
        let mut four = vec![];
        input.read_into(&mut four, 4)?;
        input.seek_to(mark)?;
        let length = four.first_chunk().map_or(0, |four| i32::from_le_bytes(*four));
        if usize::try_from(length).is_ok_and(|length| length <= MAX_CONTAINER_BYTES) {
            return Ok(());
        }
        let problem = format!("a container of {length} bytes cannot be (at most {MAX_CONTAINER_BYTES})");
        Err(damaged(&self.reader, mark, &problem))
    }

    /// The bytes of a record of the container.
    fn bytes_of(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[index]]
    }
}

/// Decodes one container into BAM's bytes; `false` at the container that ends the file.
fn decode(
    reader: &mut cram::io::Reader<Input>,
    (header, repository): (&sam::Header, &fasta::Repository),
    bytes: &mut Vec<u8>,
    ends: &mut Vec<usize>,
) -> io::Result<bool> {
    let mut container = Container::default();
    if reader.read_container(&mut container)? == 0 {
        return Ok(false);
    }
    if container.header().record_count() > MAX_CONTAINER_RECORDS {
        return Err(io::Error::other(format!("{} records in a container", container.header().record_count())));
    }
    let compression_header = container.compression_header()?;
    let mut one = bam::io::Writer::from(vec![]);
    for slice in container.slices() {
        let slice = slice?;
        let (core, external) = slice.decode_blocks()?;
        let records = slice.records(repository.clone(), header, &compression_header, &core, &external)?;
        let first = ends.len();
        for record in &records {
            one.get_mut().clear();
            one.write_alignment_record(header, record)?;
            // A BAM record's own length stands before it.
            let record = one.get_mut().get_mut(4..).unwrap_or_default();
            settle_mapping_quality(record);
            if record.len() > MAX_RECORD_BYTES {
                return Err(io::Error::other(format!("a record of {} bytes", record.len())));
            }
            bytes.extend_from_slice(record);
            ends.push(bytes.len());
        }
        template::settle(bytes, ends, first);
    }
    Ok(true)
}

/// An unmapped read's mapping quality is not stored; it is 0 then, as htslib has it.
fn settle_mapping_quality(record: &mut [u8]) {
    const UNMAPPED: u8 = 4;
    if let [_, _, _, _, _, _, _, _, _, quality @ 255, _, _, _, _, flag, ..] = record
        && *flag & UNMAPPED != 0
    {
        *quality = 0;
    }
}

/// Runs a decoder; a panic in it is a problem of the file.
fn guarded<T>(decode: impl FnOnce() -> io::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(decode)) {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(panicked) => Err(match panicked.downcast_ref::<&str>() {
            Some(text) => (*text).to_owned(),
            None => panicked.downcast_ref::<String>().map_or("it contradicts itself", |text| text).to_owned(),
        }),
    }
}

/// The error of a container that cannot be decoded.
fn damaged(reader: &cram::io::Reader<Input>, mark: u64, problem: &str) -> Error {
    let input = reader.get_ref();
    let remedy =
        if problem.contains("reference") { "name the FASTA file it was made with" } else { "restore the file" };
    input.invalid(input.place_of(mark), format!("the CRAM container cannot be decoded ({problem}): {remedy}"))
}

/// The contigs of a FASTA file, for the decoder.
struct Contigs(Mutex<crate::Reference>);

impl Adapter for Contigs {
    fn get(&mut self, name: &[u8]) -> Option<io::Result<fasta::Record>> {
        let reference = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        let found =
            reference.contig(std::str::from_utf8(name).ok()?).map_err(|error| io::Error::other(error.to_string()));
        let record =
            |bases: Arc<[u8]>| fasta::Record::new(fasta::record::Definition::new(name, None), bases.to_vec().into());
        found.map(|bases| bases.map(record)).transpose()
    }
}

fn references(header: &sam::Header) -> Result<References, String> {
    let mut references = References::default();
    for (name, about) in header.reference_sequences() {
        references.add(Reference { name: name.to_vec(), length: usize::from(about.length()) as u64 })?;
    }
    Ok(references)
}

impl Records for Cram {
    fn advance(&mut self, number: u64) -> Result<Step> {
        loop {
            while self.next == self.ends.len() {
                if !self.read_container()? {
                    return Ok(Step::End);
                }
            }
            self.next += 1;
            let bytes = self.bytes_of(self.next - 1);
            if self.region.as_ref().is_none_or(|region| region.wants(bytes)) {
                break;
            }
        }
        match Fields::parse(self.bytes_of(self.next - 1), self.references.as_slice().len()) {
            Ok(fields) => {
                self.fields = fields;
                Ok(Step::Record)
            }
            Err(reason) => Ok(Step::Rejected(self.reject(number, reason, self.bytes_of(self.next - 1)))),
        }
    }

    fn record(&self) -> Record<'_> {
        self.fields.record(self.bytes_of(self.next - 1), self.references.as_slice())
    }

    fn mark(&self) -> u64 {
        self.mark
    }

    fn next_mark(&self) -> u64 {
        self.mark
    }

    fn position(&self, at_hand: bool, record: u64, within: u64) -> Position {
        let index = self.next as u64 - u64::from(at_hand);
        Position::Container { offset: self.mark, index, record, within }
    }

    fn input(&self) -> &Input {
        self.reader.get_ref()
    }
}
