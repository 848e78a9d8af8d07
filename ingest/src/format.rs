//! Telling all formats apart: by the first bytes after decompression, by the name only where those are not enough.

mod describe;

use std::{fmt, path::Path};

pub use self::describe::describe;
pub(crate) use self::describe::fact;

use crate::{
    Error, Result,
    reads::{ReadFormat, input::Input, sniff},
    variants::{self, VariantFormat},
};

/// First bytes looked at.
pub(crate) const FIRST_BYTES: usize = 64 << 10;

/// A format that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// Sequences with names.
    Fasta,
    /// Sequences with qualities.
    Fastq,
    /// Alignments as text.
    Sam,
    /// Alignments, binary.
    Bam,
    /// Alignments, as differences from a reference.
    Cram,
    /// Variants as text.
    Vcf,
    /// Variants, binary.
    Bcf,
    /// A columnar table.
    Parquet,
    /// A table as text.
    Csv,
    /// The Monash archive's series.
    Tsf,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fasta => "FASTA",
            Self::Fastq => "FASTQ",
            Self::Sam => "SAM",
            Self::Bam => "BAM",
            Self::Cram => "CRAM",
            Self::Vcf => "VCF",
            Self::Bcf => "BCF",
            Self::Parquet => "Parquet",
            Self::Csv => "CSV",
            Self::Tsf => "TSF",
        })
    }
}

impl From<ReadFormat> for Format {
    fn from(format: ReadFormat) -> Self {
        match format {
            ReadFormat::Fasta => Self::Fasta,
            ReadFormat::Fastq => Self::Fastq,
            ReadFormat::Sam => Self::Sam,
            ReadFormat::Bam => Self::Bam,
            ReadFormat::Cram => Self::Cram,
        }
    }
}

/// The format of a file.
///
/// # Errors
/// When the file cannot be read, is empty with a name that says nothing, or is of no format that is read.
pub fn detect(path: &Path) -> Result<Format> {
    of(&Input::open(path, 0)?.first(FIRST_BYTES)?, path)
}

/// The format of a file by its first bytes after decompression.
pub(crate) fn of(first: &[u8], path: &Path) -> Result<Format> {
    let unknown = |problem: &str| Err(Error::Request { path: path.into(), problem: problem.into() });
    if first.is_empty() {
        return by_name(path)
            .map_or_else(|| unknown("the file is empty, and its name does not say what it should hold"), Ok);
    }
    match first {
        [b'P', b'A', b'R', b'1', ..] => return Ok(Format::Parquet),
        [b'P', b'A', b'R', b'E', ..] => return unknown("the Parquet file's footer is encrypted, which is not read"),
        [b'B', b'C', b'F', 4, ..] => {
            return unknown("BCF version 1 is not read; write version 2 with `bcftools view -Ob`");
        }
        _ if first.starts_with(b"ARROW1") => return unknown("Arrow IPC files are not read; write Parquet"),
        _ => {}
    }
    match variants::sniff(first) {
        Some(VariantFormat::Vcf) => return Ok(Format::Vcf),
        Some(VariantFormat::Bcf) => return Ok(Format::Bcf),
        None => {}
    }
    if is_tsf(first) {
        return Ok(Format::Tsf);
    }
    if let Some(problem) = other_text(first) {
        return unknown(problem);
    }
    if let Some(format) = sniff(first) {
        return Ok(format.into());
    }
    if is_table(first) {
        return Ok(Format::Csv);
    }
    unknown("its first bytes are of no format that is read (FASTA, FASTQ, SAM, BAM, CRAM, VCF, BCF, Parquet, CSV, TSF)")
}

/// What is wrong with a text that would pass for a table, but is of a well-known format that is not read.
fn other_text(first: &[u8]) -> Option<&'static str> {
    let text = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first).trim_ascii_start();
    match text {
        [b'{', ..] => Some("JSON is not read; write CSV or Parquet"),
        [b'[', after @ ..]
            if matches!(after.trim_ascii_start(), [] | [b'{' | b'[' | b'"' | b'0'..=b'9' | b'-', ..]) =>
        {
            Some("JSON is not read; write CSV or Parquet")
        }
        _ if text.starts_with(b"<?xml") || text.starts_with(b"<!") => Some("XML and HTML are not read"),
        _ if text.starts_with(b"##gff-version") => {
            Some("GFF holds no sequences: it is for --features of `unspool embed`")
        }
        _ if text.starts_with(b"LOCUS ") => Some("GenBank records are not read; convert them to FASTA"),
        _ if first_word(first) == b"@problemname" => {
            Some("the archive's .ts files are not read; write CSV, TSF or Parquet")
        }
        _ => None,
    }
}

/// Whether the first line that is no comment is a TSF header's.
fn is_tsf(first: &[u8]) -> bool {
    let word = first_word(first);
    let tags: [&[u8]; 7] =
        [b"@relation", b"@attribute", b"@frequency", b"@horizon", b"@missing", b"@equallength", b"@data"];
    tags.contains(&word.as_slice())
}

/// The first word, in lower case, of the first line that is no comment.
fn first_word(first: &[u8]) -> Vec<u8> {
    let first = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first);
    let mut lines = first.split(|&b| b == b'\n').map(<[u8]>::trim_ascii);
    let line = lines.find(|line| !line.is_empty() && !line.starts_with(b"#")).unwrap_or_default();
    line.split(u8::is_ascii_whitespace).next().unwrap_or_default().to_ascii_lowercase()
}

/// Whether the bytes may be a table: text without control characters, in UTF-8 or lines that mostly are (old encodings;
/// UTF-16 is left to the reader, which names it).
fn is_table(first: &[u8]) -> bool {
    if first.starts_with(b"\xff\xfe") || first.starts_with(b"\xfe\xff") {
        return true;
    }
    let control = |&&b: &&u8| b < b' ' && !matches!(b, b'\t' | b'\n' | b'\r' | 0x0c);
    let utf_8 = std::str::from_utf8(first).map_or_else(|error| error.error_len().is_none(), |_| true);
    let mostly_ascii = || first.contains(&b'\n') && first.iter().filter(|b| !b.is_ascii()).count() * 10 < first.len();
    first.iter().filter(control).count() == 0 && (utf_8 || mostly_ascii())
}

/// The format that a file's name promises: for empty files.
fn by_name(path: &Path) -> Option<Format> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let name = [".gz", ".bgz", ".bgzf"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
    match name.rsplit_once('.')?.1 {
        "csv" | "tsv" => Some(Format::Csv),
        "tsf" => Some(Format::Tsf),
        "parquet" => Some(Format::Parquet),
        "vcf" => Some(Format::Vcf),
        "bcf" => Some(Format::Bcf),
        _ => crate::reads::sniff_name(path).map(Format::from),
    }
}
