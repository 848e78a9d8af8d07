//! Writes a model's directory, as transformers and this library read it.

use std::{borrow::Cow, collections::HashMap, path::Path};

use half::bf16;
use safetensors::{Dtype, View, tensor::serialize_to_file};
use serde_json::Value;

use crate::{Error, Result, weights::Spec};

/// Writes `model.safetensors` (f32, transformers' names) and then `config.json`; makes the directory where there is none.
///
/// The configuration comes last, so that an interrupted write leaves no directory that looks like a model.
///
/// # Errors
/// When the directory holds a model already, or the system refuses.
pub fn save(dir: &Path, config: &Value, tensors: &[(Spec, &[f32])]) -> Result<()> {
    save_as(dir, config, tensors, false)
}

/// As [`save`], with matrices in bf16 (rounded to nearest) where `narrow`.
///
/// # Errors
/// As [`save`].
pub fn save_as(dir: &Path, config: &Value, tensors: &[(Spec, &[f32])], narrow: bool) -> Result<()> {
    std::fs::create_dir_all(dir).map_err(|source| Error::Io { path: dir.to_owned(), source })?;
    let (config_path, tensors_path) = (dir.join("config.json"), dir.join("model.safetensors"));
    if let Some(path) = [&config_path, &tensors_path].into_iter().find(|path| path.exists()) {
        let problem = "a model is here already; remove it or name another directory".into();
        return Err(Error::Weights { path: path.clone(), problem });
    }
    let views = tensors.iter().map(|(spec, values)| {
        let name = spec.name.replace("backbone.embedding.", "backbone.embeddings.");
        (name, Stored { shape: &spec.shape, values, narrow: narrow && spec.shape.len() > 1 })
    });
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    serialize_to_file(views, Some(metadata), &tensors_path)
        .map_err(|error| Error::Weights { path: tensors_path.clone(), problem: error.to_string() })?;
    let text = format!("{config:#}\n");
    std::fs::write(&config_path, text).map_err(|source| Error::Io { path: config_path.clone(), source })?;
    // The tensors' file was made for its owner alone: whoever may read the configuration may read them too.
    let readable =
        std::fs::metadata(&config_path).and_then(|m| std::fs::set_permissions(&tensors_path, m.permissions()));
    readable.map_err(|source| Error::Io { path: tensors_path, source })
}

/// A tensor on its way to a file.
pub(crate) struct Stored<'a> {
    pub shape: &'a [usize],
    pub values: &'a [f32],
    /// In bf16, rounded to nearest.
    pub narrow: bool,
}

impl Stored<'_> {
    /// In the file.
    pub fn bytes(&self) -> usize {
        self.values.len() * if self.narrow { size_of::<bf16>() } else { size_of::<f32>() }
    }
}

impl View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        if self.narrow { Dtype::BF16 } else { Dtype::F32 }
    }

    fn shape(&self) -> &[usize] {
        self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        if self.narrow {
            return self
                .values
                .iter()
                .flat_map(|&value| bf16::from_f32(value).to_le_bytes())
                .collect::<Vec<u8>>()
                .into();
        }
        self.values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into()
    }

    fn data_len(&self) -> usize {
        self.bytes()
    }
}
