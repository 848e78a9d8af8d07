//! Hand-over: the states that a job's rows come to, for a session or a stream to go on from.

use std::{path::Path, sync::Arc};

use unspool_model::Model;

use super::{
    book::Book,
    core::give_options,
    encode::{self, Ran, Work},
    error::{Error, Result},
    manifest::Manifest,
    segment::Record,
};

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

/// Hands over what a job came to of each series, in the order of their first rows.
///
/// The folder is the job's output. The job keeps values where they are shorter than states: these are run here, so that
/// it takes about as long as the job if its series are short. Going on from a state gives the same bits as one run over all rows.
///
/// # Errors
/// When the folder holds no job, the model is not the one that it ran, files are damaged, or `take` fails.
pub fn saved_states(dir: &Path, model: &Arc<Model>, take: &mut dyn FnMut(SavedSeries) -> Result<()>) -> Result<()> {
    let none = || Error::Settings(format!("{} holds no batch job's output: there is no _manifest.json", dir.display()));
    let manifest = Manifest::read(dir)?.ok_or_else(none)?;
    let info = model.info();
    let (ran, given) = (format!("{} ({})", info.name, info.digest), manifest.identity.get("give"));
    if manifest.identity.get("model") != Some(&ran) {
        let of = manifest.identity.get("model").map_or("another model", String::as_str);
        return Err(Error::Settings(format!("{} is the output of {of}, not of {ran}", dir.display())));
    }
    let give = serde_json::from_str(given.map_or("", String::as_str)).map_err(|error| Error::damaged(dir, error))?;
    let options = give_options(&give, model)?;
    let (mut book, records) = Book::open(dir, &manifest, 0)?;
    let pack_events = PACK_TOKENS * model.series_shape().map_or(1, |shape| shape.patch);
    for (chunk, records) in records.chunks(AT_ONCE).enumerate() {
        let numbers = (0..records.len()).map(|at| chunk * AT_ONCE + at);
        let works = numbers.map(|number| book.work((model, &options), number)).collect::<Result<Vec<Work>>>()?;
        let ran = encode::encode(model, works, pack_events)?;
        for (Ran { state, .. }, Record { series, .. }) in ran.into_iter().zip(records) {
            let (id, last_time, held_back) = (series.id.clone(), series.last_time(), series.held_back());
            take(SavedSeries { id, last_time, position: state.position(), state: model.save(&state)?, held_back })?;
        }
    }
    Ok(())
}
