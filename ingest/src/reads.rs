//! Reads and contigs from FASTA, FASTQ, SAM, BAM and CRAM, as [`crate::schema::reads`].
//!
//! [`open`] tells the format by the first bytes after decompression, never by a parser's success. Plain text, gzip
//! (several members too) and BGZF are read; positions are exact in all of them.
//!
//! A sequence longer than [`ReadOptions::piece_bases`] comes in pieces, a row each; the columns beside `start`, `last`,
//! `sequence` and `quality` are the same in all rows of a record.
//!
//! A malformed record becomes a reject, and reading goes on with the next one. FASTA sequences stream: one that turns out
//! malformed after some of its pieces were yielded ends without a row that says `last`, and the next record's first row
//! (`start` 0) follows. Where the next record cannot be found (a damaged block or container, a BAM record of an absurd
//! length, a file that is cut short), reading ends with an error after all rows before that place.

mod alphabet;
mod bam;
pub(crate) mod binning;
mod cigar;
mod cram;
mod fasta;
mod fastq;
mod header;
mod index_layout;
pub(crate) mod input;
mod records;
pub(crate) mod region;
mod rows;
mod sam;
mod sniff;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::datatypes::{Field, Schema, SchemaRef};

pub(crate) use sniff::by_name as sniff_name;
pub use sniff::{ReadFormat, sniff};

use self::{input::Input, rows::Rows};
use crate::{Decode, Error, Position, Result, Threaded, schema};

/// Batches that may wait between the decoding thread and the reader.
const BATCHES_AHEAD: usize = 2;

/// How a file of reads is read.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// The format; `None`: told by the first bytes (of an empty file: by its name).
    pub format: Option<ReadFormat>,
    /// The columns wanted, of those of [`crate::schema::reads`]; `None`: all. Others are not decoded.
    pub columns: Option<Vec<String>>,
    /// Optional fields of SAM, BAM and CRAM files that become columns `tag_XX`, after the others.
    pub tags: Vec<TagColumn>,
    /// `name`, `name:start-end` (1-based, closed) of an indexed FASTA, BAM or CRAM file; `*`: the unplaced reads of the two.
    pub region: Option<String>,
    /// The FASTA file that a CRAM file's records differ from; needed unless the file holds its own. Quicker with an index.
    pub reference: Option<PathBuf>,
    /// Which records are wanted; the others are not made into rows, nor counted in the limit.
    pub filter: ReadFilter,
    /// At most so many records, from where reading starts; a rejected one is none.
    pub limit: Option<u64>,
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

/// An optional field that becomes a column: null where a record has none of this type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagColumn {
    /// Its two letters, such as `NM`.
    pub tag: [u8; 2],
    /// The type of its column.
    pub kind: TagKind,
}

/// The type of a column of optional fields. Arrays have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagKind {
    /// i64, of all of SAM's integers.
    Integer,
    /// f64; integers too.
    Float,
    /// Text, a character, or hexadecimal digits.
    Text,
}

impl TagColumn {
    /// `NM:i`, `AS:f` or `RG:Z`, as SAM writes a field before its value.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is no tag with a type: write NM:i, AS:f or RG:Z");
        let [a, b, b':', kind] = *text.as_bytes() else { return Err(wrong()) };
        if !(a.is_ascii_alphabetic() && b.is_ascii_alphanumeric()) {
            return Err(wrong());
        }
        let kind = match kind {
            b'i' => TagKind::Integer,
            b'f' => TagKind::Float,
            b'Z' => TagKind::Text,
            _ => return Err(wrong()),
        };
        Ok(Self { tag: [a, b], kind })
    }

    /// The column's name.
    #[must_use]
    pub fn name(&self) -> String {
        format!("tag_{}", self.tag.escape_ascii())
    }
}

/// The schema of rows with all columns and those of the optional fields asked for.
#[must_use]
pub fn schema(tags: &[TagColumn]) -> SchemaRef {
    let mut fields: Vec<Arc<Field>> = schema::reads().fields().iter().map(Arc::clone).collect();
    fields.extend(tags.iter().map(|tag| Arc::new(Field::new(tag.name(), rows::data_type(tag.kind), true))));
    Arc::new(Schema::new(fields))
}

/// Which records of SAM, BAM and CRAM files are wanted, as samtools' `-f`, `-F` and `-q` say it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadFilter {
    /// Bits of the flag that must all be set.
    pub required_flags: u16,
    /// Bits of the flag that must not be set.
    pub excluded_flags: u16,
    /// The least mapping quality; one that is not available is the greatest (255).
    pub least_mapping_quality: u8,
}

impl ReadFilter {
    /// Whether a record is wanted.
    fn wants(&self, record: &rows::Record<'_>) -> bool {
        let Some(alignment) = &record.alignment else { return true };
        alignment.flag & self.required_flags == self.required_flags
            && alignment.flag & self.excluded_flags == 0
            && alignment.mapping_quality.unwrap_or(u8::MAX) >= self.least_mapping_quality
    }
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            format: None,
            columns: None,
            tags: vec![],
            region: None,
            reference: None,
            filter: ReadFilter::default(),
            limit: None,
            batch_rows: 8192,
            batch_bases: 4 << 20,
            piece_bases: 65_536,
            bgzf_workers: 1,
            start: None,
        }
    }
}

/// Where batches and pieces are cut, and which records are wanted.
#[derive(Clone, Copy, Debug)]
struct Limits {
    filter: ReadFilter,
    records: u64,
    batch_rows: usize,
    batch_bases: usize,
    piece_bases: usize,
}

impl Limits {
    /// The limits asked for, kept where a batch's columns can be addressed with 32 bits.
    fn new(options: &ReadOptions) -> Self {
        Self {
            filter: options.filter,
            records: options.limit.unwrap_or(u64::MAX),
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
    let aligned = options.filter != ReadFilter::default() || !options.tags.is_empty();
    if matches!(format, ReadFormat::Fasta | ReadFormat::Fastq) && aligned {
        let problem = "flags, mapping qualities and tags are of SAM, BAM and CRAM files only".into();
        return Err(Error::Request { path: path.into(), problem });
    }
    let rows = Rows::new(path, options.columns.as_deref(), &options.tags)?;
    let limits = Limits::new(options);
    let region = options.region.as_deref();
    Ok(match format {
        ReadFormat::Fasta => Box::new(fasta::open(input, rows, limits, (region, options.start))?),
        ReadFormat::Bam => bam::open(input, rows, limits, (region, options.start))?,
        ReadFormat::Cram => {
            Box::new(cram::open(input, (rows, limits), options.reference.as_deref(), (region, options.start))?)
        }
        ReadFormat::Fastq | ReadFormat::Sam if region.is_some() => {
            let problem =
                "regions are read from indexed BAM, CRAM or FASTA files only; convert with `samtools sort` and \
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
        _ => "neither FASTA, FASTQ, SAM, BAM nor CRAM by its first bytes".to_owned(),
    };
    Err(Error::Request { path: input.path().into(), problem })
}
