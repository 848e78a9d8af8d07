//! Regions through the index beside a BAM file: CSI or BAI.

use std::{
    io::{self, ErrorKind, Read},
    path::PathBuf,
};

use noodles::{
    bam::bai,
    bgzf::{self, VirtualPosition},
    csi::{self, BinningIndex, binning_index::index::reference_sequence::bin::Chunk},
};

use super::{
    super::{
        header::References,
        index_layout,
        input::{Chunks, Input},
        region::{self, Region, interval},
    },
    Selection, Wanted,
};
use crate::{Error, Place, Result};

/// Which parts of the file hold a region's records.
///
/// # Errors
/// When there is no index, or the region is not in the file.
pub(super) fn select(input: &Input, references: &References, region: &str) -> Result<Selection> {
    if !input.is_bgzf() {
        return Err(input.request("a region needs a BAM file in BGZF blocks, with an index".into()));
    }
    let (index, path) = read(input)?;
    if region == "*" {
        // Records without a reference come last. An index of no record at all says nothing of where they begin.
        let first = index.last_first_record_start_position().unwrap_or(VirtualPosition::from(input.mark()));
        let chunk = Chunk::new(first, VirtualPosition::MAX);
        return Ok(Selection { wanted: Wanted::Unplaced, chunks: Chunks::new([chunk]) });
    }
    let names = references.as_slice().iter().map(|r| (r.name.clone(), Some(r.length)));
    let Region { reference, start, end } = region::parse(region, names).map_err(|e| input.request(e))?;
    let end = end.unwrap_or(u64::MAX);
    if index.reference_sequences().nth(reference).is_none() {
        let problem = "the index does not know this reference: it is another file's; make it with `samtools index`";
        return Err(Error::Invalid { path, place: Place::Whole, problem: problem.into() });
    }
    let chunks = index.query(reference, interval(start, end)).map_err(|source| {
        let problem = format!("the index does not reach the region ({source}): make a CSI with `samtools index -c`");
        Error::Invalid { path, place: Place::Whole, problem }
    })?;
    Ok(Selection { wanted: Wanted::Overlapping { reference, start, end }, chunks: Chunks::new(chunks) })
}

/// Reads `FILE.csi`, `FILE.bai`, or the latter without the file's own extension.
fn read(input: &Input) -> Result<(Box<dyn BinningIndex>, PathBuf)> {
    let path = input.path();
    let beside = |extension: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(extension);
        PathBuf::from(name)
    };
    for (path, parse) in
        [(beside(".csi"), csi as Parse), (beside(".bai"), bai as Parse), (path.with_extension("bai"), bai)]
    {
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(source) if source.kind() == ErrorKind::NotFound => continue,
            Err(source) => return Err(Error::Io { path, source }),
        };
        return match parse(&bytes) {
            Ok(index) => Ok((index, path)),
            Err(reason) => {
                let problem = format!("the index is damaged ({reason}): make it with `samtools index`");
                Err(Error::Invalid { path, place: Place::Whole, problem })
            }
        };
    }
    Err(input.request("a region needs an index, .bai or .csi: make it with `samtools index`".into()))
}

/// Parses an index.
type Parse = fn(&[u8]) -> Result<Box<dyn BinningIndex>, String>;

fn bai(bytes: &[u8]) -> Result<Box<dyn BinningIndex>, String> {
    index_layout::check_bai(bytes)?;
    let index = bai::io::Reader::new(bytes).read_index().map_err(|e| e.to_string())?;
    Ok(Box::new(index))
}

fn csi(bytes: &[u8]) -> Result<Box<dyn BinningIndex>, String> {
    let mut plain = vec![];
    bgzf::io::Reader::new(bytes).read_to_end(&mut plain).map_err(|e: io::Error| e.to_string())?;
    index_layout::check_csi(&plain)?;
    let index = csi::io::Reader::new(bytes).read_index().map_err(|e| e.to_string())?;
    Ok(Box::new(index))
}
