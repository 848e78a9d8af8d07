//! Cutting long inputs so that scratch memory stays flat: the chunk law makes every cut exact.

use std::ops::Range;

/// Cuts sequences of the given lengths into blocks of at most `budget` rows in all: lists of (sequence, its rows).
///
/// Sequences keep their order; one that does not fit is cut. Empty sequences are in no block.
pub(crate) fn blocks(lengths: &[usize], budget: usize) -> Vec<Vec<(usize, Range<usize>)>> {
    let mut blocks = vec![];
    let (mut block, mut room) = (vec![], budget);
    for (sequence, &length) in lengths.iter().enumerate() {
        let mut start = 0;
        while start < length {
            let end = length.min(start + room);
            block.push((sequence, start..end));
            room -= end - start;
            start = end;
            if room == 0 {
                blocks.push(std::mem::take(&mut block));
                room = budget;
            }
        }
    }
    if !block.is_empty() {
        blocks.push(block);
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lengths: &[usize], expected: &[&[(usize, Range<usize>)]]) {
        assert_eq!(blocks(lengths, 4), expected, "{lengths:?}");
    }

    #[test]
    fn lengths_are_cut_to_the_budget() {
        check(&[], &[]);
        check(&[0, 0], &[]);
        check(&[4], &[&[(0, 0..4)]]);
        check(&[1, 0, 2], &[&[(0, 0..1), (2, 0..2)]]);
        check(&[3, 6], &[&[(0, 0..3), (1, 0..1)], &[(1, 1..5)], &[(1, 5..6)]]);
    }
}
