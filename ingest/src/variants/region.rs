//! Regions of VCF and BCF files through the index beside them: TBI or CSI.

use std::{
    io::{ErrorKind, Read},
    path::PathBuf,
};

use noodles::{
    bgzf,
    csi::{self, BinningIndex},
    tabix,
};

use super::{VariantFormat, header::Header};
use crate::{
    Error, Place, Result,
    reads::{
        index_layout,
        input::{Chunks, Input},
        region::{self, Region},
    },
};

/// The part of a file that is asked for.
pub(super) struct Selection {
    contig: String,
    /// 0-based, half-open.
    start: u64,
    end: u64,
    pub(super) chunks: Chunks,
}

/// Whether a record is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    Yes,
    No,
    /// It is not, and none after it is.
    Past,
}

impl Selection {
    /// Compares a record's place: its contig, and the bases from `start` on that it covers.
    pub(super) fn wants(&self, contig: &[u8], (start, length): (u64, u64)) -> Wants {
        let overlaps = start < self.end && start + length.max(1) > self.start;
        match contig == self.contig.as_bytes() {
            true if overlaps => Wants::Yes,
            true if start >= self.end => Wants::Past,
            _ => Wants::No,
        }
    }
}

/// Which parts of the file hold a region's records.
///
/// # Errors
/// When there is no index, or the region is not in the file.
pub(super) fn select(input: &Input, (format, header): (VariantFormat, &Header), region: &str) -> Result<Selection> {
    if !input.is_bgzf() {
        return Err(input.request("a region needs a file compressed by bgzip, with an index".into()));
    }
    let (index, path) = read(input, format)?;
    // The contigs as the index numbers them.
    let names: Vec<String> = match (format, index.header()) {
        (VariantFormat::Vcf, Some(about)) => about.reference_sequence_names().iter().map(ToString::to_string).collect(),
        _ => header.contigs_by_number(),
    };
    let length = |name: &str| header.contigs().find(|contig| contig.0 == name).and_then(|contig| contig.1);
    let known = names.iter().map(|name| (name.clone().into_bytes(), length(name)));
    let Region { reference, start, end } = region::parse(region, known).map_err(|e| input.request(e))?;
    let end = end.unwrap_or(u64::MAX);
    let problem = |problem: String| Error::Invalid { path: path.clone(), place: Place::Whole, problem };
    if index.reference_sequences().nth(reference).is_none() {
        return Err(problem("the index does not know this contig: make it again with `bcftools index`".into()));
    }
    let chunks = index.query(reference, region::interval(start, end)).map_err(|source| {
        problem(format!("the index does not reach the region ({source}): make a CSI with `bcftools index -c`"))
    })?;
    Ok(Selection { contig: names[reference].clone(), start, end, chunks: Chunks::new(chunks) })
}

/// Reads `FILE.csi`, or of a VCF `FILE.tbi`.
fn read(input: &Input, format: VariantFormat) -> Result<(Box<dyn BinningIndex>, PathBuf)> {
    let beside = |extension: &str| {
        let mut name = input.path().as_os_str().to_owned();
        name.push(extension);
        PathBuf::from(name)
    };
    let kinds: &[(&str, Parse)] = match format {
        VariantFormat::Vcf => &[(".tbi", tbi), (".csi", csi)],
        VariantFormat::Bcf => &[(".csi", csi)],
    };
    for (extension, parse) in kinds {
        let path = beside(extension);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(source) if source.kind() == ErrorKind::NotFound => continue,
            Err(source) => return Err(Error::Io { path, source }),
        };
        return match parse(&bytes) {
            Ok(index) => Ok((index, path)),
            Err(reason) => {
                let problem = format!("the index is damaged ({reason}): make it with `bcftools index`");
                Err(Error::Invalid { path, place: Place::Whole, problem })
            }
        };
    }
    let extensions = if format == VariantFormat::Vcf { ".tbi or .csi" } else { ".csi" };
    Err(input.request(format!("a region needs an index, {extensions}: make it with `bcftools index`")))
}

/// Parses an index.
type Parse = fn(&[u8]) -> Result<Box<dyn BinningIndex>, String>;

fn tbi(bytes: &[u8]) -> Result<Box<dyn BinningIndex>, String> {
    index_layout::check_tbi(&inflated(bytes)?)?;
    let index = tabix::io::Reader::new(bytes).read_index().map_err(|e| e.to_string())?;
    Ok(Box::new(index))
}

fn csi(bytes: &[u8]) -> Result<Box<dyn BinningIndex>, String> {
    index_layout::check_csi(&inflated(bytes)?)?;
    let index = csi::io::Reader::new(bytes).read_index().map_err(|e| e.to_string())?;
    Ok(Box::new(index))
}

fn inflated(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut plain = vec![];
    bgzf::io::Reader::new(bytes).read_to_end(&mut plain).map_err(|e| e.to_string())?;
    Ok(plain)
}
