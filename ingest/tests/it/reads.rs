//! FASTA, FASTQ, SAM, BAM and CRAM.

mod contract;
mod corpus;
mod cram;
mod edge;
mod fastq_corpus;
mod regions;
mod roundtrip;
mod sam_corpus;
mod selected;
mod truncation;

use std::path::Path;

use arrow::{
    array::{AsArray, RecordBatch},
    compute::concat_batches,
    datatypes::{UInt8Type, UInt64Type},
};
use unspool_ingest::{
    Decode, Error, Reject,
    reads::{self, ReadOptions},
    schema,
};

/// All that reading a file gave.
pub(crate) struct Outcome {
    pub(crate) rows: RecordBatch,
    pub(crate) rejects: Vec<Reject>,
    pub(crate) error: Option<Error>,
}

/// Reads a file to its end, or to its error.
pub(crate) fn read(path: &Path, options: &ReadOptions) -> Outcome {
    let (mut batches, mut rejects, mut error, mut schema) = (vec![], vec![], None, schema::reads());
    match reads::decoder(path, options) {
        Ok(mut decoder) => {
            schema = decoder.schema();
            loop {
                match decoder.decode() {
                    Ok(Some(batch)) => {
                        assert_within(&batch.rows, options);
                        batches.push(batch.rows);
                        rejects.extend(batch.rejects);
                    }
                    Ok(None) => break,
                    Err(e) => {
                        error = Some(e);
                        break;
                    }
                }
            }
            assert!(matches!(decoder.decode(), Ok(None)), "something after the end");
        }
        Err(e) => error = Some(e),
    }
    Outcome { rows: concat_batches(&schema, &batches).unwrap(), rejects, error }
}

/// A batch keeps its limits, whatever the file: that is what keeps memory flat.
fn assert_within(rows: &RecordBatch, options: &ReadOptions) {
    assert!(rows.num_rows() <= options.batch_rows);
    if let Some(sequence) = rows.column_by_name("sequence") {
        let longest = sequence.as_string::<i32>().iter().flatten().map(str::len).max().unwrap_or(0);
        assert!(longest <= options.piece_bases && bases(rows) < options.batch_bases + options.piece_bases);
    }
}

impl Outcome {
    /// The rows of a file that must be read without any trouble.
    pub(crate) fn clean(self) -> RecordBatch {
        assert!(self.error.is_none(), "{}", self.error.unwrap());
        assert!(self.rejects.is_empty(), "{:?}", self.rejects);
        self.rows
    }

    /// Whether anything was found wrong.
    pub(crate) fn is_refused(&self) -> bool {
        self.error.is_some() || !self.rejects.is_empty()
    }
}

/// A column of text.
pub(crate) fn text(rows: &RecordBatch, column: &str) -> Vec<Option<String>> {
    rows.column_by_name(column).unwrap().as_string::<i32>().iter().map(|v| v.map(str::to_owned)).collect()
}

/// A column of whole numbers.
pub(crate) fn numbers(rows: &RecordBatch, column: &str) -> Vec<Option<u64>> {
    let array = rows.column_by_name(column).unwrap();
    match array.as_primitive_opt::<UInt64Type>() {
        Some(array) => array.iter().collect(),
        None => array.as_primitive::<UInt8Type>().iter().map(|v| v.map(u64::from)).collect(),
    }
}

/// Bases in all rows.
pub(crate) fn bases(rows: &RecordBatch) -> usize {
    let column = rows.column_by_name("sequence").unwrap().as_string::<i32>();
    column.value_offsets().last().map_or(0, |end| *end as usize)
}
