//! Cutting a batch for the scan: long sequences into segments that are scanned side by side, and all of them into parts.
//! The cuts depend on the batch and the shape alone, so sums over parts, taken in order, have the same bits every time.

use super::batch::CHUNK;

/// Blocks that fill the largest card once, about.
const FILLED: usize = 264;
/// Parts, about; and the fewest tokens of a part, and of a segment.
const PARTS: usize = 256;
const FEWEST: usize = 64;

/// How a batch is cut.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Segments {
    /// First tokens, and the end, `[segments + 1]`.
    pub offsets: Vec<usize>,
    /// Where each one's kept h begin, `[segments + 1]`: one before every CHUNK tokens but the first.
    pub kept: Vec<usize>,
    /// The number of the joint at which it goes on from the one before, if it does; and a `None`, `[segments + 1]`.
    pub joints: Vec<Option<usize>>,
    /// Whether the joint is at the end of a segment that begins at a joint, `[joints]`.
    pub chained: Vec<bool>,
    /// First segments, and the end, `[parts + 1]`.
    pub parts: Vec<usize>,
}

impl Segments {
    /// offsets: `[sequences + 1]`; blocks: that a part has, by the shape's channels.
    ///
    /// A sequence is cut when it is half as long again as a share of the tokens with which the blocks fill the card once,
    /// into pieces with which they fill it twice. (Finding the states between costs a tenth of the two passes, less than a
    /// half-empty card does. On an H100, 32,768 tokens of d = 256: 8 x 4096 from 1.08 to 2.27 Mtok/s.)
    pub fn new(offsets: &[usize], blocks: usize) -> Self {
        let tokens = offsets.last().copied().unwrap_or(0);
        let share = |fills: usize| {
            tokens.div_ceil((fills * FILLED).div_ceil(blocks.max(1))).next_multiple_of(CHUNK).max(FEWEST)
        };
        let (longest, piece) = (share(1) + share(1) / 2, share(2));
        let mut cut = Self { offsets: vec![0], kept: vec![0], joints: vec![], chained: vec![], parts: vec![0] };
        for pair in offsets.windows(2) {
            let length = pair[1] - pair[0];
            let pieces = if length > longest { length.div_ceil(piece) } else { 1 };
            let piece = length.div_ceil(pieces).next_multiple_of(CHUNK);
            for i in 0..pieces {
                cut.push((piece * i).min(length), (piece * (i + 1)).min(length), i > 0);
            }
        }
        cut.joints.push(None);
        cut.make_parts(tokens.div_ceil(PARTS).max(FEWEST));
        cut
    }

    /// A segment from one place of its sequence to another.
    fn push(&mut self, begin: usize, end: usize, goes_on: bool) {
        self.offsets.push(self.offsets[self.offsets.len() - 1] + end - begin);
        self.kept.push(self.kept[self.kept.len() - 1] + (end - begin).saturating_sub(1) / CHUNK);
        if goes_on {
            self.chained.push(self.joints.last().is_some_and(Option::is_some));
        }
        self.joints.push(goes_on.then(|| self.chained.len() - 1));
    }

    /// Runs of segments with `tokens` tokens each, or more.
    fn make_parts(&mut self, tokens: usize) {
        let segments = self.offsets.len() - 1;
        for i in 0..segments {
            let first = self.parts[self.parts.len() - 1];
            if self.offsets[i + 1] - self.offsets[first] >= tokens || i + 1 == segments {
                self.parts.push(i + 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(lengths: &[usize]) -> Vec<usize> {
        let mut offsets = vec![0];
        lengths.iter().for_each(|l| offsets.push(offsets[offsets.len() - 1] + l));
        offsets
    }

    #[test]
    fn segments_cover_sequences_and_parts_segments() {
        for lengths in [
            vec![],
            vec![0, 0],
            vec![1, 2, 3, 65, 130],
            vec![1; 50_000],
            vec![10_000, 1, 0, 97],
            vec![512; 64],
            vec![777],
        ] {
            let all = offsets(&lengths);
            let cut = Segments::new(&all, 4);
            let segments = cut.offsets.len() - 1;
            assert!(all.iter().all(|end| cut.offsets.contains(end)) && cut.offsets.is_sorted());
            assert_eq!((cut.joints.len(), cut.kept.len(), cut.joints[segments]), (segments + 1, segments + 1, None));
            let numbers: Vec<usize> = cut.joints.iter().flatten().copied().collect();
            assert_eq!(numbers, (0..cut.chained.len()).collect::<Vec<_>>());
            for (i, joint) in cut.joints[..segments].iter().enumerate() {
                let begins = all.contains(&cut.offsets[i]);
                assert!(joint.is_some() != begins || cut.offsets[i] == cut.offsets[i + 1], "segment {i}");
            }
            assert_eq!((cut.parts[0], cut.parts[cut.parts.len() - 1]), (0, segments));
            assert!(cut.parts.is_sorted_by(|a, b| a < b) && cut.parts.len() <= PARTS + 2);
        }
    }

    #[test]
    fn only_long_sequences_are_cut() {
        let check = |lengths: &[usize], expected: &[usize]| {
            let cut = Segments::new(&offsets(lengths), 4);
            assert_eq!(cut.offsets, offsets(expected));
        };
        check(&[512; 64], &[512; 64]);
        check(&[95, 96, 97], &[95, 96, 56, 41]);
        check(&[1, 0, 300], &[1, 0, 64, 64, 64, 64, 44]);
        let cut = Segments::new(&offsets(&[1, 200, 0, 300]), 4);
        assert_eq!(cut.kept, [0, 0, 6, 12, 18, 21, 21, 28, 35, 42, 49, 54]);
        assert_eq!(cut.chained, [false, true, true, false, true, true, true]);
    }
}
