//! Tables of sequences, in: a row a sequence, or the rows of the series schema.

use arrow::{
    array::{Array, AsArray, RecordBatch, StringArray},
    compute::{cast, concat_batches},
    datatypes::{DataType, Field},
};
use unspool_model::Front;
use unspool_pipelines::{Events, featurise::SeriesFeaturiser};
use unspool_proto::v1;

use super::{
    error::{CallError, CallResult},
    input::{self, Named},
};

/// The field that tables come in.
const FIELD: &str = "arrow_ipc";

/// The sequences of a table, and the rows that cannot be used.
pub(crate) struct Table {
    pub(crate) front: Front,
    pub(crate) sequences: Vec<Named>,
    pub(crate) rejects: Vec<v1::Reject>,
}

impl Table {
    /// Reads a table.
    ///
    /// # Errors
    /// When it has not the columns that make sequences.
    pub(crate) fn new(batches: &[RecordBatch]) -> CallResult<Self> {
        let Some(first) = batches.first() else {
            return Ok(Self { front: Front::Series, sequences: vec![], rejects: vec![] });
        };
        let all = concat_batches(&first.schema(), batches).map_err(refuse)?;
        let has = |name: &str| all.column_by_name(name).is_some();
        match (has("values"), has("sequence"), has("time") && has("value")) {
            (true, false, false) => Self::lists(&all),
            (false, true, false) => Self::bases(&all),
            (false, false, true) => Self::series(&all),
            _ => Err(CallError::invalid(
                FIELD,
                "one of these columns is needed: values (lists of f64), sequence (utf8), or time and value with id",
            )),
        }
    }

    fn lists(all: &RecordBatch) -> CallResult<Self> {
        let list = DataType::List(Field::new_list_field(DataType::Float64, true).into());
        let lists = cast(&all["values"], &list).map_err(refuse)?;
        let lists = lists.as_list::<i32>();
        let values = |row| if lists.is_valid(row) { input::values(&lists.value(row)) } else { vec![] };
        let events = (0..all.num_rows()).map(|row| Events::Values(values(row).into()));
        Ok(Self { front: Front::Series, sequences: named(all, events)?, rejects: vec![] })
    }

    fn bases(all: &RecordBatch) -> CallResult<Self> {
        let text = cast(&all["sequence"], &DataType::Utf8).map_err(refuse)?;
        let events = text.as_string::<i32>().iter().map(|bases| Events::Bases(bases.unwrap_or("").as_bytes().into()));
        Ok(Self { front: Front::Dna, sequences: named(all, events)?, rejects: vec![] })
    }

    /// Rows of many series: as batch jobs read them, so that both give the same bits.
    fn series(all: &RecordBatch) -> CallResult<Self> {
        let mut featuriser = SeriesFeaturiser::default();
        let wrong = |error: unspool_pipelines::Error| CallError::invalid(FIELD, error.to_string());
        let (mut chunks, rejects) = featuriser.featurise(all).map_err(wrong)?;
        chunks.extend(featuriser.end());
        let mut values: Vec<Vec<f64>> = featuriser.series().iter().map(|_| vec![]).collect();
        for chunk in chunks {
            let series = usize::try_from(chunk.sequence.0).ok().and_then(|at| values.get_mut(at));
            if let (Some(series), Events::Values(more)) = (series, &chunk.events) {
                series.extend_from_slice(more);
            }
        }
        let named = |(series, values): (&unspool_pipelines::featurise::Series, Vec<f64>)| Named {
            id: series.id.clone(),
            events: Events::Values(values.into()),
        };
        let sequences = featuriser.series().iter().zip(values).map(named).collect();
        let reject = |reject: unspool_ingest::Reject| v1::Reject { index: 0, id: reject.place, reason: reject.reason };
        Ok(Self { front: Front::Series, sequences, rejects: rejects.into_iter().map(reject).collect() })
    }
}

/// Names from the column `id`, empty where there is none.
fn named(all: &RecordBatch, events: impl Iterator<Item = Events>) -> CallResult<Vec<Named>> {
    let ids = all.column_by_name("id").map(|ids| cast(ids, &DataType::Utf8)).transpose().map_err(refuse)?;
    let ids: Option<&StringArray> = ids.as_ref().map(|ids| ids.as_string());
    let id = |row| ids.filter(|ids| ids.is_valid(row)).map_or("", |ids| ids.value(row)).to_owned();
    Ok(events.enumerate().map(|(row, events)| Named { id: id(row), events }).collect())
}

fn refuse(error: arrow::error::ArrowError) -> CallError {
    CallError::invalid(FIELD, error.to_string())
}
