//! Reads and contigs from FASTA, FASTQ, SAM and BAM, as [`crate::schema::reads`].
//!
//! [`open`] tells the format by the first bytes after decompression, never by a parser's success. Plain text, gzip
//! (several members too) and BGZF are read; positions are exact in all of them.
//!
//! A sequence longer than [`ReadOptions::piece_bases`] comes in pieces, a row each; the columns beside `start`, `last`,
//! `sequence` and `quality` are the same in all rows of a record.
//!
//! A malformed record becomes a reject, and reading goes on with the next one. FASTA sequences stream: one that turns out
//! malformed after some of its pieces were yielded ends without a row that says `last`, and the next record's first row
//! (`start` 0) follows. Where the next record cannot be found (a damaged block, a BAM record of an absurd length, a
//! file that is cut short), reading ends with an error after all rows before that place.

mod alphabet;
mod bam;
mod cigar;
mod fasta;
mod fastq;
mod header;
pub(crate) mod input;
mod records;
mod region;
mod rows;
mod sam;
mod sniff;

use std::path::Path;

pub(crate) use sniff::by_name as sniff_name;
pub use sniff::{ReadFormat, sniff};

use self::{input::Input, rows::Rows};
use crate::{Decode, Error, Position, Result, Threaded};

/// Batches that may wait between the decoding thread and the reader.
const BATCHES_AHEAD: usize = 2;

/// How a file of reads is read.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// The format; `None`: told by the first bytes (of an empty file: by its name).
    pub format: Option<ReadFormat>,
    /// The columns wanted, of those of [`crate::schema::reads`]; `None`: all. Others are not decoded.
    pub columns: Option<Vec<String>>,
    /// `name`, `name:start-end` (1-based, closed) of an indexed FASTA or BAM file; `*`: a BAM file's unplaced reads.
    pub region: Option<String>,
    /// A batch ends at so many rows.
    pub batch_rows: usize,
    /// A batch also ends at so many bases.
    pub batch_bases: usize,
    /// The longest row: longer sequences come in pieces of this many bases.
    pub piece_bases: usize,
    /// Threads that inflate BGZF blocks; 0: the decoding thread does it.
    pub bgzf_workers: usize,
    /// Where to go on; `None`: at the start.
    pub start: Option<Position>,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            format: None,
            columns: None,
            region: None,
            batch_rows: 8192,
            batch_bases: 4 << 20,
            piece_bases: 65_536,
            bgzf_workers: 1,
            start: None,
        }
    }
}

/// Where batches and pieces are cut.
#[derive(Clone, Copy, Debug)]
struct Limits {
    batch_rows: usize,
    batch_bases: usize,
    piece_bases: usize,
}

impl Limits {
    /// The limits asked for, kept where a batch's columns can be addressed with 32 bits.
    fn new(options: &ReadOptions) -> Self {
        Self {
            batch_rows: options.batch_rows.clamp(1, 1 << 24),
            batch_bases: options.batch_bases.clamp(1, 1 << 29),
            piece_bases: options.piece_bases.clamp(1, 1 << 29),
        }
    }
}

/// Opens a file of reads or contigs.
///
/// # Errors
/// [`Error::Io`] when the file cannot be opened; [`Error::Request`] when the format is not known, a column does not
/// exist, a region is not there or has no index, or the position is of another kind of file; [`Error::Invalid`] when
/// the header is damaged.
pub fn open(path: &Path, options: &ReadOptions) -> Result<Threaded> {
    let decoder = decoder(path, options)?;
    Ok(Threaded::spawn(decoder, &path.display().to_string(), BATCHES_AHEAD))
}

/// The first bytes of a file after decompression: what [`sniff`] and its like look at. Empty for an empty file.
///
/// # Errors
/// When the file cannot be opened or its first block is damaged.
pub fn first_bytes(path: &Path) -> Result<Vec<u8>> {
    Ok(Input::open(path, 0)?.fill()?.to_vec())
}

/// The blocking reader behind [`open`].
///
/// # Errors
/// As [`open`].
pub fn decoder(path: &Path, options: &ReadOptions) -> Result<Box<dyn Decode>> {
    let workers = if options.region.is_some() { 0 } else { options.bgzf_workers };
    let mut input = Input::open(path, workers)?;
    let format = match options.format {
        Some(format) => format,
        None => told(&mut input)?,
    };
    let rows = Rows::new(path, options.columns.as_deref())?;
    let limits = Limits::new(options);
    let region = options.region.as_deref();
    Ok(match format {
        ReadFormat::Fasta => Box::new(fasta::open(input, rows, limits, (region, options.start))?),
        ReadFormat::Bam => bam::open(input, rows, limits, (region, options.start))?,
        ReadFormat::Fastq | ReadFormat::Sam if region.is_some() => {
            let problem = "regions are read from indexed BAM or FASTA files only; convert with `samtools sort` and \
                           `samtools index`"
                .into();
            return Err(Error::Request { path: path.into(), problem });
        }
        ReadFormat::Fastq => Box::new(fastq::open(input, rows, limits, options.start)?),
        ReadFormat::Sam => Box::new(sam::open(input, rows, limits, options.start)?),
    })
}

/// The format by the first bytes, or by the name where there are none.
fn told(input: &mut Input) -> Result<ReadFormat> {
    let by_name = sniff::by_name(input.path());
    let first = input.fill()?;
    if let Some(format) = sniff(first) {
        return Ok(format);
    }
    let problem = match (first, by_name) {
        ([], Some(format)) => return Ok(format),
        ([], None) => "the file is empty, and its name does not say what it should hold".to_owned(),
        ([b'C', b'R', b'A', b'M', ..], _) => "CRAM is not read; convert it with `samtools view -b`".to_owned(),
        _ => "neither FASTA, FASTQ, SAM nor BAM by its first bytes".to_owned(),
    };
    Err(Error::Request { path: input.path().into(), problem })
}
