//! The columns of a SAM line (SAM specification, section 1.4).

use std::ops::Range;

use memchr::memchr_iter;

use super::{
    super::{
        alphabet::{bad, bad_base, check_scores, leading},
        bam::{KNOWN_FLAGS, Seen},
        cigar::Cigar,
        header::{References, check_name},
        rows::{Alignment, Bases, Record, Scores, Tags},
    },
    number::{signed, unsigned},
    tags,
};

/// The columns that every line has.
const COLUMNS: usize = 11;
/// The longest name.
const MAX_NAME_BYTES: usize = 254;
/// The largest position.
const MAX_POSITION: i64 = i32::MAX as i64;

/// The columns of a line, checked. Ranges are of the line's bytes; an empty one is a `*`.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    name: Range<usize>,
    reference: Range<usize>,
    cigar: Range<usize>,
    mate_reference: Range<usize>,
    bases: Range<usize>,
    scores: Range<usize>,
    flag: u16,
    position: Option<u64>,
    mapping_quality: Option<u8>,
    mate_position: Option<u64>,
    template_length: i32,
    /// Where the optional fields begin.
    tags: usize,
}

impl Fields {
    /// Splits and checks a line.
    ///
    /// # Errors
    /// With what is wrong.
    pub(super) fn parse(line: &[u8], references: &References) -> Result<Self, String> {
        let mut columns: [Range<usize>; COLUMNS] = Default::default();
        let (mut start, mut count) = (0, 0);
        let mut ends = memchr_iter(b'\t', line).chain([line.len()]);
        for end in ends.by_ref().take(COLUMNS) {
            if start == end {
                return Err(format!("column {} is empty", count + 1));
            }
            columns[count] = start..end;
            (count, start) = (count + 1, end + 1);
        }
        if count < COLUMNS {
            return Err(format!("{count} columns of at least {COLUMNS}"));
        }
        let optional = start.min(line.len());
        let mut seen = Seen::default();
        for end in ends {
            tags::check(&line[start..end], &mut seen)?;
            start = end + 1;
        }
        let text = |column: usize| &line[columns[column].clone()];
        let named = |column: usize| if text(column) == b"*" { 0..0 } else { columns[column].clone() };
        let mut fields = Self {
            name: named(0),
            reference: named(2),
            cigar: named(5),
            mate_reference: named(6),
            bases: named(9),
            scores: named(10),
            tags: optional,
            ..Self::default()
        };
        fields.flag = small(unsigned(text(1), "flag", 0..=i64::from(KNOWN_FLAGS))?);
        fields.position = place(unsigned(text(3), "position", 0..=MAX_POSITION)?);
        let quality: u8 = small(unsigned(text(4), "mapping quality", 0..=255)?);
        fields.mapping_quality = Some(quality).filter(|&quality| quality != 255);
        fields.mate_position = place(unsigned(text(7), "mate position", 0..=MAX_POSITION)?);
        fields.template_length = small(signed(text(8), "template length", i64::from(i32::MIN)..=i64::from(i32::MAX))?);
        if text(6) == b"=" {
            fields.mate_reference = fields.reference.clone();
        }
        fields.check(line, references)?;
        Ok(fields)
    }

    /// Checks the columns of text.
    fn check(&self, line: &[u8], references: &References) -> Result<(), String> {
        check_read_name(&line[self.name.clone()])?;
        for (what, range) in [("reference", &self.reference), ("mate's reference", &self.mate_reference)] {
            let name = &line[range.clone()];
            if name.is_empty() || references.number(name).is_some() {
                continue;
            }
            check_name(name)?;
            // Without any @SQ line, names are as good as they are.
            if !references.as_slice().is_empty() {
                return Err(format!("{what} '{}' has no @SQ line", name.escape_ascii()));
            }
        }
        let bases = &line[self.bases.clone()];
        if let Some(&byte) = bases.get(leading(bases, |byte| byte.is_ascii_alphabetic() || matches!(byte, b'=' | b'.')))
        {
            return Err(bad_base(byte));
        }
        let scores = &line[self.scores.clone()];
        check_scores(scores)?;
        if !scores.is_empty() && scores.len() != bases.len() {
            return Err(format!("{} qualities for {} bases", scores.len(), bases.len()));
        }
        if let Some(cigar) = self.cigar(line) {
            let read = cigar.spans()?.read;
            if !bases.is_empty() && read != bases.len() as u64 {
                return Err(format!("the CIGAR is for {read} bases, the read has {}", bases.len()));
            }
        }
        Ok(())
    }

    fn cigar<'a>(&self, line: &'a [u8]) -> Option<Cigar<'a>> {
        (!self.cigar.is_empty()).then(|| Cigar::Text(&line[self.cigar.clone()]))
    }

    /// The record as rows take it.
    pub(super) fn record<'a>(&self, line: &'a [u8]) -> Record<'a> {
        let text = |range: &Range<usize>| (!range.is_empty()).then(|| &line[range.clone()]);
        Record {
            id: text(&self.name),
            bases: text(&self.bases).map(Bases::Text),
            scores: text(&self.scores).map(Scores::Characters),
            alignment: Some(Alignment {
                flag: self.flag,
                reference: text(&self.reference),
                position: self.position,
                mapping_quality: self.mapping_quality,
                cigar: self.cigar(line),
                mate_reference: text(&self.mate_reference),
                mate_position: self.mate_position,
                template_length: self.template_length,
                tags: Tags::Text(&line[self.tags..]),
            }),
        }
    }
}

/// A 1-based position, 0 for none, as 0-based.
fn place(position: i64) -> Option<u64> {
    u64::try_from(position - 1).ok()
}

/// A number whose range was checked, as the type that holds the range.
fn small<T: TryFrom<i64> + Default>(number: i64) -> T {
    T::try_from(number).unwrap_or_default()
}

/// `[!-?A-~]{1,254}`; empty here where the line has `*`.
fn check_read_name(name: &[u8]) -> Result<(), String> {
    if name.len() > MAX_NAME_BYTES {
        return Err(format!("the name has {} bytes, more than {MAX_NAME_BYTES}", name.len()));
    }
    match name.get(leading(name, |byte| (b'!'..=b'~').contains(&byte) && byte != b'@')) {
        Some(&byte) => Err(bad(byte, "in the name")),
        None => Ok(()),
    }
}
