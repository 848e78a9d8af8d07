//! `pytorch_model.bin`: a zip file of a pickled dictionary (`data.pkl`) and one uncompressed member a storage.

use std::{
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

use safetensors::Dtype;
use zip::{CompressionMethod, ZipArchive, result::ZipError};

use super::{
    pickle::{self, Stored},
    tensors::{Entry, Source, Tensors},
};
use crate::{Error, Result};

/// The largest pickled dictionary that is read, in bytes; a published one has about 100,000.
const MAX_PICKLE: u64 = 4 << 20;

type Archive = ZipArchive<BufReader<File>>;

/// Adds the tensors of a file; only the dictionary is read, and nothing in it is executed.
pub fn open(tensors: &mut Tensors<'static>, path: &Path) -> Result<()> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let wrong = |problem: String| Error::Weights { path: path.to_owned(), problem };
    let file = File::open(path).map_err(io)?;
    let file_len = file.metadata().map_err(io)?.len();
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| match error {
        ZipError::Io(source) => io(source),
        _ => wrong("not a whole zip file: truncated, or written before PyTorch 1.6 (load and save it again)".into()),
    })?;
    let entries = entries(&mut archive, file_len).map_err(wrong)?;
    tensors.add(path, Source::Zip(Box::new(archive)), entries)
}

fn entries(archive: &mut Archive, file_len: u64) -> Result<Vec<(String, Entry)>, String> {
    let names: Vec<String> = archive.file_names().filter_map(|name| name.ok().map(|name| name.into_owned())).collect();
    let is_pickle = |name: &&String| *name == "data.pkl" || name.ends_with("/data.pkl");
    let pickles: Vec<&String> = names.iter().filter(is_pickle).collect();
    let [name] = pickles[..] else { return Err(format!("not a PyTorch file: {} members 'data.pkl'", pickles.len())) };
    let dir = name.strip_suffix("data.pkl").unwrap_or_default();
    if let Some(order) = member(archive, &format!("{dir}byteorder"), 16)?
        && order != b"little"
    {
        return Err("its values are big-endian; save it again on a little-endian machine".into());
    }
    let pickle = member(archive, name, MAX_PICKLE)?.unwrap_or_default();
    let stored = pickle::state_dict(&pickle)?;
    let entry = |(name, stored): (String, Stored)| match entry(archive, (dir, file_len), &stored) {
        Ok(entry) => Ok((name, entry)),
        Err(problem) => Err(format!("tensor '{name}': {problem}")),
    };
    stored.into_iter().map(entry).collect()
}

/// A small member, whole.
fn member(archive: &mut Archive, name: &str, limit: u64) -> Result<Option<Vec<u8>>, String> {
    let Some(at) = archive.index_for_name(name) else { return Ok(None) };
    let member = archive.by_index(at).map_err(|error| format!("'{name}': {error}"))?;
    if member.size() > limit {
        return Err(format!("'{name}' has {} bytes; at most {limit} are read", member.size()));
    }
    let mut bytes = Vec::new();
    let read = member.take(limit + 1).read_to_end(&mut bytes);
    read.map_err(|error| format!("'{name}': {error}"))?;
    Ok(Some(bytes))
}

/// Where a tensor's values lie, after every check of sizes.
fn entry(archive: &mut Archive, (dir, file_len): (&str, u64), stored: &Stored) -> Result<Entry, String> {
    let storage = format!("{dir}data/{}", stored.storage);
    let at = archive.index_for_name(&storage).ok_or_else(|| format!("its storage '{storage}' is missing"))?;
    let member = archive.by_index_raw(at).map_err(|error| format!("its storage '{storage}': {error}"))?;
    if member.compression() != CompressionMethod::Stored || member.size() > file_len {
        return Err(format!("its storage '{storage}' is compressed, which PyTorch does not do"));
    }
    let (dtype, size) = dtype(&stored.class).ok_or_else(|| format!("values of type {} are unknown", stored.class))?;
    let elements = stored.shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    let len = elements.and_then(|elements| elements.checked_mul(size));
    let offset = (stored.offset as u64).checked_mul(size as u64);
    let end = offset.zip(len).and_then(|(offset, len)| offset.checked_add(len as u64));
    let (Some(offset), Some(len), Some(_)) = (offset, len, end.filter(|&end| end <= member.size())) else {
        return Err(format!("shape {:?} is more than its storage holds, {} bytes", stored.shape, member.size()));
    };
    if !is_row_major(&stored.shape, &stored.strides) {
        return Err(format!("its values are not in row-major order (strides {:?})", stored.strides));
    }
    Ok(Entry { dtype, shape: stored.shape.clone(), member: at, offset, len })
}

/// The type of a storage class's values, and the bytes of one.
fn dtype(class: &str) -> Option<(Dtype, usize)> {
    Some(match class {
        "FloatStorage" => (Dtype::F32, 4),
        "DoubleStorage" => (Dtype::F64, 8),
        "HalfStorage" => (Dtype::F16, 2),
        "BFloat16Storage" => (Dtype::BF16, 2),
        "LongStorage" => (Dtype::I64, 8),
        "IntStorage" => (Dtype::I32, 4),
        "ShortStorage" => (Dtype::I16, 2),
        "CharStorage" => (Dtype::I8, 1),
        "ByteStorage" => (Dtype::U8, 1),
        "BoolStorage" => (Dtype::BOOL, 1),
        _ => return None,
    })
}

/// Whether consecutive values are neighbours; the stride of an axis of size 1 says nothing.
fn is_row_major(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1usize;
    let mut axes = shape.iter().zip(strides).rev();
    shape.len() == strides.len()
        && axes.all(|(&size, &stride)| {
            let fits = size == 1 || stride == expected;
            expected = expected.saturating_mul(size);
            fits
        })
}
