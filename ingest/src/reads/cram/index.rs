//! Regions through the index beside a CRAM file: CRAI.

use std::collections::VecDeque;

use noodles::cram::crai;

use super::super::{
    bam::Wanted,
    header::References,
    input::{Input, beside, read_whole},
    region::{self, Region},
};
use crate::{Error, Place, Result};

/// The part of a file that is asked for.
pub(super) struct Selection {
    wanted: Wanted,
    /// Where the containers begin that may hold wanted records, in order.
    containers: VecDeque<u64>,
}

impl Selection {
    /// The first container at or after a mark.
    pub(super) fn next_container(&mut self, mark: u64) -> Option<u64> {
        while self.containers.front().is_some_and(|offset| *offset < mark) {
            self.containers.pop_front();
        }
        self.containers.pop_front()
    }

    /// Whether a record is asked for.
    pub(super) fn wants(&self, bytes: &[u8]) -> bool {
        self.wanted.takes(bytes)
    }
}

/// Which containers hold a region's records.
///
/// # Errors
/// When there is no index, or the region is not in the file.
pub(super) fn select(input: &Input, references: &References, region: &str) -> Result<Selection> {
    let index = read(input)?;
    let (wanted, number) = if region == "*" {
        (Wanted::Unplaced, None)
    } else {
        let names = references.as_slice().iter().map(|r| (r.name.clone(), Some(r.length)));
        let Region { reference, start, end } = region::parse(region, names).map_err(|e| input.request(e))?;
        (Wanted::Overlapping { reference, start, end: end.unwrap_or(u64::MAX) }, Some(reference))
    };
    let overlaps = |record: &&crai::Record| {
        let (from, span) = (record.alignment_start(), record.alignment_span() as u64);
        record.reference_sequence_id() == number
            && match (wanted, from) {
                (Wanted::Overlapping { start, end, .. }, Some(from)) => {
                    let from = usize::from(from) as u64 - 1;
                    from < end && from.saturating_add(span) > start
                }
                _ => true,
            }
    };
    let mut containers: Vec<u64> = index.iter().filter(overlaps).map(crai::Record::offset).collect();
    containers.sort_unstable();
    containers.dedup();
    Ok(Selection { wanted, containers: containers.into() })
}

/// Reads `FILE.crai`.
fn read(input: &Input) -> Result<crai::Index> {
    let path = beside(input.path(), "crai");
    let Some(bytes) = read_whole(&path)? else {
        return Err(input.request("a region needs an index, .crai: make it with `samtools index`".into()));
    };
    crai::io::Reader::new(&bytes[..]).read_index().map_err(|source| {
        let problem = format!("the index is damaged ({source}): make it with `samtools index`");
        Error::Invalid { path, place: Place::Whole, problem }
    })
}
