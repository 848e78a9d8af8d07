//! Records that are run elsewhere, and what came of them: in the form in which they travel.

use std::sync::Arc;

use arrow::{
    array::RecordBatch,
    ipc::{reader::StreamReader, writer::StreamWriter},
};
use serde::{Deserialize, Serialize};
use unspool_ingest::Reject;
use unspool_model::Model;

use super::ReadsOrder;
use crate::{Job, batch::error::Result};

/// Whole records, end to end, in one batch or in several.
#[derive(Serialize, Deserialize)]
pub(crate) struct Records {
    /// The number of the first one.
    pub first: u64,
    /// Batches of rows in the reads schema: an Arrow IPC stream.
    #[serde(with = "serde_bytes")]
    pub rows: Vec<u8>,
    /// The input ends behind them, perhaps within the last one.
    pub ended: bool,
}

/// What came of records.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Embedded {
    /// Of each batch, what is not as reads are.
    pub refused: Vec<Vec<Rejected>>,
    /// Output rows: an Arrow IPC stream.
    #[serde(with = "serde_bytes")]
    pub rows: Vec<u8>,
    /// Records that turned out to be unusable.
    pub rejects: Vec<Rejected>,
    /// Events encoded.
    pub events: u64,
}

/// A [`Reject`], as it travels.
#[derive(Serialize, Deserialize)]
pub(crate) struct Rejected {
    place: String,
    reason: String,
    payload: Vec<u8>,
}

impl From<Reject> for Rejected {
    fn from(Reject { place, reason, payload }: Reject) -> Self {
        Self { place, reason, payload }
    }
}

impl From<Rejected> for Reject {
    fn from(Rejected { place, reason, payload }: Rejected) -> Self {
        Self { place, reason, payload }
    }
}

/// Runs records as a local job does.
///
/// # Errors
/// When the rows are no reads, or the model refuses.
pub(crate) fn run(
    model: &Arc<Model>,
    order: &ReadsOrder,
    (records, pack_tokens): (Records, usize),
) -> Result<Embedded> {
    let mut embed = order.embed(model, pack_tokens)?.numbered_from(records.first);
    let (mut embedded, mut rows) = (Embedded::default(), vec![]);
    let rejected = |all: Vec<Reject>| all.into_iter().map(Rejected::from);
    let mut batches = unpack(&records.rows)?.into_iter().peekable();
    while let Some(batch) = batches.next() {
        embedded.refused.push(rejected(embed.push(&batch)?).collect());
        if batches.peek().is_none() && records.ended {
            let refused = rejected(embed.end()?);
            if let Some(all) = embedded.refused.last_mut() {
                all.extend(refused);
            }
        }
        while let Some(step) = embed.step()? {
            embedded.events += step.events;
            embedded.rejects.extend(rejected(step.rejects));
            rows.extend(Some(step.rows).filter(|rows| rows.num_rows() > 0));
        }
    }
    embedded.rows = pack(&rows)?;
    Ok(embedded)
}

/// Batches of one schema as an Arrow IPC stream; none as no bytes.
///
/// # Errors
/// When Arrow refuses.
pub(crate) fn pack(batches: &[RecordBatch]) -> Result<Vec<u8>> {
    let Some(first) = batches.first() else { return Ok(vec![]) };
    let mut writer = StreamWriter::try_new(vec![], &first.schema())?;
    batches.iter().try_for_each(|batch| writer.write(batch))?;
    Ok(writer.into_inner()?)
}

/// As they were packed.
///
/// # Errors
/// When they are damaged.
pub(crate) fn unpack(bytes: &[u8]) -> Result<Vec<RecordBatch>> {
    if bytes.is_empty() {
        return Ok(vec![]);
    }
    Ok(StreamReader::try_new(bytes, None)?.collect::<Result<Vec<_>, _>>()?)
}
