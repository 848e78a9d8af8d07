//! Features of cases, row by row: sparse, so that counts of k-mers take little room and embeddings fit beside them.

/// Rows of features.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Features {
    /// Features of a row.
    pub(super) width: usize,
    /// Where each row ends.
    ends: Vec<usize>,
    columns: Vec<u16>,
    values: Vec<f32>,
}

impl Features {
    /// No rows yet, of a width of at most 65,536.
    pub(super) fn new(width: usize) -> Self {
        Self { width, ..Self::default() }
    }

    /// Adds a row by what of it is not 0.
    pub(super) fn push(&mut self, row: impl IntoIterator<Item = (u16, f32)>) {
        for (column, value) in row {
            self.columns.push(column);
            self.values.push(value);
        }
        self.ends.push(self.columns.len());
    }

    /// Adds a row whose every value is given.
    pub(super) fn push_dense(&mut self, row: &[f32]) {
        self.push((0..).zip(row.iter().copied()));
    }

    /// Number of rows.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// A row: columns and values.
    pub(super) fn row(&self, row: usize) -> (&[u16], &[f32]) {
        let first = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        (&self.columns[first..self.ends[row]], &self.values[first..self.ends[row]])
    }

    /// The first `most` rows, spread evenly over all.
    pub(super) fn thinned(&self, most: usize) -> (Self, Vec<usize>) {
        let every = self.len().div_ceil(most.max(1)).max(1);
        let kept: Vec<usize> = (0..self.len()).step_by(every).collect();
        let mut features = Self::new(self.width);
        for &row in &kept {
            let (columns, values) = self.row(row);
            features.push(columns.iter().copied().zip(values.iter().copied()));
        }
        (features, kept)
    }

    /// The features of both, side by side, row by row.
    pub(super) fn joined(&self, other: &Self) -> Self {
        let mut features = Self::new(self.width + other.width);
        for row in 0..self.len() {
            let ((a, x), (b, y)) = (self.row(row), other.row(row));
            let shifted = b.iter().map(|&column| (usize::from(column) + self.width) as u16);
            features.push(a.iter().copied().chain(shifted).zip(x.iter().chain(y).copied()));
        }
        features
    }

    /// `factors[c] * value + offsets[c]` of each value that is there.
    pub(super) fn scale(&mut self, factors: &[f64], offsets: &[f64]) {
        for (column, value) in self.columns.iter().zip(&mut self.values) {
            let column = usize::from(*column);
            *value = (factors[column] * f64::from(*value) + offsets[column]) as f32;
        }
    }

    /// What makes each column's largest magnitude 1.
    pub(super) fn by_maximum(&self) -> Vec<f64> {
        let mut most = vec![0.0_f64; self.width];
        for (&column, &value) in self.columns.iter().zip(&self.values) {
            let most = &mut most[usize::from(column)];
            *most = most.max(f64::from(value.abs()));
        }
        most.into_iter().map(|most| if most > 0.0 { 1.0 / most } else { 1.0 }).collect()
    }

    /// What makes each column's mean 0 and its deviation 1, of rows whose every value is given: factors and offsets.
    pub(super) fn by_deviation(&self) -> (Vec<f64>, Vec<f64>) {
        let (mut sums, mut squares) = (vec![0.0_f64; self.width], vec![0.0_f64; self.width]);
        for (&column, &value) in self.columns.iter().zip(&self.values) {
            sums[usize::from(column)] += f64::from(value);
            squares[usize::from(column)] += f64::from(value) * f64::from(value);
        }
        let count = self.len().max(1) as f64;
        let scale = |(sum, square): (&f64, &f64)| {
            let (mean, variance) = (sum / count, square / count - (sum / count).powi(2));
            // A column that never varied says nothing.
            let factor = if variance > 1e-12 * square / count { 1.0 / variance.sqrt() } else { 0.0 };
            (factor, -mean * factor)
        };
        sums.iter().zip(&squares).map(scale).unzip()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_scaled_and_joined() {
        let mut counts = Features::new(3);
        counts.push([(0, 2.0), (2, 1.0)]);
        counts.push([]);
        counts.push([(2, -4.0)]);
        let factors = counts.by_maximum();
        assert_eq!(factors, [0.5, 1.0, 0.25]);
        counts.scale(&factors, &[0.0; 3]);
        assert_eq!(counts.row(0), (&[0, 2][..], &[1.0, 0.25][..]));
        let mut dense = Features::new(2);
        [[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]].iter().for_each(|row| dense.push_dense(row));
        let (factors, offsets) = dense.by_deviation();
        dense.scale(&factors, &offsets);
        let deviation = 1.5_f32.sqrt();
        assert!((dense.row(0).1[0] + deviation).abs() < 1e-6 && dense.row(1).1 == [0.0, 0.0]);
        let joined = counts.joined(&dense);
        assert_eq!((joined.width, joined.row(1)), (5, (&[3, 4][..], &[0.0, 0.0][..])));
        assert_eq!(joined.row(2).0, [2, 3, 4]);
        let (thin, kept) = joined.thinned(2);
        assert_eq!((thin.len(), kept, thin.row(1)), (2, vec![0, 2], joined.row(2)));
    }
}
