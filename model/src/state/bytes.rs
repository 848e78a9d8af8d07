//! The byte form of a state: a sealed envelope around safetensors.
//!
//! | bytes | content |
//! |---|---|
//! | 8 | magic `UNSPSTA\n` |
//! | 4 | version of the format, u32 little-endian |
//! | 8 | length of the body, u64 little-endian |
//! | length | body: safetensors; its metadata holds one entry, `unspool`, a JSON object |
//! | 32 | BLAKE3 of all before |
//!
//! Safetensors, so that a state can be looked at with common tools: cut 20 bytes off the front and 32 off the end.

use std::collections::HashMap;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Serialize, de::DeserializeOwned};

use crate::error::StateError;

const MAGIC: &[u8; 8] = b"UNSPSTA\n";
const HEAD: usize = 20;
const SEAL: usize = 32;
/// The version written and read.
pub(crate) const VERSION: u32 = 1;

/// Named arrays on their way into a state's bytes.
#[derive(Default)]
pub(crate) struct Writer(Vec<(String, Dtype, usize, Vec<u8>)>);

impl Writer {
    pub(crate) fn f32(&mut self, name: &str, values: &[f32]) {
        self.push(name, Dtype::F32, values.iter().map(|v| v.to_le_bytes()).collect::<Vec<_>>().into_flattened());
    }

    pub(crate) fn f64(&mut self, name: &str, values: &[f64]) {
        self.push(name, Dtype::F64, values.iter().map(|v| v.to_le_bytes()).collect::<Vec<_>>().into_flattened());
    }

    pub(crate) fn u64(&mut self, name: &str, values: &[u64]) {
        self.push(name, Dtype::U64, values.iter().map(|v| v.to_le_bytes()).collect::<Vec<_>>().into_flattened());
    }

    fn push(&mut self, name: &str, dtype: Dtype, bytes: Vec<u8>) {
        let len = bytes.len() / dtype_bytes(dtype);
        self.0.push((name.into(), dtype, len, bytes));
    }

    /// Seals the arrays and a description of them.
    pub(crate) fn seal(self, about: &impl Serialize) -> Result<Vec<u8>, StateError> {
        let failed = |problem: String| StateError::Content(problem);
        let about = serde_json::to_string(about).map_err(|e| failed(e.to_string()))?;
        let views: Result<Vec<_>, _> = (self.0.iter())
            .map(|(name, dtype, len, bytes)| Ok((name, TensorView::new(*dtype, vec![*len], bytes)?)))
            .collect();
        let views = views.map_err(|e: safetensors::SafeTensorError| failed(e.to_string()))?;
        let metadata = HashMap::from([("unspool".to_owned(), about)]);
        let body = safetensors::serialize(views, Some(metadata)).map_err(|e| failed(e.to_string()))?;
        let mut bytes = Vec::with_capacity(HEAD + body.len() + SEAL);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&body);
        let seal = blake3::hash(&bytes);
        bytes.extend_from_slice(seal.as_bytes());
        Ok(bytes)
    }
}

fn dtype_bytes(dtype: Dtype) -> usize {
    if dtype == Dtype::F32 { 4 } else { 8 }
}

/// The arrays of a state's bytes.
#[derive(Debug)]
pub(crate) struct Reader<'a>(SafeTensors<'a>);

impl<'a> Reader<'a> {
    /// Checks the envelope and opens it.
    pub(crate) fn open<T: DeserializeOwned>(bytes: &'a [u8]) -> Result<(T, Self), StateError> {
        let content = |e: &dyn std::fmt::Display| StateError::Content(e.to_string());
        let body = unseal(bytes)?;
        let (_, metadata) = SafeTensors::read_metadata(body).map_err(|e| content(&e))?;
        let about = (metadata.metadata().as_ref().and_then(|m| m.get("unspool")))
            .ok_or_else(|| content(&"no description of the state"))?;
        let about = serde_json::from_str(about).map_err(|e| content(&e))?;
        Ok((about, Self(SafeTensors::deserialize(body).map_err(|e| content(&e))?)))
    }

    pub(crate) fn f32(&self, name: &str, len: usize) -> Result<Vec<f32>, StateError> {
        self.values(name, len, Dtype::F32, f32::from_le_bytes)
    }

    pub(crate) fn f64(&self, name: &str, len: usize) -> Result<Vec<f64>, StateError> {
        self.values(name, len, Dtype::F64, f64::from_le_bytes)
    }

    pub(crate) fn u64(&self, name: &str, len: usize) -> Result<Vec<u64>, StateError> {
        self.values(name, len, Dtype::U64, u64::from_le_bytes)
    }

    fn values<T, const B: usize>(
        &self,
        name: &str,
        len: usize,
        dtype: Dtype,
        value: fn([u8; B]) -> T,
    ) -> Result<Vec<T>, StateError> {
        let tensor = self.0.tensor(name).map_err(|e| StateError::Content(format!("'{name}': {e}")))?;
        if tensor.dtype() != dtype || tensor.shape() != [len] {
            let (found, shape) = (tensor.dtype(), tensor.shape());
            return Err(StateError::Content(format!(
                "'{name}': {len} x {dtype:?} expected, {found:?} {shape:?} found"
            )));
        }
        let (values, _) = tensor.data().as_chunks::<B>();
        Ok(values.iter().map(|bytes| value(*bytes)).collect())
    }
}

/// The body of an envelope that is whole.
fn unseal(bytes: &[u8]) -> Result<&[u8], StateError> {
    let Some(rest) = bytes.strip_prefix(MAGIC) else { return Err(StateError::NotAState) };
    let short = |expected: usize| StateError::Length { expected: expected as u64, found: bytes.len() as u64 };
    let (version, rest) = rest.split_first_chunk().ok_or_else(|| short(HEAD + SEAL))?;
    let found = u32::from_le_bytes(*version);
    if found != VERSION {
        return Err(StateError::Version { found, expected: VERSION });
    }
    let (length, _) = rest.split_first_chunk().ok_or_else(|| short(HEAD + SEAL))?;
    let expected = u64::from_le_bytes(*length).saturating_add((HEAD + SEAL) as u64);
    if expected != bytes.len() as u64 {
        return Err(StateError::Length { expected, found: bytes.len() as u64 });
    }
    let (sealed, seal) = bytes.split_at(bytes.len() - SEAL);
    if blake3::hash(sealed).as_bytes() != seal {
        return Err(StateError::Damaged);
    }
    Ok(&sealed[HEAD..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed() -> Vec<u8> {
        let mut writer = Writer::default();
        writer.f32("a", &[1.0, -0.0, f32::MIN_POSITIVE]);
        writer.f64("b", &[std::f64::consts::PI]);
        writer.u64("c", &[u64::MAX]);
        writer.seal(&"about").unwrap()
    }

    #[test]
    fn what_was_sealed_is_read() {
        let bytes = sealed();
        assert_eq!(bytes, sealed(), "equal states have equal bytes");
        let (about, reader) = Reader::open::<String>(&bytes).unwrap();
        assert_eq!(about, "about");
        assert_eq!(reader.f32("a", 3).unwrap().map_bits(), [1.0f32, -0.0, f32::MIN_POSITIVE].map(f32::to_bits));
        assert_eq!(reader.f64("b", 1).unwrap(), [std::f64::consts::PI]);
        assert_eq!(reader.u64("c", 1).unwrap(), [u64::MAX]);
        assert!(matches!(reader.f32("a", 2), Err(StateError::Content(_))));
        assert!(matches!(reader.f32("b", 1), Err(StateError::Content(_))));
        assert!(matches!(reader.f32("d", 1), Err(StateError::Content(_))));
    }

    trait MapBits {
        fn map_bits(&self) -> Vec<u32>;
    }
    impl MapBits for Vec<f32> {
        fn map_bits(&self) -> Vec<u32> {
            self.iter().map(|v| v.to_bits()).collect()
        }
    }

    #[test]
    fn every_truncation_and_every_flipped_bit_is_refused() {
        let bytes = sealed();
        for len in 0..bytes.len() {
            assert!(Reader::open::<String>(&bytes[..len]).is_err(), "cut to {len}");
        }
        for at in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[at / 8] ^= 1 << (at % 8);
            assert!(Reader::open::<String>(&damaged).is_err(), "bit {at} flipped");
        }
    }

    #[test]
    fn the_error_says_what_is_wrong() {
        let check = |bytes: &[u8], expected| assert_eq!(unseal(bytes), Err(expected));
        let bytes = sealed();
        let found = bytes.len() as u64;
        check(b"", StateError::NotAState);
        check(b"PAR1", StateError::NotAState);
        check(&[&bytes[..], b"x"].concat(), StateError::Length { expected: found, found: found + 1 });
        check(&bytes[..9], StateError::Length { expected: 52, found: 9 });
        let mut newer = bytes.clone();
        newer[8] = 9;
        check(&newer, StateError::Version { found: 9, expected: VERSION });
        let mut damaged = bytes;
        damaged[40] ^= 1;
        check(&damaged, StateError::Damaged);
    }
}
