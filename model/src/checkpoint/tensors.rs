//! The tensors of a checkpoint, by name, until each is taken.

use std::{
    collections::{BTreeMap, btree_map::Entry as Slot},
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use half::{bf16, f16};
use safetensors::Dtype;
use zip::ZipArchive;

use crate::{Error, Result};

/// Named tensors in files or in memory.
#[derive(Default)]
pub struct Tensors<'a> {
    /// Each with the place of its source.
    entries: BTreeMap<String, (usize, Entry)>,
    sources: Vec<(PathBuf, Source<'a>)>,
}

/// Where one tensor's values are.
pub struct Entry {
    /// Type of a value.
    pub dtype: Dtype,
    /// Sizes, row-major.
    pub shape: Vec<usize>,
    /// The member of an archive; 0 elsewhere.
    pub member: usize,
    /// First byte in the source or member.
    pub offset: u64,
    /// Bytes.
    pub len: usize,
}

/// What holds values.
pub enum Source<'a> {
    /// A file, by offset.
    File(File),
    /// Bytes in memory, by offset.
    Bytes(&'a [u8]),
    /// Uncompressed members of a zip file, by offset in each; the checksums are checked.
    Zip(Box<ZipArchive<BufReader<File>>>),
}

impl<'a> Tensors<'a> {
    /// Adds a source and its tensors. Every entry must have been checked to lie within the source.
    pub(super) fn add(&mut self, path: &Path, source: Source<'a>, entries: Vec<(String, Entry)>) -> Result<()> {
        let at = self.sources.len();
        self.sources.push((path.to_owned(), source));
        for (name, entry) in entries {
            match self.entries.entry(name) {
                Slot::Vacant(slot) => slot.insert((at, entry)),
                Slot::Occupied(slot) => {
                    let problem = format!("tensor '{}' is in more than one file, or twice in one", slot.key());
                    return Err(Error::Weights { path: path.to_owned(), problem });
                }
            };
        }
        Ok(())
    }

    /// Whether there is a tensor of this name that has not been taken.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// The names and shapes of the tensors not taken yet, in order of their names.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.entries.iter().map(|(name, (_, entry))| (name.as_str(), entry.shape.as_slice()))
    }

    /// Takes a tensor's values as f32, row-major. Stored they may be bf16, f16, f32 or f64.
    ///
    /// # Errors
    /// When it is missing, of another shape or type, cannot be read, or holds a value that is not finite in f32.
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let (dtype, bytes) = self.bytes(name, shape, &[Dtype::BF16, Dtype::F16, Dtype::F32, Dtype::F64])?;
        let values = decode(dtype, &bytes);
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(wrong((name, shape), format!("value {at} is {}, not a finite number in f32", values[at])));
        }
        self.entries.remove(name);
        Ok(values)
    }

    /// As [`Tensors::take`], for whole numbers: stored they are i64.
    ///
    /// # Errors
    /// When it is missing, of another shape or type, or cannot be read.
    pub fn take_integers(&mut self, name: &str, shape: &[usize]) -> Result<Vec<i64>> {
        let (_, bytes) = self.bytes(name, shape, &[Dtype::I64])?;
        self.entries.remove(name);
        Ok(bytes.as_chunks().0.iter().map(|&bytes| i64::from_le_bytes(bytes)).collect())
    }

    /// A tensor's type and bytes, of the types that are looked for.
    fn bytes(&mut self, name: &str, shape: &[usize], types: &[Dtype]) -> Result<(Dtype, Vec<u8>)> {
        let wrong = |found: String| wrong((name, shape), found);
        let (source, entry) = self.entries.get(name).ok_or_else(|| wrong("no tensor of this name".into()))?;
        if entry.shape != shape {
            return Err(wrong(format!("{:?}", entry.shape)));
        }
        if !types.contains(&entry.dtype) {
            let types: Vec<String> = types.iter().map(ToString::to_string).collect();
            return Err(wrong(format!("values of type {}, not one of {}", entry.dtype, types.join(", "))));
        }
        let (path, source) = &mut self.sources[*source];
        let bytes = source.read(entry).map_err(|error| {
            let problem = format!("tensor '{name}' cannot be read: {error}");
            Error::Weights { path: path.clone(), problem }
        })?;
        Ok((entry.dtype, bytes))
    }

    /// As [`Tensors::take`], or None where there is no tensor of this name.
    ///
    /// # Errors
    /// As [`Tensors::take`], but for a missing tensor.
    pub fn take_optional(&mut self, name: &str, shape: &[usize]) -> Result<Option<Vec<f32>>> {
        self.contains(name).then(|| self.take(name, shape)).transpose()
    }

    /// Checks that every tensor was taken.
    ///
    /// # Errors
    /// Names those that were not: the configuration does not know them.
    pub fn finish(self) -> Result<()> {
        if self.entries.is_empty() {
            return Ok(());
        }
        Err(Error::UnknownTensors { names: self.entries.into_keys().collect() })
    }
}

/// A tensor is not what is expected.
fn wrong((name, expected): (&str, &[usize]), found: String) -> Error {
    Error::Tensor { name: name.to_owned(), expected: expected.to_vec(), found }
}

impl Source<'_> {
    fn read(&mut self, entry: &Entry) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; entry.len];
        match self {
            Self::Bytes(all) => {
                let mut rest = io::Cursor::new(all);
                rest.set_position(entry.offset);
                rest.read_exact(&mut bytes)?;
            }
            Self::File(file) => {
                file.seek(SeekFrom::Start(entry.offset))?;
                file.read_exact(&mut bytes)?;
            }
            Self::Zip(archive) => {
                let mut member = archive.by_index(entry.member)?;
                io::copy(&mut member.by_ref().take(entry.offset), &mut io::sink())?;
                member.read_exact(&mut bytes)?;
                io::copy(&mut member, &mut io::sink())?; // to the end, where the checksum is checked
            }
        }
        Ok(bytes)
    }
}

/// Little-endian bytes as f32.
fn decode(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
    match dtype {
        Dtype::BF16 => values(bytes, |value| bf16::from_le_bytes(value).to_f32()),
        Dtype::F16 => values(bytes, |value| f16::from_le_bytes(value).to_f32()),
        Dtype::F64 => values(bytes, |value| f64::from_le_bytes(value) as f32),
        _ => values(bytes, f32::from_le_bytes),
    }
}

fn values<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks::<N>().0.iter().map(|&bytes| value(bytes)).collect()
}
