//! Arrow tables as rows of cells.

use std::borrow::Cow;

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType},
};

use super::Cell;

/// A column of one kind.
enum Column {
    Whole(ArrayRef),
    Number(ArrayRef),
    Text(ArrayRef),
    Micros(ArrayRef),
    /// Not in the table.
    None,
    /// Something else.
    Other(ArrayRef),
}

/// The wanted columns of a table.
pub(super) struct Table(Vec<Column>);

impl Table {
    /// Finds the columns; dots lead into structs.
    ///
    /// # Errors
    /// When a column cannot be read as numbers, texts or times.
    pub(super) fn new(batch: &RecordBatch, paths: &[String]) -> Result<Self, String> {
        paths
            .iter()
            .map(|path| column(batch, path).map_err(|e| format!("column '{path}': {e}")))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// A row's cells.
    pub(super) fn row(&self, at: usize) -> Vec<Cell<'static>> {
        self.0.iter().map(|column| column.cell(at)).collect()
    }
}

fn column(batch: &RecordBatch, path: &str) -> Result<Column, arrow::error::ArrowError> {
    let mut parts = path.split('.');
    let mut found = parts.next().and_then(|name| batch.column_by_name(name)).cloned();
    for name in parts {
        found = found.and_then(|array| array.as_struct_opt().and_then(|inner| inner.column_by_name(name)).cloned());
    }
    let Some(array) = found else { return Ok(Column::None) };
    Ok(match array.data_type() {
        DataType::UInt64 => Column::Number(cast(&array, &DataType::Float64)?),
        kind if kind.is_integer() => Column::Whole(cast(&array, &DataType::Int64)?),
        kind if kind.is_floating() => Column::Number(cast(&array, &DataType::Float64)?),
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            Column::Number(cast(&array, &DataType::Float64)?)
        }
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => {
            Column::Micros(cast(&array, &DataType::Timestamp(TimeUnit::Microsecond, None))?)
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..) => {
            Column::Text(cast(&array, &DataType::Utf8)?)
        }
        _ => Column::Other(array),
    })
}

impl Column {
    fn cell(&self, at: usize) -> Cell<'static> {
        let missing = match self {
            Self::None => true,
            Self::Whole(a) | Self::Number(a) | Self::Text(a) | Self::Micros(a) | Self::Other(a) => a.is_null(at),
        };
        match self {
            _ if missing => Cell::Missing,
            Self::Whole(array) => Cell::Whole(array.as_primitive::<Int64Type>().value(at)),
            Self::Number(array) => Cell::Number(array.as_primitive::<Float64Type>().value(at)),
            Self::Text(array) => Cell::Text(Cow::Owned(array.as_string::<i32>().value(at).to_owned())),
            Self::Micros(array) => Cell::Micros(array.as_primitive::<TimestampMicrosecondType>().value(at)),
            Self::None | Self::Other(_) => Cell::Other("a column of another kind"),
        }
    }
}
