//! Pooling of hidden rows over time, as rows arrive: mean, last, max.
//!
//! Sums are f64 and added in time order, so that a pool is the same to the bit however the sequence is cut.

/// How the rows of a sequence become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pool {
    /// The mean of all rows.
    Mean,
    /// The last row.
    Last,
    /// The greatest value of each column.
    Max,
}

/// All pools of one layer's rows so far. Its size depends on the width alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Pooled {
    /// Rows so far.
    pub(crate) count: u64,
    /// `[d]`: sums in time order.
    pub(crate) sum: Vec<f64>,
    /// `[d]`: the last row (zeros before the first).
    pub(crate) last: Vec<f32>,
    /// `[d]`: greatest values (-inf before the first row).
    pub(crate) max: Vec<f32>,
}

impl Pooled {
    /// No rows yet, of width `d`.
    #[must_use]
    pub fn new(d: usize) -> Self {
        Self { count: 0, sum: vec![0.0; d], last: vec![0.0; d], max: vec![f32::NEG_INFINITY; d] }
    }

    /// Takes in rows `[l, d]`, oldest first.
    pub fn push(&mut self, rows: &[f32]) {
        for row in rows.chunks_exact(self.sum.len()) {
            self.count += 1;
            for ((sum, max), &value) in self.sum.iter_mut().zip(&mut self.max).zip(row) {
                *sum += f64::from(value);
                // As kernels on a card have it, of zeros of either sign too.
                *max = if value > *max { value } else { *max };
            }
        }
        if let Some(row) = rows.chunks_exact(self.last.len()).next_back() {
            self.last.copy_from_slice(row);
        }
    }

    /// Its values as a card has them; `None` before the first row.
    #[cfg(feature = "cuda")]
    pub(crate) fn on_card(&self) -> Option<unspool_kernels::cuda::Pool<'_>> {
        (self.count > 0).then_some((&self.sum[..], &self.last[..], &self.max[..]))
    }

    /// Takes in what a card made of `rows` more rows.
    #[cfg(feature = "cuda")]
    pub(crate) fn take(&mut self, (sum, last, max): unspool_kernels::cuda::Pool<'_>, rows: usize) {
        self.count += rows as u64;
        self.sum.copy_from_slice(sum);
        self.last.copy_from_slice(last);
        self.max.copy_from_slice(max);
    }

    /// Equal to the bit.
    pub(crate) fn has_bits_of(&self, other: &Self) -> bool {
        let narrow = |pooled: &Self| pooled.last.iter().chain(&pooled.max).map(|v| v.to_bits()).collect::<Vec<_>>();
        let wide = |pooled: &Self| pooled.sum.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        self.count == other.count && narrow(self) == narrow(other) && wide(self) == wide(other)
    }

    /// Rows so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.count
    }

    /// Columns of a row.
    #[must_use]
    pub fn width(&self) -> usize {
        self.sum.len()
    }

    /// One pool of the rows so far, `[d]`; `None` before the first row.
    #[must_use]
    pub fn get(&self, pool: Pool) -> Option<Vec<f32>> {
        (self.count > 0).then(|| match pool {
            #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "f32 is what rows are")]
            Pool::Mean => self.sum.iter().map(|sum| (sum / self.count as f64) as f32).collect(),
            Pool::Last => self.last.clone(),
            Pool::Max => self.max.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_of_two_rows() {
        let mut pooled = Pooled::new(2);
        assert_eq!(pooled.get(Pool::Mean), None);
        pooled.push(&[1.0, -4.0, 3.0, -8.0]);
        let check = |pool, expected: [f32; 2]| assert_eq!(pooled.get(pool), Some(expected.to_vec()), "{pool:?}");
        check(Pool::Mean, [2.0, -6.0]);
        check(Pool::Last, [3.0, -8.0]);
        check(Pool::Max, [3.0, -4.0]);
    }

    proptest::proptest! {
        #[test]
        fn any_cut_gives_the_same_bits(rows in proptest::collection::vec(-1e3f32..1e3, 0..60), cut in 0usize..20) {
            let rows = &rows[..rows.len() / 3 * 3];
            let cut = (cut * 3).min(rows.len());
            let (mut whole, mut parts) = (Pooled::new(3), Pooled::new(3));
            whole.push(rows);
            parts.push(&rows[..cut]);
            parts.push(&rows[cut..]);
            proptest::prop_assert_eq!(whole, parts);
        }
    }
}
