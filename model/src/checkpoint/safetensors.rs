//! Safetensors: a JSON header, then the values.

use std::{collections::BTreeMap, fs::File, io::Read, path::Path};

use safetensors::{SafeTensorError, SafeTensors, tensor::Metadata};

use super::tensors::{Entry, Source, Tensors};
use crate::{Error, Result};

/// Bytes of the header's length.
const PREFIX: usize = 8;
/// The longest header that the format allows, in bytes.
const MAX_HEADER: u64 = 100_000_000;

/// Adds the tensors of a file; only the header is read.
pub fn open(tensors: &mut Tensors<'static>, path: &Path) -> Result<()> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let wrong = |problem: String| Error::Weights { path: path.to_owned(), problem };
    let mut file = File::open(path).map_err(io)?;
    let file_len = file.metadata().map_err(io)?.len();
    let mut prefix = [0; PREFIX];
    if file_len < PREFIX as u64 {
        return Err(wrong(format!("not a safetensors file: it has only {file_len} bytes")));
    }
    file.read_exact(&mut prefix).map_err(io)?;
    let header_len = u64::from_le_bytes(prefix);
    if header_len > MAX_HEADER {
        return Err(wrong(format!("not a safetensors file: its header would have {header_len} bytes")));
    }
    let data_start = PREFIX as u64 + header_len;
    if data_start > file_len {
        return Err(wrong(format!("truncated: {file_len} bytes, and its header ends at byte {data_start}")));
    }
    let mut header = vec![0; header_len as usize];
    file.read_exact(&mut header).map_err(io)?;
    let metadata: Metadata = serde_json::from_slice(&header).map_err(|error| wrong(format!("header: {error}")))?;
    let expected = (data_start as usize).saturating_add(metadata.data_len()) as u64;
    if file_len != expected {
        let what = if file_len < expected { "truncated" } else { "too long" };
        return Err(wrong(format!("{what}: {file_len} bytes, where its header tells of {expected}")));
    }
    tensors.add(path, Source::File(file), entries(&metadata, data_start))
}

/// Adds the tensors of a file in memory; `path` names it in errors.
pub fn open_bytes<'a>(tensors: &mut Tensors<'a>, path: &Path, bytes: &'a [u8]) -> Result<()> {
    let wrong = |error: SafeTensorError| Error::Weights { path: path.to_owned(), problem: error.to_string() };
    let (header_len, metadata) = SafeTensors::read_metadata(bytes).map_err(wrong)?;
    tensors.add(path, Source::Bytes(bytes), entries(&metadata, (PREFIX + header_len) as u64))
}

fn entries(metadata: &Metadata, data_start: u64) -> Vec<(String, Entry)> {
    let entry = |(name, info): (String, &safetensors::tensor::TensorInfo)| {
        let (begin, end) = info.data_offsets;
        let (dtype, shape) = (info.dtype, info.shape.clone());
        (name, Entry { dtype, shape, member: 0, offset: data_start + begin as u64, len: end - begin })
    };
    let by_name: BTreeMap<_, _> = metadata.tensors().into_iter().collect(); // so that errors name the same tensor each time
    by_name.into_iter().map(entry).collect()
}
