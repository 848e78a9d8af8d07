//! A table of ragged series: lengths from half to one and a half times the mean.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray},
    datatypes::SchemaRef,
};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};
use unspool_ingest::schema::{self, TimeKind};

use super::Order;
use crate::error::{Error, Result};

/// Rows handed to the writer at a time.
const BATCH: usize = 65_536;
/// An hour, in µs.
const STEP: i64 = 3_600_000_000;

/// A table.
pub(super) struct Data {
    pub(super) rows: usize,
    pub(super) series: usize,
    pub(super) order: Order,
}

impl Data {
    /// The length of a series: all of them together have as many rows as the table.
    pub(super) fn len(&self, series: usize) -> usize {
        let mean = self.rows / self.series;
        // Pairs make up for one another; the first has what does not go into all.
        let swing = (series / 2 * 7919 % 1000) as f64 / 1000.0 - 0.5;
        let swing = (mean as f64 * swing) as isize;
        let paired = series / 2 * 2 + 1 < self.series;
        let swing = if !paired {
            0
        } else if series.is_multiple_of(2) {
            swing
        } else {
            -swing
        };
        let rest = if series == 0 { self.rows - mean * self.series } else { 0 };
        mean.saturating_add_signed(swing) + rest
    }

    /// The values of a series.
    pub(super) fn values(&self, series: usize) -> impl Iterator<Item = f64> + use<> {
        (0..self.len(series)).map(move |n| value(series, n))
    }

    /// Writes the table as Parquet: zstd, row groups of a million rows.
    pub(super) fn write(&self, dir: &Path) -> Result<PathBuf> {
        let path = dir.join("table.parquet");
        let io = |source| Error::Io { path: path.clone(), source };
        let failed = |error: &dyn std::fmt::Display| Error::Usage(format!("{}: {error}", path.display()));
        let schema = schema::series(TimeKind::Timestamp);
        let level = ZstdLevel::try_new(1).map_err(|error| failed(&error))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_row_count(Some(1 << 20))
            .build();
        let file = File::create(&path).map_err(io)?;
        let mut writer =
            ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties)).map_err(|error| failed(&error))?;
        let mut rows: Vec<(usize, usize)> = Vec::with_capacity(BATCH);
        let mut places = self.places();
        loop {
            rows.clear();
            rows.extend(places.by_ref().take(BATCH));
            if rows.is_empty() {
                break;
            }
            writer.write(&batch(&schema, &rows)?).map_err(|error| failed(&error))?;
        }
        writer.close().map_err(|error| failed(&error))?;
        Ok(path)
    }

    /// Series and number of each row.
    fn places(&self) -> Box<dyn Iterator<Item = (usize, usize)> + '_> {
        let longest = (0..self.series).map(|series| self.len(series)).max().unwrap_or(0);
        match self.order {
            Order::Series => {
                Box::new((0..self.series).flat_map(|series| (0..self.len(series)).map(move |n| (series, n))))
            }
            Order::Time => Box::new((0..longest).flat_map(move |n| {
                (0..self.series).filter(move |series| n < self.len(*series)).map(move |series| (series, n))
            })),
        }
    }
}

fn value(series: usize, n: usize) -> f64 {
    let (level, t) = (100.0 + (series % 977) as f64, n as f64);
    level + 10.0 * (t / 3.8).sin() + 4.0 * (t / 26.7 + series as f64).sin() + ((n * 787 + series) % 31) as f64 * 0.1
}

fn batch(schema: &SchemaRef, rows: &[(usize, usize)]) -> Result<RecordBatch> {
    let ids = StringArray::from_iter_values(rows.iter().map(|(series, _)| format!("series-{series:06}")));
    let start = 1_600_000_000_000_000;
    let times = rows.iter().map(|(_, n)| start + STEP * *n as i64).collect::<Vec<_>>();
    let values = Float64Array::from_iter_values(rows.iter().map(|(series, n)| value(*series, *n)));
    let columns: Vec<ArrayRef> =
        vec![Arc::new(ids), Arc::new(TimestampMicrosecondArray::from(times)), Arc::new(values)];
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(|error| Error::Usage(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lengths_make_up_the_table() {
        for (rows, series) in [(1000, 10), (1003, 10), (999, 7), (5, 5), (10, 1)] {
            for order in [Order::Series, Order::Time] {
                let data = Data { rows, series, order };
                assert_eq!((0..series).map(|series| data.len(series)).sum::<usize>(), rows, "{rows} {series}");
                assert_eq!(data.places().count(), rows);
            }
        }
        let data = Data { rows: 10_000, series: 10, order: Order::Series };
        assert!((0..10).map(|series| data.len(series)).max() > (0..10).map(|series| data.len(series)).min());
    }
}
