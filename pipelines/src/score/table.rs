//! The table of scores.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt32Array},
    compute::take,
    datatypes::{DataType, Field, Schema, SchemaRef},
    error::ArrowError,
};
use unspool_ingest::schema;

use super::Score;

/// The columns that a score's row has from its variant's.
pub(super) const KEPT: [&str; 6] = ["contig", "position", "id", "reference", "quality", "filter"];

/// A row: an alternative of a variant.
pub(super) struct Row {
    /// The variant's row among the input's.
    pub(super) variant: u32,
    pub(super) alternative: String,
    pub(super) forward: Score,
    pub(super) reverse: Score,
}

/// One row an alternative, in the order of the input:
///
/// | column | type | meaning |
/// |---|---|---|
/// | `contig`, `position`, `id`, `reference`, `quality`, `filter` | | as in the variants schema |
/// | `alternative` | text | the allele that the scores are of |
/// | `score` | f64 | mean of the two below: above 0 where the alternative is likelier than the reference |
/// | `score_forward`, `score_reverse` | f64 | ln p(alternative) - ln p(reference) on each strand |
/// | `window_forward`, `window_reverse` | u32 | bases of each allele that were compared |
/// | `context_forward`, `context_reverse` | u32 | bases before them that the model had read |
pub(super) fn scores() -> SchemaRef {
    let variants = schema::variants();
    let kept = |name: &str| variants.field_with_name(name).ok().cloned();
    let number = |name: &str| Field::new(name, DataType::UInt32, false);
    let score = |name: &str| Field::new(name, DataType::Float64, false);
    let mut fields: Vec<Field> = KEPT.iter().filter_map(|name| kept(name)).collect();
    fields.insert(4, Field::new("alternative", DataType::Utf8, false));
    fields.extend(["score", "score_forward", "score_reverse"].map(score));
    fields.extend(["window_forward", "window_reverse", "context_forward", "context_reverse"].map(number));
    Arc::new(Schema::new(fields))
}

/// Rows of [`scores`], with what they keep of the variants.
///
/// # Errors
/// When the variants are not of the variants schema.
pub(super) fn rows(variants: &RecordBatch, rows: &[Row]) -> Result<RecordBatch, ArrowError> {
    let which: UInt32Array = rows.iter().map(|row| Some(row.variant)).collect();
    let mut columns: Vec<ArrayRef> = vec![];
    for name in KEPT {
        let column = variants.column_by_name(name);
        let column = column.ok_or_else(|| ArrowError::SchemaError(format!("a column '{name}' is needed")))?;
        columns.push(take(column, &which, None)?);
    }
    columns.insert(4, Arc::new(rows.iter().map(|row| Some(row.alternative.as_str())).collect::<StringArray>()));
    let score =
        |of: fn(&Row) -> f64| Arc::new(rows.iter().map(|row| Some(of(row))).collect::<Float64Array>()) as ArrayRef;
    columns.push(score(|row| f64::midpoint(row.forward.log_ratio, row.reverse.log_ratio)));
    columns.push(score(|row| row.forward.log_ratio));
    columns.push(score(|row| row.reverse.log_ratio));
    let count = |of: fn(&Row) -> usize| {
        let counts = rows.iter().map(|row| u32::try_from(of(row)).unwrap_or(u32::MAX));
        Arc::new(counts.map(Some).collect::<UInt32Array>()) as ArrayRef
    };
    columns.extend([count(|row| row.forward.window), count(|row| row.reverse.window)]);
    columns.extend([count(|row| row.forward.context), count(|row| row.reverse.context)]);
    RecordBatch::try_new(scores(), columns)
}
