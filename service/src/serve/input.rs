//! What requests carry, to events.

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Float64Type, UInt32Type},
};
use unspool_model::Front;
use unspool_pipelines::Events;
use unspool_proto::v1::{self, events::Kind};

use super::{
    error::{CallError, CallResult},
    ipc,
};

/// The longest id of a sequence, in bytes.
const LONGEST_ID: usize = 256;

/// A sequence of a request.
pub(crate) struct Named {
    /// The caller's name for it.
    pub(crate) id: String,
    /// All of its events.
    pub(crate) events: Events,
}

impl Named {
    /// What its events are.
    pub(crate) fn front(&self) -> Front {
        match &self.events {
            Events::Values(_) => Front::Series,
            Events::Bases(_) => Front::Dna,
            Events::Tokens(_) => Front::Tokens,
        }
    }
}

/// Nothing, of the kind that a model takes.
pub(crate) fn none(front: Front) -> Events {
    match front {
        Front::Series => Events::Values(Vec::new().into()),
        Front::Dna => Events::Bases(Vec::<u8>::new().into()),
        Front::Tokens => Events::Tokens(Vec::new().into()),
    }
}

/// Events of one sequence; `front` tells the kind where there are none.
///
/// # Errors
/// When an Arrow stream is not understood.
pub(crate) fn events(events: Option<v1::Events>, front: Front) -> CallResult<Events> {
    match events.and_then(|events| events.kind) {
        None => Ok(none(front)),
        Some(Kind::Values(v1::Values { values })) => Ok(Events::Values(values.into())),
        Some(Kind::Bases(bases)) => Ok(Events::Bases(bases.into_bytes().into())),
        Some(Kind::Tokens(v1::Tokens { ids })) => Ok(Events::Tokens(ids.into())),
        Some(Kind::ArrowIpc(bytes)) => column(&ipc::read(&bytes, "events.arrow_ipc")?, front),
    }
}

/// The sequences of a batch.
///
/// # Errors
/// When one's Arrow stream is not understood, or its id is too long.
pub(crate) fn sequences(sequences: Vec<v1::Sequence>, front: Front) -> CallResult<Vec<Named>> {
    let named = |v1::Sequence { id, events: given }| Ok(Named { id: short(id)?, events: events(given, front)? });
    sequences.into_iter().map(named).collect()
}

/// Series given whole.
///
/// # Errors
/// When an id is too long.
pub(crate) fn series(series: Vec<v1::Series>) -> CallResult<Vec<Named>> {
    let named = |v1::Series { id, values }: v1::Series| {
        Ok(Named { id: short(id)?, events: Events::Values(values.unwrap_or_default().values.into()) })
    };
    series.into_iter().map(named).collect()
}

/// What kind the first sequence is.
pub(crate) fn front(sequences: &[v1::Sequence]) -> Option<Front> {
    let kinds = sequences.iter().filter_map(|sequence| sequence.events.as_ref()?.kind.as_ref());
    kinds
        .filter_map(|kind| match kind {
            Kind::Values(_) => Some(Front::Series),
            Kind::Bases(_) => Some(Front::Dna),
            Kind::Tokens(_) => Some(Front::Tokens),
            Kind::ArrowIpc(_) => None,
        })
        .next()
}

fn short(id: String) -> CallResult<String> {
    match id.len() {
        0..=LONGEST_ID => Ok(id),
        len => Err(CallError::invalid("id", format!("{len} bytes, at most {LONGEST_ID} are taken"))),
    }
}

/// The events of a table of one column.
fn column(batches: &[RecordBatch], front: Front) -> CallResult<Events> {
    const FIELD: &str = "events.arrow_ipc";
    let mut columns = vec![];
    for batch in batches {
        match batch.columns() {
            [column] => columns.push(column.as_ref()),
            more => return Err(CallError::invalid(FIELD, format!("one column is needed, not {}", more.len()))),
        }
    }
    let Some(first) = columns.first() else { return Ok(none(front)) };
    let data_type = first.data_type().clone();
    let all = arrow::compute::concat(&columns).map_err(|e| CallError::invalid(FIELD, e.to_string()))?;
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 => {
            let text = cast(&all, &DataType::Utf8).map_err(|e| CallError::invalid(FIELD, e.to_string()))?;
            let bases: Vec<u8> = text.as_string::<i32>().iter().flatten().flat_map(str::bytes).collect();
            Ok(Events::Bases(bases.into()))
        }
        DataType::UInt32 if all.null_count() == 0 => {
            Ok(Events::Tokens(all.as_primitive::<UInt32Type>().values().clone()))
        }
        DataType::Float64 => Ok(Events::Values(values(&all).into())),
        other => {
            Err(CallError::invalid(FIELD, format!("a column of {other}: f64, utf8 or u32 without nulls is needed")))
        }
    }
}

/// Values of an f64 array, NaN where null.
pub(crate) fn values(array: &dyn Array) -> Vec<f64> {
    array.as_primitive::<Float64Type>().iter().map(|value| value.unwrap_or(f64::NAN)).collect()
}
