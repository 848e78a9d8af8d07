//! Ranges, to find those that overlap another one.

use std::ops::Range;

/// Ranges in the order in which they begin. Empty ones overlap nothing.
#[derive(Clone, Debug)]
pub struct Overlaps {
    /// Their numbers, and themselves.
    sorted: Vec<(usize, Range<usize>)>,
    /// The furthest end of each and those before it.
    reach: Vec<usize>,
}

impl Overlaps {
    /// Of ranges numbered from 0 on.
    #[must_use]
    pub fn new(ranges: impl IntoIterator<Item = Range<usize>>) -> Self {
        let mut sorted: Vec<_> = ranges.into_iter().enumerate().filter(|(_, range)| !range.is_empty()).collect();
        sorted.sort_by_key(|(_, range)| range.start);
        let mut furthest = 0;
        let reach = sorted.iter().map(|(_, range)| {
            furthest = furthest.max(range.end);
            furthest
        });
        let reach = reach.collect();
        Self { sorted, reach }
    }

    /// The numbers of the ranges that overlap `with`, and the parts that lie in it; in the order in which the ranges begin.
    pub fn with(&self, with: Range<usize>) -> impl Iterator<Item = (usize, Range<usize>)> + '_ {
        let first = self.reach.partition_point(|end| *end <= with.start);
        let last = self.sorted.partition_point(|(_, range)| range.start < with.end);
        let part = move |(number, range): &(usize, Range<usize>)| {
            let part = range.start.max(with.start)..range.end.min(with.end);
            (!part.is_empty()).then_some((*number, part))
        };
        self.sorted[first.min(last)..last].iter().filter_map(part)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_overlap_is_found(
            ranges in prop::collection::vec((0usize..50, 0usize..20), 0..20), from in 0usize..60, len in 0usize..20,
        ) {
            let ranges: Vec<Range<usize>> = ranges.into_iter().map(|(from, len)| from..from + len).collect();
            let with = from..from + len;
            let mut found: Vec<_> = Overlaps::new(ranges.clone()).with(with.clone()).collect();
            prop_assert!(found.is_sorted_by_key(|(number, _)| ranges[*number].start));
            found.sort_by_key(|(number, _)| *number);
            let expected = ranges.iter().enumerate().map(|(number, range)| {
                (number, range.start.max(with.start)..range.end.min(with.end))
            });
            prop_assert_eq!(found, expected.filter(|(_, part)| !part.is_empty()).collect::<Vec<_>>());
        }
    }
}
