//! Rejects as rows.

use std::sync::{Arc, LazyLock};

use arrow::{
    array::{ArrayRef, BinaryArray, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
    error::ArrowError,
};
use unspool_ingest::Reject;

/// `place`, `reason` (text), `payload` (the raw bytes as far as they are known).
pub(crate) static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("place", DataType::Utf8, false),
        Field::new("reason", DataType::Utf8, false),
        Field::new("payload", DataType::Binary, false),
    ]))
});

/// The rejects as rows of [`SCHEMA`].
pub(crate) fn rows(rejects: &[Reject]) -> Result<RecordBatch, ArrowError> {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rejects.iter().map(|reject| Some(reject.place.as_str())).collect::<StringArray>()),
        Arc::new(rejects.iter().map(|reject| Some(reject.reason.as_str())).collect::<StringArray>()),
        Arc::new(rejects.iter().map(|reject| Some(reject.payload.as_slice())).collect::<BinaryArray>()),
    ];
    RecordBatch::try_new(Arc::clone(&SCHEMA), columns)
}
