//! Event time of one partition: the watermark, the reorder buffer, the grid.
//!
//! A pure function of the partition's rows in the order of their offsets, and of the marks where an idle partition was
//! flushed: no clock is read, so a replay decides the same about every row.

mod grid;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use self::grid::Cells;
pub use self::grid::{Aggregate, Grid};

/// How rows are put in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// As they stand in the partition: each series' times must grow by themselves.
    #[default]
    Offset,
    /// By time: a row waits until the watermark, the partition's latest time less the lateness, has reached it. Rows
    /// older than the watermark are late.
    Time {
        /// In units of the rows' times (µs or steps).
        lateness: u64,
        /// Rows that may wait; beyond that the oldest go on, and the watermark with them.
        most_waiting: usize,
    },
}

/// How a partition's rows become events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeOptions {
    /// The order.
    pub order: Order,
    /// Values are put on a regular grid.
    pub grid: Option<Grid>,
}

/// What a row brings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Content {
    /// A value; `None`: missing.
    Value(Option<f64>),
    /// Bases.
    Bases(Box<str>),
    /// The series ends.
    End,
}

/// A row of a partition, or one that is released.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The series.
    pub series: Arc<str>,
    /// µs since 1970, or a step number.
    pub time: i64,
    /// The message that brought it: of a cell of the grid, the first one.
    pub offset: i64,
    /// What it brings.
    pub content: Content,
}

/// Why a row is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("late: time {time} is before {limit}, which its partition has passed")]
pub struct Late {
    /// The row's time.
    pub time: i64,
    /// The watermark, or the end of the series' last cell.
    pub limit: i64,
}

/// The event time of a partition, with the rows that wait.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EventTime {
    /// The greatest time seen.
    newest: Option<i64>,
    /// Where a flush or a full buffer has put the watermark.
    passed: Option<i64>,
    /// Rows seen: of rows of one time, the first to come goes first.
    serial: u64,
    waiting: BTreeMap<(i64, u64), Row>,
    cells: Cells,
}

impl EventTime {
    /// Rows before this time are late; `None` before the first row, and in the order of offsets.
    #[must_use]
    pub fn watermark(&self, options: &TimeOptions) -> Option<i64> {
        let Order::Time { lateness, .. } = options.order else { return None };
        let lateness = i64::try_from(lateness).unwrap_or(i64::MAX);
        let mark = self.newest.map(|newest| newest.saturating_sub(lateness));
        mark.max(self.passed)
    }

    /// The greatest time seen.
    #[must_use]
    pub fn newest(&self) -> Option<i64> {
        self.newest
    }

    /// Rows and cells that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len() + self.cells.len()
    }

    /// Takes a row, and gives what may go on now.
    ///
    /// # Errors
    /// [`Late`]: the row is not taken.
    pub fn push(&mut self, options: &TimeOptions, row: Row, out: &mut Vec<Row>) -> Result<(), Late> {
        if row.content == Content::End {
            self.end(options, row, out);
            return Ok(());
        }
        let time = row.time;
        let Order::Time { most_waiting, .. } = options.order else {
            self.newest = self.newest.max(Some(time));
            return self.settle(options, row, out);
        };
        if let Some(limit) = self.watermark(options).filter(|limit| time < *limit) {
            return Err(Late { time, limit });
        }
        self.newest = self.newest.max(Some(time));
        self.waiting.insert((time, self.serial), row);
        self.serial += 1;
        while self.waiting.len() > most_waiting.max(1) {
            let Some(((time, _), row)) = self.waiting.pop_first() else { break };
            self.passed = self.passed.max(Some(time));
            self.settle_waited(options, row, out);
        }
        self.release(options, out);
        Ok(())
    }

    /// Lets all rows and cells go on: the partition has been idle. Rows that come later and are older are late.
    pub fn flush(&mut self, options: &TimeOptions, out: &mut Vec<Row>) {
        for row in std::mem::take(&mut self.waiting).into_values() {
            self.settle_waited(options, row, out);
        }
        self.cells.close_all(out);
        self.passed = self.passed.max(self.newest);
    }

    /// What the watermark has reached.
    fn release(&mut self, options: &TimeOptions, out: &mut Vec<Row>) {
        let Some(mark) = self.watermark(options) else { return };
        let later = self.waiting.split_off(&(mark.saturating_add(1), 0));
        for row in std::mem::replace(&mut self.waiting, later).into_values() {
            self.settle_waited(options, row, out);
        }
        self.cells.close_before(mark, out);
    }

    /// A series ends: what waits of it goes on first.
    fn end(&mut self, options: &TimeOptions, row: Row, out: &mut Vec<Row>) {
        let of = |waiting: &Row| waiting.series == row.series;
        let keys: Vec<_> = self.waiting.iter().filter(|(_, row)| of(row)).map(|(key, _)| *key).collect();
        for key in keys {
            if let Some(row) = self.waiting.remove(&key) {
                self.settle_waited(options, row, out);
            }
        }
        self.cells.close(&row.series, out);
        out.push(row);
    }

    /// A row that waited is not before an open cell, as rows go on in the order of time: unless somebody made up what was saved.
    fn settle_waited(&mut self, options: &TimeOptions, row: Row, out: &mut Vec<Row>) {
        let offset = row.offset;
        if let Err(late) = self.settle(options, row, out) {
            tracing::warn!(
                offset,
                "a saved row does not fit to the cells that were saved with it, and is dropped: {late}"
            );
        }
    }

    /// A row in its order: into its cell, or out.
    fn settle(&mut self, options: &TimeOptions, row: Row, out: &mut Vec<Row>) -> Result<(), Late> {
        match (&options.grid, &row.content) {
            (Some(grid), Content::Value(value)) => {
                let value = *value;
                self.cells.add(grid, row, value, out)
            }
            _ => {
                out.push(row);
                Ok(())
            }
        }
    }
}
