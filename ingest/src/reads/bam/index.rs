//! Regions through the index beside a BAM file: CSI or BAI.

use noodles::{bgzf::VirtualPosition, csi::binning_index::index::reference_sequence::bin::Chunk};

use super::{
    super::{
        binning::{Index, Kind},
        header::References,
        input::{Chunks, Input},
        region::{self, Region},
    },
    Selection, Wanted,
};
use crate::Result;

/// Which parts of the file hold a region's records.
///
/// # Errors
/// When there is no index, or the region is not in the file.
pub(super) fn select(input: &Input, references: &References, region: &str) -> Result<Selection> {
    if !input.is_bgzf() {
        return Err(input.request("a region needs a BAM file in BGZF blocks, with an index".into()));
    }
    let index = Index::read(input, &[Kind::Csi, Kind::Bai], "samtools index")?;
    if region == "*" {
        // Records without a reference come last. An index of no record at all says nothing of where they begin.
        let first = index.get().last_first_record_start_position();
        let first = first.unwrap_or(VirtualPosition::from(input.mark()));
        let chunk = Chunk::new(first, VirtualPosition::MAX);
        return Ok(Selection { wanted: Wanted::Unplaced, chunks: Chunks::new([chunk]) });
    }
    let names = references.as_slice().iter().map(|r| (r.name.clone(), Some(r.length)));
    let Region { reference, start, end } = region::parse(region, names).map_err(|e| input.request(e))?;
    let end = end.unwrap_or(u64::MAX);
    let chunks = index.chunks(reference, (start, end))?;
    Ok(Selection { wanted: Wanted::Overlapping { reference, start, end }, chunks })
}
