//! Variants from VCF and BCF, as [`crate::schema::variants`].
//!
//! [`open`] tells the format by the first bytes after decompression. Plain text, gzip and BGZF are read, and positions are
//! exact in all of them. INFO fields come as columns of the type that the header gives them, where they are asked for;
//! samples are not read.
//!
//! A malformed record becomes a reject, and reading goes on with the next one. Where the next record cannot be found (a
//! damaged block, a length that cannot be, a file that is cut short), reading ends with an error after all rows before.
//!
//! Records are decoded here rather than by a crate, so that every length is checked before it is believed (the published
//! decoders of BCF panic on records that contradict their header) and every record has an exact place.

mod bcf;
mod header;
mod info;
mod records;
mod region;
mod rows;
mod site;
mod vcf;

use std::path::Path;

pub use self::header::{Header, InfoField, InfoKind};
use self::{
    info::Wanted,
    records::{Asked, Sites},
    rows::Columns,
};
use crate::{
    Decode, Error, Position, Result, Threaded,
    one_by_one::Decoder,
    reads::input::{Input, MAX_RECORD_BYTES},
};

/// Batches that may wait between the decoding thread and the reader.
const BATCHES_AHEAD: usize = 2;

/// First bytes looked at: more than one BGZF block may be needed for them.
const FIRST_BYTES: usize = 64;

/// How a file of variants is read.
#[derive(Clone, Debug)]
pub struct VariantOptions {
    /// INFO fields that become columns `info_NAME`, in this order.
    pub info: Vec<String>,
    /// `name`, `name:start-end` (1-based, closed) of a file with an index (TBI or CSI); `None`: all.
    pub region: Option<String>,
    /// A batch ends at so many rows.
    pub batch_rows: usize,
    /// The longest record, in bytes (of a VCF: the longest line). At most 256 MiB.
    pub max_record_bytes: usize,
    /// Threads that inflate BGZF blocks; 0: the decoding thread does it.
    pub bgzf_workers: usize,
    /// Where to go on; `None`: at the start.
    pub start: Option<Position>,
}

impl Default for VariantOptions {
    fn default() -> Self {
        Self { info: vec![], region: None, batch_rows: 8192, max_record_bytes: 64 << 20, bgzf_workers: 1, start: None }
    }
}

/// A format of variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariantFormat {
    /// Text.
    Vcf,
    /// Binary.
    Bcf,
}

/// The format of a file by its first bytes after decompression; `None` when it is none of them.
#[must_use]
pub(crate) fn sniff(first: &[u8]) -> Option<VariantFormat> {
    match first {
        [b'B', b'C', b'F', 2, ..] => Some(VariantFormat::Bcf),
        _ if first.starts_with(b"##fileformat=VCF") => Some(VariantFormat::Vcf),
        _ => None,
    }
}

/// Opens a file of variants.
///
/// # Errors
/// [`Error::Io`] when the file cannot be opened; [`Error::Request`] when it is neither VCF nor BCF, an INFO field is not
/// in its header, or the position is of another kind of file; [`Error::Invalid`] when the header is damaged.
pub fn open(path: &Path, options: &VariantOptions) -> Result<Threaded> {
    let decoder = decoder(path, options)?;
    Ok(Threaded::spawn(decoder, &path.display().to_string(), BATCHES_AHEAD))
}

/// The blocking reader behind [`open`].
///
/// # Errors
/// As [`open`].
pub fn decoder(path: &Path, options: &VariantOptions) -> Result<Box<dyn Decode>> {
    let workers = if options.region.is_some() { 0 } else { options.bgzf_workers };
    let mut input = Input::open(path, workers)?;
    let (format, header) = begin(&mut input)?;
    let region = options.region.as_deref().map(|text| region::select(&input, (format, &header), text)).transpose();
    let mut region = region?;
    let wanted = options.info.iter().map(|name| Wanted::new(name, &header)).collect::<Result<Vec<_>, String>>();
    let wanted = wanted.map_err(|problem| input.request(problem))?;
    let columns = Columns::new(&wanted);
    let mut number = 0;
    if let Some(start) = options.start {
        number = input.seek(start)?.0;
    }
    if let Some(region) = &mut region {
        region.chunks.go_to_first(&mut input, options.start.is_some())?;
    }
    let most = options.max_record_bytes.clamp(1, MAX_RECORD_BYTES);
    let asked = Asked { format, header, wanted, region, most };
    Ok(Box::new(Decoder::new(Sites::new(input, asked), columns, (options.batch_rows, number))))
}

/// What a file's header says.
///
/// # Errors
/// As [`open`].
pub fn header(path: &Path) -> Result<Header> {
    Ok(begin(&mut Input::open(path, 0)?)?.1)
}

/// Reads the header: the next byte is the first record's.
fn begin(input: &mut Input) -> Result<(VariantFormat, Header)> {
    let Some(format) = sniff(&input.first(FIRST_BYTES)?) else {
        let problem = "neither VCF (`##fileformat=VCF`) nor BCF version 2 by its first bytes".into();
        return Err(Error::Request { path: input.path().into(), problem });
    };
    let header = match format {
        VariantFormat::Vcf => vcf::header(input)?,
        VariantFormat::Bcf => bcf::header(input)?,
    };
    Ok((format, header))
}
