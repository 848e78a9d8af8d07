//! Arrow IPC streams.

use super::{Payload, RowFn, table::Table};
use crate::ipc::Batches;

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
        for batch in Batches::read(payload).map_err(|e| wrong(&e))? {
            let batch = batch.map_err(|e| wrong(&e))?;
            let table = Table::new(&batch, &self.paths)?;
            for at in 0..batch.num_rows() {
                row(&table.row(at)).map_err(|fault| fault.1)?;
            }
        }
        Ok(())
    }
}
