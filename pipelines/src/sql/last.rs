//! Forecasts and embeddings of whole series, by the jobs behind `unspool forecast` and `unspool embed`.

use std::{num::NonZeroUsize, ops::Range, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, FixedSizeListArray, Float32Array, ListArray, RecordBatch, StringArray,
        StringBuilder, StructArray, UInt64Array,
    },
    buffer::{NullBuffer, OffsetBuffer},
    compute::{concat_batches, nullif},
    datatypes::{DataType, Field, Float32Type, Schema, SchemaRef},
};
use unspool_ingest::schema::TimeKind;
use unspool_model::Options;

use super::{
    ask,
    series::{Rows, batch, groups, pieces},
    shared::{Shared, most_series},
};
use crate::{Embed, EmbedOptions, Error, ForecastOptions, Forecaster, Job, Result};

/// The forecast of each series as a list of its steps; null: there is nothing to forecast from.
///
/// # Errors
/// When the model refuses.
pub(super) fn forecasts(all: &[Rows], (kind, horizon): (TimeKind, NonZeroUsize), shared: &Shared) -> Result<ArrayRef> {
    let model = shared.model()?;
    let most = most_series(&model, &Options::default())?;
    let (mut parts, mut lengths): (Vec<RecordBatch>, Vec<usize>) = (vec![], vec![0; all.len()]);
    let _turn = shared.turn();
    for group in groups(all, most) {
        let rows = batch(&all[group.clone()], kind)?;
        let pack_tokens = shared.pack_tokens(&model);
        let options = ForecastOptions { horizon, levels: None, time: kind, pack_tokens, max_series: most };
        let given = drive(&mut Forecaster::new(Arc::clone(&model), options)?, &rows, shared)?;
        for number in numbers(&given, &group)? {
            lengths[number] += 1;
        }
        parts.push(timeless(given, |number| all[number].kept.len() == 1, &group)?);
    }
    let Some(first) = parts.first() else { return Err(Error::Rows("no series".into())) };
    let given = concat_batches(&first.schema(), &parts)?;
    steps(&given.project(&(1..given.num_columns()).collect::<Vec<_>>())?, &lengths)
}

/// Lists of the steps of forecasts, so many each; null where there is none.
///
/// # Errors
/// When Arrow refuses.
pub(super) fn steps(given: &RecordBatch, lengths: &[usize]) -> Result<ArrayRef> {
    let steps = StructArray::from(given.clone());
    let nulls: NullBuffer = lengths.iter().map(|length| *length > 0).collect();
    let DataType::List(item) = ask::list(steps.data_type().clone()) else {
        return Err(Error::Rows("a list is no list".into()));
    };
    let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
    Ok(Arc::new(ListArray::try_new(item, offsets, Arc::new(steps), Some(nulls))?))
}

/// A series of one row has no frequency, whatever stands beside it: its forecast has no times.
fn timeless(given: RecordBatch, single: impl Fn(usize) -> bool, group: &Range<usize>) -> Result<RecordBatch> {
    let without: BooleanArray = numbers(&given, group)?.into_iter().map(|number| Some(single(number))).collect();
    let mut columns = given.columns().to_vec();
    columns[1] = nullif(&columns[1], &without)?;
    Ok(RecordBatch::try_new(given.schema(), columns)?)
}

/// The embedding of each series of each value column, side by side; null: one is too short.
///
/// # Errors
/// When the model refuses.
pub(super) fn embeddings(columns: &[Vec<Rows>], kind: TimeKind, shared: &Shared) -> Result<ArrayRef> {
    let of = |all: &Vec<Rows>| {
        let (model, mut given) = (shared.model()?, vec![]);
        let options = embed_options(shared)?;
        let _turn = shared.turn();
        for group in groups(all, options.max_sequences) {
            let rows = batch(&all[group.clone()], kind)?;
            let given_rows = drive(&mut Embed::new(Arc::clone(&model), options)?, &rows, shared)?;
            given.extend(by_number(&given_rows, group.len())?);
        }
        Ok(given)
    };
    let columns: Vec<Vec<Option<Vec<f32>>>> = columns.iter().map(of).collect::<Result<_>>()?;
    beside(&columns, shared)
}

/// The embedding of each sequence of bases; null: it has none, or another letter.
///
/// # Errors
/// When the model refuses.
pub(super) fn sequences(all: &StringArray, shared: &Shared) -> Result<ArrayRef> {
    let model = shared.model()?;
    let options = embed_options(shared)?;
    let (mut given, mut start) = (vec![], 0);
    let _turn = shared.turn();
    while start < all.len() {
        let part = all.slice(start, (all.len() - start).min(options.max_sequences));
        let given_rows = drive(&mut Embed::new(Arc::clone(&model), options)?, &reads(&part)?, shared)?;
        given.extend(by_number(&given_rows, part.len())?);
        start += part.len();
    }
    beside(&[given], shared)
}

/// Sequences as rows of the reads schema; the number of each is its id.
fn reads(all: &StringArray) -> Result<RecordBatch> {
    let mut ids = StringBuilder::new();
    (0..all.len()).for_each(|number| ids.append_value(number.to_string()));
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Utf8, true),
        Field::new("start", DataType::UInt64, false),
        Field::new("last", DataType::Boolean, false),
        Field::new("sequence", DataType::Utf8, true),
    ]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(ids.finish()),
        Arc::new(UInt64Array::from_value(0, all.len())),
        Arc::new(BooleanArray::from(vec![true; all.len()])),
        Arc::new(all.clone()),
    ];
    Ok(RecordBatch::try_new(schema, columns)?)
}

fn embed_options(shared: &Shared) -> Result<EmbedOptions> {
    let (model, functions) = (shared.model()?, shared.functions);
    let layers = vec![functions.layer.unwrap_or(model.info().config.layers)];
    let max_sequences = most_series(&model, &Options { layers, pools: true, ..Options::default() })?;
    let pack_tokens = shared.pack_tokens(&model);
    Ok(EmbedOptions { layer: functions.layer, pooling: functions.pooling, pack_tokens, max_sequences })
}

/// Runs a job over rows to its end.
fn drive(job: &mut dyn Job, rows: &RecordBatch, shared: &Shared) -> Result<RecordBatch> {
    let mut given = vec![];
    let mut work = |job: &mut dyn Job| {
        while let Some(step) = job.step()? {
            shared.reject(step.rejects);
            given.push(step.rows);
        }
        Ok::<_, Error>(())
    };
    for rows in pieces(rows) {
        shared.reject(job.push(&rows)?);
        work(job)?;
    }
    shared.reject(job.end()?);
    work(job)?;
    Ok(concat_batches(&job.schema(), &given)?)
}

/// Which of all series each output row is of; ids are numbers within the group.
fn numbers(given: &RecordBatch, group: &Range<usize>) -> Result<Vec<usize>> {
    let number = |id: Option<&str>| id.and_then(|id| id.parse::<usize>().ok()).map(|number| group.start + number);
    let numbers = given["id"].as_string::<i32>().iter().map(number);
    numbers.collect::<Option<_>>().ok_or_else(|| Error::Rows("an output row is of no series".into()))
}

/// The embeddings of the rows of `unspool embed`, by the numbers that are their ids.
fn by_number(given: &RecordBatch, all: usize) -> Result<Vec<Option<Vec<f32>>>> {
    let mut found = vec![None; all];
    let embeddings = given["embedding"].as_fixed_size_list();
    for (row, number) in numbers(given, &(0..all))?.into_iter().enumerate() {
        found[number] = Some(embeddings.value(row).as_primitive::<Float32Type>().values().to_vec());
    }
    Ok(found)
}

/// Rows of embeddings of several columns, side by side.
///
/// # Errors
/// When Arrow refuses.
pub(super) fn beside(columns: &[Vec<Option<Vec<f32>>>], shared: &Shared) -> Result<ArrayRef> {
    let d = shared.model()?.info().config.d;
    let (mut values, mut there) = (Vec::<f32>::new(), vec![]);
    for row in 0..columns.first().map_or(0, Vec::len) {
        let all: Option<Vec<&Vec<f32>>> = columns.iter().map(|column| column[row].as_ref()).collect();
        there.push(all.is_some());
        match all {
            Some(all) => all.into_iter().for_each(|part| values.extend(part)),
            None => values.resize(values.len() + d * columns.len(), 0.0),
        }
    }
    let DataType::FixedSizeList(item, width) = ask::embedding_type(d * columns.len()) else {
        return Err(Error::Rows("a list is no list".into()));
    };
    let values = Arc::new(Float32Array::from(values));
    Ok(Arc::new(FixedSizeListArray::try_new(item, width, values, Some(NullBuffer::from(there)))?))
}
