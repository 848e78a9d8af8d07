//! Cutting a call into waves.

use std::ops::Range;

/// Sequences are cut to no fewer rows than this: a cut costs each layer a launch.
const LEAST: usize = 256;
/// Waves of single rows: reading states in one overlaps with the products of another ..
const STEP_WAVES: usize = 4;
/// .. of at least and at most this many rows.
const STEP_ROWS: (usize, usize) = (128, 2048);

/// A run of rows of one sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) sequence: usize,
    /// Of the sequence.
    pub(super) rows: Range<usize>,
}

/// What goes through the layers together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wave {
    /// At most one of each sequence.
    pub(super) parts: Vec<Part>,
    /// Earlier waves that hold rows right before this one's.
    pub(super) after: Vec<usize>,
}

/// Waves of at most `most` rows for sequences of these lengths. They take turns, so that every wave is wide: the rows of
/// one sequence come one after the other, those of many side by side.
pub(super) fn plan(lengths: &[usize], most: usize) -> Vec<Wave> {
    let steps = lengths.iter().all(|len| *len <= 1);
    let each = lengths.iter().sum::<usize>().div_ceil(STEP_WAVES).clamp(STEP_ROWS.0, STEP_ROWS.1);
    let most = if steps { most.min(each) } else { most };
    let mut done = vec![0; lengths.len()];
    let mut last = vec![None; lengths.len()];
    let mut waves = vec![];
    loop {
        let active: Vec<usize> = (0..lengths.len()).filter(|i| done[*i] < lengths[*i]).collect();
        if active.is_empty() {
            return waves;
        }
        let turn = (most / active.len()).clamp(LEAST.min(most), most);
        let (mut parts, mut rows) = (vec![], 0);
        for i in active {
            let mut len = turn.min(lengths[i] - done[i]);
            // A rest that is shorter than a cut is worth goes along.
            let rest = lengths[i] - done[i] - len;
            if rest > 0 && rest < LEAST / 2 && len + rest <= most {
                len += rest;
            }
            if rows + len > most {
                close(&mut waves, &mut parts, &mut last);
                rows = 0;
            }
            parts.push(Part { sequence: i, rows: done[i]..done[i] + len });
            (done[i], rows) = (done[i] + len, rows + len);
        }
        close(&mut waves, &mut parts, &mut last);
    }
}

fn close(waves: &mut Vec<Wave>, parts: &mut Vec<Part>, last: &mut [Option<usize>]) {
    let mut after: Vec<usize> = parts.iter().filter_map(|part| last[part.sequence]).collect();
    after.sort_unstable();
    after.dedup();
    parts.iter().for_each(|part| last[part.sequence] = Some(waves.len()));
    waves.push(Wave { parts: std::mem::take(parts), after });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_row_comes_once_and_in_order(lengths in prop::collection::vec(0usize..3000, 0..40), most in 1usize..5000) {
            let waves = plan(&lengths, most);
            let mut done = vec![0; lengths.len()];
            let mut last = vec![None; lengths.len()];
            for (w, wave) in waves.iter().enumerate() {
                prop_assert!(wave.parts.iter().map(|part| part.rows.len()).sum::<usize>() <= most);
                prop_assert!(!wave.parts.is_empty());
                for part in &wave.parts {
                    prop_assert_eq!(part.rows.start, done[part.sequence]);
                    prop_assert!(!part.rows.is_empty());
                    done[part.sequence] = part.rows.end;
                    prop_assert!(last[part.sequence] != Some(w), "twice in a wave");
                    if let Some(before) = last[part.sequence] {
                        prop_assert!(wave.after.contains(&before));
                    }
                    last[part.sequence] = Some(w);
                }
            }
            prop_assert_eq!(done, lengths);
        }
    }

    #[test]
    fn few_long_sequences_take_turns_and_many_short_ones_stay_whole() {
        let check = |lengths: &[usize], most, expected: &[usize]| {
            let waves = plan(lengths, most);
            assert_eq!(waves.iter().map(|wave| wave.parts.len()).collect::<Vec<_>>(), expected, "{lengths:?}");
        };
        check(&[8192; 8], 8192, &[8; 8]);
        check(&[128; 512], 8192, &[64; 8]);
        check(&[1; 10_000], 8192, &[2048, 2048, 2048, 2048, 1808]);
        check(&[1; 1024], 8192, &[256; 4]);
        check(&[1; 100], 8192, &[100]);
        check(&[20000], 8192, &[1, 1, 1]);
        check(&[], 8192, &[]);
    }
}
