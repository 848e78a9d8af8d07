//! The rows of a sorted file: rows of series, and rejects, each with its file and its place in there.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryBuilder, RecordBatch, StringArray, StringBuilder, UInt32Array, UInt64Array,
        new_null_array,
    },
    compute::{concat, filter_record_batch, is_null},
    datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type},
    error::ArrowError,
};
use unspool_ingest::Reject;

/// Columns behind those of the series: file, row, place, reason, payload.
pub(super) const OWN_COLUMNS: usize = 5;
/// The columns by which rows are sorted, nulls first.
pub(super) const KEYS: [&str; 4] = ["id", "time", "unspool_file", "unspool_row"];

/// `id`, `time`, `value` as of a series with the columns that are read beside, and null of a reject; its file and row in there; place, reason and
/// payload of a reject, and null of a row. Rejects come first, since nulls do.
pub(super) fn schema(series: &SchemaRef) -> SchemaRef {
    let mut fields: Vec<Field> =
        series.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    fields.push(Field::new("unspool_file", DataType::UInt32, false));
    fields.push(Field::new("unspool_row", DataType::UInt64, false));
    fields.push(Field::new("unspool_place", DataType::Utf8, true));
    fields.push(Field::new("unspool_reason", DataType::Utf8, true));
    fields.push(Field::new("unspool_payload", DataType::Binary, true));
    Arc::new(Schema::new(fields))
}

/// Rows and rejects of a file (by its number) as rows of [`schema`]; `first` is the number of the first of them.
///
/// # Errors
/// When the rows are not those of a series.
pub(super) fn join(
    schema: &SchemaRef,
    (rows, rejects): (&RecordBatch, &[Reject]),
    (file, first): (u32, u64),
) -> Result<RecordBatch, ArrowError> {
    let (there, bad) = (rows.num_rows(), rejects.len());
    let mut columns: Vec<ArrayRef> = vec![];
    for (field, column) in schema.fields().iter().zip(rows.columns()) {
        columns.push(concat(&[column.as_ref(), new_null_array(field.data_type(), bad).as_ref()])?);
    }
    columns.push(Arc::new(UInt32Array::from_value(file, there + bad)));
    columns.push(Arc::new(UInt64Array::from_iter_values(first..first + (there + bad) as u64)));
    let text = |of: fn(&Reject) -> &str| -> ArrayRef {
        let mut builder = StringBuilder::new();
        (0..there).for_each(|_| builder.append_null());
        rejects.iter().for_each(|reject| builder.append_value(of(reject)));
        Arc::new(builder.finish())
    };
    columns.push(text(|reject| &reject.place));
    columns.push(text(|reject| &reject.reason));
    let mut payload = BinaryBuilder::new();
    (0..there).for_each(|_| payload.append_null());
    rejects.iter().for_each(|reject| payload.append_value(&reject.payload));
    columns.push(Arc::new(payload.finish()));
    RecordBatch::try_new(Arc::clone(schema), columns)
}

/// The rows of series among rows of [`schema`], and the numbers of their files; and the rejects.
///
/// # Errors
/// When the rows are not of [`schema`].
pub(super) fn split(all: &RecordBatch) -> Result<(RecordBatch, UInt32Array, Vec<Reject>), ArrowError> {
    let rows = filter_record_batch(all, &is_null(&all["unspool_reason"])?)?;
    let rejects = if rows.num_rows() == all.num_rows() { vec![] } else { rejects(all) };
    let files = rows["unspool_file"].as_primitive::<UInt32Type>().clone();
    let own: Vec<usize> = (0..rows.num_columns() - OWN_COLUMNS).collect();
    Ok((rows.project(&own)?, files, rejects))
}

fn rejects(all: &RecordBatch) -> Vec<Reject> {
    let text = |name: &str| -> &StringArray { all[name].as_string() };
    let (places, reasons, payloads) =
        (text("unspool_place"), text("unspool_reason"), all["unspool_payload"].as_binary::<i32>());
    let bad = (0..all.num_rows()).filter(|row| reasons.is_valid(*row));
    bad.map(|row| Reject {
        place: places.value(row).to_owned(),
        reason: reasons.value(row).to_owned(),
        payload: payloads.value(row).to_vec(),
    })
    .collect()
}
