//! Where the store finds models.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use unspool_model::{Digest, Model};

use super::{Error, Result};

/// The models that are loaded or can be. Several versions serve at once; a session stays with its own.
pub trait Models: Send + Sync {
    /// The model of this digest; loaded, if it must be, from `kept`, where the store keeps a copy of its files.
    ///
    /// # Errors
    /// [`Error::UnknownModel`], or what went wrong in loading it.
    fn model(&self, digest: Digest, kept: Option<&Path>) -> Result<Arc<Model>>;

    /// The directory of a model's files, for the store to copy; `None`: the model comes with the program.
    fn files(&self, digest: Digest) -> Option<PathBuf>;
}

/// Models that are loaded already, without files.
impl Models for HashMap<Digest, Arc<Model>> {
    fn model(&self, digest: Digest, _kept: Option<&Path>) -> Result<Arc<Model>> {
        self.get(&digest).cloned().ok_or(Error::UnknownModel(digest))
    }

    fn files(&self, _digest: Digest) -> Option<PathBuf> {
        None
    }
}
