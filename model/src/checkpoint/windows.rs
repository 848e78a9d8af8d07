//! Checkpoints of models that read whole windows (Caduceus): their tensors' names, and what is stored once or twice.
//!
//! | | one strand | both strands | and where sums and norms are not fused |
//! |---|---|---|---|
//! | embedding | `embeddings.word_embeddings.weight` | `embeddings.word_embeddings.embedding.weight`, `.complement_map` | |
//! | mixers | `layers.0.mixer.mamba_fwd.` | `layers.0.mixer.submodule.mamba_fwd.` | |
//! | norms | `layers.0.norm.`, `norm_f.` | the same | `layers.0.norm.submodule.`, `norm_f.submodule.` |
//! | head | `lm_head.weight` | `lm_head.lm_head.weight`, `.complement_map` | |
//!
//! All but the head begin with `caduceus.backbone.`, or with `backbone.` where a model was saved without its head. A direction's
//! projections that the other shares may be stored once or twice, and so may a head that is the embedding.

use std::{collections::HashMap, path::Path};

use super::{Tensors, open_tensors, read_config};
use crate::{
    Error, Result,
    config::{Strands, WindowConfig},
    weights::{Spec, WindowBackbone},
};

/// The two that may be one.
const EMBEDDING: &str = "backbone.embedding.weight";
const HEAD: &str = "lm_head.weight";

/// An open model that reads whole windows.
pub struct WindowCheckpoint {
    /// Its configuration.
    pub config: WindowConfig,
    tensors: Tensors<'static>,
}

impl WindowCheckpoint {
    /// Opens a directory.
    ///
    /// # Errors
    /// When it holds no such model, or a file is damaged, truncated or not understood.
    pub fn open(dir: &Path) -> Result<Self> {
        let (path, text) = read_config(dir)?;
        Ok(Self { config: WindowConfig::parse(&text, &path)?, tensors: open_tensors(dir)? })
    }

    /// The backbone. A head of its own is not kept, nor is a classifier's (`score.weight`).
    ///
    /// # Errors
    /// When a tensor is missing, unknown or of another shape, or when tensors that the configuration ties differ.
    pub fn backbone(mut self) -> Result<WindowBackbone> {
        let names = Names::of(&self.config, &self.tensors);
        // What the next tensor of a pair is, by its name.
        let mut twins: HashMap<String, Vec<f32>> = HashMap::new();
        let backbone = WindowBackbone::build(&self.config, |spec| {
            if let Some(values) = twins.remove(&spec.name) {
                return Ok(values);
            }
            let name = names.file(&spec.name);
            let Some(twin) = twin(&self.config, &spec.name) else { return self.tensors.take(&name, &spec.shape) };
            let values = tied(&mut self.tensors, (&name, &names.file(&twin)), spec)?;
            twins.insert(twin, values.clone());
            Ok(values)
        })?;
        self.finish(&names)?;
        Ok(backbone)
    }

    /// Takes what stands beside the backbone, and checks it.
    fn finish(mut self, names: &Names) -> Result<()> {
        let (vocab, tensors) = (self.config.backbone.vocab, &mut self.tensors);
        tensors.take_optional(&names.file(HEAD), &[vocab, self.config.backbone.d])?;
        let embedded = format!("{}embeddings.word_embeddings.complement_map", names.root);
        for map in [embedded, "lm_head.complement_map".into()] {
            if !tensors.contains(&map) {
                continue;
            }
            let found = tensors.take_integers(&map, &[vocab])?;
            if !found.into_iter().eq(self.config.complement.iter().map(|&token| i64::from(token))) {
                return Err(differs(&map, &[vocab], "the configuration's complement_map"));
            }
        }
        let score = tensors.shapes().find(|(name, _)| *name == "score.weight").map(|(_, shape)| shape.to_vec());
        if let Some(shape) = score {
            tensors.take("score.weight", &shape)?;
        }
        self.tensors.finish()
    }
}

/// The name of the tensor that this one is, by the configuration: the head of the embedding, and projections of one direction
/// of the other's.
fn twin(config: &WindowConfig, name: &str) -> Option<String> {
    if name == EMBEDDING {
        return config.backbone.tie_embeddings.then(|| HEAD.to_owned());
    }
    let projection = name.contains(".in_proj.") || name.contains(".out_proj.");
    let other = match name.contains(".mamba_fwd.") {
        true => name.replace(".mamba_fwd.", ".mamba_rev."),
        false => name.replace(".mamba_rev.", ".mamba_fwd."),
    };
    (projection && config.tied).then_some(other)
}

/// A tensor that is stored by either name, or by both.
fn tied(tensors: &mut Tensors<'_>, (name, other): (&str, &str), spec: &Spec) -> Result<Vec<f32>> {
    if !tensors.contains(name) && tensors.contains(other) {
        return tensors.take(other, &spec.shape);
    }
    let values = tensors.take(name, &spec.shape)?;
    match tensors.take_optional(other, &spec.shape)? {
        Some(copy) if copy != values => Err(differs(other, &spec.shape, name)),
        _ => Ok(values),
    }
}

fn differs(name: &str, expected: &[usize], from: &str) -> Error {
    let found = format!("other values than {from}, to which the configuration ties it");
    Error::Tensor { name: name.to_owned(), expected: expected.to_vec(), found }
}

/// How a file names the tensors.
struct Names {
    root: &'static str,
    head: &'static str,
    embedding: &'static str,
    mixer: &'static str,
    norm: &'static str,
}

impl Names {
    fn of(config: &WindowConfig, tensors: &Tensors<'_>) -> Self {
        let headless = tensors.shapes().any(|(name, _)| name.starts_with("backbone."));
        let root = if headless { "backbone." } else { "caduceus.backbone." };
        let within = |wrapped: bool| if wrapped { ".submodule." } else { "." };
        let both = config.strands != Strands::One;
        let norm = within(config.strands == Strands::Both { swapped: false });
        let (head, embedding) = if both {
            ("lm_head.lm_head.", "embeddings.word_embeddings.embedding.")
        } else {
            ("lm_head.", "embeddings.word_embeddings.")
        };
        Self { root, head, embedding, mixer: within(both), norm }
    }

    fn file(&self, name: &str) -> String {
        if let Some(rest) = name.strip_prefix("lm_head.") {
            return format!("{}{rest}", self.head);
        }
        let rest = name.trim_start_matches("backbone.").replace("embedding.", self.embedding);
        let rest = rest.replace(".mixer.", &format!(".mixer{}", self.mixer));
        let rest = rest.replace(".norm.", &format!(".norm{}", self.norm));
        format!("{}{}", self.root, rest.replace("norm_f.", &format!("norm_f{}", self.norm)))
    }
}
