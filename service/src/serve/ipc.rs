//! Arrow IPC streams, in and out.

use std::panic::catch_unwind;

use arrow::{array::RecordBatch, error::ArrowError, ipc::writer::StreamWriter};
use unspool_ingest::ipc::Batches;

use super::error::{CallError, CallResult};

/// The batches of a stream. A damaged stream is refused, whatever it makes the reader do.
///
/// # Errors
/// When the bytes are no whole stream.
pub(crate) fn read(bytes: &[u8], field: &'static str) -> CallResult<Vec<RecordBatch>> {
    let damaged = |problem: String| CallError::invalid(field, format!("not a whole Arrow IPC stream: {problem}"));
    let read = catch_unwind(|| Batches::read(bytes)?.collect());
    read.unwrap_or_else(|_| Err(ArrowError::IpcError("damaged".into()))).map_err(|e| damaged(e.to_string()))
}

/// A stream of one batch.
///
/// # Errors
/// When Arrow refuses.
pub(crate) fn write(batch: &RecordBatch) -> CallResult<Vec<u8>> {
    let write = || {
        let mut writer = StreamWriter::try_new(vec![], &batch.schema())?;
        writer.write(batch)?;
        writer.into_inner()
    };
    write().map_err(|error: ArrowError| CallError::Fault(error.to_string()))
}
