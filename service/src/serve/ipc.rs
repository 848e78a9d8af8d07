//! Arrow IPC streams, in and out.

use std::panic::catch_unwind;

use arrow::{
    array::RecordBatch,
    buffer::Buffer,
    error::ArrowError,
    ipc::{reader::StreamDecoder, writer::StreamWriter},
};

use super::error::{CallError, CallResult};

/// The batches of a stream. A damaged stream is refused, whatever it makes the reader do.
///
/// # Errors
/// When the bytes are no whole stream.
pub(crate) fn read(bytes: &[u8], field: &'static str) -> CallResult<Vec<RecordBatch>> {
    let damaged = |problem: String| CallError::invalid(field, format!("not a whole Arrow IPC stream: {problem}"));
    let read = catch_unwind(|| batches(bytes));
    read.unwrap_or_else(|_| Err(ArrowError::IpcError("damaged".into()))).map_err(|e| damaged(e.to_string()))
}

/// Not by the reader of files: that makes room for as many bytes as the stream claims to have.
fn batches(bytes: &[u8]) -> Result<Vec<RecordBatch>, ArrowError> {
    let (mut decoder, mut rest, mut batches) = (StreamDecoder::new(), Buffer::from(bytes), vec![]);
    while !rest.is_empty() {
        batches.extend(decoder.decode(&mut rest)?);
    }
    decoder.finish()?;
    Ok(batches)
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
