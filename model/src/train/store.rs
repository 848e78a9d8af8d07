//! Weights and moments as files: safetensors of a size that is easily carried. Weights are f32, all else is bf16: 10 bytes a
//! parameter.

use std::{collections::HashMap, fs, path::Path};

use safetensors::tensor::serialize_to_file;

use super::Moments;
use crate::{
    Error, Result,
    checkpoint::{Stored, Tensors, open_safetensors},
    weights::Spec,
};

/// Bytes of a file at most, if no tensor is larger.
const SHARD_BYTES: usize = 15 << 20;
/// What the names of tensors begin with.
const KINDS: [&str; 4] = ["weights", "m", "v", "average"];

impl Moments {
    /// Writes files into an empty directory. What is not a weight is rounded to bf16: call [`Moments::round`] first.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn save(&self, dir: &Path, specs: &[Spec]) -> Result<()> {
        let mut shards: Vec<Vec<(String, Stored<'_>)>> = vec![vec![]];
        let mut bytes = 0;
        for (kind, tensors) in KINDS.into_iter().zip([&self.weights, &self.m, &self.v, &self.average]) {
            for (spec, values) in specs.iter().zip(tensors) {
                let stored = Stored { shape: &spec.shape, values, narrow: kind != "weights" };
                let size = stored.bytes();
                if bytes > 0 && bytes + size > SHARD_BYTES {
                    shards.push(vec![]);
                    bytes = 0;
                }
                bytes += size;
                if let Some(shard) = shards.last_mut() {
                    shard.push((format!("{kind}.{}", spec.name), stored));
                }
            }
        }
        let count = shards.len();
        for (i, shard) in shards.into_iter().enumerate() {
            let path = dir.join(format!("moments-{:05}-of-{count:05}.safetensors", i + 1));
            let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
            serialize_to_file(shard, Some(metadata), &path)
                .map_err(|error| Error::Weights { path: path.clone(), problem: error.to_string() })?;
            let synced = fs::File::open(&path).and_then(|file| file.sync_all());
            synced.map_err(|source| Error::Io { path, source })?;
        }
        Ok(())
    }

    /// Reads what [`Moments::save`] wrote.
    ///
    /// # Errors
    /// When a file or a tensor is missing, damaged or of another shape.
    pub fn load(dir: &Path, specs: &[Spec]) -> Result<Self> {
        let mut tensors = Tensors::default();
        let io = |source| Error::Io { path: dir.to_owned(), source };
        let mut paths = vec![];
        for entry in fs::read_dir(dir).map_err(io)? {
            paths.push(entry.map_err(io)?.path());
        }
        paths.sort();
        for path in paths.iter().filter(|path| path.extension().is_some_and(|found| found == "safetensors")) {
            open_safetensors(&mut tensors, path)?;
        }
        let mut take = |kind: &str| -> Result<Vec<Vec<f32>>> {
            specs.iter().map(|spec| tensors.take(&format!("{kind}.{}", spec.name), &spec.shape)).collect()
        };
        let [weights, m, v, average] = KINDS;
        let moments = Self { weights: take(weights)?, m: take(m)?, v: take(v)?, average: take(average)? };
        tensors.finish()?;
        Ok(moments)
    }
}
