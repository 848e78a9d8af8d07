//! A regular grid of time: the rows of a series that fall into one cell become one value.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{Content, Late, Row};

/// A regular grid. Cells are half-open, `[k step, (k + 1) step)`, and named by their start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grid {
    /// Width of a cell, in units of the rows' times; at least 1.
    pub step: u64,
    /// What becomes of several values in a cell.
    pub aggregate: Aggregate,
    /// The longest gap that is filled with missing values, in cells; a longer one is cut to this.
    pub most_missing: u32,
}

/// What becomes of several values in a cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregate {
    /// Their mean.
    #[default]
    Mean,
    /// The last one.
    Last,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// Their sum.
    Sum,
}

impl Grid {
    fn step(&self) -> i64 {
        i64::try_from(self.step.max(1)).unwrap_or(i64::MAX)
    }

    /// Start of the cell that a time falls into.
    fn start(&self, time: i64) -> i64 {
        time.saturating_sub(time.rem_euclid(self.step()))
    }

    /// Cells without a row between two cells, at most [`Grid::most_missing`].
    pub(in crate::stream) fn missing(&self, last: i64, next: i64) -> u32 {
        let cells = next.saturating_sub(last) / self.step() - 1;
        u32::try_from(cells.max(0)).unwrap_or(u32::MAX).min(self.most_missing)
    }
}

/// A cell under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Cell {
    start: i64,
    /// First time after it.
    end: i64,
    offset: i64,
    aggregate: Aggregate,
    /// The aggregate so far (of means, the sum); `None`: only missing values.
    value: Option<f64>,
    count: u64,
}

impl Cell {
    fn add(&mut self, value: f64) {
        self.count += 1;
        self.value = Some(match (self.value, self.aggregate) {
            (None, _) | (_, Aggregate::Last) => value,
            (Some(sum), Aggregate::Mean | Aggregate::Sum) => sum + value,
            (Some(least), Aggregate::Min) => least.min(value),
            (Some(most), Aggregate::Max) => most.max(value),
        });
    }

    fn finish(self, series: Arc<str>) -> Row {
        let count = self.count as f64;
        let value = self.value.map(|value| if self.aggregate == Aggregate::Mean { value / count } else { value });
        Row { series, time: self.start, offset: self.offset, content: Content::Value(value) }
    }
}

/// The cells under way: at most one a series.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Cells {
    open: BTreeMap<Arc<str>, Cell>,
    by_end: BTreeSet<(i64, Arc<str>)>,
}

impl Cells {
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Adds a value; a later one than the open cell's closes that.
    pub(super) fn add(&mut self, grid: &Grid, row: Row, value: Option<f64>, out: &mut Vec<Row>) -> Result<(), Late> {
        let start = grid.start(row.time);
        if let Some(open) = self.open.get(&row.series) {
            if start < open.start {
                return Err(Late { time: row.time, limit: open.start });
            }
            if start > open.start {
                self.close(&row.series, out);
            }
        }
        let end = start.saturating_add(grid.step());
        let cell = self.open.entry(Arc::clone(&row.series)).or_insert_with(|| {
            self.by_end.insert((end, row.series));
            Cell { start, end, offset: row.offset, aggregate: grid.aggregate, value: None, count: 0 }
        });
        value.into_iter().for_each(|value| cell.add(value));
        Ok(())
    }

    /// Closes a series' cell.
    pub(super) fn close(&mut self, series: &Arc<str>, out: &mut Vec<Row>) {
        if let Some((series, cell)) = self.open.remove_entry(series) {
            self.by_end.remove(&(cell.end, Arc::clone(&series)));
            out.push(cell.finish(series));
        }
    }

    /// Closes the cells that end at or before a time.
    pub(super) fn close_before(&mut self, time: i64, out: &mut Vec<Row>) {
        while let Some((end, series)) = self.by_end.first().cloned() {
            if end > time {
                break;
            }
            // It goes in any case: what was saved may name a cell that there is not.
            self.by_end.pop_first();
            self.close(&series, out);
        }
    }

    /// Closes all.
    pub(super) fn close_all(&mut self, out: &mut Vec<Row>) {
        self.close_before(i64::MAX, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was saved by somebody else may name cells that there are not: closing all of them ends.
    #[test]
    fn cells_that_are_named_and_not_there() {
        let by_end = [(5, "a"), (7, "b")].map(|(end, series)| (end, Arc::from(series)));
        let cell = Cell { start: 0, end: 9, offset: 3, aggregate: Aggregate::Sum, value: Some(2.0), count: 1 };
        let mut cells = Cells { open: BTreeMap::from([("b".into(), cell)]), by_end: by_end.into() };
        let mut out = vec![];
        cells.close_all(&mut out);
        assert_eq!(out.iter().map(|row| (&*row.series, row.time, row.offset)).collect::<Vec<_>>(), [("b", 0, 3)]);
        assert_eq!((cells.len(), cells.by_end.len()), (0, 0));
    }
}
