//! The optional fields of a SAM line: `TAG:TYPE:VALUE`.

use super::{
    super::{alphabet::leading, bam::Seen},
    number,
};

/// Checks one field, and that its tag was not met before.
///
/// # Errors
/// With what is wrong.
pub(super) fn check(field: &[u8], seen: &mut Seen) -> Result<(), String> {
    let [a, b, b':', kind, b':', value @ ..] = field else {
        return Err(format!("'{}' is no optional field (`TAG:TYPE:VALUE`)", shown(field)));
    };
    let tag = [*a, *b];
    if !(a.is_ascii_alphabetic() && b.is_ascii_alphanumeric()) {
        return Err(format!("'{}' is no tag", tag.escape_ascii()));
    }
    if !seen.add(u16::from_be_bytes(tag)) {
        return Err(format!("tag {} stands twice", tag.escape_ascii()));
    }
    if is_value(*kind, value)? {
        Ok(())
    } else {
        let kind = char::from(*kind).escape_default();
        Err(format!("'{}' is no value of type {kind} (tag {})", shown(value), tag.escape_ascii()))
    }
}

/// Whether text is a value of a type.
fn is_value(kind: u8, value: &[u8]) -> Result<bool, String> {
    Ok(match kind {
        b'A' => matches!(value, [b'!'..=b'~']),
        b'i' => is_integer(value, i64::from(i32::MIN), i64::from(u32::MAX)),
        b'f' => is_float(value),
        b'Z' => leading(value, |byte| (b' '..=b'~').contains(&byte)) == value.len(),
        b'H' => value.len().is_multiple_of(2) && value.iter().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F')),
        b'B' => is_array(value),
        _ => return Err(format!("'{}' is no type of optional fields", char::from(kind).escape_default())),
    })
}

/// A type letter, then values with a comma before each.
fn is_array(value: &[u8]) -> bool {
    let Some((kind, rest)) = value.split_first() else { return false };
    let mut values = rest.split(|&b| b == b',');
    let whole = |values: std::slice::Split<'_, u8, _>, low, high| {
        let mut values = values;
        values.all(|v| is_integer(v, low, high))
    };
    if values.next() != Some(b"") {
        return false;
    }
    match kind {
        b'c' => whole(values, i64::from(i8::MIN), i64::from(i8::MAX)),
        b'C' => whole(values, 0, i64::from(u8::MAX)),
        b's' => whole(values, i64::from(i16::MIN), i64::from(i16::MAX)),
        b'S' => whole(values, 0, i64::from(u16::MAX)),
        b'i' => whole(values, i64::from(i32::MIN), i64::from(i32::MAX)),
        b'I' => whole(values, 0, i64::from(u32::MAX)),
        b'f' => values.all(is_float),
        _ => false,
    }
}

/// `[-+]?[0-9]+` in a range.
fn is_integer(text: &[u8], low: i64, high: i64) -> bool {
    number::signed(text, "", low..=high).is_ok()
}

/// `[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?`, and finite in 32 bits.
fn is_float(text: &[u8]) -> bool {
    let is_digits = |digits: &[u8]| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let unsigned = |text: &[u8]| match text {
        [b'-' | b'+', rest @ ..] => rest.to_vec(),
        rest => rest.to_vec(),
    };
    let text_without_sign = unsigned(text);
    let mut parts = text_without_sign.splitn(2, |b| matches!(b, b'e' | b'E'));
    let mantissa = parts.next().unwrap_or_default();
    let exponent = parts.next();
    let mut halves = mantissa.splitn(2, |&b| b == b'.');
    let form = match (halves.next().unwrap_or_default(), halves.next()) {
        (whole, None) => is_digits(whole),
        (whole, Some(fraction)) => (whole.is_empty() || is_digits(whole)) && is_digits(fraction),
    };
    form && exponent.is_none_or(|exponent| is_digits(&unsigned(exponent)))
        && std::str::from_utf8(text).ok().and_then(|t| t.parse::<f32>().ok()).is_some_and(f32::is_finite)
}

fn shown(text: &[u8]) -> String {
    text[..text.len().min(40)].escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optional_fields() {
        let good = [
            "AA:A:!",
            "AA:i:+5",
            "AA:i:4294967295",
            "AA:i:-2147483648",
            "AA:f:.1",
            "AA:f:-9.9E+19",
            "AA:f:09",
            "AA:Z:",
            "AA:Z:a b",
            "AA:H:",
            "AA:H:1AFF",
            "AA:B:c,-128,127",
            "AA:B:f,1,.5",
            "AA:B:I",
            "a1:i:0",
        ];
        for field in good {
            assert_eq!(check(field.as_bytes(), &mut Seen::default()), Ok(()), "{field}");
        }
        let bad = [
            "",
            "A:Z:x",
            "AAA:Z:x",
            "AA:Z",
            "1A:Z:x",
            "A_:Z:x",
            "AA:A:",
            "AA:A: ",
            "AA:A:ab",
            "AA:i:",
            "AA:i:1.5",
            "AA:i:4294967296",
            "AA:f:10.",
            "AA:f:nan",
            "AA:f:inf",
            "AA:f:1e39",
            "AA:f:e",
            "AA:f:",
            "AA:Z:\x0b",
            "AA:H:9",
            "AA:H:ab",
            "AA:B:",
            "AA:B:F,1",
            "AA:B:C,256",
            "AA:B:c,",
            "AA:B:c1",
            "AA:z:x",
            "AA:I:1",
        ];
        for field in bad {
            assert!(check(field.as_bytes(), &mut Seen::default()).is_err(), "{field}");
        }
    }

    #[test]
    fn a_tag_stands_once() {
        let mut seen = Seen::default();
        assert_eq!(check(b"NM:i:1", &mut seen), Ok(()));
        assert!(check(b"NM:i:1", &mut seen).unwrap_err().contains("twice"));
    }
}
