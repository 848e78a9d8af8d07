//! `@SQ`: reference sequences.

use super::{Reference, field::Fields};

/// The longest reference: positions have 31 bits.
pub(in super::super) const MAX_LENGTH: u64 = (1 << 31) - 1;

/// Name and length: without them records mean nothing.
///
/// # Errors
/// When one is missing or wrong.
pub(super) fn identity(fields: &Fields<'_>) -> Result<Reference, String> {
    let name = fields.required("SN")?;
    check_name(name.as_bytes())?;
    let length = fields.required("LN")?;
    let length = Some(length)
        .filter(|text| text.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|text| text.parse::<u64>().ok())
        .filter(|length| (1..=MAX_LENGTH).contains(length))
        .ok_or_else(|| format!("length '{}' of reference '{name}' is not in 1 to 2^31 - 1", length.escape_default()))?;
    Ok(Reference { name: name.as_bytes().to_vec(), length })
}

/// Checks the other fields; returns the reference's alternative names.
///
/// # Errors
/// With the first one that is wrong.
pub(super) fn check_rest(fields: &Fields<'_>) -> Result<Vec<Vec<u8>>, String> {
    fields.check("M5", |v| v.len() == 32 && v.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))?;
    fields.check("TP", |v| ["linear", "circular"].contains(&v))?;
    fields.check("AH", |v| v == "*" || check_name(v.split(':').next().unwrap_or(v).as_bytes()).is_ok())?;
    fields.check("AN", |v| v.split(',').all(is_alternative))?;
    Ok(fields.get("AN").into_iter().flat_map(|names| names.split(',')).map(|n| n.as_bytes().to_vec()).collect())
}

/// Checks a reference's name: `[0-9A-Za-z!#$%&+./:;?@^_|~-][0-9A-Za-z!#$%&*+./:;=?@^_|~-]*`.
///
/// # Errors
/// When it is another one.
pub(in super::super) fn check_name(name: &[u8]) -> Result<(), String> {
    let allowed = |b: u8| (b'!'..=b'~').contains(&b) && !b"\\,\"`'()[]{}<>".contains(&b);
    match name {
        [b'*' | b'=', ..] | [] => Err(illegal(name)),
        _ if name.iter().all(|&b| allowed(b)) => Ok(()),
        _ => Err(illegal(name)),
    }
}

fn illegal(name: &[u8]) -> String {
    format!("'{}' may not be a reference's name", String::from_utf8_lossy(name).escape_default())
}

/// `[0-9A-Za-z][0-9A-Za-z*+.@_|-]*`
fn is_alternative(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"*+.@_|-".contains(&b))
}
