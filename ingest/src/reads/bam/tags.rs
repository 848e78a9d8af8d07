//! The optional fields of a BAM record: walked to check them, since nothing but a long CIGAR is taken from them.

use std::{collections::HashSet, ops::Range};

use memchr::memchr;

/// What the fields hold that is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tags {
    /// Where the operations of a CIGAR in tag CG stand.
    pub(super) cigar: Option<Range<usize>>,
}

/// Checks the fields from `at` to the record's end: each is whole, of a known type, and its tag stands once.
///
/// # Errors
/// With the first one that is wrong.
pub(super) fn check(bytes: &[u8], mut at: usize) -> Result<Tags, String> {
    let mut tags = Tags::default();
    let mut seen = Seen::default();
    while at < bytes.len() {
        let Some([a, b, kind]) = bytes[at..].first_chunk::<3>() else {
            return Err(format!("{} bytes after the last optional field", bytes.len() - at));
        };
        if !(a.is_ascii_alphabetic() && b.is_ascii_alphanumeric()) {
            return Err(format!("'{}' is no tag", [*a, *b].escape_ascii()));
        }
        let tag = [char::from(*a), char::from(*b)];
        let [first, second] = tag;
        if !seen.add(u16::from_be_bytes([*a, *b])) {
            return Err(format!("tag {first}{second} stands twice"));
        }
        at += 3;
        let size = size(*kind, &bytes[at..]).ok_or_else(|| {
            format!(
                "tag {first}{second} of type '{}' is cut short or of no known type",
                char::from(*kind).escape_default()
            )
        })?;
        if tag == ['C', 'G'] && bytes[at - 1..].starts_with(b"BI") {
            tags.cigar = Some(at + 5..at + size);
        }
        at += size;
    }
    Ok(tags)
}

/// Bytes of a value of a type; `None` when it is cut short or the type is not known.
pub(in super::super) fn size(kind: u8, bytes: &[u8]) -> Option<usize> {
    let size = match kind {
        b'A' | b'c' | b'C' => 1,
        b's' | b'S' => 2,
        b'i' | b'I' | b'f' => 4,
        b'Z' | b'H' => memchr(0, bytes)? + 1,
        b'B' => {
            let (element, rest) = bytes.split_first()?;
            let count = u32::from_le_bytes(*rest.first_chunk()?) as usize;
            let each = match element {
                b'c' | b'C' => 1,
                b's' | b'S' => 2,
                b'i' | b'I' | b'f' => 4,
                _ => return None,
            };
            5 + count.checked_mul(each)?
        }
        _ => return None,
    };
    (size <= bytes.len()).then_some(size)
}

/// The tags met so far. Records have few; a hostile one with thousands stays quick.
#[derive(Default)]
pub(in super::super) struct Seen {
    few: [u16; 24],
    count: usize,
    many: Option<HashSet<u16>>,
}

impl Seen {
    /// Notes a tag; `false` when it was met before.
    pub(in super::super) fn add(&mut self, tag: u16) -> bool {
        if self.few[..self.count].contains(&tag) {
            return false;
        }
        match self.few.get_mut(self.count) {
            Some(free) => {
                *free = tag;
                self.count += 1;
                true
            }
            None => self.many.get_or_insert_default().insert(tag),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_whole_known_and_once() {
        type Expected = Result<Option<Range<usize>>, &'static str>;
        let cases: &[(&[u8], Expected)] = &[
            (b"", Ok(None)),
            (b"NMC\x01MDZ10\0ASs\x05\0XXBc\x02\0\0\0ab", Ok(None)),
            (b"CGBI\x02\0\0\0\x10\0\0\0\x10\0\0\0", Ok(Some(8..16))),
            (b"NMC\x01NMC\x01", Err("NM stands twice")),
            (b"NM", Err("2 bytes after")),
            (b"NMC", Err("cut short")),
            (b"NMi\x01\0\0", Err("cut short")),
            (b"MDZ10", Err("cut short")),
            (b"XXBI\xff\xff\xff\xff", Err("cut short")),
            (b"XXBz\0\0\0\0", Err("no known type")),
            (b"XXq1", Err("no known type")),
            (b"1XC\x01", Err("no tag")),
        ];
        for (bytes, expected) in cases {
            match (check(bytes, 0), expected) {
                (Ok(tags), Ok(cigar)) => assert_eq!(tags.cigar, *cigar, "{bytes:?}"),
                (Err(got), Err(expected)) => assert!(got.contains(expected), "{bytes:?}: {got}"),
                (got, _) => panic!("{bytes:?}: {got:?}"),
            }
        }
    }

    #[test]
    fn duplicates_are_found_among_many() {
        let mut seen = Seen::default();
        assert!((0..1000).all(|tag| seen.add(tag)));
        assert!(![0, 23, 24, 999].iter().any(|&tag| seen.add(tag)));
    }
}
