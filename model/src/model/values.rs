//! Series models: values in, embedded patches through the encoder, scores and forecasts out.

use super::{
    Item, Model, Output,
    sequence::{BLOCK_ROWS, Feed},
    taps,
};
use crate::{
    Error, Result, State,
    encoder::{BackboneState, Input, Packed},
    series::{Alignment, Backbone, Embedded, Forecast, FrontEnd, Patches, Prediction, SeriesState},
};

/// Values of one series that are taken in at once: memory stays flat however many arrive.
const MOST_VALUES: usize = 1 << 15;
/// Patches that the head is asked about at once: its answers are many times their size.
const HEAD_ROWS: usize = 2048;

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
            front.team.map(items.iter_mut().zip(taken), |(item, taken)| arrive(front, item, taken));
        // a series opened for `end` forecasts alone has neither patches nor a backbone state
        let (mut features, mut states, mut of, mut pools) = (vec![], vec![], vec![], vec![]);
        for (i, (item, arrived)) in items.iter_mut().zip(&arrived).enumerate() {
            let State { backbone, young, pools: all, options, .. } = &mut *item.state;
            if let Some(backbone) = backbone.as_mut().filter(|_| !arrived.patches.features.is_empty()) {
                features.push(&arrived.patches.features[..]);
                states.push(backbone);
                of.push(Some(i));
            }
            if let Some(young) = young.as_mut().filter(|_| !arrived.patches.young.is_empty()) {
                features.push(&arrived.patches.young[..]);
                states.push(young);
                of.push(None);
            }
            pools.push((&*options, all));
        }
        let embedded = front.embed(&features)?;
        let feeds: Vec<Feed<'_>> = embedded.each().map(Feed::Rows).collect();
        self.encode(&feeds, states, &taps, |sequence, rows| {
            let Some(i) = of[sequence] else { return };
            arrived[i].hidden.extend_from_slice(rows[rows.len() - 1]);
            let (options, pools) = &mut pools[i];
            outputs[i].take(options, pools, &taps, rows);
        })?;
        let ends: Vec<bool> = arrived.iter().map(|arrived| arrived.ends_span).collect();
        let mut all: Vec<Said<'_, '_>> = (items.iter_mut().zip(arrived).zip(outputs))
            .map(|((item, arrived), output)| Said::new(front, item.state, arrived, output))
            .collect();
        let rows: Vec<usize> = all.iter().map(|said| said.rows.len()).collect();
        for some in runs(&rows, HEAD_ROWS) {
            predict(front, &mut all[some], self.info.config.d)?;
        }
        drop(all);
        items.iter_mut().zip(ends).filter(|(_, ends)| *ends).for_each(|(item, _)| self.begin_span(item.state));
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
        front.forecast(&series, horizon, self)
    }
}

impl Backbone for Model {
    fn run(&self, rows: &Embedded, states: Vec<&mut BackboneState>) -> Result<Vec<f32>> {
        let (d, layers) = (self.info.config.d, self.info.config.layers);
        let feeds: Vec<Feed<'_>> = rows.each().map(Feed::Rows).collect();
        let mut last = vec![0.0; feeds.len() * d];
        self.encode(&feeds, states, &[layers], |i, hidden| {
            last[i * d..(i + 1) * d].copy_from_slice(&hidden[0][hidden[0].len() - d..]);
        })?;
        Ok(last)
    }

    fn peek(&self, rows: &Embedded, states: &[&BackboneState]) -> Result<Vec<f32>> {
        let (d, layers) = (self.info.config.d, self.info.config.layers);
        let offsets = rows.offsets(d);
        let mut last = vec![];
        for (i, states) in states.chunks(BLOCK_ROWS).enumerate() {
            let offsets = &offsets[i * BLOCK_ROWS..=i * BLOCK_ROWS + states.len()];
            let (from, to) = (offsets[0], offsets[states.len()]);
            let offsets: Vec<usize> = offsets.iter().map(|offset| offset - from).collect();
            let packed = Packed { input: Input::Rows(&rows.values()[from * d..to * d]), offsets: &offsets };
            for found in self.encoder.peek(&packed, states, &[layers])? {
                if last.is_empty() { last = found } else { last.extend(found) }
            }
        }
        Ok(last)
    }

    fn fresh(&self) -> BackboneState {
        self.encoder.fresh()
    }

    fn fork(&self, states: &[&BackboneState]) -> Result<Vec<BackboneState>> {
        self.encoder.fork(states)
    }
}

/// One item after its patches went through the backbone.
struct Said<'a, 'b> {
    state: &'a mut State,
    arrived: Arrived,
    output: &'b mut Output,
    /// Its patches after which the head is asked.
    rows: std::ops::Range<usize>,
}

impl<'a, 'b> Said<'a, 'b> {
    fn new(front: &FrontEnd, state: &'a mut State, arrived: Arrived, output: &'b mut Output) -> Self {
        let patches = arrived.patches.scales.len();
        let rows = match state.options.anomaly {
            true => 0..patches,
            false if front.shape.alignment == Alignment::Any => patches.saturating_sub(1)..patches,
            false => 0..0,
        };
        Self { state, arrived, output, rows }
    }
}

/// What the head says after the patches that became complete, and the scores of the values that arrived.
fn predict(front: &FrontEnd, all: &mut [Said<'_, '_>], d: usize) -> Result<()> {
    let rows = all.iter().map(|said| &said.arrived.hidden[said.rows.start * d..said.rows.end * d]);
    let scales = all.iter().map(|said| &said.arrived.patches.scales[said.rows.clone()]);
    let predictions = front.predict(&rows.collect::<Vec<_>>().concat(), scales.collect::<Vec<_>>().concat())?;
    let mut first = 0;
    let each: Vec<_> = (all.iter_mut())
        .map(|said| {
            let of = first..first + said.rows.len();
            first = of.end;
            (said, of)
        })
        .filter(|(said, of)| said.state.options.anomaly || !of.is_empty())
        .collect();
    front.team.map(each, |(said, of)| {
        let Some(series) = &mut said.state.series else { return };
        if said.state.options.anomaly {
            let before = said.arrived.before.as_ref().map(Prediction::said);
            said.output.scores.extend(said.arrived.values.iter().map(|(value, at, complete)| {
                let latest = complete.checked_sub(1).map_or(before, |last| predictions.get(of.start + last));
                SeriesState::score(latest, &front.shape, *at, *value)
            }));
        }
        if let Some(last) = predictions.get(of.end.wrapping_sub(1)).filter(|_| !of.is_empty()) {
            series.predicted(last.keep());
        }
    });
    Ok(())
}

/// Neighbours whose sizes come to no more than `most`; one that is larger stands alone.
fn runs(sizes: &[usize], most: usize) -> Vec<std::ops::Range<usize>> {
    let (mut runs, mut from, mut sum) = (vec![], 0, 0);
    for (i, size) in sizes.iter().enumerate() {
        if i > from && sum + size > most {
            runs.push(from..i);
            (from, sum) = (i, 0);
        }
        sum += size;
    }
    if from < sizes.len() {
        runs.push(from..sizes.len());
    }
    runs
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
    let before = series.prediction().filter(|_| item.state.options.anomaly).cloned();
    let mut arrived = Arrived { before, ..Arrived::default() };
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
