//! Arrow IPC that others send: what is claimed takes no memory.
//!
//! A compressed buffer begins with the length that it claims to have unpacked, and Arrow's reader makes room for as much: a message
//! of some hundred bytes that claims an exabyte would end the process. Whether that reader can unpack at all hangs on the features of other
//! crates. So compressed messages are refused here, in every build, before it sees them. And what it gives may claim any number of rows
//! where values take no bytes: such batches go no further.

mod claims;

use arrow::{
    array::RecordBatch,
    buffer::Buffer,
    error::ArrowError,
    ipc::{MessageHeader, reader::StreamDecoder, root_as_message},
};

pub use self::claims::check;

/// What may stand before a message's length.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// The batches of a stream, one by one; the last item is an error if the stream is not whole.
#[derive(Debug)]
pub struct Batches {
    decoder: StreamDecoder,
    rest: Buffer,
    bytes: usize,
    ended: bool,
}

impl Batches {
    /// Looks at every message of the stream.
    ///
    /// # Errors
    /// When one is compressed, or is no message.
    pub fn read(stream: &[u8]) -> Result<Self, ArrowError> {
        let mut rest = stream;
        while let Some(header) = next_header(&mut rest) {
            refuse_compressed(header)?;
        }
        // Not by the reader of streams: that makes room for lengths that are only claimed.
        Ok(Self { decoder: StreamDecoder::new(), rest: Buffer::from(stream), bytes: stream.len(), ended: false })
    }

    fn decode(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        match self.decoder.decode(&mut self.rest)? {
            Some(batch) => check(&batch, self.bytes).map(|()| Some(batch)),
            None => self.decoder.finish().map(|()| None),
        }
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.decode().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

/// Refuses a message whose body is compressed; `header` is the message without its body.
///
/// # Errors
/// When it is, or when the bytes are no message.
pub fn refuse_compressed(header: &[u8]) -> Result<(), ArrowError> {
    let message = root_as_message(header).map_err(|error| ArrowError::IpcError(error.to_string()))?;
    let batch = match message.header_type() {
        MessageHeader::DictionaryBatch => message.header_as_dictionary_batch().and_then(|batch| batch.data()),
        _ => message.header_as_record_batch(),
    };
    match batch.and_then(|batch| batch.compression()) {
        Some(_) => Err(ArrowError::IpcError("a compressed batch: send it without compression".into())),
        None => Ok(()),
    }
}

/// Takes a message off the front of a stream, as Arrow's decoder does; `None` at its end, or where it is cut.
fn next_header<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let bytes = rest.strip_prefix(&CONTINUATION).unwrap_or(rest);
    let (length, bytes) = bytes.split_first_chunk()?;
    let (header, bytes) = bytes.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    let body = root_as_message(header).ok().and_then(|message| usize::try_from(message.bodyLength()).ok());
    // What is behind a message that is cut is looked at by nobody.
    *rest = body.and_then(|body| bytes.get(body..)).unwrap_or_default();
    (!header.is_empty()).then_some(header)
}

#[cfg(test)]
mod tests;
