//! The functions over lists: one call holds the lists of many series, which are worked on together.

use std::{num::NonZeroUsize, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array, ListArray},
    buffer::OffsetBuffer,
    datatypes::{DataType, Int64Type},
};
use datafusion::{
    error::{DataFusionError, Result},
    logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility},
};

use super::{
    ask::{Form, What, list, time_kind},
    error::wrapped,
    last, scores,
    series::Rows,
    shared::Shared,
    window::width,
};

/// A function over lists.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct OverLists {
    what: What,
    shared: Arc<Shared>,
    signature: Signature,
}

impl OverLists {
    pub(super) fn new(what: What, shared: &Arc<Shared>) -> Self {
        Self { what, shared: Arc::clone(shared), signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for OverLists {
    fn name(&self) -> &str {
        self.what.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.what.coerce(Form::Lists, types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        // Asked before the types are those that it takes, too.
        let types = self.what.coerce(Form::Lists, types)?;
        self.what.gives((Form::Lists, &self.shared), &types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let columns = args.args.into_iter().map(|arg| arg.into_array(rows)).collect::<Result<Vec<_>>>()?;
        if rows == 0 {
            return Ok(ColumnarValue::Array(arrow::array::new_empty_array(args.return_field.data_type())));
        }
        if let [sequences] = &columns[..] {
            return Ok(ColumnarValue::Array(last::sequences(sequences.as_string(), &self.shared).map_err(wrapped)?));
        }
        let kind = time_kind(Some(columns[0].data_type()));
        let (lists, horizon) = if self.what == What::Forecast {
            let (lists, last) = columns.split_at(columns.len() - 1);
            (lists, Some(horizon(&last[0])?))
        } else {
            (&columns[..], None)
        };
        let shared = &self.shared;
        self.what.fits(rows, width(args.return_field.data_type(), horizon))?;
        let series = lists[1..].iter().map(|values| self.series(&lists[0], values)).collect::<Result<Vec<_>>>()?;
        let given = match (self.what, horizon) {
            (What::Forecast, Some(horizon)) => last::forecasts(&series[0], (kind, horizon), shared),
            (What::Embed, _) => last::embeddings(&series, kind, shared),
            _ => scores::scores(&series[0], kind, shared).and_then(|scores| Ok(score_lists(scores)?)),
        };
        Ok(ColumnarValue::Array(given.map_err(wrapped)?))
    }
}

impl OverLists {
    /// The series of each row; one whose lists are null has no rows.
    fn series(&self, times: &ArrayRef, values: &ArrayRef) -> Result<Vec<Rows>> {
        let (times, values) = (times.as_list::<i32>(), values.as_list::<i32>());
        let series = |row: usize| {
            let of = |list: &ListArray| {
                if list.is_valid(row) { list.value(row) } else { arrow::array::new_empty_array(&list.value_type()) }
            };
            let (times, values) = (of(times), of(values));
            if times.len() != values.len() {
                let (name, times, values) = (self.what.name(), times.len(), values.len());
                let problem = format!("{name}: a series has {times} times and {values} values");
                return Err(DataFusionError::Execution(problem));
            }
            Rows::new(&times, &values, &self.shared).map_err(wrapped)
        };
        (0..times.len()).map(series).collect()
    }
}

/// The horizon of all rows.
///
/// # Errors
/// When it is none, or not the same for all.
pub(super) fn horizon(column: &ArrayRef) -> Result<NonZeroUsize> {
    let column = column.as_primitive::<Int64Type>();
    let first = (!column.is_empty() && column.is_valid(0)).then(|| column.value(0));
    let same = column.iter().all(|horizon| horizon == first);
    let horizon = first.filter(|horizon| same && *horizon <= super::MAX_HORIZON);
    let horizon = horizon.and_then(|horizon| usize::try_from(horizon).ok()).and_then(NonZeroUsize::new);
    let problem = || format!("forecast: the horizon is one number for all series, from 1 to {}", super::MAX_HORIZON);
    horizon.ok_or_else(|| DataFusionError::Plan(problem()))
}

fn score_lists(scores: Vec<Vec<Option<f64>>>) -> Result<ArrayRef, arrow::error::ArrowError> {
    let DataType::List(item) = list(DataType::Float64) else { return Ok(Arc::new(Float64Array::from(vec![0.0; 0]))) };
    let offsets = OffsetBuffer::from_lengths(scores.iter().map(Vec::len));
    let values: Float64Array = scores.into_iter().flatten().collect();
    Ok(Arc::new(ListArray::try_new(item, offsets, Arc::new(values), None)?))
}
