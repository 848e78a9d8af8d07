//! Arrow IPC streams.

use arrow::{buffer::Buffer, ipc::reader::StreamDecoder};

use super::{Payload, RowFn, table::Table};

/// The reader.
pub(super) struct Ipc {
    paths: Vec<String>,
}

impl Ipc {
    pub(super) fn new(paths: &[String]) -> Self {
        Self { paths: paths.to_vec() }
    }
}

impl Payload for Ipc {
    fn read<'a>(&mut self, payload: &'a [u8], row: &mut RowFn<'_, 'a>) -> Result<(), String> {
        let wrong = |e: &dyn std::fmt::Display| format!("not an Arrow IPC stream as expected: {e}");
        // Unlike the reader of streams, this takes no memory for lengths that are only claimed.
        let (mut decoder, mut bytes) = (StreamDecoder::new(), Buffer::from(payload));
        while !bytes.is_empty() {
            let Some(batch) = decoder.decode(&mut bytes).map_err(|e| wrong(&e))? else { continue };
            if batch.num_rows() > payload.len() * 8 {
                return Err(wrong(&format!("{} rows in {} bytes", batch.num_rows(), payload.len())));
            }
            let table = Table::new(&batch, &self.paths)?;
            for at in 0..batch.num_rows() {
                row(&table.row(at)).map_err(|fault| fault.1)?;
            }
        }
        decoder.finish().map_err(|e| wrong(&e))
    }
}
