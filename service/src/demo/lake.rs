//! What the batch jobs and the scores of variants wrote, read back from their Parquet files.

use std::path::Path;

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Float64Type, Int64Type, UInt32Type},
    util::display::array_value_to_string,
};
use unspool_pipelines::batch::Manifest;

use super::{
    error::Error,
    given::{Ahead, Given, Scored},
};
use crate::{
    error::Result,
    forecast::gather::Track,
    report::parts::{Parts, rows},
};

/// An alternative of a variant.
#[derive(Debug)]
pub(super) struct Variant {
    /// 1-based, as in its VCF file.
    pub(super) position: i64,
    /// Such as `A > G`.
    pub(super) change: String,
    /// ln p(alternative) - ln p(reference).
    pub(super) score: f64,
    /// Bases of each allele that were compared.
    pub(super) window: u32,
}

/// What the batch jobs gave.
#[derive(Debug, Default)]
pub(super) struct Nightly {
    /// Of each series.
    pub(super) given: Given,
    /// The forecasts once more, with the times that they are of; without histories.
    pub(super) tracks: Vec<Track>,
    /// The levels of their quantiles.
    pub(super) levels: Vec<f64>,
    /// The model.
    pub(super) model: String,
    /// Where and how numbers were computed.
    pub(super) route: String,
}

/// Reads the outputs of the batch jobs.
///
/// # Errors
/// When one is not there, or not what such a job writes.
pub(super) fn nightly(scores: &Path, forecasts: &Path) -> Result<Nightly> {
    let mut nightly = Nightly::default();
    let manifest = manifest(scores)?;
    Parts { dir: scores, manifest: &manifest }.each(&mut |rows| {
        let (ids, times) = (rows["id"].as_string::<i32>(), times(&rows["time"])?);
        let (values, p_values) =
            (rows["value"].as_primitive::<Float64Type>(), rows["p_value"].as_primitive::<Float64Type>());
        for (row, time) in times.into_iter().enumerate() {
            let p_value = if p_values.is_valid(row) { p_values.value(row) } else { f64::NAN };
            let scored = Scored { time, value: values.value(row), p_value };
            nightly.given.scores.entry(ids.value(row).to_owned()).or_default().push(scored);
        }
        Ok(())
    })?;
    let of = |key: &str| manifest.identity.get(key).cloned().unwrap_or_default();
    (nightly.model, nightly.route) = (of("model"), of("route"));
    let manifest = self::manifest(forecasts)?;
    let parts = Parts { dir: forecasts, manifest: &manifest };
    nightly.levels = parts.levels()?;
    parts.each(&mut |rows| steps(rows, &mut nightly))?;
    Ok(nightly)
}

/// Rows of forecasts: `id`, `time`, `step`, quantiles.
fn steps(rows: &RecordBatch, nightly: &mut Nightly) -> Result<()> {
    let (ids, times) = (rows["id"].as_string::<i32>(), times(&rows["time"])?);
    let quantiles: Vec<_> =
        rows.columns()[3..].iter().filter_map(|column| column.as_primitive_opt::<Float64Type>()).collect();
    for (row, time) in times.into_iter().enumerate() {
        let (id, quantiles) = (ids.value(row), quantiles.iter().map(|column| column.value(row)).collect::<Vec<_>>());
        if nightly.tracks.last().is_none_or(|track| track.id != id) {
            nightly.tracks.push(Track { id: id.to_owned(), ..Track::default() });
        }
        let all = nightly.given.forecasts.entry(id.to_owned()).or_default();
        all.push(Ahead { time, step: all.len() + 1, quantiles: quantiles.clone() });
        if let Some(track) = nightly.tracks.last_mut() {
            track.ahead.push((Some(time), quantiles));
        }
    }
    Ok(())
}

/// Reads scores of variants.
///
/// # Errors
/// When the file is not there, or another one.
pub(super) fn variants(path: &Path) -> Result<Vec<Variant>> {
    let mut variants = vec![];
    rows(path, &mut |rows| {
        let positions = cast(&rows["position"], &DataType::Int64).map_err(output)?;
        let positions = positions.as_primitive::<Int64Type>();
        let (scores, windows) =
            (rows["score"].as_primitive::<Float64Type>(), rows["window_forward"].as_primitive::<UInt32Type>());
        for row in 0..rows.num_rows() {
            let text = |column: &str| array_value_to_string(&rows[column], row).map_err(output);
            variants.push(Variant {
                position: positions.value(row) + 1,
                change: format!("{} > {}", text("reference")?, text("alternative")?),
                score: scores.value(row),
                window: windows.value(row),
            });
        }
        Ok(())
    })?;
    Ok(variants)
}

fn manifest(dir: &Path) -> Result<Manifest> {
    let missing = || Error::Output { from: "a batch job", problem: format!("{} has no manifest", dir.display()) };
    Ok(Manifest::read(dir)?.ok_or_else(missing)?)
}

/// µs since 1970.
fn times(column: &dyn Array) -> Result<Vec<i64>> {
    let times = cast(column, &DataType::Int64).map_err(output)?;
    Ok(times.as_primitive::<Int64Type>().values().to_vec())
}

fn output(error: arrow::error::ArrowError) -> crate::error::Error {
    Error::Output { from: "a batch job", problem: error.to_string() }.into()
}
