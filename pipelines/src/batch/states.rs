//! Hand-over: the states that a job's rows come to, for a session or a stream to go on from.

use std::{collections::HashMap, path::Path, sync::Arc};

use unspool_ingest::schema::TimeKind;
use unspool_model::{Front, Model, Options, State};

use super::{
    book::Book,
    core::give_options,
    encode::{self, Kept, Order, Ran, Work},
    error::{Error, Result},
    manifest::Manifest,
    segment::Record,
};
use crate::featurise::Series;

/// Series that are run at a time.
const AT_ONCE: usize = 64;
/// Tokens a pack.
const PACK_TOKENS: usize = 2048;

/// A series as a batch job left it: from here a session or a stream goes on.
#[derive(Clone, Debug)]
pub struct SavedSeries {
    /// Its name.
    pub id: String,
    /// The time of its last row: µs since 1970, or a step number.
    pub last_time: Option<i64>,
    /// Events in its state: values, those that a grid filled in included.
    pub position: u64,
    /// The state, for [`unspool_model::Model::restore`].
    pub state: Vec<u8>,
    /// Values that come before any other that follows (NaN: missing): those of a series of fewer than 64 rows were held
    /// back, since its grid is not known yet. Append them first.
    pub held_back: Vec<f64>,
}

/// What a job came to, series by series.
pub(crate) struct SavedStates {
    model: Arc<Model>,
    order: Order,
    manifest: Manifest,
    book: Book,
    /// In the order of the series' numbers.
    records: Vec<Record>,
    numbers: HashMap<String, usize>,
}

impl SavedStates {
    /// Those of a job's output folder.
    ///
    /// # Errors
    /// When the folder holds no job, or one of reads; the model is not the one that it ran, or runs elsewhere; or files are
    /// damaged.
    pub(crate) fn open(dir: &Path, model: &Arc<Model>) -> Result<Self> {
        let here = dir.display();
        let none = || Error::Settings(format!("{here} holds no batch job's output: there is no _manifest.json"));
        let manifest = Manifest::read(dir)?.ok_or_else(none)?;
        let info = model.info();
        let identity = |key: &str| manifest.identity.get(key).map_or("nothing", String::as_str);
        let (ran, of) = (format!("{} ({})", info.name, info.digest), identity("model"));
        if of != ran {
            return Err(Error::Settings(format!("{here} is the output of {of}, not of {ran}")));
        }
        if info.front == Front::Dna {
            return Err(Error::Settings(format!("{here} holds embeddings of reads: no states go with them")));
        }
        let (there, route) = (identity("route"), info.route.to_string());
        if there != route {
            return Err(Error::Settings(format!(
                "{here} was computed by {there}, this is {route}: go on where it ran"
            )));
        }
        let give = serde_json::from_str(identity("give")).map_err(|error| Error::damaged(dir, error))?;
        let order = Order { give, answers: false };
        let (book, records) = Book::open(dir, &manifest, 0)?;
        let numbers = records.iter().enumerate().map(|(number, record)| (record.series.id.clone(), number)).collect();
        Ok(Self { model: Arc::clone(model), order, manifest, book, records, numbers })
    }

    /// What its states were opened for.
    ///
    /// # Errors
    /// When the model does not give it.
    pub(crate) fn options(&self) -> Result<Options> {
        give_options(&self.order.give, &self.model)
    }

    /// How its series' times are written.
    pub(crate) fn time_kind(&self) -> TimeKind {
        self.manifest.time
    }

    /// What tells it from a job that has read more, or other rows.
    ///
    /// # Errors
    /// When the manifest cannot be written down.
    pub(crate) fn print(&self) -> Result<String> {
        Ok(blake3::hash(&self.manifest.bytes()?).to_hex()[..32].to_owned())
    }

    /// The number of a series; `None`: it had no row.
    pub(crate) fn number(&self, id: &str) -> Option<usize> {
        self.numbers.get(id).copied()
    }

    /// The states of these series, without what was held back of them; and what is known of each.
    ///
    /// # Errors
    /// When files are damaged, or the model refuses.
    pub(crate) fn of(&mut self, numbers: &[usize]) -> Result<Vec<(State, &Series)>> {
        let work = |number: &usize| Ok(Work { keep: true, ..self.book.work(*number)? });
        let works = numbers.iter().map(work).collect::<Result<Vec<Work>>>()?;
        let pack_events = PACK_TOKENS * self.model.series_shape().map_or(1, |shape| shape.patch);
        let ran = encode::run(&self.model, &self.order, (works, pack_events))?;
        let state = |ran: Ran| match ran.state {
            Some(Kept::Live(state)) => Ok((*state, &self.records[ran.number].series)),
            _ => Err(crate::Error::WorkerGone.into()),
        };
        ran.into_iter().map(state).collect()
    }
}

/// Hands over what a job came to of each series, in the order of their first rows.
///
/// The folder is the job's output. The job keeps values where they are shorter than states: these are run here, so that
/// it takes about as long as the job if its series are short. Going on from a state gives the same bits as one run over all rows.
///
/// # Errors
/// When the folder holds no job, or one of reads; the model is not the one that it ran, or runs elsewhere; files are
/// damaged; or `take` fails.
pub fn saved_states(dir: &Path, model: &Arc<Model>, take: &mut dyn FnMut(SavedSeries) -> Result<()>) -> Result<()> {
    let mut saved = SavedStates::open(dir, model)?;
    let all: Vec<usize> = (0..saved.records.len()).collect();
    for numbers in all.chunks(AT_ONCE) {
        for (state, series) in saved.of(numbers)? {
            let (id, last_time, held_back) = (series.id.clone(), series.last_time(), series.held_back());
            take(SavedSeries { id, last_time, position: state.position(), state: model.save(&state)?, held_back })?;
        }
    }
    Ok(())
}
