//! Where the ways are tried: a folder, a device, the models on it.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use unspool_model::{Digest, Model, RunOptions, State};
use unspool_pipelines::store::{Key, Store, StoreOptions, Time};

use super::{
    given::{Given, Kind},
    input::{Input, Read, Series},
};
use crate::{command, worker::device};

/// Values that are forecast.
pub(super) const HORIZON: u32 = 24;

/// What all ways share.
pub(super) struct Stage {
    pub folder: PathBuf,
    pub input: Input,
    pub series_model: Arc<Model>,
    pub dna_model: Arc<Model>,
}

/// A sequence with one kind of result asked of it.
#[derive(Clone, Copy)]
pub(super) enum Asked<'a> {
    Series(&'a Series, Kind, Kind),
    Read(&'a Read),
}

impl Stage {
    pub(super) fn new(folder: &Path, input: Input) -> Self {
        let options = RunOptions { device: device().parse().unwrap(), ..RunOptions::cpu() };
        let (series_model, dna_model) = (Model::series(options).unwrap(), Model::dna(options).unwrap());
        println!("computed by {}", series_model.info().route);
        Self { folder: folder.to_owned(), input, series_model: Arc::new(series_model), dna_model: Arc::new(dna_model) }
    }

    /// Runs the binary on the stage's device; it must succeed.
    pub(super) fn run(&self, words: &str) {
        let mut command = command::command(&self.folder);
        let output = command.args(words.split(' ')).env("UNSPOOL_DEVICE", device()).output().unwrap();
        assert!(output.status.success(), "unspool {words}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// All that is asked of sessions and streams.
    pub(super) fn asked(&self) -> Vec<Asked<'_>> {
        let series = |series| Kind::OF_SERIES.map(move |(kind, state)| Asked::Series(series, kind, state));
        self.input.series.iter().flat_map(series).chain(self.input.reads.iter().map(Asked::Read)).collect()
    }

    fn model(&self, digest: Digest) -> &Model {
        if self.series_model.info().digest == digest { &self.series_model } else { &self.dna_model }
    }

    /// A state as bytes.
    pub(super) fn bytes(&self, state: &State) -> Vec<u8> {
        self.model(state.model()).save(state).unwrap()
    }

    /// The states of sessions in the folder of a server that has stopped.
    pub(super) fn session_states(&self, dir: &str, asked: &[Asked<'_>], name: impl Fn(&Asked<'_>) -> String) -> Given {
        let models = [&self.series_model, &self.dna_model].map(|model| (model.info().digest, Arc::clone(model)));
        let models = Arc::new(HashMap::from(models));
        let store = Store::open(Some(&self.folder.join(dir)), StoreOptions::default(), models).unwrap();
        let mut given = Given::default();
        for asked in asked {
            let view = store.read(&Key::new(b"anyone", &name(asked)), Time(0)).unwrap();
            given.put((asked.state_kind(), asked.id()), self.bytes(&view.state));
        }
        given
    }
}

impl Asked<'_> {
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Series(series, ..) => &series.id,
            Self::Read(read) => &read.id,
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Series(_, kind, _) => *kind,
            Self::Read(_) => Kind::OF_READS.0,
        }
    }

    pub(super) fn state_kind(&self) -> Kind {
        match self {
            Self::Series(.., state) => *state,
            Self::Read(_) => Kind::OF_READS.1,
        }
    }

    /// Events.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Series(series, ..) => series.values.len(),
            Self::Read(read) => read.bases.len(),
        }
    }

    /// A name that is its own.
    pub(super) fn name(&self) -> String {
        format!("{:?}.{}", self.kind(), self.id())
    }
}
