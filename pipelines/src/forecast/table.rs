//! The table of forecasts.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringBuilder, TimestampMicrosecondArray, UInt32Array},
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
    error::ArrowError,
};
use unspool_ingest::schema::TimeKind;
use unspool_model::series::Forecast;

use crate::{Error, Frequency, Result, featurise::Series};

/// The columns of quantiles: their levels in percent.
const PERCENT: [u32; 9] = [10, 20, 30, 40, 50, 60, 70, 80, 90];

/// Rows being collected.
pub(super) struct Table {
    schema: SchemaRef,
    time: TimeKind,
    ids: StringBuilder,
    times: Vec<Option<i64>>,
    steps: Vec<u32>,
    quantiles: [Vec<f64>; PERCENT.len()],
}

impl Table {
    /// An empty table with times of the input's kind.
    pub(super) fn new(time: TimeKind) -> Self {
        let time_type = match time {
            TimeKind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            TimeKind::Step => DataType::Int64,
        };
        let mut fields = vec![
            Field::new("id", DataType::Utf8, false),
            Field::new("time", time_type, true),
            Field::new("step", DataType::UInt32, false),
        ];
        fields.extend(PERCENT.map(|percent| Field::new(format!("q{percent}"), DataType::Float64, false)));
        let schema = Arc::new(Schema::new(fields));
        Self { schema, time, ids: StringBuilder::new(), times: vec![], steps: vec![], quantiles: Default::default() }
    }

    pub(super) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Appends the forecast of a series, `[horizon, levels]`.
    ///
    /// # Errors
    /// When the model's levels are not the nine deciles.
    pub(super) fn push(&mut self, series: &Series, frequency: Option<Frequency>, forecast: &Forecast) -> Result<()> {
        let deciles = PERCENT.iter().map(|percent| f64::from(*percent) / 100.0);
        let same = |(level, decile): (&f64, f64)| (level - decile).abs() < 1e-6;
        if forecast.levels.len() != PERCENT.len() || !forecast.levels.iter().zip(deciles).all(same) {
            let problem = format!("the model forecasts the levels {:?}; the nine deciles are needed", forecast.levels);
            return Err(Error::Rows(problem));
        }
        for (step, row) in (1_u32..).zip(forecast.values.chunks_exact(PERCENT.len())) {
            let after = |frequency: Frequency| frequency.after(series.last_time()?, i64::from(step));
            self.ids.append_value(&series.id);
            self.times.push(frequency.and_then(after));
            self.steps.push(step);
            for (column, value) in self.quantiles.iter_mut().zip(row) {
                column.push(*value);
            }
        }
        Ok(())
    }

    /// The rows so far; the table is empty then.
    pub(super) fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        let times = std::mem::take(&mut self.times);
        let times: ArrayRef = match self.time {
            TimeKind::Timestamp => Arc::new(TimestampMicrosecondArray::from(times)),
            TimeKind::Step => Arc::new(Int64Array::from(times)),
        };
        let steps = UInt32Array::from(std::mem::take(&mut self.steps));
        let mut columns: Vec<ArrayRef> = vec![Arc::new(self.ids.finish()), times, Arc::new(steps)];
        for column in &mut self.quantiles {
            columns.push(Arc::new(Float64Array::from(std::mem::take(column))));
        }
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }
}
