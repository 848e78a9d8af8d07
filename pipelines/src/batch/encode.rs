//! Many series through the model at once, in ragged packs.

use serde::{Deserialize, Serialize};
use unspool_model::{Item, Model, State, series::Forecast};

use super::{
    core::give_options,
    error::{Error, Result},
};
use crate::{Chunk, End, Events, Owner, Scheduler, Sequence, scheduler::Limits, stream::emit::Give};

/// Where a series' values go on from.
#[derive(Serialize, Deserialize)]
pub(crate) enum Start {
    /// Nothing came before them.
    Fresh,
    /// A state, as [`Model::save`] gives it.
    Saved(#[serde(with = "serde_bytes")] Vec<u8>),
    /// A state in memory: it does not leave the process.
    #[serde(skip)]
    Live(Box<State>),
}

/// What is to be run of a series.
#[derive(Serialize, Deserialize)]
pub(crate) struct Work {
    /// Its number.
    pub number: usize,
    /// What the values go on from.
    pub start: Start,
    /// NaN where missing.
    #[serde(with = "doubles")]
    pub values: Vec<f64>,
    /// So many of them, the last ones, came in the unit at hand: the scores of those are still to be given.
    pub fresh: usize,
    /// Whether the state behind the values is wanted.
    pub keep: bool,
    /// Values behind that state that count for the answer alone.
    pub held: Vec<f64>,
}

impl Work {
    /// Bytes that it takes to send it, about.
    #[cfg(feature = "cluster")]
    pub(crate) fn bytes(&self) -> usize {
        let state = if let Start::Saved(state) = &self.start { state.len() } else { 0 };
        state + (self.values.len() + self.held.len()) * size_of::<f64>()
    }
}

/// What is asked of series.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// What the job gives.
    pub give: Give,
    /// Whether it is to be given now: forecasts or embeddings at the end of the input.
    pub answers: bool,
}

/// A state behind a series' values.
#[derive(Serialize, Deserialize)]
pub(crate) enum Kept {
    /// As [`Model::save`] gives it.
    Saved(#[serde(with = "serde_bytes")] Vec<u8>),
    /// In memory.
    #[serde(skip)]
    Live(Box<State>),
}

impl Kept {
    /// The state as [`Model::save`] gives it.
    ///
    /// # Errors
    /// When the model refuses.
    pub(crate) fn save(&self, model: &Model) -> Result<Vec<u8>> {
        match self {
            Self::Saved(bytes) => Ok(bytes.clone()),
            Self::Live(state) => Ok(model.save(state)?),
        }
    }
}

/// What the model gave of a series.
#[derive(Serialize, Deserialize)]
pub(crate) enum Answer {
    /// Quantiles of the next values.
    Forecast(Forecast),
    /// The embedding of so many events; `None`: they are too few.
    Embedding(Option<Vec<f32>>, u64),
}

/// A series that has been run.
#[derive(Serialize, Deserialize)]
pub(crate) struct Ran {
    /// Its number.
    pub number: usize,
    /// The state behind its values, if it is wanted.
    pub state: Option<Kept>,
    /// The p-values of its fresh values, where scores are given.
    #[serde(with = "doubles")]
    pub scores: Vec<f64>,
    /// What was asked for, if it was.
    pub answer: Option<Answer>,
}

impl Ran {
    /// The same with the state as bytes, which can leave the process.
    ///
    /// # Errors
    /// When the model refuses.
    #[cfg(feature = "cluster")]
    pub(crate) fn saved(self, model: &Model) -> Result<Self> {
        let state = self.state.map(|state| state.save(model)).transpose()?.map(Kept::Saved);
        Ok(Self { state, ..self })
    }
}

/// Runs series, wherever it is called: the one way from rows to what a job gives. The answers come in the order of the works.
///
/// # Errors
/// When the model refuses.
pub(crate) fn run(model: &Model, order: &Order, (works, pack_events): (Vec<Work>, usize)) -> Result<Vec<Ran>> {
    let options = give_options(&order.give, model)?;
    let (mut series, mut ran, mut held) = (vec![], vec![], vec![]);
    for work in works {
        let state = match work.start {
            Start::Fresh => model.open(&options)?,
            Start::Saved(bytes) => model.restore(&bytes)?,
            Start::Live(state) => *state,
        };
        series.push((state, work.values));
        ran.push((Ran { number: work.number, state: None, scores: vec![], answer: None }, work.fresh, work.keep));
        held.push(work.held);
    }
    let encoded = encode(model, series, pack_events)?;
    let (mut states, mut all) = (vec![], vec![]);
    for ((state, mut scores), (mut ran, fresh, keep)) in encoded.into_iter().zip(ran) {
        ran.scores = scores.split_off(scores.len().saturating_sub(fresh));
        match (order.answers, keep) {
            (true, keep) => {
                ran.state = keep.then(|| Kept::Live(Box::new(state.clone())));
                states.push(state);
            }
            (false, true) => ran.state = Some(Kept::Live(Box::new(state))),
            (false, false) => {}
        }
        all.push(ran);
    }
    if order.answers {
        let ended = encode(model, states.into_iter().zip(held).collect(), pack_events)?;
        let states: Vec<&State> = ended.iter().map(|(state, _)| state).collect();
        let answers = answers(model, &order.give, &states)?;
        all.iter_mut().zip(answers).for_each(|(ran, answer)| ran.answer = Some(answer));
    }
    Ok(all)
}

/// What a model gives of series, whose states hold all their values.
fn answers(model: &Model, give: &Give, states: &[&State]) -> Result<Vec<Answer>> {
    Ok(match give {
        Give::Scores => vec![],
        Give::Forecast { horizon } => model.forecast(states, *horizon)?.into_iter().map(Answer::Forecast).collect(),
        Give::Embedding { layer, pool, .. } => {
            let layer = layer.unwrap_or(model.info().config.layers);
            let answer = |state: &&State| Answer::Embedding(state.pooled(layer, (*pool).into()), state.position());
            states.iter().map(answer).collect()
        }
    })
}

/// Runs values from states on, in packs of so many events: the states behind them, and the p-values of all.
///
/// # Errors
/// When the model refuses.
pub(super) fn encode(
    model: &Model,
    series: Vec<(State, Vec<f64>)>,
    pack_events: usize,
) -> Result<Vec<(State, Vec<f64>)>> {
    let mut scheduler = Scheduler::new(Limits { waiting_events: usize::MAX, ..Limits::job(pack_events) });
    let (mut states, mut scores) = (vec![], vec![]);
    for (at, (state, values)) in series.into_iter().enumerate() {
        states.push(Some(state));
        scores.push(vec![]);
        if !values.is_empty() {
            let events = Events::Values(values.into());
            let chunk = Chunk { sequence: Sequence(at as u64), owner: Owner::default(), events, end: End::Open };
            scheduler.push_all(vec![chunk])?;
        }
    }
    while !scheduler.is_empty() {
        let pack = scheduler.pack();
        let place = |chunk: &Chunk| usize::try_from(chunk.sequence.0).unwrap_or(usize::MAX);
        let mut packed: Vec<State> = pack.iter().filter_map(|chunk| states[place(chunk)].take()).collect();
        let mut items: Vec<Item<'_>> = packed
            .iter_mut()
            .zip(&pack)
            .map(|(state, chunk)| Item { state, events: chunk.events.as_model() })
            .collect();
        let outputs = model.append(&mut items)?;
        for ((state, chunk), output) in packed.into_iter().zip(&pack).zip(outputs) {
            states[place(chunk)] = Some(state);
            scores[place(chunk)].extend(output.scores);
        }
    }
    // Each state came back from its pack.
    let states: Option<Vec<State>> = states.into_iter().collect();
    Ok(states.ok_or(Error::Job(crate::Error::WorkerGone))?.into_iter().zip(scores).collect())
}

/// Numbers as one piece of bytes, little-endian: one by one they would take their time.
mod doubles {
    use serde::{Deserialize, Deserializer, Serializer};
    use serde_bytes::ByteBuf;

    pub(super) fn serialize<S: Serializer>(values: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = values.iter().map(|value| value.to_le_bytes()).collect::<Vec<_>>().into_flattened();
        serializer.serialize_bytes(&bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
        let bytes = ByteBuf::deserialize(deserializer)?;
        Ok(bytes.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
    }
}
