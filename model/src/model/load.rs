//! From files to a model.

use std::{path::Path, sync::Arc};

use serde_json::Value;

use super::{Front, Info, Model, bases::BaseHead};
use crate::{
    Digest, Error, Result,
    checkpoint::Checkpoint,
    device::{Placed, RunOptions},
    dna,
    series::{FrontEnd, SeriesShape},
};

/// The series model inside the library.
pub(crate) const SERIES: (&str, &[u8]) =
    (include_str!("../../weights/series-3/config.json"), include_bytes!("../../weights/series-3/model.safetensors"));

/// The one before it: it encodes the last values of a history anew for each forecast.
const SERIES_1: (&str, &[u8]) =
    (include_str!("../../weights/series-1/config.json"), include_bytes!("../../weights/series-1/model.safetensors"));

/// The DNA model inside the library.
const DNA: (&str, &[u8]) =
    (include_str!("../../weights/dna-1/config.json"), include_bytes!("../../weights/dna-1/model.safetensors"));

/// Opens a directory, or a model inside the library by its name where there is no such directory.
///
/// # Errors
/// As [`Checkpoint::open`].
pub(crate) fn open(dir: &Path) -> Result<Checkpoint<'static>> {
    let built_in = match dir.to_str() {
        Some("series-3") => Some(SERIES),
        Some("series-1") => Some(SERIES_1),
        Some("dna-1") => Some(DNA),
        _ => None,
    };
    match built_in {
        Some((config, weights)) if !dir.exists() => Checkpoint::from_bytes(config, weights),
        _ => Checkpoint::open(dir),
    }
}

impl Model {
    /// Loads a directory: `config.json`, and safetensors (sharded too) or `pytorch_model.bin`.
    ///
    /// # Errors
    /// When a file is missing or damaged, the configuration is not understood, or a tensor is missing, unknown or of
    /// another shape, or the options ask for what the machine or this program lacks.
    pub fn load(dir: &Path, options: RunOptions) -> Result<Self> {
        let name = dir.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy().into_owned());
        let checkpoint = Checkpoint::open(dir)?;
        Self::build(checkpoint, (&name, Digest::of_directory(dir)?), (&dir.join("config.json"), options))
    }

    /// The series model inside the library: nothing is read or downloaded. Its forecasts cost the same at any point of a stream.
    ///
    /// # Errors
    /// When the options ask for what the machine or this program lacks.
    pub fn series(options: RunOptions) -> Result<Self> {
        Self::built_in(SERIES, options)
    }

    /// The DNA model inside the library, dna-1: one token a base, and the probabilities of the next one.
    ///
    /// # Errors
    /// When the options ask for what the machine or this program lacks.
    pub fn dna(options: RunOptions) -> Result<Self> {
        Self::built_in(DNA, options)
    }

    /// The series model that this library had before, for sessions that were begun with it.
    ///
    /// # Errors
    /// When the options ask for what the machine or this program lacks.
    pub fn series_1(options: RunOptions) -> Result<Self> {
        Self::built_in(SERIES_1, options)
    }

    fn built_in((config, weights): (&str, &[u8]), options: RunOptions) -> Result<Self> {
        let digest = Digest::of([config.as_bytes(), weights]);
        let checkpoint = Checkpoint::from_bytes(config, weights)?;
        Self::build(checkpoint, ("series", digest), (Path::new("config.json"), options))
    }

    fn build(
        mut checkpoint: Checkpoint<'_>,
        (name, digest): (&str, Digest),
        (file, options): (&Path, RunOptions),
    ) -> Result<Self> {
        let ours = Ours::parse(&checkpoint.config.raw, file)?;
        let config = checkpoint.config.backbone.clone();
        let weights = checkpoint.backbone()?;
        let Placed { encoder, device, fell_back, cpu } = options.encoder(&config, &weights)?;
        let told = ours.front == Front::Dna && config.vocab >= dna::VOCAB;
        let bases = told.then(|| BaseHead::new(&weights, config.d, Arc::clone(&cpu.1)));
        drop(weights);
        let series = match ours.front {
            Front::Series => {
                let shape = SeriesShape::parse(&checkpoint.config.raw, file)?;
                Some(FrontEnd::take(shape, config.d, &mut checkpoint.tensors, (device, cpu.0, cpu.1))?)
            }
            Front::Dna if config.vocab < dna::VOCAB => {
                let problem = format!("a DNA model has at least {} tokens, this one {}", dna::VOCAB, config.vocab);
                return Err(Error::Config { path: file.into(), problem });
            }
            Front::Dna | Front::Tokens => None,
        };
        checkpoint.tensors.finish()?;
        let name = ours.name.unwrap_or_else(|| name.to_owned());
        let route = encoder.route().clone();
        let note = encoder.note().map(str::to_owned);
        let info =
            Info { name, digest, route, device, fell_back, note, front: ours.front, config, trained: ours.trained };
        Ok(Self { info, encoder, series, bases })
    }
}

/// Our own object `"unspool"` in a configuration.
struct Ours {
    name: Option<String>,
    front: Front,
    trained: bool,
}

impl Ours {
    fn parse(raw: &Value, file: &Path) -> Result<Self> {
        let ours = raw.get("unspool");
        let key = |key: &str| ours.and_then(|ours| ours.get(key));
        let front = match key("front_end").map(|v| (v, v.as_str())) {
            Some((_, Some("dna"))) => Front::Dna,
            Some((_, Some("series"))) => Front::Series,
            Some((found, _)) => {
                let problem = format!("'unspool.front_end': \"dna\" or \"series\" expected, found {found}");
                return Err(Error::Config { path: file.into(), problem });
            }
            None if raw.get("patch_len").is_some() => Front::Series,
            None => Front::Tokens,
        };
        let name = key("name").and_then(Value::as_str).map(str::to_owned);
        Ok(Self { name, front, trained: key("trained").and_then(Value::as_bool).unwrap_or(true) })
    }
}
