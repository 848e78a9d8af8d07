//! What a batch claims to be beside what came of it: nothing that follows may take memory that nobody sent.

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::DataType,
    error::ArrowError,
};

/// Bytes that texts of a batch may come to when those that stand there once are written out for each row.
const MOST_TEXT_BYTES: usize = 256 << 20;

/// Refuses a batch that has more rows than bytes, or whose columns would grow when they are read: by nulls that take no bytes, runs, or
/// values that many rows share. `bytes` is how many came.
///
/// # Errors
/// When it is one: the line names the column.
pub fn check(batch: &RecordBatch, bytes: usize) -> Result<(), ArrowError> {
    let refuse = |problem: String| Err(ArrowError::InvalidArgumentError(problem));
    if batch.num_rows() > bytes {
        return refuse(format!("{} rows in {bytes} bytes", batch.num_rows()));
    }
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        match text_bytes(column) {
            None => {
                return refuse(format!(
                    "column '{}' is of {}: send it plain, or leave it out",
                    field.name(),
                    field.data_type()
                ));
            }
            Some(texts) if texts > MOST_TEXT_BYTES => {
                return refuse(format!("column '{}' comes to {texts} bytes of text", field.name()));
            }
            Some(_) => (),
        }
    }
    Ok(())
}

/// What texts come to that stand in a column once for many rows, in bytes; `None`: the column is of a kind that is not read.
fn text_bytes(column: &dyn Array) -> Option<usize> {
    match column.data_type() {
        DataType::Null | DataType::Boolean => Some(0),
        DataType::Utf8View => Some(column.as_string_view().lengths().map(|length| length as usize).sum()),
        DataType::BinaryView => Some(column.as_binary_view().lengths().map(|length| length as usize).sum()),
        DataType::Dictionary(_, values) if values.is_string() || is_plain(values) => {
            let dictionary = column.as_any_dictionary();
            // As many for each row as its longest value has.
            let longest = match dictionary.values().data_type() {
                DataType::Utf8 => dictionary.values().as_string::<i32>().iter().flatten().map(str::len).max(),
                DataType::LargeUtf8 => dictionary.values().as_string::<i64>().iter().flatten().map(str::len).max(),
                DataType::Utf8View => dictionary.values().as_string_view().iter().flatten().map(str::len).max(),
                _ => None,
            };
            Some(column.len().saturating_mul(longest.unwrap_or(0)))
        }
        kind => is_plain(kind).then_some(0),
    }
}

/// Nothing in it grows when it is read: values have bytes of their own, about as many as they are read into.
fn is_plain(kind: &DataType) -> bool {
    match kind {
        DataType::Null | DataType::Boolean | DataType::RunEndEncoded(..) => false,
        DataType::ListView(_) | DataType::LargeListView(_) => false,
        DataType::Utf8View | DataType::BinaryView | DataType::Dictionary(..) => false,
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            is_plain(field.data_type())
        }
        DataType::Struct(fields) => fields.iter().all(|field| is_plain(field.data_type())),
        // What else there is cannot be read as a value, a text or a time.
        _ => true,
    }
}
