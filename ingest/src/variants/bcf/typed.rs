//! BCF's typed values: a byte of type and count, then the values.

/// The values of one descriptor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Typed<'a> {
    /// No value: type 0, or none of a type.
    Missing,
    Int8(&'a [u8]),
    Int16(&'a [u8]),
    Int32(&'a [u8]),
    Float(&'a [u8]),
    Text(&'a [u8]),
}

/// The bits of a missing float, and of the end of a shorter vector.
const FLOAT_MISSING: u32 = 0x7f80_0001;
const FLOAT_END: u32 = 0x7f80_0002;

impl<'a> Typed<'a> {
    /// Takes a descriptor and its values.
    ///
    /// # Errors
    /// When there are fewer bytes than it says, or its type is not known.
    pub(super) fn read(rest: &mut &'a [u8]) -> Result<Self, String> {
        let (kind, count) = Self::descriptor(rest)?;
        let each = match kind {
            0 => return Ok(Self::Missing),
            1 | 7 => 1,
            2 => 2,
            3 | 5 => 4,
            _ => return Err(format!("there is no type {kind} of values")),
        };
        let values = count.checked_mul(each).and_then(|bytes| rest.split_at_checked(bytes));
        let (values, after) = values.ok_or_else(|| format!("{count} values of type {kind} are more than is left"))?;
        *rest = after;
        Ok(match kind {
            _ if values.is_empty() => Self::Missing,
            1 => Self::Int8(values),
            2 => Self::Int16(values),
            3 => Self::Int32(values),
            5 => Self::Float(values),
            _ => Self::Text(values),
        })
    }

    /// Type and count; a count of 15 stands for one that follows as a value of its own.
    fn descriptor(rest: &mut &'a [u8]) -> Result<(u8, usize), String> {
        let (first, after) = rest.split_first().ok_or("the record ends where a value should begin")?;
        *rest = after;
        let (kind, count) = (first & 15, usize::from(first >> 4));
        if count < 15 {
            return Ok((kind, count));
        }
        let longer = match rest.first() {
            Some(0x11..=0x13) => Self::read(rest)?.integers("a count")?,
            _ => vec![],
        };
        match longer[..] {
            [Some(count)] if count >= 0 => Ok((kind, count.unsigned_abs() as usize)),
            _ => Err("a count of values that is no number".into()),
        }
    }

    /// Text, up to the zero that pads it.
    ///
    /// # Errors
    /// When it is of another type, or not UTF-8.
    pub(super) fn text(&self, what: &str) -> Result<&'a str, String> {
        match self {
            Self::Missing => Ok(""),
            Self::Text(bytes) => {
                let end = memchr::memchr(0, bytes).unwrap_or(bytes.len());
                std::str::from_utf8(&bytes[..end]).map_err(|_| format!("{what} is not UTF-8"))
            }
            _ => Err(format!("{what} is of numbers where text should be")),
        }
    }

    /// Integers; a missing one is `None`, and what fills a shorter vector up is left out.
    ///
    /// # Errors
    /// When they are of another type.
    pub(super) fn integers(&self, what: &str) -> Result<Vec<Option<i32>>, String> {
        let (values, lowest): (Vec<i32>, i32) = match self {
            Self::Missing => return Ok(vec![]),
            Self::Int8(bytes) => (bytes.iter().map(|b| i32::from(b.cast_signed())).collect(), i8::MIN.into()),
            Self::Int16(bytes) => {
                (bytes.as_chunks().0.iter().map(|b| i32::from(i16::from_le_bytes(*b))).collect(), i16::MIN.into())
            }
            Self::Int32(bytes) => (bytes.as_chunks().0.iter().map(|b| i32::from_le_bytes(*b)).collect(), i32::MIN),
            Self::Float(_) | Self::Text(_) => return Err(format!("{what} is not of integers")),
        };
        let present = values.into_iter().filter(|value| *value != lowest + 1);
        Ok(present.map(|value| (value != lowest).then_some(value)).collect())
    }

    /// Floats, as [`Self::integers`]; integers are taken too.
    ///
    /// # Errors
    /// When they are text.
    pub(super) fn floats(&self, what: &str) -> Result<Vec<Option<f32>>, String> {
        let Self::Float(bytes) = self else {
            let integers = self.integers(what)?;
            return Ok(integers.into_iter().map(|value| value.map(|value| value as f32)).collect());
        };
        let bits = bytes.as_chunks().0.iter().map(|four| u32::from_le_bytes(*four)).filter(|bits| *bits != FLOAT_END);
        Ok(bits.map(|bits| (bits != FLOAT_MISSING).then(|| f32::from_bits(bits))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_their_counts() {
        let read = |bytes: &[u8]| {
            let mut rest = bytes;
            let value = Typed::read(&mut rest).map(|value| value.integers("x"));
            (value, rest.len())
        };
        assert_eq!(read(&[0x00]), (Ok(Ok(vec![])), 0));
        assert_eq!(read(&[0x21, 5, 0xff, 9]), (Ok(Ok(vec![Some(5), Some(-1)])), 1));
        assert_eq!(read(&[0x31, 5, 0x80, 0x81]), (Ok(Ok(vec![Some(5), None])), 0));
        assert_eq!(read(&[0x12, 0, 0x80]), (Ok(Ok(vec![None])), 0));
        assert_eq!(read(&[0x13, 7, 0, 0, 0]), (Ok(Ok(vec![Some(7)])), 0));
        let long = [&[0xf1, 0x11, 16][..], &[1; 16]].concat();
        assert_eq!(read(&long), (Ok(Ok(vec![Some(1); 16])), 0));
    }

    #[test]
    fn hostile_values_are_refused() {
        let cases: [&[u8]; 9] = [
            &[],
            &[0x21, 1],
            &[0x14, 1],
            &[0xf1],
            &[0xf1, 0xf1, 0xf1, 0xf1],
            &[0xf1, 0x17, b'a'],
            &[0xf1, 0x11, 0xff],
            &[0xf3, 0x13, 0xff, 0xff, 0xff, 0x7f],
            &[0xf1, 0x21, 1, 1],
        ];
        for bytes in cases {
            assert!(Typed::read(&mut &bytes[..]).is_err(), "{bytes:?}");
        }
        assert!(Typed::Text(b"a").integers("x").is_err());
        assert!(Typed::Int8(&[1]).text("x").is_err());
        assert!(Typed::Text(&[0xff]).text("x").is_err());
        assert_eq!(Typed::Text(b"ab\0\0").text("x"), Ok("ab"));
        let floats = [1f32.to_le_bytes(), FLOAT_MISSING.to_le_bytes(), FLOAT_END.to_le_bytes()].concat();
        assert_eq!(Typed::Float(&floats).floats("x"), Ok(vec![Some(1.0), None]));
        assert_eq!(Typed::Int8(&[3]).floats("x"), Ok(vec![Some(3.0)]));
    }
}
