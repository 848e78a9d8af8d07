//! A state's bytes, packed for the disk.
//!
//! States are mostly f32: their bytes are put beside those of the same place in other numbers, so that signs and exponents,
//! which are alike, stand together, and zeros (a young pair that has not begun) do anyway; then zstd takes out what it
//! finds in little time. Mantissas are noise, and stay as long as they are.
//!
//! | bytes | content |
//! |---|---|
//! | 8 | magic `UNSPZST1` |
//! | 4 | length before packing, u32 little-endian |
//! | ... | a zstd frame of the planes |
//!
//! Bytes that do not begin so were written as they are: a state has its own magic and its own checksum.

use std::io;

const MAGIC: &[u8; 8] = b"UNSPZST1";
/// Bytes of a number.
const WIDTH: usize = 4;
const LEVEL: i32 = 1;
/// Nothing longer than this was ever packed.
const MOST: usize = 1 << 30;

/// Packs bytes.
///
/// # Errors
/// When they are too long.
pub(super) fn pack(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let len = u32::try_from(bytes.len()).ok().filter(|len| *len as usize <= MOST);
    let len = len.ok_or_else(|| io::Error::other("a state of more than 1 GiB"))?;
    let mut packed = MAGIC.to_vec();
    packed.extend_from_slice(&len.to_le_bytes());
    packed.extend(zstd::bulk::compress(&planes(bytes), LEVEL)?);
    Ok(packed)
}

/// What was packed.
///
/// # Errors
/// When it cannot be unpacked.
pub(super) fn unpack(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let Some(rest) = bytes.strip_prefix(MAGIC) else { return Ok(bytes.to_vec()) };
    let short = || io::Error::other("it is cut short");
    let (len, frame) = rest.split_first_chunk().ok_or_else(short)?;
    let len = u32::from_le_bytes(*len) as usize;
    if len > MOST {
        return Err(io::Error::other("its length is damaged"));
    }
    let planes = zstd::bulk::decompress(frame, len)?;
    if planes.len() != len {
        return Err(short());
    }
    Ok(woven(&planes))
}

/// All first bytes of the numbers, all second ones, ...; what is left over at the end.
fn planes(bytes: &[u8]) -> Vec<u8> {
    let (numbers, rest) = bytes.as_chunks::<WIDTH>();
    let mut planes = Vec::with_capacity(bytes.len());
    for place in 0..WIDTH {
        planes.extend(numbers.iter().map(|number| number[place]));
    }
    planes.extend_from_slice(rest);
    planes
}

/// The other way round.
fn woven(planes: &[u8]) -> Vec<u8> {
    let n = planes.len() / WIDTH;
    let (numbers, rest) = planes.split_at(n * WIDTH);
    let (a, b) = numbers.split_at(2 * n);
    let ((a, b), (c, d)) = (a.split_at(n), b.split_at(n));
    let numbers = a.iter().zip(b).zip(c.iter().zip(d)).map(|((a, b), (c, d))| [*a, *b, *c, *d]);
    let mut bytes = numbers.collect::<Vec<[u8; WIDTH]>>().into_flattened();
    bytes.extend_from_slice(rest);
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_packed_comes_back(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(unpack(&pack(&bytes).unwrap()).unwrap(), bytes);
        }

        #[test]
        fn any_bytes_are_refused_or_unpacked(bytes in prop::collection::vec(any::<u8>(), 0..200), len in any::<u32>()) {
            let _ = unpack(&[MAGIC, &len.to_le_bytes()[..], &bytes].concat());
        }
    }

    #[test]
    fn zeros_take_no_room_and_noise_little_more() {
        assert!(pack(&[0; 400_000]).unwrap().len() < 100);
        // numbers of one size, of either sign
        let noise =
            |n: u32| (f32::from_bits(n.wrapping_mul(2_654_435_761) & 0x007f_ffff | 0x3f00_0000) - 0.75).to_le_bytes();
        let numbers: Vec<[u8; 4]> = (0..100_000).map(noise).collect();
        let packed = pack(&numbers.into_flattened()).unwrap().len();
        assert!(packed < 370_000, "{packed}");
    }

    #[test]
    fn bytes_from_before_are_as_they_are() {
        assert_eq!(unpack(b"UNSPSTA\nx").unwrap(), b"UNSPSTA\nx");
    }
}
