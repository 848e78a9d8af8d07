//! The topic's newest messages, decoded as the job would: what is wrong with fields, schemas or permissions shows there.

use arrow::array::{Array, AsArray};
use unspool_ingest::kafka::{
    Decoder,
    client::{newest, record},
};

use super::{
    super::{
        error::{Error, Result},
        job::StreamJob,
    },
    schemas::Schemas,
    session::Ended,
};

/// Messages of a partition that are looked at.
const MOST: i64 = 100;

/// What the newest messages came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Messages looked at.
    pub messages: usize,
    /// Rows that they hold.
    pub rows: usize,
    /// Those that have no value: a field that is never there shows here.
    pub missing: usize,
    /// Messages that cannot be used.
    pub rejects: usize,
    /// Why the last of these cannot.
    pub reason: Option<String>,
}

/// Looks at the newest messages; nothing is committed.
///
/// # Errors
/// When this user may not read the topic or ask for the group, the registry refuses, or not one of the messages can be used.
pub fn sample(job: &StreamJob, partitions: i32) -> Result<Sample> {
    let messages = newest(&job.connection, (&job.topic, partitions), (&job.group.name, MOST))?;
    let records: Vec<_> = messages.iter().map(|message| record(message, job.fields.reads_headers())).collect();
    let mut decoder = Decoder::new(&job.format, job.fields.clone()).map_err(Error::Settings)?;
    Schemas::of(job).learn(&mut decoder, &records).map_err(|ended| match ended {
        Ended::Bad(error) => error,
        Ended::Again(problem) | Ended::Fenced(problem) => Error::Settings(problem),
    })?;
    let decoded = decoder.decode(&records);
    let (rows, rejects) = (decoded.rows.num_rows(), decoded.rejects.len());
    // A row has a value or bases, or ends its series.
    let ends = decoded.rows.column(6).as_boolean();
    let has =
        |row: usize| decoded.rows.column(4).is_valid(row) || decoded.rows.column(5).is_valid(row) || ends.value(row);
    let missing = (0..rows).filter(|row| !has(*row)).count();
    let reason = decoded.rejects.last().map(|reject| reject.reason.clone());
    match &reason {
        Some(reason) if rows == 0 => {
            let rejects = if rejects == 1 {
                "the newest message".into()
            } else {
                format!("all of the {rejects} newest messages")
            };
            Err(Error::Settings(format!("{}: {rejects} would be rejected: {reason}", job.topic)))
        }
        _ => Ok(Sample { messages: records.len(), rows, missing, rejects, reason }),
    }
}
