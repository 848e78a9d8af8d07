//! From a model's config.json to one normalised configuration.

mod caduceus;
mod mamba_ssm;
mod transformers;

use std::path::Path;

use serde_json::Value;

use super::{
    Config, WindowConfig,
    json::{self, Keys},
};
use crate::{Error, Result};

/// Largest width that is believed.
const WIDTHS: usize = 1 << 20;
/// Largest number of layers, state size, convolution width and number of groups that is believed.
const COUNTS: usize = 1 << 12;
/// Largest vocabulary that is believed.
const TOKENS: usize = 1 << 28;

/// A model's configuration: the backbone, normalised, and the file's own words.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// The backbone.
    pub backbone: Config,
    /// Whose keys and tensor names it came with.
    pub format: Format,
    /// The whole file, for keys of front ends and heads and for our own object `"unspool"`. Python's bare `Infinity`
    /// reads as `{"__float__": "Infinity"}`.
    pub raw: Value,
}

/// Who published a model's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// state-spaces/mamba: `d_model`, `n_layer`, `ssm_cfg`. Mamba-1 and Mamba-2.
    MambaSsm,
    /// Hugging Face transformers' `mamba`.
    Mamba,
    /// Hugging Face transformers' `falcon_mamba`.
    FalconMamba,
    /// Hugging Face transformers' `mamba2`.
    Mamba2,
    /// Codestral-Mamba's `params.json`: `dim`, `n_layers`, `n_groups`.
    Codestral,
    /// A series forecaster: a Mamba-1 backbone without a vocabulary, fed with patches.
    Series,
}

impl ModelConfig {
    /// Parses a config.json (or Codestral's params.json); `file` names it in errors.
    ///
    /// # Errors
    /// When it is not JSON, a key is missing or has a wrong value (the error names it), or the model is of a kind that
    /// cannot be run here: layers of attention, Mamba-3, another architecture; and that of a model that reads whole windows
    /// ([`WindowConfig::parse`] reads those).
    pub fn parse(text: &str, file: &Path) -> Result<Self> {
        let object = json::parse(text, file)?;
        let keys = Keys::new(file, &object);
        let format = format(&keys, file)?;
        let backbone = match format {
            Format::MambaSsm => mamba_ssm::config(&keys)?,
            Format::Mamba | Format::FalconMamba => transformers::mamba(&keys, format)?,
            Format::Mamba2 => transformers::mamba2(&keys)?,
            Format::Codestral => codestral(&keys)?,
            Format::Series => series(&keys)?,
        };
        backbone.check().map_err(|problem| keys.problem(problem))?;
        Ok(Self { backbone, format, raw: Value::Object(object) })
    }
}

impl WindowConfig {
    /// Parses a Caduceus config.json; `file` names it in errors.
    ///
    /// # Errors
    /// When it is not one, a key is missing or has a wrong value, or its tokens are laid out in an unknown way.
    pub fn parse(text: &str, file: &Path) -> Result<Self> {
        let object = json::parse(text, file)?;
        let keys = Keys::new(file, &object);
        let config = caduceus::config(&keys)?;
        config.backbone.check().map_err(|problem| keys.problem(problem))?;
        Ok(config)
    }
}

fn format(keys: &Keys<'_>, file: &Path) -> Result<Format> {
    let has = |key| keys.get(key).is_some();
    match keys.text("model_type")? {
        Some("mamba") if has("d_model") && !has("hidden_size") && has("patch_len") => Ok(Format::Series),
        Some("mamba") if has("dim") && !has("hidden_size") => Ok(Format::Codestral),
        Some("mamba") => Ok(Format::Mamba),
        Some("falcon_mamba") => Ok(Format::FalconMamba),
        Some("mamba2") => Ok(Format::Mamba2),
        Some("caduceus") => Err(Error::ReadsWindows { path: file.to_owned() }),
        Some(other) => Err(keys.problem(format!(
            "'model_type' {other:?} is not supported; expected \"mamba\", \"falcon_mamba\" or \"mamba2\""
        ))),
        None if has("d_model") => Ok(Format::MambaSsm),
        None if has("dim") => Ok(Format::Codestral),
        None => Err(keys.problem(
            "not a model's configuration that is known here: it has neither 'model_type' nor 'd_model' nor 'dim'"
                .into(),
        )),
    }
}

/// What transformers' conversion script says of Codestral-Mamba: a Mamba-2 whose other sizes are the defaults.
fn codestral(keys: &Keys<'_>) -> Result<Config> {
    let config = Config::mamba2(keys.size("dim", WIDTHS, None)?);
    let mut mixer = config.mixer.clone();
    if let super::MixerConfig::Mamba2 { groups, .. } = &mut mixer {
        *groups = keys.size("n_groups", COUNTS, Some(8))?;
    }
    let vocab = keys.size("vocab_size", TOKENS, None)?;
    Ok(Config {
        layers: keys.size("n_layers", COUNTS, None)?,
        vocab: vocab.next_multiple_of(keys.size("pad_vocab_size_multiple", COUNTS, Some(1))?),
        mixer,
        tie_embeddings: keys.flag("tie_embeddings", false)?,
        ..config
    })
}

/// The series models' own keys; rows come from the front end, so there is no vocabulary.
fn series(keys: &Keys<'_>) -> Result<Config> {
    let d = keys.size("d_model", WIDTHS, None)?;
    let mixer = super::MixerConfig::Mamba1 {
        d_in: keys.expanded("expand", d, WIDTHS)?,
        n: keys.size("state_size", COUNTS, Some(16))?,
        k: keys.size("conv_kernel", COUNTS, Some(4))?,
        r: keys.rank("time_step_rank", d, WIDTHS)?,
        bcdt_norm_eps: None,
    };
    Ok(Config {
        layers: keys.size("num_hidden_layers", COUNTS, None)?,
        mixer,
        norm_eps: keys.epsilon("rms_norm_eps", 1e-5)?,
        ..Config::mamba1(d)
    })
}

#[cfg(test)]
mod tests;
