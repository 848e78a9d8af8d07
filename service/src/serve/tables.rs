//! Tables of results, out.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, FixedSizeListArray, Float32Array, Float64Array, RecordBatch, StringArray, UInt32Array, UInt64Array,
    },
    datatypes::{DataType, Field, Schema},
};
use unspool_proto::v1;

use super::error::{CallError, CallResult};

/// Embeddings: `index`, `id`, `start`, `end`, `embedding`.
///
/// # Errors
/// When Arrow refuses.
pub(crate) fn embeddings(reply: &v1::EmbedResponse) -> CallResult<RecordBatch> {
    let width = (reply.width as usize).max(1);
    let (mut index, mut ids, mut starts, mut ends, mut values) = (vec![], vec![], vec![], vec![], vec![]);
    for one in &reply.embeddings {
        let rows = one.values.len() / width;
        let step = if rows > 0 { one.events / rows as u64 } else { 0 };
        for row in 0..rows as u64 {
            index.push(one.index);
            ids.push(one.id.as_str());
            // A pool is one row that stands for all events.
            starts.push(row * step);
            ends.push((row + 1) * step);
        }
        values.extend_from_slice(&one.values);
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(UInt32Array::from(index)),
        Arc::new(StringArray::from(ids)),
        Arc::new(UInt64Array::from(starts)),
        Arc::new(UInt64Array::from(ends)),
        lists(Arc::new(Float32Array::from(values)), width)?,
    ];
    batch(["index", "id", "start", "end", "embedding"], columns)
}

/// Forecasts: `index`, `id`, `step`, `quantiles`.
///
/// # Errors
/// When Arrow refuses.
pub(crate) fn forecasts(reply: &v1::ForecastResponse) -> CallResult<RecordBatch> {
    let levels = reply.levels.len().max(1);
    let (mut index, mut ids, mut steps, mut values) = (vec![], vec![], vec![], vec![]);
    for one in &reply.forecasts {
        for (_, step) in one.quantiles.chunks_exact(levels).zip(1_u32..) {
            index.push(one.index);
            ids.push(one.id.as_str());
            steps.push(step);
        }
        values.extend_from_slice(&one.quantiles);
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(UInt32Array::from(index)),
        Arc::new(StringArray::from(ids)),
        Arc::new(UInt32Array::from(steps)),
        lists(Arc::new(Float64Array::from(values)), levels)?,
    ];
    batch(["index", "id", "step", "quantiles"], columns)
}

/// Scores: `index`, `id`, `event` (from 0), `p_value` (null where nothing had been forecast, or the value is missing).
///
/// # Errors
/// When Arrow refuses.
pub(crate) fn scores(reply: &v1::ForecastResponse) -> CallResult<RecordBatch> {
    let (mut index, mut ids, mut events, mut p_values) = (vec![], vec![], vec![], vec![]);
    for one in &reply.forecasts {
        for (p_value, event) in one.scores.iter().zip(0_u64..) {
            index.push(one.index);
            ids.push(one.id.as_str());
            events.push(event);
            p_values.push(Some(*p_value).filter(|p_value| !p_value.is_nan()));
        }
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(UInt32Array::from(index)),
        Arc::new(StringArray::from(ids)),
        Arc::new(UInt64Array::from(events)),
        Arc::new(Float64Array::from(p_values)),
    ];
    batch(["index", "id", "event", "p_value"], columns)
}

fn lists(values: ArrayRef, width: usize) -> CallResult<ArrayRef> {
    let item = Arc::new(Field::new_list_field(values.data_type().clone(), false));
    let width = i32::try_from(width).map_err(|e| CallError::Fault(e.to_string()))?;
    let lists = FixedSizeListArray::try_new(item, width, values, None);
    Ok(Arc::new(lists.map_err(|error| CallError::Fault(error.to_string()))?))
}

fn batch<const N: usize>(names: [&str; N], columns: Vec<ArrayRef>) -> CallResult<RecordBatch> {
    let field = |(name, column): (&str, &ArrayRef)| {
        Field::new(name, column.data_type().clone(), name == "p_value" || *column.data_type() == DataType::Null)
    };
    let schema = Schema::new(names.into_iter().zip(&columns).map(field).collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), columns).map_err(|error| CallError::Fault(error.to_string()))
}
