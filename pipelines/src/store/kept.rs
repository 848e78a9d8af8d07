//! Copies of models' files, kept while sessions need them.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use unspool_model::Digest;

use super::{Error, Result};

/// A folder with one folder a model, named by its digest.
pub(super) struct Kept {
    dir: PathBuf,
    /// Held while copies are made or removed.
    changing: Mutex<()>,
}

impl Kept {
    /// Opens the folder, and removes copies that were never finished and models that are not `used`.
    pub(super) fn open(dir: PathBuf, used: impl Fn(Digest) -> bool) -> Result<Self> {
        let kept = Self { dir, changing: Mutex::new(()) };
        let failed = |source: io::Error| Error::io(&kept.dir, &source);
        for entry in fs::read_dir(&kept.dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let digest = path.file_name().and_then(|name| name.to_str()?.parse().ok());
            let unfinished = path.extension().is_some_and(|extension| extension == "partial");
            if unfinished || digest.is_some_and(|digest| !used(digest)) {
                fs::remove_dir_all(&path).map_err(|source| Error::io(&path, &source))?;
            }
        }
        Ok(kept)
    }

    /// Where a model's files are kept, if they are.
    pub(super) fn path(&self, digest: Digest) -> Option<PathBuf> {
        Some(self.dir.join(digest.to_string())).filter(|path| path.is_dir())
    }

    /// Copies a model's files from `from`, unless they are here: under another name first, flushed, checked and renamed, so that a
    /// copy that is there is whole.
    ///
    /// # Errors
    /// When the files are no longer those of that digest, or the system refuses.
    pub(super) fn keep(&self, digest: Digest, from: &Path) -> Result<()> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.path(digest).is_some() {
            return Ok(());
        }
        let to = self.dir.join(digest.to_string());
        let partial = to.with_extension("partial");
        let failed = |source: io::Error| Error::io(&partial, &source);
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(failed)?;
        }
        copy(from, &partial).map_err(failed)?;
        if Digest::of_directory(&partial)? != digest {
            fs::remove_dir_all(&partial).map_err(failed)?;
            let problem = format!("these files are no longer those of model {digest}: load the model again");
            return Err(Error::Io { path: from.to_owned(), problem });
        }
        fs::rename(&partial, &to).and_then(|()| File::open(&self.dir)?.sync_all()).map_err(failed)
    }

    /// Removes those of `unused` that `really` says are.
    pub(super) fn prune(&self, unused: &[Digest], really: impl Fn(Digest) -> bool) -> Result<()> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        for digest in unused.iter().filter(|digest| really(**digest)) {
            if let Some(path) = self.path(*digest) {
                // Under another name first: what is there by its name is whole, wherever this breaks off.
                let partial = path.with_extension("partial");
                let removed = fs::rename(&path, &partial).and_then(|()| fs::remove_dir_all(&partial));
                removed.map_err(|source| Error::io(&path, &source))?;
            }
        }
        Ok(())
    }
}

/// Copies a model's directory, on the disk when it returns: the files that its digest covers.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let Some(name) = path.file_name() else { continue };
        if path.extension().is_some_and(|e| e == "json" || e == "safetensors" || e == "bin") {
            fs::copy(&path, to.join(name))?;
            File::open(to.join(name))?.sync_all()?;
        }
    }
    File::open(to)?.sync_all()
}
