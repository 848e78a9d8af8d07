//! The header of a BAM file: magic bytes, the SAM header's text, the references.
//!
//! The binary list of references counts; the text, of which no record needs anything, is passed over unchecked.

use super::super::{
    header::{MAX_LENGTH, Reference, References},
    input::Input,
};
use crate::{Place, Result};

/// The longest header text that is read.
const MAX_TEXT_BYTES: usize = 512 << 20;
/// The longest reference name that is read.
const MAX_NAME_BYTES: usize = 64 << 10;

/// Reads the header up to the first record.
///
/// # Errors
/// When it is damaged.
pub(super) fn read(input: &mut Input) -> Result<References> {
    let magic = bytes(input, 4, "the magic bytes")?;
    if magic != b"BAM\x01" {
        return Err(input.invalid(Place::Whole, "not a BAM file: it does not begin with `BAM\\1`".into()));
    }
    let length = number(input, "the length of the header's text", 0..=MAX_TEXT_BYTES as i64)?;
    bytes(input, length, "the header's text")?;
    let count = number(input, "the number of references", 0..=i64::from(i32::MAX))?;
    let mut references = References::default();
    for _ in 0..count {
        let length = number(input, "the length of a reference's name", 1..=MAX_NAME_BYTES as i64)?;
        let mut name = bytes(input, length, "a reference's name")?;
        if name.pop() != Some(0) || std::str::from_utf8(&name).is_err() {
            return Err(
                input.invalid(input.place(), "a reference's name is not text that ends with a zero byte".into())
            );
        }
        let length = number(input, "a reference's length", 0..=MAX_LENGTH as i64)?;
        let reference = Reference { name, length: length as u64 };
        references.add(reference).map_err(|reason| input.invalid(input.place(), reason))?;
    }
    Ok(references)
}

/// The next 4 bytes as a number in a range.
fn number(input: &mut Input, what: &str, range: std::ops::RangeInclusive<i64>) -> Result<usize> {
    let place = input.place();
    let four = bytes(input, 4, what)?;
    let value = i64::from(i32::from_le_bytes([four[0], four[1], four[2], four[3]]));
    match usize::try_from(value) {
        Ok(number) if range.contains(&value) => Ok(number),
        _ => Err(input.invalid(place, format!("{what} is {value}: the header is damaged"))),
    }
}

/// The next `n` bytes.
fn bytes(input: &mut Input, n: usize, what: &str) -> Result<Vec<u8>> {
    let mut bytes = vec![];
    let read = input.read_into(&mut bytes, n)?;
    if read < n {
        return Err(input.invalid(input.place(), format!("the file ends within {what} ({read} of {n} bytes)")));
    }
    Ok(bytes)
}
