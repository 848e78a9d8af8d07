//! `@HD`: version and sorting.

use super::field::Fields;

/// Checks the line, which must be the first.
pub(super) fn check(fields: &Fields<'_>, line: u64) -> Result<(), String> {
    if line != 1 {
        return Err("@HD must be the first line, and stand only once".into());
    }
    fields.required("VN")?;
    fields.check("VN", is_version)?;
    fields.check("SO", |v| ["unknown", "unsorted", "queryname", "coordinate"].contains(&v))?;
    fields.check("GO", |v| ["none", "query", "reference"].contains(&v))?;
    fields.check("SS", is_sub_sort)
}

/// `[0-9]+\.[0-9]+`
fn is_version(value: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    value.split_once('.').is_some_and(|(major, minor)| number(major) && number(minor))
}

/// `(coordinate|queryname|unsorted)(:[A-Za-z0-9_-]+)+`
fn is_sub_sort(value: &str) -> bool {
    let word =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    value.split_once(':').is_some_and(|(order, rest)| {
        ["coordinate", "queryname", "unsorted"].contains(&order) && rest.split(':').all(word)
    })
}
