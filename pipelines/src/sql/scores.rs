//! Anomaly scores of all rows of many series: each row is an event, as in batch and stream jobs.

use std::sync::Arc;

use unspool_ingest::schema::TimeKind;
use unspool_model::Options;

use super::{
    series::{Rows, batch, groups, pieces},
    shared::{Shared, most_series},
};
use crate::{Result, Scheduler, Worker, featurise::SeriesFeaturiser, scheduler::Limits, stream::emit::score};

/// The score of each row of each series; `None`: it does not count, its value is missing, or nothing was forecast yet.
///
/// # Errors
/// When the model refuses.
pub(super) fn scores(all: &[Rows], kind: TimeKind, shared: &Shared) -> Result<Vec<Vec<Option<f64>>>> {
    let model = shared.model()?;
    let options = Options { anomaly: true, ..Options::default() };
    let most = most_series(&model, &options)?;
    let pack_events = shared.pack_tokens(&model) * model.series_shape().map_or(1, |shape| shape.patch);
    let mut given: Vec<Vec<Option<f64>>> = all.iter().map(|rows| vec![None; rows.len()]).collect();
    let _turn = shared.turn();
    for group in groups(all, most) {
        let rows = batch(&all[group.clone()], kind)?;
        let mut featuriser = SeriesFeaturiser::resumed(vec![], true);
        let mut scheduler = Scheduler::new(Limits::job(pack_events));
        let mut worker = Worker::new(Arc::clone(&model), options.clone(), most);
        let mut found: Vec<Vec<f64>> = vec![];
        for rows in pieces(&rows) {
            let (chunks, rejects) = featuriser.featurise(&rows)?;
            shared.reject(rejects);
            found.resize(featuriser.series().len(), vec![]);
            scheduler.push_all(chunks)?;
            while !scheduler.is_empty() {
                for encoded in worker.encode(&scheduler.pack())? {
                    let place = usize::try_from(encoded.sequence.0).unwrap_or(usize::MAX);
                    found[place].extend(encoded.output.scores);
                }
            }
        }
        // Series are numbered by their first row; one without a row that counts has no number.
        let there = group.filter(|number| !all[*number].kept.is_empty());
        for (number, p_values) in there.zip(found) {
            for (&row, p_value) in all[number].kept.iter().zip(p_values) {
                given[number][row] = (all[number].is_present(row) && !p_value.is_nan()).then(|| score(p_value));
            }
        }
    }
    Ok(given)
}
