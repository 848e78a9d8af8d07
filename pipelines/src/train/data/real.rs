//! Windows of real series: rescaled in time, mixed, and never of those that are held out.

use std::path::Path;

use super::{
    DataError,
    draws::Draws,
    read, trend,
    vector::{add, standardise},
};

/// Series of fewer values teach nothing.
const LEAST_VALUES: usize = 24;
/// From so many values on, means of several values are series too.
const AGGREGATED_FROM: usize = 4000;
/// Numbers of values that one mean is taken of.
const SCALES: [usize; 7] = [1, 2, 3, 4, 6, 12, 24];
/// Attempts at a window in which anything is known.
const ATTEMPTS: usize = 5;

/// The series, ready to be cut from.
pub(super) struct Real {
    rows: Vec<Row>,
    /// For each length of windows that occurs: the rows that fit it.
    tables: Vec<Table>,
}

/// A series in one time scale.
struct Row {
    /// Standardised; NaN where missing.
    values: Vec<f32>,
    weight: f64,
}

/// What windows of one length are cut from.
struct Table {
    len: usize,
    /// Rows, with the sum of the weights up to each.
    rows: Vec<(usize, f64)>,
}

/// A window to be filled.
pub(super) struct Target<'a> {
    pub(super) patch: usize,
    pub(super) values: &'a mut [f32],
    pub(super) known: &'a mut [bool],
}

impl Real {
    /// Reads a folder, for windows of these lengths in values.
    ///
    /// # Errors
    /// When the folder or a file in it cannot be read, or there is no series to train on.
    pub(super) fn read(folder: &Path, lengths: &[usize]) -> Result<Self, DataError> {
        let mut rows = vec![];
        for file in read::training_series(folder)? {
            // Files count by the root of what they hold, else the longest would be nearly all.
            let held: f64 = file.iter().map(|series| series.len() as f64).sum();
            let roots: f64 = file.iter().map(|series| (series.len() as f64).sqrt()).sum();
            for series in &file {
                let weight = held.sqrt() * (series.len() as f64).sqrt() / roots;
                let scales = if series.len() < AGGREGATED_FROM { &SCALES[..1] } else { &SCALES };
                let of_all: f64 = scales.iter().map(|&k| scale_weight(k)).sum();
                rows.extend(scales.iter().filter_map(|&k| Row::new(series, k, weight * scale_weight(k) / of_all)));
            }
        }
        if rows.is_empty() {
            return Err(DataError::NoSeries { path: folder.to_owned() });
        }
        let tables = lengths.iter().map(|&len| Table::new(len, &rows)).collect();
        Ok(Self { rows, tables })
    }

    /// Fills a window whose length is one of those of [`Self::read`].
    pub(super) fn fill(&self, d: &mut Draws, mut to: Target<'_>) {
        let Some(table) = self.tables.iter().find(|table| table.len == to.values.len()) else { return };
        self.cut(d, table, &mut to);
        if d.chance(0.4) {
            self.mix(d, table, &mut to);
        }
        let Target { values, known, .. } = to;
        if d.chance(0.3) {
            let size = d.log_uniform(0.01, 0.2);
            values.iter_mut().for_each(|v| *v += size * d.normal());
        }
        if d.chance(0.3) {
            let (mut level, size) = (d.take(values.len()), d.uniform(0.0, 0.5));
            trend::trend(d, &mut level);
            standardise(&mut level);
            if d.chance(0.6) {
                values.iter_mut().zip(&level).for_each(|(v, l)| *v *= (size * l).exp());
            } else {
                add(values, &level, size);
            }
            d.give(level);
        }
        if d.chance(0.1) {
            values.iter_mut().for_each(|v| *v = -*v);
        }
        values.iter_mut().zip(&*known).filter(|(_, known)| !**known).for_each(|(v, _)| *v = 0.0);
    }

    /// Cuts a window out of a series of the table; a shorter series ends where the window ends, and half of those start
    /// with a patch.
    fn cut(&self, d: &mut Draws, table: &Table, to: &mut Target<'_>) {
        let len = to.values.len();
        for _ in 0..ATTEMPTS {
            let row = &self.rows[table.draw(d)].values;
            let (mut from, mut start) = (0, len.saturating_sub(row.len()));
            if row.len() > len {
                from = d.below(row.len() - len + 1);
            } else if d.chance(0.5) {
                from = (start.next_multiple_of(to.patch) - start).min(row.len() - 1);
                start += from;
            }
            to.values[..start].fill(0.0);
            to.known[..start].fill(false);
            let places = to.values[start..].iter_mut().zip(&mut to.known[start..]);
            for ((value, known), &real) in places.zip(&row[from..]) {
                *known = !real.is_nan();
                *value = if *known { real } else { 0.0 };
            }
            if to.known.iter().filter(|known| **known).count() >= LEAST_VALUES.min(len) {
                return;
            }
        }
    }

    /// The mean with another window, where both are known.
    fn mix(&self, d: &mut Draws, table: &Table, to: &mut Target<'_>) {
        let (mut values, mut known) = (d.take(to.values.len()), vec![false; to.known.len()]);
        self.cut(d, table, &mut Target { patch: to.patch, values: &mut values, known: &mut known });
        let both = to.known.iter().zip(&known).filter(|(a, b)| **a && **b).count();
        if both >= LEAST_VALUES {
            let share = d.uniform(0.2, 0.9);
            to.values.iter_mut().zip(&values).for_each(|(v, other)| *v = share * *v + (1.0 - share) * other);
            to.known.iter_mut().zip(&known).for_each(|(known, other)| *known &= other);
        }
        d.give(values);
    }
}

/// What a time scale weighs against the others.
fn scale_weight(scale: usize) -> f64 {
    if scale == 1 { 2.0 } else { 1.0 / (scale as f64).sqrt() }
}

impl Row {
    /// A series in means of `scale` values, if it is long enough and not constant.
    fn new(series: &[f64], scale: usize, weight: f64) -> Option<Self> {
        let means: Vec<f64> =
            series.chunks_exact(scale).map(|values| values.iter().sum::<f64>() / scale as f64).collect();
        let known: Vec<f64> = means.iter().copied().filter(|v| v.is_finite()).collect();
        let mean = known.iter().sum::<f64>() / known.len() as f64;
        let deviation = (known.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / known.len() as f64).sqrt();
        let usable = known.len() >= LEAST_VALUES && deviation > 1e-9 * mean.abs() && deviation.is_finite();
        let standard = |v: &f64| if v.is_finite() { ((v - mean) / deviation) as f32 } else { f32::NAN };
        usable.then(|| Self { values: means.iter().map(standard).collect(), weight })
    }
}

impl Table {
    /// Rows of at least a third of the length; if there are none, those that are half as long as the longest.
    fn new(len: usize, rows: &[Row]) -> Self {
        let longest = rows.iter().map(|row| row.values.len()).max().unwrap_or(0);
        let least = (len / 3).min(longest / 2);
        let mut sum = 0.0;
        let fitting = rows.iter().enumerate().filter(|(_, row)| row.values.len() >= least);
        let rows = fitting
            .map(|(i, row)| {
                sum += row.weight;
                (i, sum)
            })
            .collect();
        Self { len, rows }
    }

    /// A row by its weight.
    fn draw(&self, d: &mut Draws) -> usize {
        let all = self.rows.last().map_or(0.0, |last| last.1);
        let at = f64::from(d.unit()) * all;
        let place = self.rows.partition_point(|row| row.1 <= at).min(self.rows.len() - 1);
        self.rows[place].0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_and_gaps_of_a_series() {
        let mut series: Vec<f64> = (0..100).map(f64::from).collect();
        series[6] = f64::NAN;
        let row = Row::new(&series, 2, 1.0).unwrap();
        assert_eq!(row.values.len(), 50);
        assert!(row.values[3].is_nan() && row.values[2].is_finite());
        assert!((row.values[11] - row.values[10] - (row.values[41] - row.values[40])).abs() < 1e-5);
        assert!(Row::new(&[5.0; 100], 1, 1.0).is_none());
        assert!(Row::new(&series[..20], 1, 1.0).is_none());
    }

    #[test]
    fn windows_are_pieces_of_rows_that_fit() {
        let row = |n: usize, from: f32| Row { values: (0..n).map(|i| from + i as f32).collect(), weight: 1.0 };
        let rows = vec![row(30, 0.0), row(100, 1000.0), row(400, 2000.0)];
        for (len, fitting) in [(48, 0..3), (120, 1..3), (900, 2..3), (9000, 2..3)] {
            let table = Table::new(len, &rows);
            let chosen: Vec<usize> = table.rows.iter().map(|row| row.0).collect();
            assert_eq!(chosen, fitting.collect::<Vec<_>>(), "{len}");
        }
        let real = Real { tables: vec![], rows };
        let table = Table::new(48, &real.rows);
        let mut d = Draws::new(1);
        let (mut values, mut known) = (vec![0.0; 48], vec![false; 48]);
        let (mut aligned, mut short) = (0, 0);
        for _ in 0..400 {
            real.cut(&mut d, &table, &mut Target { patch: 8, values: &mut values, known: &mut known });
            let start = known.iter().position(|&k| k).unwrap();
            assert!(known[start..].iter().all(|&k| k));
            assert!(values[start..].windows(2).all(|w| w[1] - w[0] == 1.0));
            assert!(values[..start].iter().all(|&v| v == 0.0));
            short += usize::from(start > 0);
            aligned += usize::from(start == 24);
            assert!([0, 18, 24].contains(&start), "{start}");
        }
        assert!(short > 90 && aligned * 3 > short && aligned * 3 < 2 * short, "{aligned} of {short} of 400");
    }
}
