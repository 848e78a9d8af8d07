//! Outputs and dead letters as rows of Parquet files.

use std::sync::{Arc, LazyLock};

use arrow::{
    array::{
        ArrayRef, BinaryArray, FixedSizeListArray, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray,
        TimestampMicrosecondArray, UInt32Array,
    },
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit},
    error::ArrowError,
};
use unspool_ingest::{kafka::Rejected, schema::TimeKind};
use unspool_model::Model;

use crate::stream::{
    emit::{Emit, Give, Given, Output, quantile, score},
    error::{Error, Result},
};

/// `offset`, `kind`, `reason`, and the message's `key` and `payload` as far as they are known.
pub(super) static REJECTS: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("offset", DataType::Int64, false),
        Field::new("kind", DataType::Utf8, false),
        Field::new("reason", DataType::Utf8, false),
        Field::new("key", DataType::Binary, true),
        Field::new("payload", DataType::Binary, true),
    ]))
});

/// Dead letters as rows of [`REJECTS`].
pub(super) fn rejects(all: &[&Rejected]) -> Result<RecordBatch, ArrowError> {
    let bytes = |of: fn(&Rejected) -> Option<&[u8]>| Arc::new(all.iter().map(|r| of(r)).collect::<BinaryArray>());
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(all.iter().map(|reject| reject.offset))),
        Arc::new(StringArray::from_iter_values(all.iter().map(|reject| reject.kind.name()))),
        Arc::new(StringArray::from_iter_values(all.iter().map(|reject| &reject.reason))),
        bytes(|reject| reject.key.as_deref()),
        bytes(|reject| reject.payload.as_deref()),
    ];
    RecordBatch::try_new(Arc::clone(&REJECTS), columns)
}

/// What stands in the columns after `offset`, `series` and `time`.
enum Columns {
    /// `value`, `p_value`, `score`.
    Scores,
    /// `step`, and a quantile each.
    Forecast(usize),
    /// `embedding`.
    Embedding(FieldRef, i32),
}

/// The columns of a job's outputs.
pub(super) struct Table {
    pub schema: SchemaRef,
    time: TimeKind,
    columns: Columns,
}

impl Table {
    /// The columns of what a job gives.
    ///
    /// # Errors
    /// When the model does not give it.
    pub(super) fn new(emit: &Emit, model: &Model, time: TimeKind) -> Result<Self> {
        let time_type = match time {
            TimeKind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            TimeKind::Step => DataType::Int64,
        };
        let mut fields = vec![
            Field::new("offset", DataType::Int64, false),
            Field::new("series", DataType::Utf8, false),
            Field::new("time", time_type, false),
        ];
        let double = |name: &str, nullable| Field::new(name, DataType::Float64, nullable);
        let columns = match emit.give {
            Give::Scores => {
                fields.extend([double("value", false), double("p_value", true), double("score", true)]);
                Columns::Scores
            }
            Give::Forecast { .. } => {
                let shape =
                    model.series_shape().ok_or_else(|| Error::Settings("forecasts need a series model".into()))?;
                fields.push(Field::new("step", DataType::UInt32, false));
                fields.extend(shape.levels.iter().map(|level| double(&quantile(*level), true)));
                Columns::Forecast(shape.levels.len())
            }
            Give::Embedding { .. } => {
                let item = Arc::new(Field::new("item", DataType::Float32, false));
                let d = i32::try_from(model.info().config.d).map_err(|e| Error::Settings(e.to_string()))?;
                fields.push(Field::new("embedding", DataType::FixedSizeList(Arc::clone(&item), d), false));
                Columns::Embedding(item, d)
            }
        };
        Ok(Self { schema: Arc::new(Schema::new(fields)), time, columns })
    }

    /// Outputs as rows: one each, of a forecast one a step.
    ///
    /// # Errors
    /// When they are not what the job gives.
    pub(super) fn rows(&self, outputs: &[&Output]) -> Result<RecordBatch> {
        let rows_of = |output: &Output| match (&output.content, &self.columns) {
            (Given::Forecast(forecast), Columns::Forecast(levels)) => forecast.values.len() / levels.max(&1),
            _ => 1,
        };
        let each: Vec<&Output> =
            outputs.iter().flat_map(|output| std::iter::repeat_n(*output, rows_of(output))).collect();
        let times = each.iter().map(|output| output.time);
        let times: ArrayRef = match self.time {
            TimeKind::Timestamp => Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
            TimeKind::Step => Arc::new(Int64Array::from_iter_values(times)),
        };
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(each.iter().map(|output| output.offset))),
            Arc::new(StringArray::from_iter_values(each.iter().map(|output| &output.series))),
            times,
        ];
        match &self.columns {
            Columns::Scores => columns.extend(scores(outputs)),
            Columns::Forecast(levels) => columns.extend(forecasts(outputs, *levels)),
            Columns::Embedding(item, d) => columns.push(embeddings(outputs, (item, *d))?),
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

fn scores(outputs: &[&Output]) -> Vec<ArrayRef> {
    let of = |output: &Output| match output.content {
        Given::Score { value, p_value } => (value, Some(p_value).filter(|p| !p.is_nan())),
        Given::Forecast(_) | Given::Embedding(_) => (f64::NAN, None),
    };
    let all: Vec<(f64, Option<f64>)> = outputs.iter().map(|output| of(output)).collect();
    vec![
        Arc::new(Float64Array::from_iter_values(all.iter().map(|(value, _)| *value))),
        Arc::new(all.iter().map(|(_, p_value)| *p_value).collect::<Float64Array>()),
        Arc::new(all.iter().map(|(_, p_value)| p_value.map(score)).collect::<Float64Array>()),
    ]
}

fn forecasts(outputs: &[&Output], levels: usize) -> Vec<ArrayRef> {
    let values = |output: &'_ Output| match &output.content {
        Given::Forecast(forecast) => forecast.values.clone(),
        Given::Score { .. } | Given::Embedding(_) => vec![],
    };
    let all: Vec<Vec<f64>> = outputs.iter().map(|output| values(output)).collect();
    let rows = || all.iter().flat_map(|values| values.chunks_exact(levels.max(1)));
    let steps = all.iter().flat_map(|values| (1u32..).zip(values.chunks_exact(levels.max(1))).map(|(step, _)| step));
    let mut columns: Vec<ArrayRef> = vec![Arc::new(UInt32Array::from_iter_values(steps))];
    for level in 0..levels {
        let column = rows().map(|row| Some(row[level]).filter(|value| !value.is_nan()));
        columns.push(Arc::new(column.collect::<Float64Array>()));
    }
    columns
}

fn embeddings(outputs: &[&Output], (item, d): (&FieldRef, i32)) -> Result<ArrayRef, ArrowError> {
    let values = outputs.iter().flat_map(|output| match &output.content {
        Given::Embedding(values) => &values[..],
        Given::Score { .. } | Given::Forecast(_) => &[],
    });
    let values = Float32Array::from_iter_values(values.copied());
    Ok(Arc::new(FixedSizeListArray::try_new(Arc::clone(item), d, Arc::new(values), None)?))
}
