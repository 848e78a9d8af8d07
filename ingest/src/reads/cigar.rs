//! CIGARs: their two forms, their text, and what they must satisfy.

/// The operations' letters, by BAM's codes.
const OPERATIONS: &[u8; 9] = b"MIDNSHP=X";
/// The longest operation: BAM has 28 bits for it.
const MAX_OPERATION: u32 = (1 << 28) - 1;

/// An alignment's CIGAR, at least one operation.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cigar<'a> {
    /// As SAM writes it.
    Text(&'a [u8]),
    /// BAM's packed operations, little-endian: length << 4 | code.
    Packed(&'a [[u8; 4]]),
}

/// Bases of read and reference that a CIGAR uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spans {
    /// Bases of the read, soft clips included.
    pub(super) read: u64,
    /// Bases of the reference.
    pub(super) reference: u64,
}

impl Cigar<'_> {
    /// Appends the CIGAR as text.
    pub(super) fn append(&self, text: &mut Vec<u8>) {
        match self {
            Self::Text(cigar) => text.extend_from_slice(cigar),
            Self::Packed(operations) => {
                for operation in *operations {
                    let operation = u32::from_le_bytes(*operation);
                    append_number(operation >> 4, text);
                    text.push(OPERATIONS.get((operation & 15) as usize).copied().unwrap_or(b'?'));
                }
            }
        }
    }

    /// Checks the operations and where clips stand (hard ones outermost, soft ones next), and sums up what is used.
    ///
    /// # Errors
    /// With the reason.
    pub(super) fn spans(&self) -> Result<Spans, String> {
        let mut order = ClipOrder::default();
        let mut spans = Spans::default();
        let mut add = |code: u8, length: u32| {
            order.add(code)?;
            let length = u64::from(length);
            spans.read += if matches!(code, b'M' | b'I' | b'S' | b'=' | b'X') { length } else { 0 };
            spans.reference += if matches!(code, b'M' | b'D' | b'N' | b'=' | b'X') { length } else { 0 };
            Ok::<_, String>(())
        };
        match self {
            Self::Text(cigar) => operations(cigar, add)?,
            Self::Packed(operations) => {
                for operation in *operations {
                    let operation = u32::from_le_bytes(*operation);
                    let code = *OPERATIONS
                        .get((operation & 15) as usize)
                        .ok_or_else(|| format!("CIGAR operation code {} does not exist", operation & 15))?;
                    add(code, operation >> 4)?;
                }
            }
        }
        Ok(spans)
    }
}

/// Walks the operations of a CIGAR's text.
fn operations(cigar: &[u8], mut each: impl FnMut(u8, u32) -> Result<(), String>) -> Result<(), String> {
    let mut length: Option<u32> = None;
    for &byte in cigar {
        if byte.is_ascii_digit() {
            let longer = length.unwrap_or(0).saturating_mul(10).saturating_add(u32::from(byte - b'0'));
            length = Some(longer);
            if longer > MAX_OPERATION {
                return Err("a CIGAR operation is longer than 2^28 - 1".into());
            }
            continue;
        }
        let character = char::from(byte).escape_default();
        if !OPERATIONS.contains(&byte) {
            return Err(format!("'{character}' is no CIGAR operation"));
        }
        each(byte, length.take().ok_or_else(|| format!("CIGAR operation '{character}' has no length"))?)?;
    }
    match length {
        Some(_) => Err("the CIGAR ends with a length without operation".into()),
        None if cigar.is_empty() => Err("the CIGAR is empty (it is '*' where there is none)".into()),
        None => Ok(()),
    }
}

/// Where in `hard clip, soft clip, middle, soft clip, hard clip` the operations so far are.
#[derive(Default)]
struct ClipOrder {
    stage: u8,
}

impl ClipOrder {
    /// Takes one more operation.
    fn add(&mut self, code: u8) -> Result<(), String> {
        self.stage = match (code, self.stage) {
            (b'H', 0) => 0,
            (b'H', _) => 4,
            (b'S', 0 | 1) => 1,
            (b'S', 2 | 3) => 3,
            (b'S', _) => return Err("the CIGAR has a soft clip outside a hard clip".into()),
            (_, 0..=2) => 2,
            _ => return Err("the CIGAR goes on after a clip".into()),
        };
        Ok(())
    }
}

/// Appends a number's digits.
fn append_number(number: u32, text: &mut Vec<u8>) {
    let mut digits = [0; 10];
    let (mut rest, mut first) = (number, digits.len());
    loop {
        first -= 1;
        digits[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    text.extend_from_slice(&digits[first..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_text() {
        let cases = [
            ("50M", Ok((50, 50))),
            ("5H3S10M2I4D6N7=8X2P1S9H", Ok((31, 35))),
            ("3H5S", Ok((5, 0))),
            ("5S3H", Ok((5, 0))),
            ("0M", Ok((0, 0))),
            ("268435455M", Ok((268_435_455, 268_435_455))),
            ("268435456M", Err("longer than")),
            ("99999999999999999999M", Err("longer than")),
            ("", Err("empty")),
            ("50", Err("without operation")),
            ("M", Err("no length")),
            ("5Y", Err("'Y' is no")),
            ("2S1H46M", Err("after a clip")),
            ("24M1S25M", Err("after a clip")),
            ("10M1H2S", Err("outside")),
        ];
        for (cigar, expected) in cases {
            let got = Cigar::Text(cigar.as_bytes()).spans().map(|s| (s.read, s.reference));
            match (got, expected) {
                (Ok(got), Ok(expected)) => assert_eq!(got, expected, "{cigar}"),
                (Err(got), Err(expected)) => assert!(got.contains(expected), "{cigar}: {got}"),
                (got, _) => panic!("{cigar}: {got:?}"),
            }
        }
    }

    #[test]
    fn packed_operations_as_text() {
        let packed: Vec<[u8; 4]> = [(0, 100), (4, 7), (8, MAX_OPERATION), (2, 0)]
            .map(|(code, length): (u32, u32)| (length << 4 | code).to_le_bytes())
            .to_vec();
        let mut text = vec![];
        Cigar::Packed(&packed).append(&mut text);
        assert_eq!(text, b"100M7S268435455X0D");
        assert!(Cigar::Packed(&[[0x19, 0, 0, 0]]).spans().unwrap_err().contains("code 9"));
    }
}
