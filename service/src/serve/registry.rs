//! The models of a server: several versions serve at once, each under its digest.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use unspool_model::{Digest, Front, Model, Options, RunOptions, series::Alignment};
use unspool_pipelines::{state_bytes, store};
use unspool_proto::v1;

use super::{
    config::Config,
    error::{CallError, CallResult},
};
use crate::{
    error::Result,
    model::{built_in, fell_back, place},
};

/// The models inside the binary: the default one, and the one before it, for sessions that were begun with it.
pub(crate) const BUILT_IN: [&str; 2] = ["series-3", "series-1"];

/// What a request needs a model for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Sequences given whole, of this kind.
    Whole(Front),
    /// A session.
    Session,
}

/// Loaded models.
pub(crate) struct Registry {
    options: RunOptions,
    models_dir: Option<PathBuf>,
    most: usize,
    /// The newest last.
    loaded: RwLock<Vec<Entry>>,
}

#[derive(Clone)]
struct Entry {
    model: Arc<Model>,
    /// `None`: it comes with the program.
    dir: Option<PathBuf>,
    /// Named at the start: it stays.
    pinned: bool,
    state_bytes: u64,
}

impl Registry {
    /// Loads what the configuration names.
    ///
    /// # Errors
    /// When the device is not in this build or this machine, or a model cannot be loaded.
    pub(crate) fn load(config: &Config) -> Result<Self> {
        let (options, models_dir, most) = (config.run_options(), config.models_dir.clone(), config.limits.models);
        let registry = Self { options, models_dir, most, loaded: RwLock::default() };
        for name in &config.models {
            let (model, dir) = registry.read(name)?;
            registry.add(model, dir, true)?;
        }
        Ok(registry)
    }

    /// Where the models came to run, for people.
    pub(crate) fn runs_on(&self) -> String {
        let places: BTreeSet<String> = self.entries().iter().map(|entry| place(&entry.model)).collect();
        places.into_iter().collect::<Vec<_>>().join(", ")
    }

    /// A built-in model, or a directory's.
    fn read(&self, name: &str) -> Result<(Model, Option<PathBuf>)> {
        match built_in(name, self.options) {
            Some(model) => Ok((model?, None)),
            None => Ok((Model::load(Path::new(name), self.options)?, Some(name.into()))),
        }
    }

    fn add(&self, model: Model, dir: Option<PathBuf>, pinned: bool) -> Result<Arc<Model>> {
        let info = model.info();
        tracing::info!(name = info.name, digest = %info.digest, device = %info.device, route = %info.route, "model loaded");
        if let Some(warning) = fell_back(&model) {
            tracing::warn!(name = info.name, "{warning}");
        }
        if let Some(note) = &info.note {
            tracing::warn!(name = info.name, "{note}");
        }
        let state_bytes = state_bytes(&model, &Options::default())? as u64;
        let model = Arc::new(model);
        let mut loaded = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(same) = loaded.iter().find(|entry| entry.model.info().digest == model.info().digest) {
            return Ok(Arc::clone(&same.model));
        }
        loaded.push(Entry { model: Arc::clone(&model), dir, pinned, state_bytes });
        Ok(model)
    }

    fn entries(&self) -> Vec<Entry> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The model that a request means.
    ///
    /// # Errors
    /// When no model has the name, or there is none for the purpose.
    pub(crate) fn find(&self, name: &str, purpose: Purpose) -> CallResult<Arc<Model>> {
        let entries = self.entries();
        if name.is_empty() {
            let entry = default(&entries, purpose);
            let kind = match purpose {
                Purpose::Whole(front) => input(front).1,
                Purpose::Session => "sessions",
            };
            return entry.map(|entry| Arc::clone(&entry.model)).ok_or(CallError::NoDefault(kind));
        }
        let digest: Option<Digest> = name.parse().ok();
        let found = entries.iter().rev().find(|entry| {
            let info = entry.model.info();
            digest.map_or(info.name == name, |digest| info.digest == digest)
        });
        found.map(|entry| Arc::clone(&entry.model)).ok_or_else(|| CallError::UnknownModel(name.into()))
    }

    /// The model that a request of such sequences means.
    ///
    /// # Errors
    /// As [`Registry::find`], or when it takes something else.
    pub(crate) fn taking(&self, name: &str, front: Front) -> CallResult<Arc<Model>> {
        let model = self.find(name, Purpose::Whole(front))?;
        let info = model.info();
        // A DNA model takes its token ids too.
        if info.front == front || (info.front, front) == (Front::Dna, Front::Tokens) {
            return Ok(model);
        }
        let (takes, here) = (input(info.front).1, input(front).1);
        let problem =
            format!("{} takes {takes}, and this call is of {here}: name a model that takes {here}", info.name);
        Err(CallError::invalid("model", problem))
    }

    /// The model of a digest, if it is loaded.
    pub(crate) fn get(&self, digest: Digest) -> Option<Arc<Model>> {
        let entries = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        entries.iter().find(|entry| entry.model.info().digest == digest).map(|entry| Arc::clone(&entry.model))
    }

    /// What all models say of themselves, by name, the newest of a name first.
    pub(crate) fn list(&self) -> Vec<v1::ModelInfo> {
        let entries = self.entries();
        let mut list: Vec<_> = entries.iter().rev().map(|entry| describe(entry, &entries)).collect();
        list.sort_by(|a, b| a.name.cmp(&b.name));
        list
    }

    /// What one model says of itself.
    pub(crate) fn info(&self, digest: Digest) -> Option<v1::ModelInfo> {
        let entries = self.entries();
        entries.iter().find(|entry| entry.model.info().digest == digest).map(|entry| describe(entry, &entries))
    }

    /// All loaded models.
    pub(crate) fn all(&self) -> Vec<Arc<Model>> {
        self.entries().into_iter().map(|entry| entry.model).collect()
    }

    /// Loads a model from the folder of models.
    ///
    /// # Errors
    /// When there is no such folder, the path leads out of it, too many models are loaded, or this one cannot be.
    pub(crate) fn load_from_folder(&self, path: &str) -> CallResult<Arc<Model>> {
        let Some(folder) = &self.models_dir else {
            return Err(CallError::Refused("this server loads no models: start it with --models-dir".into()));
        };
        let plain = Path::new(path).components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if path.is_empty() || !plain {
            return Err(CallError::invalid(
                "path",
                "a path within the server's folder of models, without .., is needed",
            ));
        }
        let (folder, dir) = (folder.canonicalize(), folder.join(path).canonicalize());
        let dir = match (folder, dir) {
            (Ok(folder), Ok(dir)) if dir.starts_with(&folder) => dir,
            _ => return Err(CallError::UnknownModel(path.into())),
        };
        CallError::limit("models", self.entries().len() + 1, (self.most, "limits.models"))?;
        let model = Model::load(&dir, self.options)?;
        self.add(model, Some(dir), false).map_err(|error| CallError::Model(error.to_string()))
    }

    /// Forgets a model; whoever is at work with it ends in peace.
    ///
    /// # Errors
    /// When it is not loaded, or was named at the start.
    pub(crate) fn unload(&self, digest: Digest) -> CallResult<()> {
        let mut loaded = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
        let at = loaded.iter().position(|entry| entry.model.info().digest == digest);
        let at = at.ok_or_else(|| CallError::UnknownModel(digest.to_string()))?;
        if loaded[at].pinned {
            return Err(CallError::Refused("the model was named when the server was started: it stays".into()));
        }
        loaded.remove(at);
        Ok(())
    }
}

impl store::Models for Registry {
    fn model(&self, digest: Digest, kept: Option<&Path>) -> store::Result<Arc<Model>> {
        if let Some(model) = self.get(digest) {
            return Ok(model);
        }
        let dir = kept.ok_or(store::Error::UnknownModel(digest))?;
        let model = Model::load(dir, self.options)?;
        self.add(model, Some(dir.into()), false).map_err(|_| store::Error::UnknownModel(digest))
    }

    fn files(&self, digest: Digest) -> Option<PathBuf> {
        self.entries().into_iter().find(|entry| entry.model.info().digest == digest)?.dir
    }
}

/// The default for a purpose: the first one named that fits, and for sessions the first whose forecasts cost the same at
/// any point, else the first of all.
fn default(entries: &[Entry], purpose: Purpose) -> Option<&Entry> {
    let aligned = |entry: &&Entry| entry.model.series_shape().is_some_and(|s| s.alignment == Alignment::Any);
    match purpose {
        Purpose::Whole(front) => entries.iter().find(|entry| entry.model.info().front == front),
        Purpose::Session => entries.iter().find(aligned).or(entries.first()),
    }
}

/// How the wire, and people, call what a model takes.
fn input(front: Front) -> (v1::InputKind, &'static str) {
    match front {
        Front::Series => (v1::InputKind::Series, "series"),
        Front::Dna => (v1::InputKind::Dna, "DNA"),
        Front::Tokens => (v1::InputKind::Tokens, "token ids"),
    }
}

fn describe(entry: &Entry, entries: &[Entry]) -> v1::ModelInfo {
    let (info, shape) = (entry.model.info(), entry.model.series_shape());
    let small = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let is = |purpose| default(entries, purpose).is_some_and(|found| Arc::ptr_eq(&found.model, &entry.model));
    let alignment = match shape.map(|shape| shape.alignment) {
        None => v1::Alignment::Unspecified,
        Some(Alignment::End) => v1::Alignment::End,
        Some(Alignment::Any) => v1::Alignment::Any,
    };
    v1::ModelInfo {
        name: info.name.clone(),
        digest: info.digest.to_string(),
        route: info.route.to_string(),
        input: input(info.front).0.into(),
        trained: info.trained,
        width: small(info.config.d),
        layers: small(info.config.layers),
        vocabulary: if info.front == Front::Series { 0 } else { small(info.config.vocab) },
        row_events: small(shape.map_or(1, |shape| shape.patch)),
        horizon: small(shape.map_or(0, |shape| shape.horizon)),
        levels: shape.map_or_else(Vec::new, |shape| shape.levels.clone()),
        alignment: alignment.into(),
        context: small(shape.map_or(0, |shape| shape.context)),
        state_bytes: entry.state_bytes,
        default: is(Purpose::Whole(info.front)),
        session_default: is(Purpose::Session),
    }
}
