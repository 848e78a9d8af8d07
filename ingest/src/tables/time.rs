//! Times as text: timestamps to microseconds, integers to step numbers.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};

use crate::schema::TimeKind;

/// What times may look like, for errors.
pub(super) const FORMS: &str =
    "RFC 3339, YYYY-MM-DD[ HH:MM[:SS[.f]]], YYYY/MM/DD[ HH:MM[:SS[.f]]], YYYY-MM, YYYY, or a whole number (a step)";

/// Microseconds in a second.
pub(super) const SECOND: i64 = 1_000_000;

/// A time as text, as `kind` has it; `None` when it is none.
pub(crate) fn parse(text: &str, kind: TimeKind) -> Option<i64> {
    match kind {
        TimeKind::Step => text.parse().ok(),
        TimeKind::Timestamp => timestamp(text),
    }
}

/// How the times of a column are written, by one of them: whole numbers are steps, years alone too (a column of them
/// cannot be told from one of step numbers).
pub(super) fn kind_of(text: &str) -> Option<TimeKind> {
    [TimeKind::Step, TimeKind::Timestamp].into_iter().find(|&kind| parse(text, kind).is_some())
}

/// A timestamp: microseconds since 1970, UTC where the text names a zone, else as written.
pub(super) fn timestamp(text: &str) -> Option<i64> {
    if let Some(zoned) = zoned(text) {
        return Some(zoned);
    }
    let (day, clock) = match text.find([' ', 'T', 't']) {
        Some(at) => (&text[..at], Some(text[at + 1..].trim_start())),
        None => (text, None),
    };
    let time = match clock {
        None => NaiveTime::MIN,
        Some(clock) => self::clock(clock)?,
    };
    micros(&date(day)?.and_time(time))
}

/// A timestamp with a zone (`Z`, `+01:00`), seconds optional, `T` or a space between.
fn zoned(text: &str) -> Option<i64> {
    if text.len() < 17 || !(text.ends_with(['Z', 'z']) || text.rfind(['+', '-']) > Some(10)) {
        return None;
    }
    let read = DateTime::parse_from_rfc3339(text)
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z"))
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%#z"))
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M%#z"))
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M%#z"));
    read.ok().and_then(|time| micros(&time.naive_utc()))
}

/// `YYYY-MM-DD`, `YYYY/MM/DD`, `YYYY-MM`, `YYYY`; the first day where there is none.
fn date(text: &str) -> Option<NaiveDate> {
    let mut parts = text.split(if text.contains('/') { '/' } else { '-' });
    let year = parts.next().filter(|year| year.len() == 4)?;
    let (month, day) = (parts.next().unwrap_or("1"), parts.next().unwrap_or("1"));
    if parts.next().is_some() || (text.contains('/') && text.matches('/').count() != 2) {
        return None;
    }
    NaiveDate::from_ymd_opt(digits(year)?.try_into().ok()?, digits(month)?, digits(day)?)
}

/// `HH:MM[:SS[.f]]`.
fn clock(text: &str) -> Option<NaiveTime> {
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, f)| (whole, Some(f)));
    let mut parts = whole.split(':');
    let (hour, minute, second) = (digits(parts.next()?)?, digits(parts.next()?)?, parts.next());
    if parts.next().is_some() || (second.is_none() && fraction.is_some()) {
        return None;
    }
    let nanos = match fraction {
        None => 0,
        Some(f) if !f.is_empty() && f.len() <= 9 && f.bytes().all(|b| b.is_ascii_digit()) => {
            f.parse::<u32>().ok()? * 10u32.pow(9 - f.len() as u32)
        }
        Some(_) => return None,
    };
    NaiveTime::from_hms_nano_opt(hour, minute, second.map_or(Some(0), digits)?, nanos)
}

/// One to four digits.
fn digits(text: &str) -> Option<u32> {
    (1..=4).contains(&text.len()).then_some(())?;
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Microseconds since 1970.
pub(super) fn micros(time: &NaiveDateTime) -> Option<i64> {
    let time = time.and_utc();
    time.timestamp().checked_mul(SECOND)?.checked_add(i64::from(time.timestamp_subsec_micros()))
}

/// A timestamp as a person reads it.
pub(super) fn show(micros: i64) -> String {
    DateTime::from_timestamp_micros(micros)
        .map_or_else(|| format!("{micros} µs"), |time| time.naive_utc().format("%Y-%m-%d %H:%M:%S%.f").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_their_times() {
        let day = 86_400 * SECOND;
        let cases = [
            ("1970-01-02", Some(day)),
            ("1970/01/02", Some(day)),
            ("1970-1-2", Some(day)),
            ("1970-02", Some(31 * day)),
            ("1971", Some(365 * day)),
            ("1970-01-01 01:02", Some(3720 * SECOND)),
            ("1970-01-01T01:02:03", Some(3723 * SECOND)),
            ("1970-01-01 01:02:03.5", Some(3723 * SECOND + 500_000)),
            ("1970/01/01 00:00:01.000001", Some(SECOND + 1)),
            ("1970-01-01T01:00:00Z", Some(3600 * SECOND)),
            ("1970-01-01T01:00:00+01:00", Some(0)),
            ("1970-01-01 01:00:00+01", Some(0)),
            ("1970-01-01T00:00-0130", Some(5400 * SECOND)),
            ("1969-12-31 23:59:59.9", Some(-100_000)),
            ("2020-02-30", None),
            ("2020-13", None),
            ("20200101", None),
            ("12:00", None),
            ("2020-01-01 25:00", None),
            ("2020-01-01 10", None),
            ("2020-01-01 10:00 tomorrow", None),
            ("2020-01-01 10:00.5", None),
            ("2020/01", None),
            ("1-2-3", None),
            ("+020-01-01", None),
            ("日本語のテキスト日本", None),
            ("日本語のテキスト日本Z", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(timestamp(text), expected, "{text}");
        }
    }

    #[test]
    fn whole_numbers_are_steps() {
        for (text, expected) in [
            ("1999", Some(TimeKind::Step)),
            ("-3", Some(TimeKind::Step)),
            ("1999-01", Some(TimeKind::Timestamp)),
            ("1999.5", None),
            ("a", None),
        ] {
            assert_eq!(kind_of(text), expected, "{text}");
        }
    }
}
