//! Cutting a batch into parts that threads work on. The cuts depend on the batch alone, never on the number of threads,
//! so sums over parts, taken in order, have the same bits on any machine of the same kind.

use std::ops::Range;

use super::real::Real;

/// Parts that a batch is cut into, at most.
const PARTS: usize = 32;
/// Tokens in a part, at least.
const TOKENS: usize = 64;

/// The number of rows of each part, when rows are independent.
pub fn even(rows: usize) -> Vec<usize> {
    let part = rows.div_ceil(PARTS).max(TOKENS);
    (0..rows.div_ceil(part)).map(|i| part.min(rows - i * part)).collect()
}

/// Runs of whole sequences with about as many tokens each: ranges of sequence numbers that cover all.
pub fn whole(offsets: &[usize]) -> Vec<Range<usize>> {
    let (sequences, tokens) = (offsets.len() - 1, offsets[offsets.len() - 1]);
    let part = tokens.div_ceil(PARTS).max(TOKENS);
    let (mut parts, mut first) = (vec![], 0);
    for i in 0..sequences {
        if offsets[i + 1] - offsets[first] >= part || i + 1 == sequences {
            parts.push(first..i + 1);
            first = i + 1;
        }
    }
    parts
}

/// The number of rows of each part of [`whole`].
pub fn rows(offsets: &[usize], parts: &[Range<usize>]) -> Vec<usize> {
    parts.iter().map(|part| offsets[part.end] - offsets[part.start]).collect()
}

/// `values` as one slice a part, `width` values a row.
pub fn split<'a, T>(mut values: &'a mut [T], rows: &[usize], width: usize) -> Vec<&'a mut [T]> {
    let mut cut = |&rows: &usize| {
        let (part, rest) = std::mem::take(&mut values).split_at_mut(rows * width);
        values = rest;
        part
    };
    rows.iter().map(&mut cut).collect()
}

/// As [`split`], to read.
pub fn split_ref<'a, T>(mut values: &'a [T], rows: &[usize], width: usize) -> Vec<&'a [T]> {
    let mut cut = |&rows: &usize| {
        let (part, rest) = values.split_at(rows * width);
        values = rest;
        part
    };
    rows.iter().map(&mut cut).collect()
}

/// The sum of rows of `width` values, in order.
pub fn sum_rows<T: Real>(rows: &[T], width: usize) -> Vec<T> {
    let mut sum = vec![T::ZERO; width];
    for row in rows.chunks_exact(width) {
        sum.iter_mut().zip(row).for_each(|(sum, &value)| *sum += value);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_everything_once_and_in_order() {
        for lengths in [vec![], vec![0, 0], vec![1, 2, 3, 65, 130], vec![1; 5000], vec![10_000, 1, 0, 7], vec![64; 32]]
        {
            let offsets: Vec<usize> = [0]
                .into_iter()
                .chain(lengths.iter().scan(0, |sum, l| Some(std::mem::replace(sum, *sum + l) + l)))
                .collect();
            let parts = whole(&offsets);
            let numbers: Vec<usize> = parts.iter().cloned().flatten().collect();
            assert_eq!(numbers, (0..lengths.len()).collect::<Vec<_>>());
            let tokens = lengths.iter().sum::<usize>();
            assert_eq!(rows(&offsets, &parts).iter().sum::<usize>(), tokens);
            assert_eq!(even(tokens).iter().sum::<usize>(), tokens);
            assert!(parts.len() <= PARTS + 1 && even(tokens).len() <= PARTS);
        }
    }
}
