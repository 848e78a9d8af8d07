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

/// Rows being collected.
pub(crate) struct Table {
    schema: SchemaRef,
    time: TimeKind,
    ids: StringBuilder,
    times: Vec<Option<i64>>,
    steps: Vec<u32>,
    /// Of each column, its place among the model's levels, and its values.
    quantiles: Vec<(usize, Vec<f64>)>,
}

impl Table {
    /// An empty table with times of the input's kind, and a column for each level of the model or each that is wanted.
    ///
    /// # Errors
    /// When the model does not forecast a level that is wanted, or one is wanted twice.
    pub(crate) fn new(time: TimeKind, levels: &[f64], wanted: Option<&[f64]>) -> Result<Self> {
        let time_type = match time {
            TimeKind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            TimeKind::Step => DataType::Int64,
        };
        let mut fields = vec![
            Field::new("id", DataType::Utf8, false),
            Field::new("time", time_type, true),
            Field::new("step", DataType::UInt32, false),
        ];
        let places = places(levels, wanted)?;
        fields.extend(places.iter().map(|place| Field::new(column(levels[*place]), DataType::Float64, false)));
        let quantiles = places.into_iter().map(|place| (place, vec![])).collect();
        Ok(Self {
            schema: Arc::new(Schema::new(fields)),
            time,
            ids: StringBuilder::new(),
            times: vec![],
            steps: vec![],
            quantiles,
        })
    }

    pub(crate) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Appends the forecast of a series, `[horizon, levels]`.
    pub(crate) fn push(&mut self, series: &Series, frequency: Option<Frequency>, forecast: &Forecast) {
        for (step, row) in (1_u32..).zip(forecast.values.chunks_exact(forecast.levels.len())) {
            let after = |frequency: Frequency| frequency.after(series.last_time()?, i64::from(step));
            self.ids.append_value(&series.id);
            self.times.push(frequency.and_then(after));
            self.steps.push(step);
            for (place, column) in &mut self.quantiles {
                column.push(row[*place]);
            }
        }
    }

    /// The rows so far; the table is empty then.
    pub(crate) fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        let times = std::mem::take(&mut self.times);
        let times: ArrayRef = match self.time {
            TimeKind::Timestamp => Arc::new(TimestampMicrosecondArray::from(times)),
            TimeKind::Step => Arc::new(Int64Array::from(times)),
        };
        let steps = UInt32Array::from(std::mem::take(&mut self.steps));
        let mut columns: Vec<ArrayRef> = vec![Arc::new(self.ids.finish()), times, Arc::new(steps)];
        for (_, column) in &mut self.quantiles {
            columns.push(Arc::new(Float64Array::from(std::mem::take(column))));
        }
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }
}

/// The name of a level's column: `q` and its percent.
fn column(level: f64) -> String {
    // 0.07 is 7.000000000000001 percent
    format!("q{}", (level * 1e8).round() / 1e6)
}

/// Where the wanted levels stand among the model's.
fn places(levels: &[f64], wanted: Option<&[f64]>) -> Result<Vec<usize>> {
    let Some(wanted) = wanted else { return Ok((0..levels.len()).collect()) };
    let place = |level: &f64| {
        let place = levels.iter().position(|known| (known - level).abs() < 1e-6);
        place.ok_or_else(|| Error::Rows(format!("the model forecasts no quantile {level}: it has {levels:?}")))
    };
    let mut places = wanted.iter().map(place).collect::<Result<Vec<usize>>>()?;
    places.sort_unstable();
    if let Some(twice) = places.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Error::Rows(format!("the quantile {} is asked for twice", levels[twice[0]])));
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_those_wanted_in_the_levels_order() {
        let levels = [0.025, 0.07, 0.5, 0.9];
        let check = |wanted: Option<&[f64]>, expected: Result<&[&str], &str>| {
            let found = Table::new(TimeKind::Step, &levels, wanted).map_err(|error| error.to_string());
            let found = found
                .map(|table| table.schema().fields()[3..].iter().map(|field| field.name().clone()).collect::<Vec<_>>());
            let expected = expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
            assert_eq!(found, expected.map_err(str::to_owned), "{wanted:?}");
        };
        check(None, Ok(&["q2.5", "q7", "q50", "q90"]));
        check(Some(&[0.9, 0.5]), Ok(&["q50", "q90"]));
        check(Some(&[0.3]), Err("the model forecasts no quantile 0.3: it has [0.025, 0.07, 0.5, 0.9]"));
        check(Some(&[0.5, 0.9, 0.5]), Err("the quantile 0.5 is asked for twice"));
    }
}
