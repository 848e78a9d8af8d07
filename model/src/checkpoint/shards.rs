//! A checkpoint in several files, with an index of which tensor is in which.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Component, Path},
};

use serde::Deserialize;

use super::{Reader, read_text, tensors::Tensors};
use crate::{Error, Result};

#[derive(Deserialize)]
struct Index {
    /// Tensor → the name of its file.
    weight_map: BTreeMap<String, String>,
}

/// Adds the tensors of every file that the index names.
///
/// # Errors
/// When the index is not understood, names a file outside the directory, or a tensor that no file has.
pub fn open(tensors: &mut Tensors<'static>, path: &Path, open_shard: Reader) -> Result<()> {
    let wrong = |problem: String| Error::Weights { path: path.to_owned(), problem };
    let index: Index = serde_json::from_str(&read_text(path)?).map_err(|error| wrong(format!("index: {error}")))?;
    let files: BTreeSet<&String> = index.weight_map.values().collect();
    for file in files {
        let parts: Vec<Component<'_>> = Path::new(file).components().collect();
        if !matches!(parts[..], [Component::Normal(_)]) {
            return Err(wrong(format!("'{file}' is not a file's name: shards lie beside their index")));
        }
        open_shard(tensors, &path.with_file_name(file))?;
    }
    match index.weight_map.iter().find(|(name, _)| !tensors.contains(name)) {
        Some((name, file)) => Err(wrong(format!("tensor '{name}' should be in '{file}', but is not"))),
        None => Ok(()),
    }
}
