//! A model's name for machines: the hash of its configuration and weights.

use std::{fmt, fs::File, path::Path, str::FromStr};

use crate::{Error, Result};

/// BLAKE3 of a model's configuration and weight files, each preceded by its length.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of a model's files, in the order: configuration, then weight files by name.
    #[must_use]
    pub fn of<'a>(files: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hasher = blake3::Hasher::new();
        for file in files {
            hasher.update(&(file.len() as u64).to_le_bytes()).update(file);
        }
        Self(*hasher.finalize().as_bytes())
    }
}

impl Digest {
    /// The digest of a model's directory: its JSON files and weight files, by name.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn of_directory(dir: &Path) -> Result<Self> {
        let failed = |path: &Path, source| Error::Io { path: path.into(), source };
        let entries = std::fs::read_dir(dir).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let mut paths: Vec<_> = entries.map_err(|e| failed(dir, e))?.iter().map(std::fs::DirEntry::path).collect();
        paths.retain(|path| path.extension().is_some_and(|e| e == "json" || e == "safetensors" || e == "bin"));
        paths.sort();
        let mut hasher = blake3::Hasher::new();
        for path in &paths {
            let file = File::open(path).map_err(|e| failed(path, e))?;
            let len = file.metadata().map_err(|e| failed(path, e))?.len();
            hasher.update(&len.to_le_bytes()).update_reader(file).map_err(|e| failed(path, e))?;
        }
        Ok(Self(*hasher.finalize().as_bytes()))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// Not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a model's digest has 64 hexadecimal digits")]
pub struct BadDigest;

impl FromStr for Digest {
    type Err = BadDigest;

    fn from_str(text: &str) -> Result<Self, BadDigest> {
        blake3::Hash::from_hex(text).map(|hash| Self(*hash.as_bytes())).map_err(|_| BadDigest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_depends_on_every_file_and_on_where_it_ends() {
        let digests = [
            Digest::of([]),
            Digest::of([&b""[..]]),
            Digest::of([&b"ab"[..]]),
            Digest::of([&b"a"[..], &b"b"[..]]),
            Digest::of([&b"b"[..], &b"a"[..]]),
        ];
        for (i, a) in digests.iter().enumerate() {
            assert_eq!(a.to_string().parse(), Ok(*a));
            assert!(digests[i + 1..].iter().all(|b| a != b));
        }
        assert_eq!("xy".parse::<Digest>(), Err(BadDigest));
    }
}
