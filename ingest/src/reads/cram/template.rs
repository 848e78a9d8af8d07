//! Template lengths of mates of one slice.
//!
//! A CRAM file need not store them: the reader works them out from both mates. noodles gives the mate that comes first in the
//! file the positive one, and counts unmapped mates too; htslib, as the SAM specification has it, gives the leftmost mate
//! the positive one, and 0 where a mate is unmapped or on another reference. noodles does not tell which lengths it has worked
//! out. So they are known by what it makes of them: a pair whose lengths are stored, with just the values that noodles would
//! have worked out against htslib's rule, is taken for one of these. Mates that begin at the same base keep what noodles gives.

use std::collections::HashMap;

use super::super::bam::reference_span;

/// Bits of the flag: part of a template of several reads; unmapped; and secondary or supplementary, which have no part in it.
const PAIRED: u16 = 0x1;
const UNMAPPED: u16 = 0x4;
const NOT_PRIMARY: u16 = 0x900;
/// Where a BAM record has its template length.
const LENGTH_AT: usize = 28;

/// Gives the mates of a slice, BAM records from number `first` on, the lengths that htslib gives them. `ends` says where
/// each record ends.
pub(super) fn settle(bytes: &mut [u8], ends: &[usize], first: usize) {
    for [a, b] in pairs(bytes, ends, first) {
        let mates = [a, b].map(|at| Mate::of(&bytes[range(ends, at)]));
        if let Some(lengths) = settled(mates) {
            for (at, length) in [a, b].into_iter().zip(lengths) {
                let field = range(ends, at).start + LENGTH_AT;
                bytes[field..field + 4].copy_from_slice(&length.to_le_bytes());
            }
        }
    }
}

/// Numbers of the two primary records of each template that has just two, in their order.
fn pairs(bytes: &[u8], ends: &[usize], first: usize) -> Vec<[usize; 2]> {
    let mut by_name: HashMap<&[u8], Vec<usize>> = HashMap::new();
    for at in first..ends.len() {
        let record = &bytes[range(ends, at)];
        let name = record.get(32..32 + usize::from(record[8]));
        if let (Some(name), PAIRED) = (name, flag(record) & (PAIRED | NOT_PRIMARY)) {
            by_name.entry(name).or_default().push(at);
        }
    }
    by_name.into_values().filter_map(|numbers| numbers.try_into().ok()).collect()
}

/// The bytes of a record.
fn range(ends: &[usize], at: usize) -> std::ops::Range<usize> {
    at.checked_sub(1).map_or(0, |before| ends[before])..ends[at]
}

/// What a template's length depends on.
#[derive(Clone, Copy, Debug)]
struct Mate {
    unmapped: bool,
    reference: i32,
    /// 0-based; negative where it has none.
    position: i32,
    /// Bases that it covers, as noodles counts them.
    span: i64,
    length: i32,
}

impl Mate {
    fn of(record: &[u8]) -> Self {
        let unmapped = flag(record) & UNMAPPED != 0;
        let span = if unmapped { i64::from(number(record, 16)) } else { reference_span(record) as i64 };
        let (reference, position) = (number(record, 0), number(record, 4));
        Self { unmapped, reference, position, span, length: number(record, LENGTH_AT) }
    }

    fn end(self) -> i64 {
        i64::from(self.position) + self.span
    }
}

/// htslib's lengths; `None` where those at hand are stored ones, or right.
fn settled([a, b]: [Mate; 2]) -> Option<[i32; 2]> {
    let start = a.position.min(b.position);
    let length = i32::try_from(a.end().max(b.end()) - i64::from(start)).ok()?;
    if start < 0 || (a.length, b.length) != (length, -length) {
        return None;
    }
    if a.unmapped || b.unmapped || a.reference != b.reference {
        return Some([0, 0]);
    }
    (a.position > b.position).then_some([-length, length])
}

fn flag(record: &[u8]) -> u16 {
    u16::from_le_bytes([record[14], record[15]])
}

/// A little-endian number among the fixed fields.
fn number(record: &[u8], at: usize) -> i32 {
    i32::from_le_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_mates() {
        let mate = |position, length| Mate { unmapped: false, reference: 0, position, span: 10, length };
        let check = |mates: [Mate; 2], expected: Option<[i32; 2]>| assert_eq!(settled(mates), expected, "{mates:?}");
        check([mate(100, 60), mate(150, -60)], None);
        check([mate(150, 60), mate(100, -60)], Some([-60, 60]));
        check([mate(150, -60), mate(100, 60)], None);
        check([mate(150, 61), mate(100, -61)], None);
        check([mate(100, 10), mate(100, -10)], None);
        check([mate(-1, 0), mate(-1, 0)], None);
        check([mate(100, 60), Mate { reference: 1, ..mate(150, -60) }], Some([0, 0]));
        check([mate(100, 10), Mate { unmapped: true, ..mate(100, -10) }], Some([0, 0]));
        check([mate(100, 0), Mate { unmapped: true, ..mate(100, 0) }], None);
    }
}
