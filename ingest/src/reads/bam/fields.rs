//! The fields of a BAM record (SAM specification, section 4.2).

use std::ops::Range;

use super::{
    super::{
        cigar::Cigar,
        header::Reference,
        rows::{Alignment, Bases, Record, Scores, Tags},
    },
    tags,
};

/// Bytes of a record's fixed fields.
pub(super) const HEAD_BYTES: usize = 32;
/// The bits of the flag that have a meaning.
pub(in super::super) const KNOWN_FLAGS: u16 = 0xfff;

/// Where a record's fields of varying length stand in its bytes.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Fields {
    name: Range<usize>,
    cigar: Range<usize>,
    bases: Range<usize>,
    scores: Range<usize>,
    /// Bases, two of which are a byte.
    length: usize,
}

impl Fields {
    /// Finds and checks the fields of a record, of at least [`HEAD_BYTES`].
    ///
    /// # Errors
    /// With what is wrong.
    pub(in super::super) fn parse(bytes: &[u8], references: usize) -> Result<Self, String> {
        let mut fields = Self::find(bytes)?;
        for (what, at) in [("reference", 0), ("mate's reference", 20)] {
            let number = i32_at(bytes, at);
            if number < -1 || usize::try_from(number).is_ok_and(|n| n >= references) {
                return Err(format!("{what} {number} does not exist: the header has {references}"));
            }
            let position = i32_at(bytes, at + 4);
            if position < -1 {
                return Err(format!("the {what}'s position {position} is negative"));
            }
        }
        let flag = u16_at(bytes, 14);
        if flag & !KNOWN_FLAGS != 0 {
            return Err(format!("flag {flag} has bits above {KNOWN_FLAGS}"));
        }
        let tags = tags::check(bytes, fields.scores.end)?;
        if let (Some(long), Some([clip, skip])) = (tags.cigar, operations(&bytes[fields.cigar.clone()]).as_array())
            && is_placeholder(*clip, *skip, fields.length)
        {
            fields.cigar = long;
        }
        fields.check_text(bytes)?;
        Ok(fields)
    }

    /// The places of the fields.
    fn find(bytes: &[u8]) -> Result<Self, String> {
        let name = HEAD_BYTES..HEAD_BYTES + usize::from(bytes[8]);
        let cigar = name.end..name.end + 4 * usize::from(u16_at(bytes, 12));
        let length = usize::try_from(i32_at(bytes, 16)).map_err(|_| "the number of bases is negative")?;
        let bases = cigar.end..cigar.end + length.div_ceil(2);
        let scores = bases.end..bases.end + length;
        if scores.end > bytes.len() {
            return Err(format!("the fields take {} bytes, the record has {}", scores.end, bytes.len()));
        }
        Ok(Self { name, cigar, bases, scores, length })
    }

    /// Checks name and CIGAR.
    fn check_text(&mut self, bytes: &[u8]) -> Result<(), String> {
        let name = &bytes[self.name.clone()];
        let Some((0, name)) = name.split_last() else { return Err("the name does not end with a zero byte".into()) };
        if name.is_empty() || !name.iter().all(|b| (b'!'..=b'~').contains(b) && *b != b'@') {
            return Err("the name has other characters than the visible ones but '@'".into());
        }
        self.name.end -= 1;
        if let Some(cigar) = self.cigar(bytes) {
            let read = cigar.spans()?.read;
            if self.length > 0 && read != self.length as u64 {
                return Err(format!("the CIGAR is for {read} bases, the read has {}", self.length));
            }
        }
        Ok(())
    }

    fn cigar<'a>(&self, bytes: &'a [u8]) -> Option<Cigar<'a>> {
        let operations = operations(&bytes[self.cigar.clone()]);
        (!operations.is_empty()).then_some(Cigar::Packed(operations))
    }

    /// The record as rows take it.
    pub(in super::super) fn record<'a>(&self, bytes: &'a [u8], references: &'a [Reference]) -> Record<'a> {
        let reference =
            |at| usize::try_from(i32_at(bytes, at)).ok().and_then(|number| references.get(number)).map(|r| &r.name[..]);
        let position = |at| u64::try_from(i32_at(bytes, at)).ok();
        let name = &bytes[self.name.clone()];
        let scores = &bytes[self.scores.clone()];
        Record {
            id: (name != b"*").then_some(name),
            bases: (self.length > 0).then(|| Bases::Packed(&bytes[self.bases.clone()], self.length)),
            scores: scores.iter().any(|&score| score != 0xff).then_some(Scores::Phred(scores)),
            alignment: Some(Alignment {
                flag: u16_at(bytes, 14),
                reference: reference(0),
                position: position(4),
                mapping_quality: Some(bytes[9]).filter(|&quality| quality != 0xff),
                cigar: self.cigar(bytes),
                mate_reference: reference(20),
                mate_position: position(24),
                template_length: i32_at(bytes, 28),
                tags: Tags::Packed(&bytes[self.scores.end..]),
            }),
        }
    }
}

/// Reference number and position of a record, of at least [`HEAD_BYTES`]; negative where it has none.
pub(super) fn place(bytes: &[u8]) -> (i32, i32) {
    (i32_at(bytes, 0), i32_at(bytes, 4))
}

/// Bases of the reference that a record covers; 0 where it is unmapped or malformed.
pub(in super::super) fn reference_span(bytes: &[u8]) -> u64 {
    const UNMAPPED: u16 = 4;
    let Ok(fields) = Fields::find(bytes) else { return 0 };
    if u16_at(bytes, 14) & UNMAPPED != 0 {
        return 0;
    }
    let cigar = tags::check(bytes, fields.scores.end).ok().and_then(|tags| tags.cigar).unwrap_or(fields.cigar);
    let operations = operations(&bytes[cigar]);
    if operations.is_empty() { 0 } else { Cigar::Packed(operations).spans().map_or(0, |spans| spans.reference) }
}

/// Whether a CIGAR only says that the real one, of more than 65,535 operations, is in tag CG.
fn is_placeholder(clip: [u8; 4], skip: [u8; 4], length: usize) -> bool {
    let (clip, skip) = (u32::from_le_bytes(clip), u32::from_le_bytes(skip));
    clip & 15 == 4 && (clip >> 4) as usize == length && skip & 15 == 3
}

fn operations(bytes: &[u8]) -> &[[u8; 4]] {
    bytes.as_chunks().0
}

/// A little-endian number among the fixed fields.
fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// A little-endian number among the fixed fields.
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}
