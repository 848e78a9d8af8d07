//! A model as a detector.

use unspool_model::{Events, Item, Model, Options, State};

use super::{File, surprise::Surprise};
use crate::eval::Result;

/// A score for each value of each file, from the anomaly scores of a session that is fed the file.
///
/// # Errors
/// When the model is not for series, or refuses.
pub fn detect(model: &Model, files: &[File]) -> Result<Vec<Vec<f64>>> {
    let series: Vec<&[f64]> = files.iter().map(|file| &file.values[..]).collect();
    let scores = p_values(model, &series)?.into_iter().map(|p_values| {
        let mut surprise = Surprise::default();
        p_values.into_iter().map(|p| surprise.push(p)).collect()
    });
    Ok(scores.collect())
}

/// The p-value of each value of each series; NaN where it is missing or nothing was forecast.
pub(in crate::eval) fn p_values(model: &Model, series: &[&[f64]]) -> Result<Vec<Vec<f64>>> {
    let options = Options { anomaly: true, ..Options::default() };
    let mut states = series.iter().map(|_| model.open(&options)).collect::<Result<Vec<State>, _>>()?;
    let items = states.iter_mut().zip(series).map(|(state, values)| Item { state, events: Events::Values(values) });
    let outputs = model.append(&mut items.collect::<Vec<_>>())?;
    Ok(outputs.into_iter().map(|output| output.scores).collect())
}
