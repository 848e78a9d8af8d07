//! Forecasts and embeddings of a series as of each of its rows: each as if no row followed.

use std::num::NonZeroUsize;

use arrow::array::{ArrayRef, RecordBatch};
use unspool_ingest::schema::TimeKind;
use unspool_model::{Events, Item, Model, Options, Pool, State, series::Forecast};

use super::{
    last,
    series::{Rows, batch},
    shared::{Shared, most_series},
};
use crate::{
    Pooling, Result,
    featurise::{Series, SeriesFeaturiser},
    forecast::{LEAST_EVENTS, table::Table},
};

/// What a moment takes of a pack, in events.
type Cost<'a> = dyn Fn(&State) -> u64 + 'a;

/// A series as it was after a row.
struct Moment {
    /// The series' number, and the row.
    place: (usize, usize),
    series: Series,
    state: State,
    /// Values that a series holds back until its grid is known.
    held_back: Vec<f64>,
}

/// Forecasts as of each row of each series, one after another; null: the row does not count, or there is no value yet.
///
/// # Errors
/// When the model refuses.
pub(super) fn forecasts(all: &[Rows], (kind, horizon): (TimeKind, NonZeroUsize), shared: &Shared) -> Result<ArrayRef> {
    let model = shared.model()?;
    let levels = model.series_shape().map(|shape| shape.levels.clone()).unwrap_or_default();
    let context = model.series_shape().map_or(0, |shape| shape.context) as u64;
    let mut table = Table::new(kind, &levels, None)?;
    let mut lengths: Vec<usize> = vec![];
    let firsts = firsts(all);
    lengths.resize(all.iter().map(Rows::len).sum(), 0);
    let cost = |state: &State| state.position().min(context).max(LEAST_EVENTS).max(horizon.get() as u64);
    each_moment(all, (kind, &Options::default(), &cost), shared, &mut |model, moments| {
        let states: Vec<&State> = moments.iter().map(|moment| &moment.state).collect();
        let forecasts: Vec<Forecast> = model.forecast(&states, horizon.get())?;
        for (Moment { place: (number, row), series, .. }, forecast) in moments.iter().zip(&forecasts) {
            if forecast.reason.is_none() {
                table.push(series, series.frequency(), forecast);
                lengths[firsts[*number] + row] = horizon.get();
            }
        }
        Ok(())
    })?;
    let given: RecordBatch = table.take()?;
    last::steps(&given.project(&(1..given.num_columns()).collect::<Vec<_>>())?, &lengths)
}

/// Embeddings as of each row of each series, one after another, of several value columns side by side; null: the row does
/// not count, or there is no whole patch yet.
///
/// # Errors
/// When the model refuses.
pub(super) fn embeddings(columns: &[Vec<Rows>], kind: TimeKind, shared: &Shared) -> Result<ArrayRef> {
    let (model, functions) = (shared.model()?, shared.functions);
    let layer = functions.layer.unwrap_or(model.info().config.layers);
    let pool = match functions.pooling {
        Pooling::Last => Pool::Last,
        Pooling::Max => Pool::Max,
        _ => Pool::Mean,
    };
    let options = Options { layers: vec![layer], pools: true, ..Options::default() };
    let of = |all: &Vec<Rows>| {
        let firsts = firsts(all);
        let mut given: Vec<Option<Vec<f32>>> = vec![None; all.iter().map(Rows::len).sum()];
        each_moment(all, (kind, &options, &|_| 1), shared, &mut |_, moments| {
            for Moment { place: (number, row), state, .. } in moments {
                given[firsts[*number] + row] = state.pooled(layer, pool);
            }
            Ok(())
        })?;
        Ok(given)
    };
    last::beside(&columns.iter().map(of).collect::<Result<Vec<_>>>()?, shared)
}

/// Where each series' rows begin among those of all.
fn firsts(all: &[Rows]) -> Vec<usize> {
    let starts = all.iter().scan(0, |next, rows| {
        let first = *next;
        *next += rows.len();
        Some(first)
    });
    starts.collect()
}

/// Goes through the rows that count; `take` gets the moments after them, a pack at a time.
fn each_moment(
    all: &[Rows],
    (kind, options, cost): (TimeKind, &Options, &Cost<'_>),
    shared: &Shared,
    take: &mut dyn FnMut(&Model, &[Moment]) -> Result<()>,
) -> Result<()> {
    let model = shared.model()?;
    let most = most_series(&model, options)?;
    let pack_events = (shared.pack_tokens(&model) * model.series_shape().map_or(1, |shape| shape.patch)) as u64;
    let (mut moments, mut costs) = (vec![], 0);
    let _turn = shared.turn();
    for (number, rows) in all.iter().enumerate() {
        let table = batch(std::slice::from_ref(rows), kind)?;
        let (mut featuriser, mut state) = (SeriesFeaturiser::default(), model.open(options)?);
        for (at, &row) in rows.kept.iter().enumerate() {
            let (chunks, rejects) = featuriser.featurise(&table.slice(at, 1))?;
            shared.reject(rejects);
            for chunk in &chunks {
                model.append(&mut [Item { state: &mut state, events: chunk.events.as_model() }])?;
            }
            let Some(series) = featuriser.series().first() else { continue };
            costs += cost(&state);
            let (held_back, series) = (series.held_back(), series.clone());
            moments.push(Moment { place: (number, row), series, state: state.clone(), held_back });
            if costs >= pack_events || moments.len() >= most {
                flush(&model, &mut moments, take)?;
                costs = 0;
            }
        }
    }
    flush(&model, &mut moments, take)
}

fn flush(
    model: &Model,
    moments: &mut Vec<Moment>,
    take: &mut dyn FnMut(&Model, &[Moment]) -> Result<()>,
) -> Result<()> {
    let with_values = moments.iter_mut().filter(|moment| !moment.held_back.is_empty());
    let mut items: Vec<Item<'_>> =
        with_values.map(|Moment { state, held_back, .. }| Item { state, events: Events::Values(held_back) }).collect();
    if !items.is_empty() {
        model.append(&mut items)?;
    }
    take(model, moments)?;
    moments.clear();
    Ok(())
}
