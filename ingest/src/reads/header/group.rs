//! `@RG`: read groups.

use chrono::{DateTime, NaiveDate, NaiveDateTime};

use super::field::Fields;

/// The platforms there are (SAM specification, 2024).
const PLATFORMS: [&str; 12] = [
    "CAPILLARY",
    "DNBSEQ",
    "ELEMENT",
    "HELICOS",
    "ILLUMINA",
    "IONTORRENT",
    "LS454",
    "ONT",
    "PACBIO",
    "SINGULAR",
    "SOLID",
    "ULTIMA",
];

/// Checks the fields that have a form.
///
/// # Errors
/// With the first one that is wrong.
pub(super) fn check_read_group(fields: &Fields<'_>) -> Result<(), String> {
    fields.check("DT", is_date)?;
    fields.check("FO", |v| v == "*" || v.bytes().all(|b| b"ACMGRSVTWYHKDBN".contains(&b)))?;
    fields.check("PI", |v| v.bytes().all(|b| b.is_ascii_digit()))?;
    fields.check("PL", |v| PLATFORMS.contains(&v))
}

/// An ISO 8601 date, or date and time; blanks around it do no harm.
fn is_date(value: &str) -> bool {
    let value = value.trim();
    let times = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y%m%dT%H%M%S", "%Y-%m-%dT%H:%M:%S%.fZ"];
    NaiveDate::parse_from_str(value, "%Y-%m-%d").is_ok()
        || NaiveDate::parse_from_str(value, "%Y%m%d").is_ok()
        || DateTime::parse_from_rfc3339(value).is_ok()
        || DateTime::parse_from_str(value, "%Y-%m-%dT%H:%M:%S%.f%z").is_ok()
        || times.iter().any(|form| NaiveDateTime::parse_from_str(value, form).is_ok())
}
