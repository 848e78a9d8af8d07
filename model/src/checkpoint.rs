//! Reads and writes models as directories: a configuration and tensors, in the published formats.
//!
//! | configuration | tensors |
//! |---|---|
//! | `config.json` | `model.safetensors`, or shards with `model.safetensors.index.json` |
//! | | `pytorch_model.bin` (a zip of pickle and data), or shards with `pytorch_model.bin.index.json` |
//! | `params.json` (Codestral-Mamba) | `consolidated.safetensors` |
//!
//! Opening reads headers only; a tensor's values are read when it is taken.

mod pickle;
mod safetensors;
mod save;
mod shards;
mod tensors;
mod torch;
mod windows;

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

pub(crate) use self::{safetensors::open as open_safetensors, save::Stored};
pub use self::{
    save::{save, save_as},
    tensors::Tensors,
    windows::WindowCheckpoint,
};
use crate::{
    Error, Result,
    config::ModelConfig,
    weights::{Backbone, Spec},
};

/// The configuration's names, in the order in which they are looked for.
const CONFIGS: [&str; 2] = ["config.json", "params.json"];
/// The largest configuration or index that is read, in bytes.
const MAX_JSON: u64 = 64 << 20;

/// An open model: its configuration, and tensors to take.
pub struct Checkpoint<'a> {
    /// The configuration.
    pub config: ModelConfig,
    /// The tensors not taken yet. Call [`Tensors::finish`] when all that are known have been taken.
    pub tensors: Tensors<'a>,
}

impl Checkpoint<'static> {
    /// Opens a directory.
    ///
    /// # Errors
    /// When it holds no model of a known format, or a file is damaged, truncated or not understood.
    pub fn open(dir: &Path) -> Result<Self> {
        let (path, text) = read_config(dir)?;
        let config = ModelConfig::parse(&text, &path)?;
        Ok(Self { config, tensors: open_tensors(dir)? })
    }
}

impl<'a> Checkpoint<'a> {
    /// Opens a model in memory: the text of its config.json and the bytes of its model.safetensors.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn from_bytes(config_json: &str, safetensors: &'a [u8]) -> Result<Self> {
        let config = ModelConfig::parse(config_json, Path::new("config.json"))?;
        let mut tensors = Tensors::default();
        safetensors::open_bytes(&mut tensors, Path::new("model.safetensors"), safetensors)?;
        Ok(Self { config, tensors })
    }

    /// Takes the backbone's tensors, whichever of the published names they have.
    ///
    /// # Errors
    /// When one is missing, has another shape, or holds a value that is not finite; or when the configuration ties the
    /// output head to the embedding and the file has another head.
    pub fn backbone(&mut self) -> Result<Backbone> {
        let config = &self.config.backbone;
        let names = Names::of(&self.tensors);
        let backbone = Backbone::build(config, |spec| {
            let name = names.find(&self.tensors, spec);
            self.tensors.take(&name, &spec.shape)
        })?;
        if config.tie_embeddings && config.vocab > 0 {
            let shape = [config.vocab, config.d];
            let head = names.head(&self.tensors);
            let copy = self.tensors.take_optional(head, &shape)?;
            if copy.is_some_and(|copy| copy != backbone.embedding) {
                let found = "values other than the embedding's, to which the configuration ties it".to_owned();
                return Err(Error::Tensor { name: head.to_owned(), expected: shape.to_vec(), found });
            }
        }
        Ok(backbone)
    }
}

/// What a file of tensors is called, and who reads it, in the order in which they are looked for.
const READERS: [(&str, Reader); 5] = [
    ("model.safetensors", safetensors::open),
    ("model.safetensors.index.json", |tensors, path| shards::open(tensors, path, safetensors::open)),
    ("pytorch_model.bin", torch::open),
    ("pytorch_model.bin.index.json", |tensors, path| shards::open(tensors, path, torch::open)),
    ("consolidated.safetensors", safetensors::open),
];

/// Adds a file's tensors.
type Reader = fn(&mut Tensors<'static>, &Path) -> Result<()>;

/// A directory's configuration: its file and text.
fn read_config(dir: &Path) -> Result<(PathBuf, String)> {
    let path = find(dir, &CONFIGS, "a model's directory has a config.json")?;
    let text = read_text(&path)?;
    Ok((path, text))
}

/// A directory's tensors, in whichever files they are.
fn open_tensors(dir: &Path) -> Result<Tensors<'static>> {
    let names: Vec<&str> = READERS.iter().map(|(name, _)| *name).collect();
    let path = find(dir, &names, &format!("its tensors are in one of {}", names.join(", ")))?;
    let mut tensors = Tensors::default();
    let reader = READERS.iter().find(|(name, _)| path.ends_with(name));
    if let Some((_, read)) = reader {
        read(&mut tensors, &path)?;
    }
    Ok(tensors)
}

/// The first of the names that the directory has.
fn find(dir: &Path, names: &[&str], expected: &str) -> Result<PathBuf> {
    let present = names.iter().map(|name| dir.join(name)).find(|path| path.exists());
    present.ok_or_else(|| match std::fs::read_dir(dir) {
        Err(source) => Error::Io { path: dir.to_owned(), source },
        Ok(_) => Error::Weights { path: dir.to_owned(), problem: format!("not a model: {expected}") },
    })
}

/// Reads a text of believable size.
fn read_text(path: &Path) -> Result<String> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let len = std::fs::metadata(path).map_err(io)?.len();
    if len > MAX_JSON {
        return Err(Error::Config { path: path.to_owned(), problem: format!("{len} bytes are too many for JSON") });
    }
    std::fs::read_to_string(path).map_err(|source| match source.kind() {
        ErrorKind::InvalidData => Error::Config { path: path.to_owned(), problem: "not valid UTF-8".into() },
        _ => io(source),
    })
}

/// How a file names the backbone's tensors.
struct Names {
    /// What stands for `backbone.`: that, nothing (a model saved without its head), or Codestral's `model.`.
    root: &'static str,
}

impl Names {
    fn of(tensors: &Tensors<'_>) -> Self {
        let roots = ["backbone.", "model.backbone.", "model.", ""];
        let root = roots.into_iter().find(|root| tensors.contains(&format!("{root}norm_f.weight")));
        Self { root: root.unwrap_or("backbone.") }
    }

    /// The file's name of a tensor. transformers writes `embeddings` where the original has `embedding`.
    fn find(&self, tensors: &Tensors<'_>, spec: &Spec) -> String {
        let Some(rest) = spec.name.strip_prefix("backbone.") else { return self.head(tensors).to_owned() };
        let plural = format!("{}embeddings.weight", self.root);
        if rest == "embedding.weight" && tensors.contains(&plural) { plural } else { format!("{}{rest}", self.root) }
    }

    fn head(&self, tensors: &Tensors<'_>) -> &'static str {
        let within = "model.lm_head.weight";
        if tensors.contains(within) { within } else { "lm_head.weight" }
    }
}

#[cfg(test)]
mod tests;
