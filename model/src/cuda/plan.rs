//! Cutting a call into waves.

use std::ops::{Range, RangeInclusive};

/// Sequences are cut to no fewer rows than this: a cut costs each layer a launch.
const LEAST: usize = 256;
/// Waves of single rows that go layer by layer: reading states in one overlaps with the products of another.
const STEP_WAVES: usize = 4;
/// Rows of such a wave; and of calls that have two such or more.
const STEP_ROWS: (RangeInclusive<usize>, usize) = (128..=2048, 4096);
/// Rows of a wave that goes through all layers at once: the card begins with one while the next is described; and of calls beyond
/// what fills it, where fewer would leave multiprocessors idle at the end.
const STACK_ROWS: (usize, usize) = (512, 2048);
/// Rows that go through all layers at once, eight a multiprocessor.
const STACK_FULL: usize = 1056;

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

impl Wave {
    /// Of single rows.
    pub(super) fn is_steps(&self) -> bool {
        self.parts.iter().all(|part| part.rows.len() == 1)
    }
}

/// Waves of at most `most` rows for sequences of these lengths. They take turns, so that every wave is wide: the rows of
/// one sequence come one after the other, those of many side by side. A sequence alone is a chain of waves, and of at most `alone`
/// rows: the last layers begin sooner. `at_once`: single rows take all layers in one kernel.
pub(super) fn plan(lengths: &[usize], (most, alone): (usize, usize), at_once: bool) -> Vec<Wave> {
    if lengths.iter().all(|len| *len <= 1) {
        return plan_steps(lengths, most, at_once);
    }
    let mut done = vec![0; lengths.len()];
    let mut last = vec![None; lengths.len()];
    let mut waves = vec![];
    loop {
        let active: Vec<usize> = (0..lengths.len()).filter(|i| done[*i] < lengths[*i]).collect();
        if active.is_empty() {
            return waves;
        }
        let most = if active.len() == 1 { alone } else { most };
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

fn plan_steps(lengths: &[usize], most: usize, at_once: bool) -> Vec<Wave> {
    let total = lengths.iter().sum::<usize>();
    let each = match at_once {
        true if total <= STACK_FULL => STACK_ROWS.0,
        true => STACK_ROWS.1,
        false if total >= 2 * STEP_ROWS.1 => STEP_ROWS.1,
        false => total.div_ceil(STEP_WAVES).clamp(*STEP_ROWS.0.start(), *STEP_ROWS.0.end()),
    };
    let (each, mut left) = (each.min(most), total);
    let mut sequences = (0..lengths.len()).filter(|i| lengths[*i] > 0);
    let mut waves = Vec::with_capacity(total.div_ceil(each));
    while left > 0 {
        let mut parts = Vec::with_capacity(each.min(left));
        parts.extend(sequences.by_ref().take(each).map(|sequence| Part { sequence, rows: 0..1 }));
        left -= parts.len();
        waves.push(Wave { parts, after: vec![] });
    }
    waves
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
        fn every_row_comes_once_and_in_order(lengths in prop::collection::vec(0usize..3000, 0..40), most in 1usize..5000, alone in 1usize..5000, one in any::<bool>(), at_once in any::<bool>()) {
            let lengths: Vec<usize> = lengths.iter().map(|len| if one { *len % 2 } else { *len }).collect();
            let waves = plan(&lengths, (most, alone.min(most)), at_once);
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
        let check = |lengths: &[usize], at_once, expected: &[usize]| {
            let waves = plan(lengths, (8192, 4096), at_once);
            assert_eq!(waves.iter().map(|wave| wave.parts.len()).collect::<Vec<_>>(), expected, "{lengths:?}");
        };
        check(&[8192; 8], false, &[8; 8]);
        check(&[128; 512], false, &[64; 8]);
        check(&[1; 10_000], false, &[4096, 4096, 1808]);
        check(&[1; 8000], false, &[2000; 4]);
        check(&[1; 1024], false, &[256; 4]);
        check(&[1; 100], false, &[100]);
        check(&[20000], false, &[1; 5]);
        check(&[20000, 100], false, &[2, 1, 1, 1, 1]);
        check(&[], false, &[]);
        check(&[1; 1024], true, &[512; 2]);
        check(&[1; 5000], true, &[2048, 2048, 904]);
    }
}
