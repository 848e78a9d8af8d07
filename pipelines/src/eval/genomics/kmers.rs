//! Counts of k-mers, the features that an embedding must beat.

use super::features::Features;
use unspool_model::dna;

/// The lengths of the words that are counted.
const LENGTHS: [usize; 3] = [3, 4, 5];
/// Their number.
const WIDTH: usize = 64 + 256 + 1024;

/// Counts of all words of 3, 4 and 5 bases of each sequence; words with an N are left out.
pub(super) fn counts<'a>(sequences: impl IntoIterator<Item = &'a [u32]>) -> Features {
    let mut features = Features::new(WIDTH);
    let mut counts = vec![0_u32; WIDTH];
    for tokens in sequences {
        counts.fill(0);
        let bases: Vec<Option<usize>> = tokens.iter().map(|&token| dna::base(token)).collect();
        let mut first = 0;
        for length in LENGTHS {
            for word in bases.windows(length) {
                let code = word.iter().try_fold(0, |code, base| base.map(|base| 4 * code + base));
                code.into_iter().for_each(|code| counts[first + code] += 1);
            }
            first += 1 << (2 * length);
        }
        features.push((0..).zip(&counts).filter(|(_, count)| **count > 0).map(|(word, &count)| (word, count as f32)));
    }
    features
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted() {
        let sequences = [&b"ACGACGAC"[..], b"AANAAA", b""].map(|bases| dna::tokens(bases).unwrap());
        let features = counts(sequences.iter().map(Vec::as_slice));
        let row = |i: usize| -> Vec<(u16, f32)> {
            let (columns, values) = features.row(i);
            columns.iter().copied().zip(values.iter().copied()).collect()
        };
        // ACG = 0 1 2 is 6, CGA = 1 2 0 is 24, GAC = 2 0 1 is 33.
        assert_eq!(row(0)[..3], [(6, 2.0), (24, 2.0), (33, 2.0)]);
        assert_eq!(row(0).iter().map(|word| word.1).sum::<f32>(), 6.0 + 5.0 + 4.0);
        assert_eq!(row(1), [(0, 1.0)]);
        assert!(row(2).is_empty());
    }
}
