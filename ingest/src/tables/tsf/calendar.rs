//! Steps of a calendar: the n-th time after a start.

use std::{fmt, str::FromStr};

use chrono::{Months, NaiveDateTime};

use crate::tables::time::{SECOND, micros};

/// How often a series is observed: every so many seconds, or every so many months.
///
/// Weeks, days and shorter steps have a fixed length; months and years follow the calendar from the start (31 January,
/// 28 February, 31 March).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frequency {
    /// A step's length in seconds.
    Seconds(u32),
    /// A step's length in months.
    Months(u32),
}

impl Frequency {
    /// The time of step `n` after the start, in microseconds since 1970; `None` beyond the calendar's end.
    pub(in crate::tables) fn step(self, start: &NaiveDateTime, n: u64) -> Option<i64> {
        match self {
            Self::Seconds(seconds) => {
                let step = i64::from(seconds).checked_mul(SECOND)?.checked_mul(i64::try_from(n).ok()?)?;
                micros(start)?.checked_add(step)
            }
            Self::Months(months) => {
                let months = u32::try_from(n).ok()?.checked_mul(months)?;
                micros(&start.checked_add_months(Months::new(months))?)
            }
        }
    }
}

impl FromStr for Frequency {
    type Err = String;

    /// As in the Monash archive: `hourly`, `half_hourly`, `10_minutes`, `quarterly`, …
    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let (count, unit) = match lower.split_once('_') {
            Some(("half", "hourly")) => (30, "minute"),
            Some((count, unit)) => (count.parse().unwrap_or(0), unit.strip_suffix('s').unwrap_or(unit)),
            None => (1, lower.as_str()),
        };
        let per_unit = match unit {
            "second" | "secondly" => Self::Seconds(1),
            "minute" | "minutely" => Self::Seconds(60),
            "hour" | "hourly" => Self::Seconds(3600),
            "day" | "daily" => Self::Seconds(86_400),
            "week" | "weekly" => Self::Seconds(604_800),
            "month" | "monthly" => Self::Months(1),
            "quarter" | "quarterly" => Self::Months(3),
            "year" | "yearly" => Self::Months(12),
            _ => Self::Seconds(0),
        };
        let frequency = match per_unit {
            Self::Seconds(seconds) => seconds.checked_mul(count).filter(|&n| n > 0).map(Self::Seconds),
            Self::Months(months) => months.checked_mul(count).filter(|&n| n > 0).map(Self::Months),
        };
        frequency.ok_or_else(|| {
            format!("the frequency '{text}' is not known (known: secondly, minutely, half_hourly, hourly, daily, weekly, monthly, quarterly, yearly, or as 10_minutes)")
        })
    }
}

impl fmt::Display for Frequency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, unit) = match *self {
            Self::Months(n) if n % 12 == 0 => (n / 12, "year"),
            Self::Months(n) => (n, "month"),
            Self::Seconds(n) => {
                let units = [(604_800, "week"), (86_400, "day"), (3600, "hour"), (60, "minute")];
                units.into_iter().find(|(s, _)| n % s == 0).map_or((n, "second"), |(s, unit)| (n / s, unit))
            }
        };
        if count == 1 { write!(f, "1 {unit}") } else { write!(f, "{count} {unit}s") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::time::{show, timestamp};

    #[test]
    fn steps_follow_the_calendar() {
        for (frequency, start, n, expected) in [
            ("monthly", "2020-01-31", 1, "2020-02-29 00:00:00"),
            ("monthly", "2020-01-31", 2, "2020-03-31 00:00:00"),
            ("quarterly", "2019-11-30", 1, "2020-02-29 00:00:00"),
            ("yearly", "2020-02-29", 4, "2024-02-29 00:00:00"),
            ("weekly", "2020-02-26", 1, "2020-03-04 00:00:00"),
            ("half_hourly", "2020-01-01 00:15", 3, "2020-01-01 01:45:00"),
            ("10_minutes", "2020-01-01", 144, "2020-01-02 00:00:00"),
            ("4_seconds", "2020-01-01", 15, "2020-01-01 00:01:00"),
        ] {
            let start = chrono::DateTime::from_timestamp_micros(timestamp(start).unwrap()).unwrap().naive_utc();
            let step = frequency.parse::<Frequency>().unwrap().step(&start, n).unwrap();
            assert_eq!(show(step), expected, "{frequency} {n}");
            assert_eq!(frequency.parse::<Frequency>().unwrap().step(&start, u64::MAX), None);
        }
    }

    #[test]
    fn frequencies_by_name() {
        for (text, expected) in [
            ("Daily", Some("1 day")),
            ("2_hours", Some("2 hours")),
            ("quarterly", Some("3 months")),
            ("yearly", Some("1 year")),
            ("0_hours", None),
            ("99999999_weeks", None),
            ("often", None),
            ("", None),
        ] {
            assert_eq!(text.parse::<Frequency>().ok().map(|f| f.to_string()).as_deref(), expected, "{text}");
        }
    }
}
