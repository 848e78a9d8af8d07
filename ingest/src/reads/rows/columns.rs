//! Columns of bytes, and the forms in which bases and scores come.

use std::ops::Range;

use arrow::{
    array::{BinaryArray, NullBufferBuilder, StringArray},
    buffer::{Buffer, OffsetBuffer},
    error::ArrowError,
};

/// A column of text or bytes that fills.
pub(super) struct Bytes {
    values: Vec<u8>,
    offsets: Vec<i32>,
    valid: NullBufferBuilder,
}

impl Default for Bytes {
    fn default() -> Self {
        Self { values: vec![], offsets: vec![0], valid: NullBufferBuilder::new(0) }
    }
}

impl Bytes {
    /// Adds one value, or a null.
    pub(super) fn push(&mut self, value: Option<&[u8]>) {
        self.push_with(value, |value, values| values.extend_from_slice(value));
    }

    /// Adds one value, which `append` writes behind those before it, or a null.
    pub(super) fn push_with<T>(&mut self, value: Option<T>, append: impl FnOnce(T, &mut Vec<u8>)) {
        self.valid.append(value.is_some());
        if let Some(value) = value {
            append(value, &mut self.values);
        }
        // The limits of a batch keep a column far below 2^31 bytes.
        self.offsets.push(i32::try_from(self.values.len()).unwrap_or(i32::MAX));
    }

    /// Bytes of all values.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// The column as text.
    pub(super) fn finish_text(&mut self) -> Result<StringArray, ArrowError> {
        let (offsets, values, valid) = self.take();
        StringArray::try_new(offsets, values, valid)
    }

    /// The column as bytes.
    pub(super) fn finish_binary(&mut self) -> BinaryArray {
        let (offsets, values, valid) = self.take();
        BinaryArray::new(offsets, values, valid)
    }

    fn take(&mut self) -> (OffsetBuffer<i32>, Buffer, Option<arrow::buffer::NullBuffer>) {
        let (rows, bytes) = (self.offsets.len(), self.values.len());
        let values = std::mem::replace(&mut self.values, Vec::with_capacity(bytes));
        let offsets = std::mem::replace(&mut self.offsets, Vec::with_capacity(rows));
        self.offsets.push(0);
        (OffsetBuffer::new(offsets.into()), values.into(), self.valid.finish())
    }
}

/// A record's bases.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Bases<'a> {
    /// Letters.
    Text(&'a [u8]),
    /// BAM's 4-bit codes, two a byte, the first in the high half; and how many bases they are.
    Packed(&'a [u8], usize),
}

/// The letters of BAM's base codes (SAM specification, section 4.2.3).
const LETTERS: &[u8; 16] = b"=ACMGRSVTWYHKDBN";
/// The two letters of each byte of packed bases.
const LETTER_PAIRS: [[u8; 2]; 256] = {
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [LETTERS[byte >> 4], LETTERS[byte & 15]];
        byte += 1;
    }
    pairs
};

impl Bases<'_> {
    /// How many bases.
    pub(in super::super) fn len(&self) -> usize {
        match self {
            Self::Text(letters) => letters.len(),
            Self::Packed(_, bases) => *bases,
        }
    }

    /// Appends the letters of a range of the bases.
    pub(super) fn append(&self, range: Range<usize>, letters: &mut Vec<u8>) {
        match self {
            Self::Text(text) => letters.extend_from_slice(&text[range]),
            Self::Packed(packed, _) => {
                let odd = range.start % 2;
                let (first, end) = (letters.len(), letters.len() + range.len());
                let bytes = &packed[range.start / 2..range.end.div_ceil(2)];
                letters.resize(first + 2 * bytes.len(), 0);
                for (pair, byte) in letters[first..].as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
                    *pair = LETTER_PAIRS[usize::from(*byte)];
                }
                if odd == 1 {
                    letters.remove(first);
                }
                letters.truncate(end);
            }
        }
    }
}

/// A record's quality scores.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Scores<'a> {
    /// Phred scores, as BAM stores them.
    Phred(&'a [u8]),
    /// Characters, 33 above the scores.
    Characters(&'a [u8]),
}

impl Scores<'_> {
    /// Appends a range of the scores.
    pub(super) fn append(&self, range: Range<usize>, scores: &mut Vec<u8>) {
        match self {
            Self::Phred(phred) => scores.extend_from_slice(&phred[range]),
            Self::Characters(text) => scores.extend(text[range].iter().map(|c| c.saturating_sub(33))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_bases_expand_from_any_place() {
        let packed = [0x12, 0x48, 0xf0];
        let letters = b"ACGTN";
        for start in 0..=5 {
            for end in start..=5 {
                let mut got = b"x".to_vec();
                Bases::Packed(&packed, 5).append(start..end, &mut got);
                assert_eq!(got[1..], letters[start..end], "{start}..{end}");
            }
        }
    }
}
