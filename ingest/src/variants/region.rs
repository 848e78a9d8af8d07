//! Regions of VCF and BCF files through the index beside them: TBI or CSI.

use super::{VariantFormat, header::Header};
use crate::{
    Result,
    reads::{
        binning::{Index, Kind},
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
        let overlaps = start < self.end && start.saturating_add(length.max(1)) > self.start;
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
    let kinds: &[Kind] = match format {
        VariantFormat::Vcf => &[Kind::Tbi, Kind::Csi],
        VariantFormat::Bcf => &[Kind::Csi],
    };
    let index = Index::read(input, kinds, "bcftools index")?;
    // The contigs as the index numbers them.
    let names: Vec<String> = match (format, index.get().header()) {
        (VariantFormat::Vcf, Some(about)) => about.reference_sequence_names().iter().map(ToString::to_string).collect(),
        _ => header.contigs_by_number(),
    };
    let length = |name: &str| header.contigs().find(|contig| contig.0 == name).and_then(|contig| contig.1);
    let known = names.iter().map(|name| (name.clone().into_bytes(), length(name)));
    let Region { reference, start, end } = region::parse(region, known).map_err(|e| input.request(e))?;
    let end = end.unwrap_or(u64::MAX);
    let chunks = index.chunks(reference, (start, end))?;
    Ok(Selection { contig: names[reference].clone(), start, end, chunks })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variants::vcf;

    /// Places and ends that a line may claim, the last numbers there are among them.
    #[test]
    fn records_are_compared_by_the_bases_they_cover() {
        let check = |line: &str, (start, end), expected| {
            let selection = Selection { contig: "c".into(), start, end, chunks: Chunks::new([]) };
            let (contig, place) = vcf::place(line.as_bytes()).expect("a place");
            assert_eq!(selection.wants(contig, place), expected, "{line}");
        };
        check("c\t5\t.\tACG\tA\t.\t.\t.", (6, 9), Wants::Yes);
        check("c\t5\t.\tACG\tA\t.\t.\t.", (7, 9), Wants::No);
        check("c\t10\t.\tA\tC\t.\t.\t.", (6, 9), Wants::Past);
        check("d\t7\t.\tA\tC\t.\t.\t.", (6, 9), Wants::No);
        check("c\t5\t.\tA\t<DEL>\t.\t.\tEND=8", (7, 9), Wants::Yes);
        check("c\t5\t.\tA\t<DEL>\t.\t.\tEND=18446744073709551615", (7, 9), Wants::Yes);
        check("c\t18446744073709551615\t.\tACG\tA\t.\t.\t.", (7, u64::MAX), Wants::Yes);
    }
}
