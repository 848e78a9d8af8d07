//! What a pipeline does to the rows that pass through it.

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use unspool_ingest::Reject;

use crate::Result;

/// What one step gave.
#[derive(Debug)]
pub struct Step {
    /// Output rows, in the job's schema; often none.
    pub rows: RecordBatch,
    /// Sequences that turned out to be unusable.
    pub rejects: Vec<Reject>,
    /// Events encoded.
    pub events: u64,
}

/// Input rows in, output rows out: blocking and without I/O, so that the pipeline decides where it runs.
pub trait Job: Send {
    /// The schema of the output rows.
    fn schema(&self) -> SchemaRef;

    /// Takes input rows in; [`Job::step`] then works them off. Returns the rows that cannot be used.
    ///
    /// # Errors
    /// When the rows have another schema than the job takes.
    fn push(&mut self, rows: &RecordBatch) -> Result<Vec<Reject>>;

    /// The input has ended: what was held back is now to be worked off. Returns sequences that cannot be used.
    ///
    /// # Errors
    /// When the model refuses.
    fn end(&mut self) -> Result<Vec<Reject>>;

    /// Sequences that were waiting for the input's end: how many are done, and how many there are. `None` before the end,
    /// and for jobs in which none waits.
    fn closing(&self) -> Option<(u64, u64)> {
        None
    }

    /// Does a bounded piece of the waiting work, or `None` when none waits.
    ///
    /// # Errors
    /// When the model refuses or a limit is reached.
    fn step(&mut self) -> Result<Option<Step>>;
}
