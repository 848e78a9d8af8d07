//! Series models: values in, embedded patches through the encoder, scores and forecasts out.

use super::{Item, Model, Output, sequence::Feed, taps};
use crate::{
    Error, Result, State,
    encoder::BackboneState,
    series::{Alignment, Forecast, FrontEnd, Patches, Prediction, SeriesState},
};

/// Values of one series that are taken in at once: memory stays flat however many arrive.
const MOST_VALUES: usize = 1 << 15;

/// One series' patches on their way.
#[derive(Default)]
struct Arrived {
    patches: Patches,
    /// Each value, its place in its patch, and how many patches had become complete before it.
    values: Vec<(f64, usize, usize)>,
    /// What was said before any of them.
    before: Option<Prediction>,
    /// Last hidden rows of the patches, `[l, d]`.
    hidden: Vec<f32>,
    /// The last of them ends a span.
    ends_span: bool,
}

impl Model {
    pub(super) fn append_values(&self, front: &FrontEnd, items: &mut [Item<'_>]) -> Result<Vec<Output>> {
        let mut outputs: Vec<Output> = items.iter().map(|item| Output::new(&item.state.options)).collect();
        let mut taken = vec![0; items.len()];
        while items.iter().zip(&taken).any(|(item, taken)| *taken < item.events.len()) {
            self.append_some(front, items, &mut taken, &mut outputs)?;
        }
        Ok(outputs)
    }

    /// Takes in each item's values from those taken on: at most [`MOST_VALUES`], and none beyond the end of a span.
    fn append_some(
        &self,
        front: &FrontEnd,
        items: &mut [Item<'_>],
        taken: &mut [usize],
        outputs: &mut [Output],
    ) -> Result<()> {
        let layers = self.info.config.layers;
        let mut taps = taps(items);
        if taps.last() != Some(&layers) {
            taps.push(layers); // the head reads the last one
        }
        let mut arrived: Vec<Arrived> =
            items.iter_mut().zip(taken).map(|(item, taken)| arrive(front, item, taken)).collect();
        // a series opened for `end` forecasts alone has neither patches nor a backbone state
        let (mut feeds, mut states, mut of, mut pools) = (vec![], vec![], vec![], vec![]);
        for (i, (item, arrived)) in items.iter_mut().zip(&arrived).enumerate() {
            let State { backbone, young, pools: all, options, .. } = &mut *item.state;
            if let Some(backbone) = backbone {
                feeds.push(Feed::Rows(front.embed(&arrived.patches.features)));
                states.push(backbone);
                of.push(Some(i));
            }
            if let Some(young) = young.as_mut().filter(|_| !arrived.patches.young.is_empty()) {
                feeds.push(Feed::Rows(front.embed(&arrived.patches.young)));
                states.push(young);
                of.push(None);
            }
            pools.push((&*options, all));
        }
        self.encode(&feeds, states, &taps, |sequence, rows| {
            let Some(i) = of[sequence] else { return };
            arrived[i].hidden.extend_from_slice(rows[rows.len() - 1]);
            let (options, pools) = &mut pools[i];
            outputs[i].take(options, pools, &taps, rows);
        })?;
        for ((item, arrived), output) in items.iter_mut().zip(arrived).zip(outputs) {
            let ends_span = arrived.ends_span;
            self.predict(front, item.state, arrived, output);
            if ends_span {
                self.begin_span(item.state);
            }
        }
        Ok(())
    }

    /// A young pair of statistics and backbone begins; the one before takes the old one's place.
    fn begin_span(&self, state: &mut State) {
        let Some(series) = &mut state.series else { return };
        let grown = state.young.replace(self.encoder.fresh());
        if series.begin_span() && grown.is_some() {
            state.backbone = grown;
        }
    }

    /// What the head says after the patches that became complete, and the scores of the values that arrived.
    fn predict(&self, front: &FrontEnd, state: &mut State, arrived: Arrived, output: &mut Output) {
        let Some(series) = &mut state.series else { return };
        let Arrived { patches, values, before, hidden, .. } = arrived;
        let scales = &patches.scales[..];
        if state.options.anomaly {
            let predictions = front.predict(&hidden, scales);
            output.scores.extend(values.iter().map(|(value, at, complete)| {
                let latest = complete.checked_sub(1).map_or(before.as_ref(), |last| predictions.get(last));
                SeriesState::score(latest, &front.shape, *at, *value)
            }));
            predictions.into_iter().next_back().into_iter().for_each(|last| series.predicted(last));
        } else if front.shape.alignment == Alignment::Any && !scales.is_empty() {
            let d = self.info.config.d;
            let last = front.predict(&hidden[hidden.len() - d..], &scales[scales.len() - 1..]);
            last.into_iter().for_each(|last| series.predicted(last));
        }
    }

    /// Quantiles of the next `horizon` values of each series. The states do not move.
    ///
    /// A series that showed one value only, for at least a patch, is forecast to stay there: networks were trained on
    /// series that move, and their outer quantiles drift off from one that never did.
    ///
    /// # Errors
    /// When the model is not for series, or a state is of another model.
    pub fn forecast(&self, states: &[&State], horizon: usize) -> Result<Vec<Forecast>> {
        let mut forecasts = self.forecast_by_network(states, horizon)?;
        for (forecast, state) in forecasts.iter_mut().zip(states) {
            if let Some(value) = state.series.as_ref().and_then(SeriesState::constant) {
                forecast.values.fill(value);
            }
        }
        Ok(forecasts)
    }

    /// As [`Model::forecast`], without the rule for constant series.
    fn forecast_by_network(&self, states: &[&State], horizon: usize) -> Result<Vec<Forecast>> {
        let Some(front) = &self.series else {
            return Err(Error::Input(format!("{} is no series model: it gives no forecasts", self.info.name)));
        };
        states.iter().try_for_each(|state| self.owns(state))?;
        let series: Vec<_> =
            (states.iter()).filter_map(|state| Some((state.series.as_ref()?, state.backbone.as_ref()))).collect();
        let (d, layers) = (self.info.config.d, self.info.config.layers);
        let run = |rows: Vec<Vec<f32>>, states: Vec<&mut BackboneState>| {
            let mut last = vec![0.0; rows.len() * d];
            let feeds: Vec<Feed> = rows.into_iter().map(Feed::Rows).collect();
            self.encode(&feeds, states, &[layers], |i, hidden| {
                last[i * d..(i + 1) * d].copy_from_slice(&hidden[0][hidden[0].len() - d..]);
            })?;
            Ok(last)
        };
        front.forecast(&series, horizon, (&run, &|| self.encoder.fresh()))
    }
}

/// Takes in an item's next values; what needs no encoder is done here.
fn arrive(front: &FrontEnd, item: &mut Item<'_>, taken: &mut usize) -> Arrived {
    let all = match item.events {
        super::Events::Values(values) => values,
        _ => &[],
    };
    let values = &all[*taken..all.len().min(*taken + MOST_VALUES)];
    let runs = front.runs_encoder(&item.state.options);
    let Some(series) = &mut item.state.series else { return Arrived::default() };
    let mut arrived = Arrived { before: series.prediction().cloned(), ..Arrived::default() };
    let mut count = 0;
    for value in values {
        series.remember(*value);
        count += 1;
        if runs {
            let complete = arrived.patches.scales.len();
            let at = series.push(*value, &mut arrived.patches);
            arrived.values.push((*value, at, complete));
            if arrived.patches.scales.len() > complete && series.ends_span() {
                arrived.ends_span = true;
                break;
            }
        }
    }
    *taken += count;
    item.state.position += count as u64;
    arrived
}

#[cfg(test)]
mod tests;
