//! Regions as users write them: `name` or `name:start-end`, 1-based and closed.

use noodles::core::{Position, region::Interval};

/// A region of a reference: 0-based, half-open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    /// Which of the references.
    pub(crate) reference: usize,
    /// First base.
    pub(crate) start: u64,
    /// The base after the last one; `None`: to the reference's end.
    pub(crate) end: Option<u64>,
}

/// Parses a region of one of the references (name and length, where it is known), in their order.
///
/// A reference whose whole name is the text comes first, so that names may have colons. Ends beyond the reference are
/// cut, as samtools does.
///
/// # Errors
/// With the reason: an unknown reference, a malformed range, one outside of the reference.
pub(crate) fn parse(text: &str, references: impl Iterator<Item = (Vec<u8>, Option<u64>)>) -> Result<Region, String> {
    let references: Vec<_> = references.collect();
    let find = |name: &str| references.iter().position(|(n, _)| n == name.as_bytes());
    let (reference, range) = match (find(text), text.rsplit_once(':')) {
        (Some(reference), _) => (reference, None),
        (None, Some((name, range))) => (find(name).ok_or_else(|| unknown(name, &references))?, Some(range)),
        (None, None) => return Err(unknown(text, &references)),
    };
    let length = references[reference].1;
    let (start, end) = match range {
        Some(range) => bounds(range).ok_or_else(|| {
            format!("'{range}' is no range: write `start`, `start-` or `start-end`, 1-based, `start` not after `end`")
        })?,
        None => (0, None),
    };
    match length {
        Some(length) if start > 0 && start >= length => {
            Err(format!("region '{text}' begins after the end of the reference, which has {length} bases"))
        }
        _ => {
            let end = match (end, length) {
                (Some(end), Some(length)) => Some(end.min(length)),
                (end, length) => end.or(length),
            };
            Ok(Region { reference, start, end })
        }
    }
}

/// `start`, `start-`, `start-end`; commas between digits are allowed.
fn bounds(range: &str) -> Option<(u64, Option<u64>)> {
    let number = |text: &str| {
        let digits = text.replace(',', "");
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u64>().ok()).flatten()
    };
    let (start, end) = range.split_once('-').unwrap_or((range, ""));
    let start = number(start).filter(|&start| start > 0)?;
    let end = if end.is_empty() { None } else { Some(number(end)?) };
    end.is_none_or(|end| end >= start).then_some((start - 1, end))
}

/// The error of an unknown reference, with some of those there are.
fn unknown(name: &str, references: &[(Vec<u8>, Option<u64>)]) -> String {
    let some: Vec<_> = references.iter().take(5).map(|(n, _)| String::from_utf8_lossy(n).into_owned()).collect();
    let more = if references.len() > some.len() { ", ..." } else { "" };
    format!("there is no reference '{name}'; there are {} ({}{more})", references.len(), some.join(", "))
}

/// A 0-based, half-open range as the 1-based, closed one of the index.
pub(crate) fn interval(start: u64, end: u64) -> Interval {
    let position = |p: u64| usize::try_from(p).ok().and_then(Position::new);
    match (position(start + 1), position(end)) {
        (Some(start), Some(end)) if end < Position::MAX => (start..=end).into(),
        (Some(start), _) => (start..).into(),
        (None, _) => (..).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions() {
        type Expected = Result<(usize, u64, Option<u64>), &'static str>;
        let cases: &[(&str, Expected)] = &[
            ("chr1", Ok((0, 0, Some(100)))),
            ("chr1:11-20", Ok((0, 10, Some(20)))),
            ("chr1:1,1-20", Ok((0, 10, Some(20)))),
            ("chr1:11", Ok((0, 10, Some(100)))),
            ("chr1:11-", Ok((0, 10, Some(100)))),
            ("chr1:11-2000", Ok((0, 10, Some(100)))),
            ("HLA:01:02", Ok((1, 0, None))),
            ("HLA:01:02:7-9", Ok((1, 6, Some(9)))),
            ("chr1:101-110", Err("begins after the end")),
            ("chr1:0-5", Err("no range")),
            ("chr1:20-11", Err("no range")),
            ("chr1:a-b", Err("no range")),
            ("chr2", Err("no reference 'chr2'")),
            ("chr2:1-5", Err("no reference 'chr2'")),
        ];
        for (text, expected) in cases {
            let references = [(b"chr1".to_vec(), Some(100)), (b"HLA:01:02".to_vec(), None)];
            match (parse(text, references.into_iter()), expected) {
                (Ok(got), Ok(expected)) => assert_eq!((got.reference, got.start, got.end), *expected, "{text}"),
                (Err(got), Err(expected)) => assert!(got.contains(expected), "{text}: {got}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }
}
