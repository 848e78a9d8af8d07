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
/// Means of several values are a series too where there are so many of them.
const LEAST_MEANS: usize = 60;
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
    /// Values before the horizon.
    pub(super) seen: usize,
    pub(super) values: &'a mut [f32],
    pub(super) known: &'a mut [bool],
}

impl Real {
    /// Reads a folder, for windows of these lengths in values.
    ///
    /// # Errors
    /// When the folder or a file in it cannot be read, or there is no series to train on.
    pub(super) fn read(folder: &Path, lengths: &[usize]) -> Result<Self, DataError> {
        let real = Self::of(read::training_series(folder)?, lengths);
        real.ok_or_else(|| DataError::NoSeries { path: folder.to_owned() })
    }

    /// Series of several files, for windows of these lengths in values; `None` when nothing can be learned from them.
    pub(super) fn of(files: Vec<Vec<Vec<f64>>>, lengths: &[usize]) -> Option<Self> {
        let mut rows = vec![];
        for file in files {
            // Files count by the root of what they hold, else the longest would be nearly all.
            let held: f64 = file.iter().map(|series| series.len() as f64).sum();
            let roots: f64 = file.iter().map(|series| (series.len() as f64).sqrt()).sum();
            for series in &file {
                let weight = held.sqrt() * (series.len() as f64).sqrt() / roots;
                let scales = || SCALES.into_iter().filter(|&k| k == 1 || series.len() / k >= LEAST_MEANS);
                let of_all: f64 = scales().map(scale_weight).sum();
                rows.extend(scales().filter_map(|k| Row::new(series, k, weight * scale_weight(k) / of_all)));
            }
        }
        if rows.is_empty() {
            return None;
        }
        let tables = lengths.iter().map(|&len| Table::new(len, &rows)).collect();
        Some(Self { rows, tables })
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

    /// Cuts a window out of a series of the table. A shorter series starts with the window (half of them), or anywhere.
    fn cut(&self, d: &mut Draws, table: &Table, to: &mut Target<'_>) {
        let len = to.values.len();
        for _ in 0..ATTEMPTS {
            let row = &self.rows[table.draw(d)].values;
            let from = d.below(row.len().saturating_sub(len) + 1);
            // A third of a short series at least is before the horizon.
            let latest = len.saturating_sub(row.len()).min(to.seen.saturating_sub(row.len() / 3));
            let start = if d.chance(0.5) { 0 } else { d.below(latest + 1) };
            to.values.fill(0.0);
            to.known.fill(false);
            let places = to.values[start..].iter_mut().zip(&mut to.known[start..]);
            for ((value, known), &real) in places.zip(&row[from..]) {
                *known = !real.is_nan();
                *value = if *known { real } else { 0.0 };
            }
            if to.known[..to.seen].iter().filter(|known| **known).count() >= (LEAST_VALUES / 3).min(to.seen) {
                return;
            }
        }
    }

    /// The mean with another window, where both are known.
    fn mix(&self, d: &mut Draws, table: &Table, to: &mut Target<'_>) {
        let (mut values, mut known) = (d.take(to.values.len()), vec![false; to.known.len()]);
        self.cut(d, table, &mut Target { seen: to.seen, values: &mut values, known: &mut known });
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
        let (mut first, mut short) = (0, 0);
        for _ in 0..400 {
            real.cut(&mut d, &table, &mut Target { seen: 40, values: &mut values, known: &mut known });
            let start = known.iter().position(|&k| k).unwrap();
            let end = 1 + known.iter().rposition(|&k| k).unwrap();
            assert!(known[start..end].iter().all(|&k| k) && [30, 48].contains(&(end - start)));
            assert!(values[start..end].windows(2).all(|w| w[1] - w[0] == 1.0));
            assert!(values[..start].iter().chain(&values[end..]).all(|&v| v == 0.0));
            if end - start == 30 {
                short += 1;
                first += usize::from(start == 0);
            }
        }
        assert!(
            (90..180).contains(&short) && (0.4..0.65).contains(&(first as f32 / short as f32)),
            "{first} of {short}"
        );
    }
}
