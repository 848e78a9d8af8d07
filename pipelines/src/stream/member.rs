//! A worker's lasting name: after a restart the group knows it again, and its producer ends what it left open.

use std::{
    fs::{self, File, TryLockError},
    io::{Read, Write},
    path::Path,
};

use super::{
    error::{Error, Result},
    snapshot::unique,
};

/// Workers that may share a folder on one machine.
const MOST_MEMBERS: usize = 1024;

/// A name, held while this lives.
#[derive(Debug)]
pub struct Member {
    name: String,
    _lock: Option<File>,
}

impl Member {
    /// The name given, or the first one in the data folder that no living process holds; a new one where all are held.
    ///
    /// # Errors
    /// When the folder refuses.
    pub fn claim(data_dir: &Path, name: Option<&str>) -> Result<Self> {
        if let Some(name) = name {
            return Ok(Self { name: name.to_owned(), _lock: None });
        }
        let dir = data_dir.join("members");
        fs::create_dir_all(&dir).map_err(|source| Error::io(&dir, &source))?;
        for number in 0..MOST_MEMBERS {
            let path = dir.join(format!("{number}.id"));
            let failed = |source: std::io::Error| Error::io(&path, &source);
            let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
            let mut file = file.map_err(failed)?;
            match file.try_lock() {
                Ok(()) => (),
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
            let mut name = String::new();
            file.read_to_string(&mut name).map_err(failed)?;
            if name.is_empty() {
                name = format!("{number}-{}", &blake3::hash(unique().as_bytes()).to_hex()[..12]);
                file.write_all(name.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
            }
            return Ok(Self { name, _lock: Some(file) });
        }
        Err(Error::Settings(format!("{}: all {MOST_MEMBERS} names of workers are in use", dir.display())))
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_last_and_are_held_once() {
        let dir = tempfile::tempdir().unwrap();
        let claim = || Member::claim(dir.path(), None).unwrap();
        let (first, second) = (claim(), claim());
        assert_ne!(first.name(), second.name());
        let name = first.name().to_owned();
        drop(first);
        assert_eq!(claim().name(), name, "a restart gets the name back");
        assert_eq!(Member::claim(dir.path(), Some("mine")).unwrap().name(), "mine");
    }
}
