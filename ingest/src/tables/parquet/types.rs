//! Which column types hold ids, times and values, and their arrays as those.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, LargeListArray, StringArray},
    compute::cast,
    datatypes::{DataType, Field, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType},
    error::ArrowError,
};

use crate::schema::TimeKind;

/// The type of a dictionary's values; other types as they are.
fn plain(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => plain(values),
        other => other,
    }
}

/// The type of a list's items, where the type is a list.
pub(super) fn items(data_type: &DataType) -> Option<&DataType> {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => Some(item.data_type()),
        _ => None,
    }
}

/// Whether the values of a type may be a series' values.
pub(super) fn is_value(data_type: &DataType) -> bool {
    let data_type = plain(data_type);
    data_type.is_integer() || data_type.is_floating() || data_type.is_decimal()
}

/// What an id is, for comparing files; `None`: it cannot be one.
pub(super) fn id_kind(data_type: &DataType) -> Option<&'static str> {
    match plain(data_type) {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some("text"),
        other if other.is_integer() => Some("integers"),
        _ => None,
    }
}

/// How a type writes time; `None`: it does not.
pub(super) fn time_kind(data_type: &DataType) -> Option<TimeKind> {
    match plain(data_type) {
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => Some(TimeKind::Timestamp),
        other if other.is_integer() => Some(TimeKind::Step),
        _ => None,
    }
}

/// Ids as text.
pub(super) fn ids(array: &ArrayRef) -> Result<StringArray, ArrowError> {
    Ok(cast(array, &DataType::Utf8)?.as_string::<i32>().clone())
}

/// Times as microseconds or steps; null where they do not fit.
pub(super) fn times(array: &ArrayRef, kind: TimeKind) -> Result<Int64Array, ArrowError> {
    Ok(match kind {
        TimeKind::Step => cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().clone(),
        TimeKind::Timestamp => {
            let micros = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
            micros.as_primitive::<TimestampMicrosecondType>().reinterpret_cast::<Int64Type>()
        }
    })
}

/// Values as f64.
pub(super) fn values(array: &ArrayRef) -> Result<Float64Array, ArrowError> {
    Ok(cast(array, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
}

/// Lists of any kind as lists of one kind, their items as they are.
pub(super) fn lists(array: &ArrayRef) -> Result<LargeListArray, ArrowError> {
    let item = items(array.data_type()).cloned().unwrap_or(DataType::Null);
    let target = DataType::LargeList(Arc::new(Field::new_list_field(item, true)));
    Ok(cast(array, &target)?.as_list::<i64>().clone())
}

/// An item of an array; `None` where it is null.
pub(super) fn get(array: &Int64Array, row: usize) -> Option<i64> {
    array.is_valid(row).then(|| array.value(row))
}
