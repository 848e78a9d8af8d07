//! Whole numbers as SAM writes them.

use std::ops::RangeInclusive;

/// Parses a number without sign or leading zeros, in a range.
///
/// Leading zeros are refused since some programs take them for octal.
///
/// # Errors
/// With the column's name and its range.
pub(super) fn unsigned(text: &[u8], what: &str, range: RangeInclusive<i64>) -> Result<i64, String> {
    match text {
        [b'1'..=b'9', ..] | [b'0'] => in_range(text, what, range),
        _ => Err(wrong(text, what, &range)),
    }
}

/// Parses a number with or without a sign, in a range.
///
/// # Errors
/// With the column's name and its range.
pub(super) fn signed(text: &[u8], what: &str, range: RangeInclusive<i64>) -> Result<i64, String> {
    in_range(text, what, range)
}

fn in_range(text: &[u8], what: &str, range: RangeInclusive<i64>) -> Result<i64, String> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let mut value: i64 = 0;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return Err(wrong(text, what, &range));
        }
        value = value.saturating_mul(10).saturating_add(i64::from(digit - b'0'));
    }
    let value = if negative { -value } else { value };
    if digits.is_empty() || !range.contains(&value) { Err(wrong(text, what, &range)) } else { Ok(value) }
}

fn wrong(text: &[u8], what: &str, range: &RangeInclusive<i64>) -> String {
    let shown = &text[..text.len().min(40)];
    format!("{what} '{}' is no number in {} to {}", shown.escape_ascii(), range.start(), range.end())
}
